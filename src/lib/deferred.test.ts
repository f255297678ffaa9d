import { test } from 'node:test';
import { equal, rejects } from 'node:assert/strict';
import { Deferred } from './deferred.ts';

test('Deferred settles once', async () => {
  const deferred = new Deferred<number>();
  equal(deferred.settled, false);
  deferred.resolve(1);
  deferred.reject(new Error('late'));
  equal(deferred.settled, true);
  equal(await deferred.promise, 1);
});

test('Deferred rejects', async () => {
  const deferred = new Deferred<number>();
  deferred.reject(new Error('no'));
  await rejects(deferred.promise, /no/);
});
