/**
 * The bench runs and judges rightly. How fast anything is, is not asked here: floors belong to a
 * quiet machine (`npm run bench -- --quick --floors`).
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { after, test } from 'node:test';
import { promisify } from 'node:util';
import {
  CONTENDERS,
  type Cell,
  FLOORS,
  judge,
  median,
  type Sample,
  summarise,
  type Verdict,
  type WorkloadName,
  WORKLOADS,
} from '../bench/figures.ts';
import { judgeIdle, printableIdle } from '../bench/idle-report.ts';
import { printable } from '../bench/report.ts';

const MAIN = new URL('../bench/main.ts', import.meta.url).pathname;
const FLAGS = ['--disable-warning=ExperimentalWarning'];
const WORKLOAD_NAMES = Object.keys(WORKLOADS) as WorkloadName[];

const run = promisify(execFile);
const root = mkdtempSync(`${tmpdir()}/hf-bench-test-`);
const missing = ['fio', 'nbdkit', 'qemu-storage-daemon'].filter(
  (name) => !existsSync(`/usr/bin/${name}`),
);
const skip = missing.length === 0 ? false : `not installed: ${missing.join(', ')}`;

after(() => rmSync(root, { recursive: true, force: true }));

/** Three runs of everything, of which ours are `ours` times as fast as nbdkit. */
function plant(ours: number): Sample[] {
  const samples: Sample[] = [];
  for (const workload of WORKLOAD_NAMES) {
    for (const factor of [0.9, 1, 1.3]) {
      for (const contender of CONTENDERS) {
        const isOurs = contender.startsWith('holdfast');
        const share = isOurs ? ours : contender.startsWith('qemu quorum') ? 0.1 : 1;
        samples.push({ contender, workload, iops: 100_000 * factor * share });
      }
    }
  }
  return samples;
}

test('The median of an even number of runs lies between the two in the middle', () => {
  assert.equal(median([9, 1, 4]), 4);
  assert.equal(median([10, 1, 4, 2]), 3);
  assert.ok(Number.isNaN(median([])));
});

test('Volumes at rest that cost too much are a miss', () => {
  const cost = (cpuPercent: number, pssMib: number) => ({
    cpuPercent,
    pssMib,
    processes: [{ role: 'engine', cpuPercent, pssMib }],
  });
  assert.deepEqual(
    judgeIdle(cost(0.4, 800)).map(({ met }) => met),
    [true, true],
  );
  assert.deepEqual(
    judgeIdle(cost(0.5, 801)).map(({ met }) => met),
    [false, false],
  );
  assert.match(printableIdle(cost(0.6, 1), judgeIdle(cost(0.6, 1))), /MISS.*0\.60/);
});

test('Figures above every floor are no miss; each that falls below its floor is', () => {
  const good = summarise(plant(0.7));
  const cell = good.find((each) => each.contender === 'holdfast x1');
  assert.ok(cell);
  assert.equal(Math.round(cell.medianIops), 70_000);
  assert.equal(cell.toNbdkit.toFixed(3), '0.700');
  assert.equal(cell.spread.toFixed(3), '0.400');
  assert.deepEqual(
    judge(good).map(({ met }) => met),
    FLOORS.map(() => true),
  );
  for (const floor of FLOORS) {
    const cells = good.map((each) =>
      each.contender === floor.contender && each.workload === floor.workload
        ? { ...each, medianIops: 0.99 * floor.ratio * baseOf(good, floor) }
        : each,
    );
    const misses = judge(cells).filter(({ met }) => !met);
    assert.equal(misses.length, 1, `${floor.contender} ${floor.workload}`);
    assert.equal(misses[0]?.workload, floor.workload);
    assert.match(printable(CIRCUMSTANCES, cells, judge(cells)), /^MISS {2}holdfast/m);
  }
});

function baseOf(cells: readonly Cell[], floor: (typeof FLOORS)[number]): number {
  const base = cells.find(
    (each) => each.contender === floor.against && each.workload === floor.workload,
  );
  return base?.medianIops ?? Number.NaN;
}

const CIRCUMSTANCES = {
  commit: 'none',
  when: 'now',
  machine: 'made up',
  filesystem: 'none',
  sizeBytes: 2 ** 20,
  runMs: 1,
  rounds: 3,
};

test('What was not measured misses its floor', () => {
  const samples = plant(1).filter(({ contender }) => contender !== 'qemu quorum 3xNBD');
  const misses = judge(summarise(samples)).filter(({ met }) => !met);
  assert.deepEqual(
    misses.map(({ against }) => against),
    ['qemu quorum 3xNBD'],
  );
});

test('The bench measures all of them, exits by its floors, and leaves nothing', {
  skip,
}, async () => {
  const args = ['--size-mib', '64', '--run-ms', '200', '--rounds', '1', '-o', 'json', '--floors'];
  const outcome = await run(
    process.execPath,
    [...FLAGS, MAIN, '--quick', '--directory', root, ...args],
    { timeout: 90_000 },
  ).then(
    ({ stdout }) => ({ code: 0, stdout }),
    (error: { code?: unknown; stdout?: string; stderr?: string }) => {
      assert.equal(error.code, 1, `${error.stdout}${error.stderr}`);
      return { code: 1, stdout: error.stdout ?? '' };
    },
  );
  const report = JSON.parse(outcome.stdout) as { cells: Cell[]; floors: Verdict[] };
  assert.equal(report.cells.length, CONTENDERS.length * WORKLOAD_NAMES.length);
  for (const cell of report.cells) assert.ok(cell.medianIops > 0, JSON.stringify(cell));
  assert.equal(outcome.code, report.floors.every(({ met }) => met) ? 0 : 1);
  assert.deepEqual(readdirSync(root), []);
});
