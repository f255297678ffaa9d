import { assert } from './assert.ts';

/**
 * A fixed number of bits, all clear at first. Bit i lies in byte i >> 3 at 1 << (i & 7), so `bytes`
 * may be stored as it is (all our machines are little-endian, which makes words and bytes agree).
 */
export class Bitmap {
  readonly length: number;
  /** The bits themselves, padded with clear bits to a multiple of 4 bytes. */
  readonly bytes: Uint8Array;
  readonly #words: Uint32Array;

  constructor(length: number) {
    assert(Number.isSafeInteger(length) && length >= 0, 'a bitmap has a whole number of bits');
    this.length = length;
    this.#words = new Uint32Array(Math.ceil(length / 32));
    this.bytes = new Uint8Array(this.#words.buffer);
  }

  test(index: number): boolean {
    this.#check(index);
    return ((this.#words[index >>> 5]! >>> (index & 31)) & 1) === 1;
  }

  set(index: number): void {
    this.#check(index);
    this.#words[index >>> 5]! |= 1 << (index & 31);
  }

  clear(index: number): void {
    this.#check(index);
    this.#words[index >>> 5]! &= ~(1 << (index & 31));
  }

  setRange(index: number, count: number, value = true): void {
    assert(index >= 0 && count >= 0 && index + count <= this.length, 'a range lies in its bitmap');
    let at = index;
    const end = index + count;
    while (at < end) {
      const bit = at & 31;
      const bits = Math.min(32 - bit, end - at);
      const mask = bits === 32 ? 0xffff_ffff : ((1 << bits) - 1) << bit;
      if (value) this.#words[at >>> 5]! |= mask;
      else this.#words[at >>> 5]! &= ~mask;
      at += bits;
    }
  }

  clearAll(): void {
    this.#words.fill(0);
  }

  /** How many bits are set. */
  count(): number {
    let sum = 0;
    for (const word of this.#words) sum += popCount(word);
    return sum;
  }

  /** Index of the first set bit from `from` on; `length` when there is none. */
  nextSet(from: number): number {
    return this.#next(from, 0);
  }

  /** Index of the first clear bit from `from` on; `length` when there is none. */
  nextClear(from: number): number {
    return this.#next(from, 0xffff_ffff);
  }

  /** Runs of set bits in order, longest possible. */
  *runs(): Generator<{ readonly index: number; readonly count: number }> {
    let index = this.nextSet(0);
    while (index < this.length) {
      const end = this.nextClear(index);
      yield { index, count: end - index };
      index = this.nextSet(end);
    }
  }

  /** Sets every bit that is set in `other`, which has the same length. */
  union(other: Bitmap): void {
    assert(other.length === this.length, 'united bitmaps have one length');
    for (let i = 0; i < this.#words.length; i++) this.#words[i]! |= other.#words[i]!;
  }

  #next(from: number, flip: number): number {
    if (from >= this.length) return this.length;
    let wordIndex = from >>> 5;
    let word = ((this.#words[wordIndex]! ^ flip) >>> 0) & (0xffff_ffff << (from & 31));
    while (word === 0) {
      wordIndex++;
      if (wordIndex >= this.#words.length) return this.length;
      word = this.#words[wordIndex]! ^ flip;
    }
    return Math.min(this.length, wordIndex * 32 + 31 - Math.clz32(word & -word));
  }

  #check(index: number): void {
    assert(index >= 0 && index < this.length, 'an index lies in its bitmap');
  }
}

function popCount(word: number): number {
  const pairs = word - ((word >>> 1) & 0x5555_5555);
  const nibbles = (pairs & 0x3333_3333) + ((pairs >>> 2) & 0x3333_3333);
  return Math.imul((nibbles + (nibbles >>> 4)) & 0x0f0f_0f0f, 0x0101_0101) >>> 24;
}
