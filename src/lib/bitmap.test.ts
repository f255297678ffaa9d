import { test } from 'node:test';
import { deepEqual, equal, throws } from 'node:assert/strict';
import fc from 'fast-check';
import { Bitmap } from './bitmap.ts';

test('Bitmap lays bit i into byte i >> 3, lowest first', () => {
  const bitmap = new Bitmap(40);
  bitmap.set(0);
  bitmap.set(9);
  bitmap.set(39);
  deepEqual([...bitmap.bytes], [1, 2, 0, 0, 0x80, 0, 0, 0]);
  throws(() => bitmap.set(40), /AssertionError/);
});

test('Bitmap agrees with an array of booleans', () => {
  const operation = fc.record({ at: fc.nat(199), count: fc.nat(120), value: fc.boolean() });
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 20 }), (operations) => {
      const bitmap = new Bitmap(200);
      const model = Array.from({ length: 200 }, () => false);
      for (const { at, count, value } of operations) {
        const fits = Math.min(count, 200 - at);
        bitmap.setRange(at, fits, value);
        model.fill(value, at, at + fits);
      }
      equal(bitmap.count(), model.filter(Boolean).length);
      const fromRuns = Array.from({ length: 200 }, () => false);
      for (const { index, count } of bitmap.runs()) fromRuns.fill(true, index, index + count);
      deepEqual(fromRuns, model);
      for (let i = 0; i < 200; i++) {
        equal(bitmap.test(i), model[i]);
        const next = model.indexOf(true, i);
        equal(bitmap.nextSet(i), next < 0 ? 200 : next);
        const clear = model.indexOf(false, i);
        equal(bitmap.nextClear(i), clear < 0 ? 200 : clear);
      }
    }),
  );
});

test('Bitmap unites with another', () => {
  const one = new Bitmap(70);
  const other = new Bitmap(70);
  one.set(3);
  other.set(69);
  one.union(other);
  equal(one.test(3) && one.test(69) && one.count() === 2, true);
});
