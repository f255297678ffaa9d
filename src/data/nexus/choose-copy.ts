/**
 * Which copy of each block wins when an intent segment is reconciled (rule 6): a pure decision over
 * what the members say they hold.
 */
import type { SegmentInspection } from '#api/mod.ts';
import { assert } from '#lib/mod.ts';

export interface CopyChoice {
  /** Per block: index into `inspections` of a copy that wins. */
  readonly winners: Uint8Array;
  /** Per block: 1 when some copy differs from the winner. */
  readonly differs: Uint8Array;
  readonly differingBlocks: number;
  /** Blocks where no copy could be confirmed, by its checksum or by another member. */
  readonly doubtfulBlocks: number;
}

/**
 * Among *complete* members two that agree are right: a write that was acknowledged is on all of
 * them, and one that was not may be kept or dropped. Else a copy that matches its checksum; else
 * any. After a loss (`flushedOnly`) the checksum comes first: it is what the last flush promised.
 */
export function chooseCopies(
  inspections: readonly SegmentInspection[],
  flushedOnly: boolean,
): CopyChoice {
  const first = inspections[0];
  assert(first !== undefined, 'at least one member holds the segment');
  const count = first.kinds.length;
  const winners = new Uint8Array(count);
  const differs = new Uint8Array(count);
  let differingBlocks = 0;
  let doubtfulBlocks = 0;
  for (let block = 0; block < count; block++) {
    let equal = true;
    for (const other of inspections) if (!same(first, other, block)) equal = false;
    if (equal) {
      winners[block] = readableFirst(inspections, first, block);
      if (inspections.length === 1 && first.verified[block] === 0) doubtfulBlocks++;
      continue;
    }
    const verified = inspections.findIndex((each) => each.verified[block] === 1);
    const agreed = inspections.findIndex((each) => agreeing(inspections, each, block) > 1);
    const order = flushedOnly ? [verified, agreed] : [agreed, verified];
    const winner = order.find((index) => index >= 0) ?? 0;
    if (verified < 0 && agreed < 0) doubtfulBlocks++;
    const chosen = inspections[winner] as SegmentInspection;
    winners[block] = readableFirst(inspections, chosen, block);
    differs[block] = 1;
    differingBlocks++;
  }
  return { winners, differs, differingBlocks, doubtfulBlocks };
}

/** Do two members hold the same in this block? */
export function same(a: SegmentInspection, b: SegmentInspection, block: number): boolean {
  return a.kinds[block] === b.kinds[block] && a.contentCrcs[block] === b.contentCrcs[block];
}

function agreeing(
  inspections: readonly SegmentInspection[],
  copy: SegmentInspection,
  block: number,
): number {
  let count = 0;
  for (const other of inspections) if (same(copy, other, block)) count++;
  return count;
}

/** Of the copies that equal the chosen one, one that its member can read now. */
function readableFirst(
  inspections: readonly SegmentInspection[],
  chosen: SegmentInspection,
  block: number,
): number {
  const readable = inspections.findIndex(
    (each) => each.verified[block] === 1 && same(each, chosen, block),
  );
  return readable >= 0 ? readable : inspections.indexOf(chosen);
}
