/** A few seeds of the simulator for every run of the tests; many of them run with `npm run sim`. */
import { equal } from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { runSeed } from './run-seed.ts';

const FAULTY_MS = 14_000;
/** Each layout, and one with all faults on one machine. */
const SEEDS = [1, 2, 3, 151];

/** Seeds that failed once. */
const REGRESSION_SEEDS: readonly { readonly seed: number; readonly what: string }[] = [
  { seed: 68, what: 'a joiner with a bad block in a snapshot that is to go was never rebuilt' },
  { seed: 210, what: 'a write that failed half-way on the only member was taken for a torn block' },
  { seed: 78, what: 'a joiner could not delete a snapshot that a crash left half installed' },
  { seed: 248, what: 'the same without end after a take-over, so that nothing was replaced' },
  { seed: 358, what: 'reads that waited for a lease were forgotten when a voter came back' },
];

async function problemOf(seed: number): Promise<string | null> {
  const outcome = await runSeed(seed, { faultyMs: FAULTY_MS, parts: {}, log: () => {} });
  return outcome.problem;
}

for (const seed of SEEDS) {
  test(`Seed ${seed} keeps every promise`, async () => {
    equal(await problemOf(seed), null);
  });
}

for (const { seed, what } of REGRESSION_SEEDS) {
  test(`Seed ${seed} keeps every promise, once: ${what}`, async () => {
    equal(await problemOf(seed), null);
  });
}

function traceHashInProcess(seed: number): string {
  const main = new URL('main.ts', import.meta.url).pathname;
  const args = [...process.execArgv, main, '--seed', `${seed}`];
  const { stdout } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  return (JSON.parse(stdout) as { traceHash: string }).traceHash;
}

test('The same seed does the same in two processes', () => {
  equal(traceHashInProcess(7), traceHashInProcess(7));
});
