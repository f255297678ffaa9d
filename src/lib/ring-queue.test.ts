import { test } from 'node:test';
import { deepEqual, equal } from 'node:assert/strict';
import { RingQueue } from './ring-queue.ts';

test('RingQueue refuses what exceeds its bound and keeps the order across the seam', () => {
  const queue = new RingQueue<number>(3);
  const out: (number | undefined)[] = [];
  let next = 0;
  for (let round = 0; round < 5; round++) {
    while (queue.push(next)) next++;
    equal(queue.full, true);
    out.push(queue.shift(), queue.shift());
  }
  deepEqual(out, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  equal(queue.peek(), 10);
  equal(queue.shift(), 10);
  equal(queue.shift(), undefined);
  equal(queue.size, 0);
});
