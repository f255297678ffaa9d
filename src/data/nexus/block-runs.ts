/** Runs of neighbouring blocks that belong together, never longer than one request may be. */
import { BLOCK_BYTES, REPLICA_IO_BYTES } from '#data/block/mod.ts';

export interface BlockRun {
  /** Within the segment. */
  readonly block: number;
  readonly count: number;
}

const RUN_BLOCKS_MAX = REPLICA_IO_BYTES / BLOCK_BYTES;

/** `key` gives what must be equal along a run; null leaves the block out. */
export function blockRuns(count: number, key: (block: number) => number | null): BlockRun[] {
  const runs: BlockRun[] = [];
  let start = 0;
  while (start < count) {
    const wanted = key(start);
    if (wanted === null) {
      start++;
      continue;
    }
    let end = start + 1;
    while (end < count && end - start < RUN_BLOCKS_MAX && key(end) === wanted) end++;
    runs.push({ block: start, count: end - start });
    start = end;
  }
  return runs;
}
