import assert from 'node:assert/strict';
import { test } from 'node:test';
import { blockRuns } from './block-runs.ts';

test('blockRuns joins neighbours of one key and leaves out what has none', () => {
  const keys = [null, 1, 1, 2, null, null, 2];
  assert.deepEqual(
    blockRuns(keys.length, (block) => keys[block] as number | null),
    [
      { block: 1, count: 2 },
      { block: 3, count: 1 },
      { block: 6, count: 1 },
    ],
  );
});

test('blockRuns is never longer than one request', () => {
  const runs = blockRuns(600, () => 0);
  assert.deepEqual(
    runs.map((run) => run.count),
    [256, 256, 88],
  );
});
