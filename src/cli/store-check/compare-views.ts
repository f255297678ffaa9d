/** Contents of two replicas of one volume, block by block. */
import { equalBytes } from '#lib/mod.ts';
import { blockOf, BLOCK_BYTES, PAGE_DATA_BYTES } from './layer-source.ts';
import { ENTRIES_PER_PAGE } from './map-replay.ts';
import type { ReplicaView, ViewPage } from './replica-view.ts';

const RUNS_NAMED_MAX = 64;

/** How much a side's own bookkeeping supports what it holds. */
export type Standing = 'verified' | 'unproven' | 'unknown';

export interface Difference {
  readonly block: number;
  readonly count: number;
  readonly left: Standing;
  readonly right: Standing;
}

export interface ViewComparison {
  /** Null is the head. */
  readonly snapshot: string | null;
  /** Null: that side does not have this snapshot. */
  readonly leftSizeBytes: number | null;
  readonly rightSizeBytes: number | null;
  readonly comparedBlocks: number;
  readonly differentBlocks: number;
  /** Runs, the first ones only. */
  readonly differences: readonly Difference[];
  readonly equal: boolean;
}

/** Heads first, then snapshots as the left one has them, then those that only the right one has. */
export async function compareViews(
  left: readonly ReplicaView[],
  right: readonly ReplicaView[],
): Promise<ViewComparison[]> {
  const names = new Set([null, ...left.map((v) => v.snapshot), ...right.map((v) => v.snapshot)]);
  const all: ViewComparison[] = [];
  for (const snapshot of names) {
    const a = left.find((view) => view.snapshot === snapshot);
    const b = right.find((view) => view.snapshot === snapshot);
    all.push(a && b ? await compareView(a, b) : oneSided(snapshot, a, b));
  }
  return all;
}

function oneSided(
  snapshot: string | null,
  left: ReplicaView | undefined,
  right: ReplicaView | undefined,
): ViewComparison {
  return {
    snapshot,
    leftSizeBytes: left?.sizeBytes ?? null,
    rightSizeBytes: right?.sizeBytes ?? null,
    comparedBlocks: 0,
    differentBlocks: 0,
    differences: [],
    equal: false,
  };
}

async function compareView(left: ReplicaView, right: ReplicaView): Promise<ViewComparison> {
  const runs = new DifferenceRuns();
  const blocks = Math.max(left.sizeBytes, right.sizeBytes) / BLOCK_BYTES;
  for (let number = 0; number * ENTRIES_PER_PAGE < blocks; number++) {
    const [a, b] = [await left.page(number), await right.page(number)];
    if (a === undefined && b === undefined) continue;
    comparePages(a ?? EMPTY, b ?? EMPTY, number * ENTRIES_PER_PAGE, runs);
  }
  return {
    snapshot: left.snapshot,
    leftSizeBytes: left.sizeBytes,
    rightSizeBytes: right.sizeBytes,
    comparedBlocks: blocks,
    differentBlocks: runs.blocks,
    differences: runs.list,
    equal: runs.blocks === 0 && left.sizeBytes === right.sizeBytes,
  };
}

function comparePages(a: ViewPage, b: ViewPage, start: number, runs: DifferenceRuns): void {
  for (let i = 0; i < ENTRIES_PER_PAGE; i++) {
    const known = !a.unknown.has(i) && !b.unknown.has(i);
    if (known && equalBytes(blockOf(a.bytes, i), blockOf(b.bytes, i))) continue;
    runs.add(start + i, standing(a, i), standing(b, i));
  }
}

function standing(page: ViewPage, index: number): Standing {
  if (page.unknown.has(index)) return 'unknown';
  return page.unfit.has(index) ? 'unproven' : 'verified';
}

class DifferenceRuns {
  readonly list: { block: number; count: number; left: Standing; right: Standing }[] = [];
  blocks = 0;

  add(block: number, left: Standing, right: Standing): void {
    this.blocks++;
    const last = this.list.at(-1);
    const goesOn = last && last.block + last.count === block;
    if (goesOn && last.left === left && last.right === right) last.count++;
    else if (this.list.length < RUNS_NAMED_MAX) this.list.push({ block, count: 1, left, right });
  }
}

const EMPTY: ViewPage = {
  bytes: new Uint8Array(PAGE_DATA_BYTES),
  unknown: new Set(),
  unfit: new Set(),
};
