import type { HoldfastError } from '#api/mod.ts';
import { PLAIN } from './colors.ts';
import type { Colors } from './colors.ts';
import { REMEDIES } from './remedies.ts';

/**
 * What (code), then field, value and the other facts, then what to do: what the error says, else
 * what the page of errors says. One fact a line.
 */
export function formatError(error: HoldfastError, colors: Colors = PLAIN): string {
  const { remedy, ...facts } = error.details;
  const lines = [`${colors.red('error')}: ${error.message} (${error.code})`];
  for (const [name, value] of Object.entries(facts)) {
    lines.push(`  ${name}: ${String(value).split('\n').join('\n    ')}`);
  }
  if (error.effect === 'unknown') lines.push('  effect: unknown, it may have been done');
  lines.push(`  remedy: ${String(remedy ?? REMEDIES[error.code] ?? '')}`);
  return lines.join('\n');
}
