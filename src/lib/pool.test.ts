import { test } from 'node:test';
import { equal, notEqual } from 'node:assert/strict';
import { Pool } from './pool.ts';

test('Pool gives an object again and keeps no more spare ones than its bound', () => {
  let created = 0;
  const pool = new Pool(() => ({ id: created++ }), 1);
  const one = pool.take();
  const two = pool.take();
  notEqual(one, two);
  pool.give(one);
  pool.give(two);
  equal(pool.spare, 1);
  equal(pool.take(), one);
  equal(pool.take().id, 2);
});
