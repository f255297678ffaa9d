/**
 * The simulator of the data path.
 *
 *     npm run sim -- --seeds 300 [--from 1] [--jobs 2]
 *     npm run sim -- --seed 17 --trace
 *
 * Prints what was done and what failed; exits 1 when a seed failed, with a line that replays it.
 */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { FAULT_KINDS, type FaultKind, type Layout } from './fault-plan.ts';
import { runSeed } from './run-seed.ts';

const FAULTY_MS = 14_000;

interface SeedLine {
  readonly seed: number;
  readonly problem: string | null;
  readonly layout: Layout;
  readonly operations: number;
  readonly flushes: number;
  readonly deaths: number;
  readonly snapshotsRead: number;
  readonly faults: Partial<Record<FaultKind, number>>;
  readonly openings: number;
  readonly losses: number;
  readonly traceHash: string;
  readonly simulatedMs: number;
}

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '20' },
    from: { type: 'string', default: '1' },
    seed: { type: 'string' },
    jobs: { type: 'string', default: '2' },
    trace: { type: 'boolean', default: false },
    worker: { type: 'boolean', default: false },
  },
});

async function runRange(from: number, to: number, step: number): Promise<void> {
  for (let seed = from; seed < to; seed += step) {
    const log = values.trace ? (line: string) => console.error(line) : () => {};
    const outcome = await runSeed(seed, { faultyMs: FAULTY_MS, parts: {}, log });
    console.log(
      JSON.stringify({ ...outcome, faults: Object.fromEntries(outcome.faults) } satisfies SeedLine),
    );
  }
}

/** Runs the seeds in `jobs` processes, interleaved, and gathers their lines. */
async function gather(from: number, to: number, jobs: number): Promise<SeedLine[]> {
  const lines: SeedLine[] = [];
  const runs = Array.from({ length: jobs }, async (_, job) => {
    const args = [
      import.meta.filename,
      '--worker',
      '--from',
      `${from + job}`,
      '--seeds',
      `${to - from - job}`,
      '--jobs',
      `${jobs}`,
    ];
    const child = spawn(process.execPath, [...process.execArgv, ...args], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    for await (const line of createInterface({ input: child.stdout })) {
      const outcome = JSON.parse(line) as SeedLine;
      lines.push(outcome);
      if (outcome.problem !== null) console.log(`seed ${outcome.seed}: ${outcome.problem}`);
    }
  });
  await Promise.all(runs);
  return lines;
}

function report(lines: readonly SeedLine[], seeds: number, seconds: number): boolean {
  const sum = (pick: (line: SeedLine) => number): number =>
    lines.reduce((total, line) => total + pick(line), 0);
  const failed = lines.filter(({ problem }) => problem !== null);
  console.log(
    `${lines.length} seeds in ${seconds.toFixed(1)} s: ${sum(({ operations }) => operations)} operations ` +
      `(${Math.round(sum(({ operations }) => operations) / Math.max(1, lines.length))} a seed), ` +
      `${sum(({ openings }) => openings)} openings, ${sum(({ losses }) => losses)} losses, ` +
      `${Math.round(sum(({ simulatedMs }) => simulatedMs) / 1000)} simulated seconds`,
  );
  for (const kind of FAULT_KINDS) {
    console.log(`  ${kind.padEnd(18)} ${sum(({ faults }) => faults[kind] ?? 0)}`);
  }
  for (const { seed } of failed) console.log(`replay: npm run sim -- --seed ${seed} --trace`);
  if (lines.length < seeds) console.log(`${seeds - lines.length} seeds gave no outcome`);
  return failed.length === 0 && lines.length === seeds;
}

if (values.seed !== undefined) {
  await runRange(Number(values.seed), Number(values.seed) + 1, 1);
} else if (values.worker) {
  const from = Number(values.from);
  await runRange(from, from + Number(values.seeds), Number(values.jobs));
} else {
  const startedAt = performance.now();
  const from = Number(values.from);
  const seeds = Number(values.seeds);
  const lines = await gather(from, from + seeds, Number(values.jobs));
  process.exitCode = report(lines, seeds, (performance.now() - startedAt) / 1000) ? 0 : 1;
}
