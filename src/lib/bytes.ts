/** What the whole project does with byte arrays. Everything here takes a plain Uint8Array. */
import { Buffer } from 'node:buffer';

/** `isZero` compares with this: one memcmp over 64 KiB instead of a loop in JavaScript. */
const ZEROES = Buffer.alloc(64 * 1024);

export const EMPTY_BYTES = new Uint8Array(0);

export function isZero(bytes: Uint8Array): boolean {
  const length = bytes.byteLength;
  // Most data differs in its first byte: that answer should not cost a call.
  if (length > 0 && bytes[0] !== 0) return false;
  for (let at = 0; at < length; at += ZEROES.byteLength) {
    const count = Math.min(length - at, ZEROES.byteLength);
    if (ZEROES.compare(bytes, at, at + count, 0, count) !== 0) return false;
  }
  return true;
}

export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.byteLength === b.byteLength && Buffer.compare(a, b) === 0;
}

/** Negative, zero or positive: lexical order, a prefix first. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  return Buffer.compare(a, b);
}

/** A fresh array, also for a single chunk. */
export function concatBytes(chunks: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const chunk of chunks) length += chunk.byteLength;
  const all = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    all.set(chunk, at);
    at += chunk.byteLength;
  }
  return all;
}

export function formatHex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}

/** Undefined unless the text is pairs of hexadecimal digits and nothing else. */
export function parseHex(text: string): Uint8Array | undefined {
  if (text.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(text)) return undefined;
  return new Uint8Array(Buffer.from(text, 'hex'));
}

export function encodeText(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'utf8'));
}

/** UTF-8; malformed sequences become U+FFFD. */
export function decodeText(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
}

/** A view on the same memory: for codecs that read and write at fixed offsets. */
export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
