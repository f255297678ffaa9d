import { test } from 'node:test';
import { deepEqual, equal } from 'node:assert/strict';
import fc from 'fast-check';
import { RangeSet } from './range-set.ts';

test('RangeSet melts ranges that touch and splits one that is cut', () => {
  const set = new RangeSet();
  set.add(0, 10);
  set.add(20, 10);
  set.add(10, 10);
  deepEqual([...set], [{ offset: 0, length: 30 }]);
  set.remove(5, 10);
  deepEqual(
    [...set],
    [
      { offset: 0, length: 5 },
      { offset: 15, length: 15 },
    ],
  );
  equal(set.total(), 20);
});

test('RangeSet agrees with a set of integers', () => {
  const operation = fc.record({ add: fc.boolean(), offset: fc.nat(60), length: fc.nat(20) });
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 30 }), (operations) => {
      const set = new RangeSet();
      const model = new Set<number>();
      for (const { add, offset, length } of operations) {
        if (add) set.add(offset, length);
        else set.remove(offset, length);
        for (let i = offset; i < offset + length; i++) {
          if (add) model.add(i);
          else model.delete(i);
        }
      }
      const all: number[] = [];
      let endBefore = -1;
      for (const { offset, length } of set) {
        equal(offset > endBefore, true, 'ranges never touch');
        endBefore = offset + length;
        for (let i = offset; i < endBefore; i++) all.push(i);
      }
      deepEqual(
        all,
        [...model].sort((a, b) => a - b),
      );
      for (let at = 0; at < 80; at += 3) {
        const part = [at, at + 1, at + 2, at + 3, at + 4];
        equal(
          set.overlaps(at, 5),
          part.some((i) => model.has(i)),
        );
        equal(
          set.covers(at, 5),
          part.every((i) => model.has(i)),
        );
        const inside = [...set.within(at, 5)].reduce((sum, range) => sum + range.length, 0);
        equal(inside, part.filter((i) => model.has(i)).length);
      }
    }),
  );
});
