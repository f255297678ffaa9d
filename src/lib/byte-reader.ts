import { EMPTY_BYTES, viewOf } from './bytes.ts';
import { readU64Be, readU64Le, TOO_LARGE } from './u64.ts';

export type Endian = 'little' | 'big';

/**
 * Reads fields one after another from bytes that nobody vouches for. It never throws: the first
 * field that does not fit makes `ok` false for good, and every later field reads as zero or empty.
 * So a decoder reads all it expects and asks once at the end.
 */
export class ByteReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #little: boolean;
  #at = 0;
  #ok = true;

  constructor(bytes: Uint8Array, endian: Endian) {
    this.#bytes = bytes;
    this.#view = viewOf(bytes);
    this.#little = endian === 'little';
  }

  get ok(): boolean {
    return this.#ok;
  }

  get offset(): number {
    return this.#at;
  }

  get remaining(): number {
    return this.#bytes.byteLength - this.#at;
  }

  u8(): number {
    const at = this.#take(1);
    return at < 0 ? 0 : this.#view.getUint8(at);
  }

  u16(): number {
    const at = this.#take(2);
    return at < 0 ? 0 : this.#view.getUint16(at, this.#little);
  }

  u32(): number {
    const at = this.#take(4);
    return at < 0 ? 0 : this.#view.getUint32(at, this.#little);
  }

  /** A value above 2^53 - 1 counts as a field that does not fit. */
  u64(): number {
    const at = this.#take(8);
    if (at < 0) return 0;
    const value = this.#little ? readU64Le(this.#view, at) : readU64Be(this.#view, at);
    if (value !== TOO_LARGE) return value;
    this.#ok = false;
    return 0;
  }

  /** For 64-bit ids that are not numbers. */
  u64Id(): bigint {
    const at = this.#take(8);
    return at < 0 ? 0n : this.#view.getBigUint64(at, this.#little);
  }

  /** A view on the source, not a copy. */
  bytes(length: number): Uint8Array {
    const at = this.#take(length);
    return at < 0 ? EMPTY_BYTES : this.#bytes.subarray(at, at + length);
  }

  skip(length: number): void {
    this.#take(length);
  }

  #take(length: number): number {
    if (!this.#ok || length < 0 || length > this.remaining) {
      this.#ok = false;
      return -1;
    }
    const at = this.#at;
    this.#at += length;
    return at;
  }
}
