import { test } from 'node:test';
import { equal } from 'node:assert/strict';
import { encodeText } from './bytes.ts';
import { crc32c } from './crc32c.ts';

test('crc32c gives the check value and the vectors of RFC 3720', () => {
  equal(crc32c(encodeText('123456789')), 0xe3069283);
  equal(crc32c(new Uint8Array(32)), 0x8a9136aa);
  equal(crc32c(new Uint8Array(32).fill(0xff)), 0x62a8ab43);
  equal(crc32c(new Uint8Array(0)), 0);
});

test('crc32c continues from the result for the bytes before', () => {
  const bytes = encodeText('123456789');
  equal(crc32c(bytes.subarray(4), crc32c(bytes.subarray(0, 4))), 0xe3069283);
});
