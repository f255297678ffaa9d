/**
 * Replies, written into the caller's memory: `bytes` is big enough, `at` is where the header
 * begins.
 *
 *     simple reply (16)                     structured reply chunk (20 + length)
 *      0  4  NBD_SIMPLE_REPLY_MAGIC          0  4  NBD_STRUCTURED_REPLY_MAGIC
 *      4  4  error                           4  2  flags
 *      8  8  cookie                          6  2  type
 *     16     data of a read without error    8  8  cookie
 *                                           16  4  length of what follows
 */
import {
  NBD_REPLY_FLAG_DONE,
  NBD_REPLY_TYPE_BLOCK_STATUS,
  NBD_REPLY_TYPE_ERROR,
  NBD_REPLY_TYPE_OFFSET_DATA,
  NBD_SIMPLE_REPLY_MAGIC,
  NBD_STRUCTURED_REPLY_BYTES,
  NBD_STRUCTURED_REPLY_MAGIC,
} from './constants.ts';

/** "Simple reply message": NBD_SIMPLE_REPLY_BYTES. */
export function encodeSimpleReply(
  bytes: Uint8Array,
  at: number,
  errorNumber: number,
  cookieHigh: number,
  cookieLow: number,
): void {
  writeU32(bytes, at, NBD_SIMPLE_REPLY_MAGIC);
  writeU32(bytes, at + 4, errorNumber);
  writeU32(bytes, at + 8, cookieHigh);
  writeU32(bytes, at + 12, cookieLow);
}

/**
 * The only chunk of a read ("NBD_REPLY_TYPE_OFFSET_DATA"): NBD_OFFSET_DATA_BYTES before the data.
 */
export function encodeOffsetData(
  bytes: Uint8Array,
  at: number,
  cookieHigh: number,
  cookieLow: number,
  offsetBytes: number,
  lengthBytes: number,
): void {
  encodeChunk(bytes, at, NBD_REPLY_TYPE_OFFSET_DATA, cookieHigh, cookieLow, 8 + lengthBytes);
  writeU32(bytes, at + 20, Math.floor(offsetBytes / 0x1_0000_0000));
  writeU32(bytes, at + 24, offsetBytes >>> 0);
}

/** "NBD_REPLY_TYPE_ERROR" with a message. */
export function encodeErrorReply(
  errorNumber: number,
  cookieHigh: number,
  cookieLow: number,
  message: Uint8Array,
): Uint8Array {
  const length = 6 + message.byteLength;
  const bytes = new Uint8Array(NBD_STRUCTURED_REPLY_BYTES + length);
  encodeChunk(bytes, 0, NBD_REPLY_TYPE_ERROR, cookieHigh, cookieLow, length);
  writeU32(bytes, 20, errorNumber);
  bytes[24] = message.byteLength >>> 8;
  bytes[25] = message.byteLength;
  bytes.set(message, 26);
  return bytes;
}

export interface NbdBlockStatus {
  readonly lengthBytes: number;
  /** NBD_STATE_HOLE, NBD_STATE_ZERO. */
  readonly state: number;
}

/** "NBD_REPLY_TYPE_BLOCK_STATUS" for one context. */
export function encodeBlockStatus(
  cookieHigh: number,
  cookieLow: number,
  contextId: number,
  statuses: readonly NbdBlockStatus[],
): Uint8Array {
  const length = 4 + 8 * statuses.length;
  const bytes = new Uint8Array(NBD_STRUCTURED_REPLY_BYTES + length);
  encodeChunk(bytes, 0, NBD_REPLY_TYPE_BLOCK_STATUS, cookieHigh, cookieLow, length);
  writeU32(bytes, 20, contextId);
  let at = 24;
  for (const { lengthBytes, state } of statuses) {
    writeU32(bytes, at, lengthBytes);
    writeU32(bytes, at + 4, state);
    at += 8;
  }
  return bytes;
}

function encodeChunk(
  bytes: Uint8Array,
  at: number,
  type: number,
  cookieHigh: number,
  cookieLow: number,
  lengthBytes: number,
): void {
  writeU32(bytes, at, NBD_STRUCTURED_REPLY_MAGIC);
  writeU32(bytes, at + 4, (NBD_REPLY_FLAG_DONE << 16) | type);
  writeU32(bytes, at + 8, cookieHigh);
  writeU32(bytes, at + 12, cookieLow);
  writeU32(bytes, at + 16, lengthBytes);
}

export function writeU32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}
