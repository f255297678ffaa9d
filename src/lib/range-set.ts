import { assert } from './assert.ts';

export interface Range {
  readonly offset: number;
  readonly length: number;
}

/**
 * A set of integers as sorted, disjoint, never touching ranges. Made for few ranges: O(n) to
 * change.
 */
export class RangeSet {
  readonly #starts: number[] = [];
  readonly #ends: number[] = [];

  /** Number of ranges, not of what they hold. */
  get size(): number {
    return this.#starts.length;
  }

  /** Sum of the lengths. */
  total(): number {
    let sum = 0;
    for (let i = 0; i < this.#starts.length; i++) sum += this.#ends[i]! - this.#starts[i]!;
    return sum;
  }

  add(offset: number, length: number): void {
    assert(offset >= 0 && length >= 0, 'a range is not negative');
    if (length === 0) return;
    let start = offset;
    let end = offset + length;
    // Ranges that overlap or touch [start, end] melt into one.
    const first = this.#firstEndingAtOrAfter(start);
    let last = first;
    while (last < this.#starts.length && this.#starts[last]! <= end) {
      start = Math.min(start, this.#starts[last]!);
      end = Math.max(end, this.#ends[last]!);
      last++;
    }
    this.#starts.splice(first, last - first, start);
    this.#ends.splice(first, last - first, end);
  }

  remove(offset: number, length: number): void {
    assert(offset >= 0 && length >= 0, 'a range is not negative');
    if (length === 0) return;
    const end = offset + length;
    const first = this.#firstEndingAtOrAfter(offset + 1);
    const starts: number[] = [];
    const ends: number[] = [];
    let last = first;
    while (last < this.#starts.length && this.#starts[last]! < end) {
      if (this.#starts[last]! < offset) {
        starts.push(this.#starts[last]!);
        ends.push(offset);
      }
      if (this.#ends[last]! > end) {
        starts.push(end);
        ends.push(this.#ends[last]!);
      }
      last++;
    }
    this.#starts.splice(first, last - first, ...starts);
    this.#ends.splice(first, last - first, ...ends);
  }

  clear(): void {
    this.#starts.length = 0;
    this.#ends.length = 0;
  }

  overlaps(offset: number, length: number): boolean {
    if (length === 0) return false;
    const at = this.#firstEndingAtOrAfter(offset + 1);
    return at < this.#starts.length && this.#starts[at]! < offset + length;
  }

  /** Whether all of the range is in the set. */
  covers(offset: number, length: number): boolean {
    if (length === 0) return true;
    const at = this.#firstEndingAtOrAfter(offset + 1);
    return (
      at < this.#starts.length && this.#starts[at]! <= offset && this.#ends[at]! >= offset + length
    );
  }

  /** In order. Changing the set while iterating is a mistake. */
  *[Symbol.iterator](): Generator<Range> {
    for (let i = 0; i < this.#starts.length; i++) {
      yield { offset: this.#starts[i]!, length: this.#ends[i]! - this.#starts[i]! };
    }
  }

  /** The parts of the set within a range, in order. */
  *within(offset: number, length: number): Generator<Range> {
    const end = offset + length;
    for (let i = this.#firstEndingAtOrAfter(offset + 1); i < this.#starts.length; i++) {
      const from = Math.max(offset, this.#starts[i]!);
      const to = Math.min(end, this.#ends[i]!);
      if (from >= to) return;
      yield { offset: from, length: to - from };
    }
  }

  #firstEndingAtOrAfter(position: number): number {
    let low = 0;
    let high = this.#ends.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#ends[middle]! < position) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
