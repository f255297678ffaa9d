import { test } from 'node:test';
import { equal } from 'node:assert/strict';
import { Ewma } from './ewma.ts';

test('Ewma starts at the first sample and moves by its weight', () => {
  const average = new Ewma(0.25);
  equal(average.value, 0);
  average.add(100);
  equal(average.value, 100);
  average.add(200);
  equal(average.value, 125);
});
