import { test } from 'node:test';
import { deepEqual, equal, rejects } from 'node:assert/strict';
import { Deferred } from './deferred.ts';
import { KeyedMutex } from './keyed-mutex.ts';

test('KeyedMutex runs one action a key at a time, in order, and keys apart', async () => {
  const mutex = new KeyedMutex();
  const log: string[] = [];
  const gate = new Deferred<void>();
  const first = mutex.run('a', async () => {
    log.push('a1 in');
    await gate.promise;
    log.push('a1 out');
  });
  const second = mutex.run('a', async () => {
    log.push('a2');
    return 2;
  });
  await mutex.run('b', async () => void log.push('b'));
  gate.resolve();
  await first;
  equal(await second, 2);
  deepEqual(log, ['a1 in', 'b', 'a1 out', 'a2']);
  equal(mutex.size, 0);
});

test('KeyedMutex goes on after an action that failed', async () => {
  const mutex = new KeyedMutex();
  const failed = mutex.run('a', () => Promise.reject(new Error('first')));
  const after = mutex.run('a', () => Promise.resolve('second'));
  await rejects(failed, /first/);
  equal(await after, 'second');
  equal(mutex.size, 0);
});
