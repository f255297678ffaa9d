import { test } from 'node:test';
import { deepEqual, equal, throws } from 'node:assert/strict';
import { ByteReader } from './byte-reader.ts';
import { ByteWriter } from './byte-writer.ts';
import {
  compareBytes,
  concatBytes,
  decodeText,
  encodeText,
  equalBytes,
  formatHex,
  isZero,
  parseHex,
  viewOf,
} from './bytes.ts';
import { readU64Be, readU64Le, TOO_LARGE, writeU64Be, writeU64Le } from './u64.ts';

test('isZero finds a single bit anywhere', () => {
  for (const length of [0, 1, 512, 4096, 65536, 65537, 200_000]) {
    const bytes = new Uint8Array(length);
    equal(isZero(bytes), true);
    for (const at of [0, 1, length >> 1, length - 1]) {
      if (at < 0 || at >= length) continue;
      bytes[at] = 0x80;
      equal(isZero(bytes), false, `length ${length}, bit at ${at}`);
      bytes[at] = 0;
    }
  }
});

test('isZero looks only at its own part of the memory', () => {
  const all = new Uint8Array(300).fill(1);
  all.fill(0, 100, 200);
  equal(isZero(all.subarray(100, 200)), true);
  equal(isZero(all.subarray(100, 201)), false);
});

test('bytes compare, concatenate and print', () => {
  const all = concatBytes([Uint8Array.of(1, 2), new Uint8Array(0), Uint8Array.of(0xff)]);
  equal(formatHex(all), '0102ff');
  equal(equalBytes(all, Uint8Array.of(1, 2, 0xff)), true);
  equal(equalBytes(all, Uint8Array.of(1, 2)), false);
  equal(compareBytes(Uint8Array.of(1), Uint8Array.of(1, 0)) < 0, true);
  deepEqual(parseHex('0102FF'), all);
  equal(parseHex('0'), undefined);
  equal(parseHex('0g'), undefined);
  equal(decodeText(encodeText('größer')), 'größer');
});

test('a u64 round-trips up to 2^53 - 1 and reads as TOO_LARGE above', () => {
  const view = viewOf(new Uint8Array(16));
  for (const value of [0, 1, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1]) {
    writeU64Le(view, 0, value);
    equal(readU64Le(view, 0), value);
    equal(view.getBigUint64(0, true), BigInt(value));
    writeU64Be(view, 8, value);
    equal(readU64Be(view, 8), value);
    equal(view.getBigUint64(8, false), BigInt(value));
  }
  view.setBigUint64(0, 2n ** 53n, true);
  equal(readU64Le(view, 0), TOO_LARGE);
  view.setBigUint64(0, 2n ** 64n - 1n, false);
  equal(readU64Be(view, 0), TOO_LARGE);
  throws(() => writeU64Le(view, 0, -1), /AssertionError/);
});

test('ByteReader reads what ByteWriter wrote, in both orders', () => {
  for (const endian of ['little', 'big'] as const) {
    const writer = new ByteWriter(new Uint8Array(64).fill(7), endian);
    writer
      .u8(1)
      .u16(2)
      .u32(3)
      .u64(2 ** 40)
      .u64Id(2n ** 63n)
      .zeroes(3)
      .bytes(encodeText('end'));
    const reader = new ByteReader(writer.written(), endian);
    deepEqual(
      [reader.u8(), reader.u16(), reader.u32(), reader.u64(), reader.u64Id()],
      [1, 2, 3, 2 ** 40, 2n ** 63n],
    );
    equal(isZero(reader.bytes(3)), true);
    equal(decodeText(reader.bytes(3)), 'end');
    equal(reader.ok && reader.remaining === 0, true);
  }
});

test('ByteReader never throws on truncated input and stays not ok', () => {
  const reader = new ByteReader(Uint8Array.of(1, 2, 3), 'big');
  equal(reader.u16(), 0x0102);
  equal(reader.u32(), 0);
  equal(reader.ok, false);
  equal(reader.u8(), 0);
  const large = new ByteReader(new Uint8Array(8).fill(0xff), 'big');
  equal(large.u64(), 0);
  equal(large.ok, false);
  throws(() => new ByteWriter(new Uint8Array(1), 'big').u16(1), /AssertionError/);
});
