import { test } from 'node:test';
import { deepEqual, equal } from 'node:assert/strict';
import fc from 'fast-check';
import { Heap } from './heap.ts';

test('Heap pops in order', () => {
  fc.assert(
    fc.property(fc.array(fc.integer()), (numbers) => {
      const heap = new Heap<number>((a, b) => a < b);
      for (const number of numbers) heap.push(number);
      equal(heap.peek(), numbers.length === 0 ? undefined : Math.min(...numbers));
      const popped = numbers.map(() => heap.pop());
      deepEqual(
        popped,
        [...numbers].sort((a, b) => a - b),
      );
      equal(heap.pop(), undefined);
    }),
  );
});
