import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { StampedSegment } from '#api/mod.ts';
import { findCopySet } from './copy-set.ts';

const stamp = { epoch: 1, n: 1 };

/** Pages as a member gives them. */
function pages(segments: readonly number[]) {
  return (from: number, limit: number): Promise<StampedSegment[]> =>
    Promise.resolve(
      segments
        .filter((segment) => segment >= from)
        .slice(0, limit)
        .map((segment) => ({ segment, stamp })),
    );
}

test('findCopySet unites its four parts (R13)', async () => {
  const set = await findCopySet(16, {
    stampedAtSource: pages([1, 2]),
    stampedAtJoiner: pages([4]),
    intentsOfJoiner: () => Promise.resolve([6, 7]),
    inFlight: [9],
  });
  assert.deepEqual(
    [...set.runs()].map((run) => [run.index, run.count]),
    [
      [1, 2],
      [4, 1],
      [6, 2],
      [9, 1],
    ],
  );
});

test('findCopySet reads page after page and ignores what lies beyond the volume', async () => {
  const all = Array.from({ length: 10_000 }, (_, segment) => segment);
  const set = await findCopySet(9_000, {
    stampedAtSource: pages(all),
    stampedAtJoiner: pages([]),
    intentsOfJoiner: () => Promise.resolve([9_500]),
    inFlight: [],
  });
  assert.equal(set.count(), 9_000);
});
