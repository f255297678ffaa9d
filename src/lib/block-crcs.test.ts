import assert from 'node:assert/strict';
import { test } from 'node:test';
import { appendBlockCrc, CRC_BLOCK_BYTES, joinBlockCrcs, takeBlockCrcs } from './block-crcs.ts';
import { crc32c } from './crc32c.ts';

function pattern(length: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = (i * 31 + seed * 101 + (i >>> 8)) & 0xff;
  return bytes;
}

test('appendBlockCrc gives the checksum of the whole, whatever came before', () => {
  for (const before of [0, 1, 8, 4095, 4096, 10_000]) {
    for (let seed = 0; seed < 20; seed++) {
      const whole = pattern(before + CRC_BLOCK_BYTES, seed);
      const first = crc32c(whole.subarray(0, before));
      const block = crc32c(whole.subarray(before));
      assert.equal(appendBlockCrc(first, block), crc32c(whole));
    }
  }
  assert.notEqual(appendBlockCrc(1, 2), appendBlockCrc(2, 1));
});

test('joinBlockCrcs gives the checksum of blocks in a row, in their order', () => {
  const crcs = new Uint32Array(256);
  for (const count of [1, 2, 3, 32, 256]) {
    const data = pattern(count * CRC_BLOCK_BYTES, count);
    takeBlockCrcs(data, crcs);
    assert.equal(joinBlockCrcs(crcs, count), crc32c(data));
    data[count * CRC_BLOCK_BYTES - 1]! ^= 1;
    assert.notEqual(joinBlockCrcs(crcs, count), crc32c(data));
  }
});
