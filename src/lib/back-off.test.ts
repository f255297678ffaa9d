import { test } from 'node:test';
import { deepEqual, equal } from 'node:assert/strict';
import { backOffMs } from './back-off.ts';

const limits = { firstMs: 100, maxMs: 1000 };

test('backOffMs doubles up to its cap', () => {
  const delays = [1, 2, 3, 4, 5, 1000].map((attempt) => backOffMs(attempt, limits, 0));
  deepEqual(delays, [50, 100, 200, 400, 500, 500]);
});

test('backOffMs spreads over the upper half', () => {
  equal(backOffMs(1, limits, 0.5), 75);
  equal(backOffMs(1, limits, 0.999) < 100, true);
});
