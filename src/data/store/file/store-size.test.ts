import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FilePoolCounter } from './store-size.testkit.ts';

const TIB = 2 ** 40;

test('Opening a replica of 1 TiB reads kilobytes and takes kilobytes', async () => {
  const counter = await FilePoolCounter.create(TIB, 1024 * 1024);
  // Something everywhere: 2,000 blocks far apart, each with a map page of its own.
  await counter.writeFarApart(2000);
  await counter.close();
  counter.readBytes = 0;
  const heap = counter.heapBytes();
  await counter.open();
  assert.ok(counter.readBytes < 64 * 1024, `${counter.readBytes} bytes were read`);
  const grown = counter.heapBytes() - heap;
  assert.ok(grown < 2 * 1024 * 1024, `the heap grew by ${grown} bytes`);
  // Reading all of them again takes no more memory than the cache may have.
  await counter.readFarApart(2000);
  assert.ok(counter.heapBytes() - heap < 8 * 1024 * 1024, 'pages leave memory again');
  await counter.close();
});
