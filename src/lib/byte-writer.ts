import type { Endian } from './byte-reader.ts';
import { assert } from './assert.ts';
import { viewOf } from './bytes.ts';
import { writeU64Be, writeU64Le } from './u64.ts';

/** Writes fields one after another into memory of the caller, who has made sure that they fit. */
export class ByteWriter {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #little: boolean;
  #at = 0;

  constructor(bytes: Uint8Array, endian: Endian) {
    this.#bytes = bytes;
    this.#view = viewOf(bytes);
    this.#little = endian === 'little';
  }

  get offset(): number {
    return this.#at;
  }

  /** What was written so far: a view, not a copy. */
  written(): Uint8Array {
    return this.#bytes.subarray(0, this.#at);
  }

  u8(value: number): this {
    this.#view.setUint8(this.#take(1), value);
    return this;
  }

  u16(value: number): this {
    this.#view.setUint16(this.#take(2), value, this.#little);
    return this;
  }

  u32(value: number): this {
    this.#view.setUint32(this.#take(4), value, this.#little);
    return this;
  }

  /** 0 to 2^53 - 1. */
  u64(value: number): this {
    const at = this.#take(8);
    if (this.#little) writeU64Le(this.#view, at, value);
    else writeU64Be(this.#view, at, value);
    return this;
  }

  u64Id(value: bigint): this {
    this.#view.setBigUint64(this.#take(8), value, this.#little);
    return this;
  }

  bytes(source: Uint8Array): this {
    this.#bytes.set(source, this.#take(source.byteLength));
    return this;
  }

  /** Leaves zeroes: reserved fields and padding. */
  zeroes(length: number): this {
    const at = this.#take(length);
    this.#bytes.fill(0, at, at + length);
    return this;
  }

  #take(length: number): number {
    const at = this.#at;
    assert(at + length <= this.#bytes.byteLength, 'fields fit into the memory given for them');
    this.#at = at + length;
    return at;
  }
}
