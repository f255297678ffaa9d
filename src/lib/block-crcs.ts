/**
 * CRC-32C by blocks of 4,096 bytes. A block's checksum is taken once and serves every longer piece
 * that the block is part of: crc(A ‖ B) = shift(crc(A)) ^ crc(B), where `shift` is linear and
 * depends only on the length of B.
 */
import { crc32c } from './crc32c.ts';

export const CRC_BLOCK_BYTES = 4096;

/** What `shift` makes of each byte of a checksum, by its place. */
const SHIFTED = makeTables();

function makeTables(): readonly [Uint32Array, Uint32Array, Uint32Array, Uint32Array] {
  const zeroes = new Uint8Array(CRC_BLOCK_BYTES);
  const ofZeroes = crc32c(zeroes);
  const table = (place: number): Uint32Array => {
    const shifted = new Uint32Array(256);
    for (let bit = 0; bit < 8; bit++) {
      shifted[1 << bit] = crc32c(zeroes, (1 << (8 * place + bit)) >>> 0) ^ ofZeroes;
    }
    for (let byte = 1; byte < 256; byte++) {
      shifted[byte] = shifted[byte & (byte - 1)]! ^ shifted[byte & -byte]!;
    }
    return shifted;
  };
  return [table(0), table(1), table(2), table(3)];
}

/** The checksum of whatever `before` is of, followed by the block that `blockCrc` is of. */
export function appendBlockCrc(before: number, blockCrc: number): number {
  return (
    (SHIFTED[0][before & 0xff]! ^
      SHIFTED[1][(before >>> 8) & 0xff]! ^
      SHIFTED[2][(before >>> 16) & 0xff]! ^
      SHIFTED[3][before >>> 24]! ^
      blockCrc) >>>
    0
  );
}

/** One checksum for each block of `data`, which is whole blocks. */
export function takeBlockCrcs(data: Uint8Array, into: Uint32Array): void {
  if (data.byteLength === CRC_BLOCK_BYTES) {
    into[0] = crc32c(data);
    return;
  }
  for (let at = 0, i = 0; at < data.byteLength; at += CRC_BLOCK_BYTES, i++) {
    into[i] = crc32c(data.subarray(at, at + CRC_BLOCK_BYTES));
  }
}

/** The checksum of `count` blocks in a row. */
export function joinBlockCrcs(crcs: Uint32Array, count: number): number {
  let crc = 0;
  for (let i = 0; i < count; i++) crc = appendBlockCrc(crc, crcs[i]!);
  return crc;
}
