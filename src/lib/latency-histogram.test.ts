import { test } from 'node:test';
import { equal } from 'node:assert/strict';
import { LatencyHistogram } from './latency-histogram.ts';

test('LatencyHistogram gives quantiles within a tenth', () => {
  const histogram = new LatencyHistogram();
  equal(histogram.quantileMs(0.99), 0);
  for (let i = 1; i <= 1000; i++) histogram.add(i / 10);
  const near = (share: number, ms: number): void => {
    const found = histogram.quantileMs(share);
    equal(found >= ms && found <= ms * 1.1, true, `quantile ${share}: ${found} for ${ms}`);
  };
  near(0.5, 50);
  near(0.9, 90);
  near(0.99, 99);
  equal(histogram.quantileMs(1), 100);
  equal(histogram.maxMs, 100);
  equal(histogram.count, 1000);
  equal(Math.round(histogram.meanMs), 50);
});

test('LatencyHistogram takes what is too short or too long for its buckets', () => {
  const histogram = new LatencyHistogram();
  histogram.add(0);
  histogram.add(1e9);
  equal(histogram.quantileMs(0.5) <= 0.001, true);
  equal(histogram.count, 2);
  histogram.clear();
  equal(histogram.count, 0);
});
