import { Bitmap } from '#lib/mod.ts';

/**
 * Blocks of a layer whose checksum in memory says nothing of their contents (docs/format/store.md
 * §7): those of intent segments after an unclean open, and those where a write failed half-way.
 * They are refused until settled or written anew. Costs nothing for segments without doubt.
 */
export class Doubt {
  readonly segmentBlocks: number;
  readonly #segments = new Map<number, Bitmap>();
  /** Segments where every block is in doubt have no bitmap yet: after a crash there are many. */
  readonly #whole = new Set<number>();

  constructor(segmentBlocks: number) {
    this.segmentBlocks = segmentBlocks;
  }

  get any(): boolean {
    return this.#whole.size > 0 || this.#segments.size > 0;
  }

  has(block: number): boolean {
    const segment = Math.floor(block / this.segmentBlocks);
    if (this.#whole.has(segment)) return true;
    const bits = this.#segments.get(segment);
    return bits !== undefined && bits.test(block - segment * this.segmentBlocks);
  }

  touches(segment: number): boolean {
    return this.#whole.has(segment) || this.#segments.has(segment);
  }

  segments(): number[] {
    return [...this.#whole, ...this.#segments.keys()].sort((a, b) => a - b);
  }

  addSegment(segment: number): void {
    this.#segments.delete(segment);
    this.#whole.add(segment);
  }

  add(block: number): void {
    const segment = Math.floor(block / this.segmentBlocks);
    if (this.#whole.has(segment)) return;
    let bits = this.#segments.get(segment);
    if (bits === undefined) {
      bits = new Bitmap(this.segmentBlocks);
      this.#segments.set(segment, bits);
    }
    bits.set(block - segment * this.segmentBlocks);
  }

  clearSegment(segment: number): void {
    this.#whole.delete(segment);
    this.#segments.delete(segment);
  }

  clear(block: number, count: number): void {
    for (let at = block; at < block + count; ) {
      const segment = Math.floor(at / this.segmentBlocks);
      const start = segment * this.segmentBlocks;
      const end = Math.min(block + count, start + this.segmentBlocks);
      this.#clearWithin(segment, at - start, end - at);
      at = end;
    }
  }

  clearAll(): void {
    this.#whole.clear();
    this.#segments.clear();
  }

  #clearWithin(segment: number, index: number, count: number): void {
    if (this.#whole.delete(segment)) {
      if (count === this.segmentBlocks) return;
      const bits = new Bitmap(this.segmentBlocks);
      bits.setRange(0, this.segmentBlocks);
      this.#segments.set(segment, bits);
    }
    const bits = this.#segments.get(segment);
    if (bits === undefined) return;
    bits.setRange(index, count, false);
    if (bits.nextSet(0) === bits.length) this.#segments.delete(segment);
  }
}
