/** The client of every contender: fio with its nbd engine, over a unix socket. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { Workload } from './figures.ts';

const run = promisify(execFile);

/** Before the clock starts: sockets, page cache and compiled code are as they stay. */
const RAMP_MS = 400;

export interface FioResult {
  readonly iops: number;
}

interface FioReport {
  readonly jobs: readonly {
    readonly error: number;
    readonly read: { readonly iops: number };
    readonly write: { readonly iops: number };
  }[];
}

/** True when fio is there and speaks NBD. */
export async function hasFioNbd(): Promise<boolean> {
  try {
    const { stdout } = await run('fio', ['--enghelp']);
    return /^\s*nbd$/m.test(stdout);
  } catch {
    return false;
  }
}

export async function measure(
  uri: string,
  workload: Workload,
  sizeBytes: number,
  runMs: number,
): Promise<FioResult> {
  return fio(uri, sizeBytes, [
    `--rw=${workload.rw}`,
    `--bs=${workload.blockBytes}`,
    `--iodepth=${workload.depth}`,
    '--time_based',
    `--runtime=${runMs}ms`,
    `--ramp_time=${RAMP_MS}ms`,
  ]);
}

/** Writes every block once. */
export async function fill(uri: string, sizeBytes: number): Promise<void> {
  await fio(uri, sizeBytes, ['--rw=write', '--bs=128k', '--iodepth=8', '--end_fsync=1']);
}

async function fio(uri: string, sizeBytes: number, args: readonly string[]): Promise<FioResult> {
  const { stdout } = await run('fio', [
    '--name=bench',
    '--ioengine=nbd',
    `--uri=${uri}`,
    `--size=${sizeBytes}`,
    '--randrepeat=0',
    // What only costs the client time, on a machine that it shares with the server.
    '--norandommap=1',
    '--gtod_reduce=1',
    '--scramble_buffers=0',
    '--output-format=json',
    ...args,
  ]);
  // Some versions put a line of their own before the report.
  const report = JSON.parse(stdout.slice(stdout.indexOf('{'))) as FioReport;
  const job = report.jobs[0];
  if (job === undefined || job.error !== 0) throw new Error(`fio failed: ${stdout}`);
  return { iops: job.read.iops + job.write.iops };
}
