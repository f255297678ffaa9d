import { NBD_REQUEST_MAGIC } from './constants.ts';
import { writeU32 } from './reply-encoder.ts';

/**
 * "Request message", NBD_REQUEST_BYTES, into the caller's memory; the data of a write follows it.
 */
export function encodeRequest(
  bytes: Uint8Array,
  command: number,
  flags: number,
  cookie: number,
  offsetBytes: number,
  lengthBytes: number,
): void {
  writeU32(bytes, 0, NBD_REQUEST_MAGIC);
  writeU32(bytes, 4, (flags << 16) | command);
  writeU32(bytes, 8, 0);
  writeU32(bytes, 12, cookie);
  writeU32(bytes, 16, Math.floor(offsetBytes / 0x1_0000_0000));
  writeU32(bytes, 20, offsetBytes >>> 0);
  writeU32(bytes, 24, lengthBytes);
}
