/**
 * First figures: our volumes against nbdkit's file plugin and qemu's quorum, all served over NBD to
 * the same client, interleaved.
 *
 *     npm run bench -- --quick                    three rounds of 1.2 s, under 3 minutes
 *     npm run bench -- --floors                   exits 1 when a floor is missed
 *     npm run bench -- -o json                    the same figures for programs
 *     npm run bench -- --directory /mnt/disk      below which all of them keep their volumes
 *     npm run bench -- --idle                     what ten mounted volumes cost at rest; needs root
 *     npm run bench -- --claims                   500 claims made, mounted and deleted; needs root
 *     npm run bench -- --claims --count 50        so many claims
 *
 * Without --directory it is /dev/shm: what software costs, without a disk.
 */
import { execFileSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { mkdtemp, rm, statfs } from 'node:fs/promises';
import { arch, cpus, release, totalmem } from 'node:os';
import { delimiter } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Contenders, OTHER_PROGRAMS } from './contenders.ts';
import { judge, type Sample, summarise, type WorkloadName, WORKLOADS } from './figures.ts';
import { measureClaims, printableClaims } from './claims.ts';
import { fill, hasFioNbd, measure } from './fio.ts';
import { measureIdle } from './idle.ts';
import { judgeIdle, printableIdle } from './idle-report.ts';
import { type Circumstances, printable } from './report.ts';
import { whyNotHere } from '../root/real-cluster.testkit.ts';

/** One copy for nbdkit, one and three of ours, three of each quorum. */
const COPIES = 11;
/** Between two runs: what the one before left behind is done. */
const SETTLE_MS = 300;
const QUICK = { sizeMib: '256', runMs: '1200', rounds: '3' };
const FULL = { sizeMib: '1024', runMs: '5000', rounds: '5' };

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    floors: { type: 'boolean', default: false },
    idle: { type: 'boolean', default: false },
    claims: { type: 'boolean', default: false },
    count: { type: 'string' },
    output: { type: 'string', short: 'o', default: 'table' },
    directory: { type: 'string', default: '/dev/shm' },
    'size-mib': { type: 'string' },
    'run-ms': { type: 'string' },
    rounds: { type: 'string' },
  },
});

interface Settings {
  readonly sizeBytes: number;
  readonly runMs: number;
  readonly rounds: number;
}

function settings(): Settings {
  const preset = values.quick ? QUICK : FULL;
  return {
    sizeBytes: positive('size-mib', preset.sizeMib) * 2 ** 20,
    runMs: positive('run-ms', preset.runMs),
    rounds: positive('rounds', preset.rounds),
  };
}

function positive(option: 'size-mib' | 'run-ms' | 'rounds' | 'count', preset: string): number {
  const value = Number(values[option] ?? preset);
  if (Number.isSafeInteger(value) && value > 0) return value;
  return refuse(`--${option} must be a positive whole number`);
}

function refuse(message: string): never {
  console.error(message);
  process.exit(2);
}

async function demandPrograms(): Promise<void> {
  const missing: string[] = OTHER_PROGRAMS.filter((name) => !isInstalled(name));
  if (!(await hasFioNbd())) missing.push('fio with its nbd engine');
  if (missing.length === 0) return;
  refuse(
    `not installed: ${missing.join(', ')}\n` +
      'on Debian: apt-get install fio nbdkit qemu-system-common',
  );
}

function isInstalled(program: string): boolean {
  return (process.env['PATH'] ?? '').split(delimiter).some((directory) => {
    try {
      accessSync(`${directory}/${program}`, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

async function demandSpace(sizeBytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(values.directory);
  const neededBytes = sizeBytes * COPIES * 1.1;
  if (bavail * bsize >= neededBytes) return;
  const neededMib = Math.ceil(neededBytes / 2 ** 20);
  refuse(`${values.directory} needs ${neededMib} MiB free; --size-mib makes the volumes smaller`);
}

async function measureAll(contenders: Contenders, given: Settings): Promise<Sample[]> {
  const { sizeBytes, runMs, rounds } = given;
  const samples: Sample[] = [];
  for (const { name, uri } of contenders.all) {
    progress(`filling ${name}`);
    await fill(uri, sizeBytes);
  }
  for (let round = 1; round <= rounds; round++) {
    for (const workload of Object.keys(WORKLOADS) as WorkloadName[]) {
      for (const { name, uri } of contenders.all) {
        await sleep(SETTLE_MS);
        progress(`round ${round} of ${rounds}: ${workload}, ${name}`);
        const { iops } = await measure(uri, WORKLOADS[workload], sizeBytes, runMs);
        samples.push({ contender: name, workload, iops });
      }
    }
  }
  progress('');
  return samples;
}

function progress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
}

function circumstances(given: Settings): Circumstances {
  const memoryGib = Math.round(totalmem() / 2 ** 30);
  const model = cpus()[0]?.model ?? 'unknown processor';
  return {
    commit: commit(),
    when: new Date().toISOString(),
    machine:
      `${cpus().length} cores (${model}), ${memoryGib} GiB, ${arch()}, ` +
      `kernel ${release()}, Node ${process.versions.node}`,
    filesystem: `${values.directory} (${filesystemOf(values.directory)})`,
    ...given,
  };
}

function commit(): string {
  try {
    const git = (...args: string[]): string =>
      execFileSync('git', args, { cwd: import.meta.dirname, encoding: 'utf8' }).trim();
    const changed = git('status', '--porcelain', '--untracked-files=no') !== '';
    return `${git('rev-parse', '--short', 'HEAD')}${changed ? ' with changes' : ''}`;
  } catch {
    return 'unknown';
  }
}

function filesystemOf(path: string): string {
  const argv = ['-f', '-c', '%T', path];
  return execFileSync('stat', argv, { encoding: 'utf8' }).trim();
}

async function reportIdle(): Promise<void> {
  const missing = whyNotHere(['mkfs.ext4']);
  if (missing !== false) refuse(`cannot mount volumes here: ${missing}`);
  progress('ten volumes are mounted, left alone for 90 s and measured for 60');
  const figures = await measureIdle({ volumes: 10, seconds: 60, settleSeconds: 90 });
  progress('');
  const verdicts = judgeIdle(figures);
  if (values.output === 'json') {
    console.log(JSON.stringify({ ...figures, floors: verdicts }, null, 2));
  } else console.log(printableIdle(figures, verdicts));
  if (values.floors && verdicts.some(({ met }) => !met)) process.exitCode = 1;
}

async function reportClaims(): Promise<void> {
  const missing = whyNotHere(['mkfs.ext4']);
  if (missing !== false) refuse(`cannot mount volumes here: ${missing}`);
  const claims = positive('count', '500');
  const figures = await measureClaims({
    claims,
    mounted: Math.min(50, claims),
    attached: Math.min(100, claims),
    onProgress: progress,
    onStep: ({ what, count }) => console.error(`${clockTime()} ${what}: all ${count}`),
  });
  progress('');
  if (values.output === 'json') console.log(JSON.stringify(figures, null, 2));
  else console.log(printableClaims(figures));
}

function clockTime(): string {
  return new Date().toISOString().slice(11, 19);
}

async function main(): Promise<void> {
  const given = settings();
  if (values.output !== 'table' && values.output !== 'json') refuse('-o is table or json');
  if (values.idle) return reportIdle();
  if (values.claims) return reportClaims();
  await demandPrograms();
  await demandSpace(given.sizeBytes);
  // Short: the path of a unix socket has at most 107 bytes.
  const directory = await mkdtemp(`${values.directory}/hf-bench-`);
  const contenders = new Contenders(directory, given.sizeBytes);
  let stopping: Promise<void> | null = null;
  const cleanUp = (): Promise<void> => {
    stopping ??= contenders.stop().then(() => rm(directory, { recursive: true, force: true }));
    return stopping;
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => void cleanUp().then(() => process.exit(130)));
  }
  try {
    await contenders.start();
    const cells = summarise(await measureAll(contenders, given));
    const verdicts = judge(cells);
    const facts = circumstances(given);
    if (values.output === 'json') {
      console.log(JSON.stringify({ ...facts, cells, floors: verdicts }, null, 2));
    } else console.log(printable(facts, cells, verdicts));
    if (values.floors && verdicts.some(({ met }) => !met)) process.exitCode = 1;
  } finally {
    await cleanUp();
  }
}

await main();
