import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HoldfastError } from '#api/mod.ts';
import { type BlockRequest, createRequest } from '#data/block/mod.ts';
import { SplitRequest } from './split-request.ts';

const MIB = 1024 * 1024;

function whole(verb: BlockRequest['verb'], lengthBytes: number): BlockRequest {
  const request = createRequest();
  const data = verb === 'trim' ? request.data : new Uint8Array(lengthBytes);
  return Object.assign(request, { verb, offsetBytes: 4096, lengthBytes, data });
}

test('SplitRequest covers the range once, a few parts at a time', () => {
  const parts: BlockRequest[] = [];
  const request = whole('write', 9 * MIB + 4096);
  let ended = 0;
  request.done = (_request, error) => {
    assert.equal(error, null);
    ended++;
  };
  new SplitRequest(request, (part) => parts.push(part)).start();
  assert.equal(parts.length, 4);
  for (let i = 0; i < parts.length; i++) (parts[i] as BlockRequest).done(parts[i] as never, null);
  assert.equal(ended, 1);
  assert.deepEqual(
    parts.map((part) => part.offsetBytes),
    parts.map((_, i) => 4096 + i * MIB),
  );
  assert.equal(parts.at(-1)?.lengthBytes, 4096);
});

test('SplitRequest passes the first error on when all parts under way have ended', () => {
  const parts: BlockRequest[] = [];
  const request = whole('trim', 1024 * MIB);
  const ends: (string | null)[] = [];
  request.done = (_request, error) => ends.push(error?.code ?? null);
  new SplitRequest(request, (part) => parts.push(part)).start();
  const first = parts[0] as BlockRequest;
  first.done(first, new HoldfastError('no-space', 'Full'));
  assert.deepEqual(ends, []);
  for (const part of parts.slice(1)) part.done(part, null);
  assert.deepEqual(ends, ['no-space']);
  assert.equal(parts.length, 4);
});

test('SplitRequest gives a read back in a fresh array when a part was', () => {
  const request = whole('read', 2 * MIB);
  const given = request.data;
  let got: Uint8Array | null = null;
  request.done = (done) => (got = done.data);
  new SplitRequest(request, (part) => {
    const moved = part.offsetBytes > 4096;
    if (moved) part.data = new Uint8Array(part.lengthBytes).fill(2);
    else part.data.fill(1);
    part.done(part, null);
  }).start();
  const data = got as Uint8Array | null;
  assert.notEqual(data, given);
  assert.equal(data?.[0], 1);
  assert.equal(data?.[MIB], 2);
});
