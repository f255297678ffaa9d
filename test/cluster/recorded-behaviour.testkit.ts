/** recorded/behaviour.json: what the cases of the behaviour table saw of a real API server. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { Json } from './recorded-exchanges.testkit.ts';

const PATH = join(import.meta.dirname, 'recorded', 'behaviour.json');

export function saveBehaviour(seen: Readonly<Record<string, Json>>): void {
  writeFileSync(PATH, `${JSON.stringify(seen, null, 2)}\n`);
}

export function recordedBehaviour(): Record<string, Json> {
  return JSON.parse(readFileSync(PATH, 'utf8')) as Record<string, Json>;
}

/** A finding for each case that saw something else than with the real server. */
export function compareBehaviour(seen: Readonly<Record<string, Json>>): string[] {
  const recorded = recordedBehaviour();
  const findings: string[] = [];
  for (const name of new Set([...Object.keys(recorded), ...Object.keys(seen)])) {
    const [expected, actual] = [recorded[name], seen[name]];
    if (isDeepStrictEqual(expected, actual)) continue;
    findings.push(`${name}\n  ${JSON.stringify(expected)}\n  got ${JSON.stringify(actual)}`);
  }
  return findings;
}
