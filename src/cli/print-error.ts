import type { HoldfastError } from '#api/mod.ts';
import pc from 'picocolors';
import { REMEDIES } from './remedies.ts';

/**
 * What (code), then field, value and the other facts, then what to do: what the error says, else
 * what the page of errors says. One fact a line.
 */
export function formatError(error: HoldfastError): string {
  const { remedy, ...facts } = error.details;
  const lines = [`${pc.red('error')}: ${error.message} (${error.code})`];
  for (const [name, value] of Object.entries(facts)) {
    lines.push(`  ${name}: ${String(value).split('\n').join('\n    ')}`);
  }
  if (error.effect === 'unknown') lines.push('  effect: unknown, it may have been done');
  lines.push(`  remedy: ${String(remedy ?? REMEDIES[error.code] ?? '')}`);
  return lines.join('\n');
}
