/**
 * Pure building blocks. Nothing here knows what the project does, takes time or randomness by
 * itself, or holds more memory than its owner asked for.
 */
export { assert, AssertionError, unreachable } from './assert.ts';
export { backOffMs } from './back-off.ts';
export type { BackOffLimits } from './back-off.ts';
export { Bitmap } from './bitmap.ts';
export { appendBlockCrc, CRC_BLOCK_BYTES, joinBlockCrcs, takeBlockCrcs } from './block-crcs.ts';
export { ByteReader } from './byte-reader.ts';
export type { Endian } from './byte-reader.ts';
export { ByteWriter } from './byte-writer.ts';
export {
  compareBytes,
  concatBytes,
  decodeText,
  EMPTY_BYTES,
  encodeText,
  equalBytes,
  formatHex,
  isZero,
  parseHex,
  viewOf,
} from './bytes.ts';
export { crc32c } from './crc32c.ts';
export { Deferred } from './deferred.ts';
export { Ewma } from './ewma.ts';
export { Heap } from './heap.ts';
export { KeyedMutex } from './keyed-mutex.ts';
export { LatencyHistogram } from './latency-histogram.ts';
export { Pool } from './pool.ts';
export { RangeLock, RangeTicket } from './range-lock.ts';
export { RangeSet } from './range-set.ts';
export type { Range } from './range-set.ts';
export { RingQueue } from './ring-queue.ts';
export { readU64Be, readU64Le, TOO_LARGE, writeU64Be, writeU64Le } from './u64.ts';
