/**
 * The simulator of the data path.
 *
 *     npm run sim -- --seeds 300 [--from 1] [--jobs 2]
 *     npm run sim -- --seed 17 --trace
 *
 * Prints what was done and what failed; exits 1 when a seed failed, with a line that replays
 * it, and when the seeds did less on average than they should.
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

/** Resolves with how many failed. */
async function runRange(from: number, to: number, step: number): Promise<number> {
  let failed = 0;
  for (let seed = from; seed < to; seed += step) {
    const log = values.trace ? (line: string) => console.error(line) : () => {};
    const outcome = await runSeed(seed, { faultyMs: FAULTY_MS, parts: {}, log });
    console.log(
      JSON.stringify({ ...outcome, faults: Object.fromEntries(outcome.faults) } satisfies SeedLine),
    );
    if (outcome.problem !== null) failed += 1;
  }
  return failed;
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

/** What a seed has to do on average, or its outcome says little; asked of this many seeds on. */
const FLOORS = { operations: 2_000, crashes: 3, partitions: 1 };
const FLOORS_FROM_SEEDS = 20;
const PARTITIONS: readonly FaultKind[] = [
  'partition',
  'partition-one-way',
  'isolate-nexus',
  'take-over',
];

/** True when all is well. */
function report(lines: readonly SeedLine[], seeds: number, seconds: number): boolean {
  const count = Math.max(1, lines.length);
  const sum = (pick: (line: SeedLine) => number): number =>
    lines.reduce((total, line) => total + pick(line), 0);
  const averages = {
    operations: sum(({ operations }) => operations) / count,
    crashes: sum(({ deaths }) => deaths) / count,
    partitions:
      sum(({ faults }) => PARTITIONS.reduce((all, kind) => all + (faults[kind] ?? 0), 0)) / count,
  };
  for (const kind of FAULT_KINDS) {
    const total = sum(({ faults }) => faults[kind] ?? 0);
    console.log(
      `  ${kind.padEnd(20)} ${`${total}`.padStart(6)}  ${(total / count).toFixed(2)} a seed`,
    );
  }
  for (const layout of new Set(lines.map((line) => line.layout))) {
    console.log(
      `  layout ${layout}: ${lines.filter((line) => line.layout === layout).length} seeds`,
    );
  }
  console.log(
    `${lines.length} seeds in ${seconds.toFixed(1)} s: ` +
      `${Math.round(sum(({ simulatedMs }) => simulatedMs) / 1000)} simulated seconds, ` +
      `${sum(({ flushes }) => flushes)} flushes watched, ` +
      `${sum(({ snapshotsRead }) => snapshotsRead)} snapshots read back, ` +
      `${sum(({ openings }) => openings)} openings, ${sum(({ losses }) => losses)} losses declared`,
  );
  let enough = true;
  for (const [name, floor] of Object.entries(FLOORS)) {
    const average = averages[name as keyof typeof FLOORS];
    console.log(`  ${name} a seed: ${average.toFixed(1)} (at least ${floor})`);
    if (average < floor && lines.length >= FLOORS_FROM_SEEDS) enough = false;
  }
  if (!enough) console.log('The seeds did too little to prove anything');
  const failed = lines.filter(({ problem }) => problem !== null);
  for (const { seed } of failed) console.log(`replay: npm run sim -- --seed ${seed} --trace`);
  if (failed.length === 0) console.log('replay one: npm run sim -- --seed N --trace');
  if (lines.length < seeds) console.log(`${seeds - lines.length} seeds gave no outcome`);
  return failed.length === 0 && lines.length === seeds && enough;
}

if (values.seed !== undefined) {
  const failed = await runRange(Number(values.seed), Number(values.seed) + 1, 1);
  process.exitCode = failed === 0 ? 0 : 1;
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
