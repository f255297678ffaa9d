import type { HoldfastError } from '#api/mod.ts';
import pc from 'picocolors';

/** What (code), then field, value and the other facts, then what to do. One fact a line. */
export function formatError(error: HoldfastError): string {
  const { remedy, ...facts } = error.details;
  const lines = [`${pc.red('error')}: ${error.message} (${error.code})`];
  for (const [name, value] of Object.entries(facts)) {
    lines.push(`  ${name}: ${String(value).split('\n').join('\n    ')}`);
  }
  if (error.effect === 'unknown') lines.push('  effect: unknown, it may have been done');
  if (remedy !== undefined) lines.push(`  remedy: ${String(remedy)}`);
  return lines.join('\n');
}
