/** fio that checks what it wrote, as acceptance asks for it, and what it says of its run. */
import { run } from './real-cluster.testkit.ts';

export interface FioOutcome {
  readonly errors: number;
  readonly reads: number;
  readonly writes: number;
}

interface FioJob {
  readonly error: number;
  readonly total_err?: number;
  readonly read: { readonly total_ios: number };
  readonly write: { readonly total_ios: number };
}

/** Rejects when a read did not verify or an operation failed. */
export async function runVerifyingFio(
  target: readonly string[],
  seconds: number,
): Promise<FioOutcome> {
  const args = [
    '--name=verify',
    ...target,
    '--rw=randrw',
    '--bs=4k',
    '--iodepth=16',
    '--verify=crc32c',
    '--verify_backlog=1024',
    '--serialize_overlap=1',
    '--verify_fatal=1',
    '--time_based',
    `--runtime=${seconds}`,
    '--output-format=json',
  ];
  const output = await run('fio', args, (seconds + 120) * 1000);
  const { jobs } = JSON.parse(output.slice(output.indexOf('{'))) as { jobs: readonly FioJob[] };
  const [job] = jobs;
  if (job === undefined) throw new Error(`fio ran no job: ${output}`);
  return {
    errors: job.error + (job.total_err ?? 0),
    reads: job.read.total_ios,
    writes: job.write.total_ios,
  };
}
