/** Buckets per doubling: a quantile is at most 9 % above the true value. */
const PER_OCTAVE = 8;
/** From 1 µs to about 2^30 µs (18 minutes), with what is longer in the last. */
const BUCKETS = 30 * PER_OCTAVE + 1;

/** Latencies in logarithmic buckets: 1 KiB whatever it counts, and adding is a few instructions. */
export class LatencyHistogram {
  readonly #counts = new Uint32Array(BUCKETS);
  #count = 0;
  #maxMs = 0;
  #sumMs = 0;

  get count(): number {
    return this.#count;
  }

  get maxMs(): number {
    return this.#maxMs;
  }

  get meanMs(): number {
    return this.#count === 0 ? 0 : this.#sumMs / this.#count;
  }

  add(ms: number): void {
    const us = ms * 1000;
    const bucket = us <= 1 ? 0 : Math.min(BUCKETS - 1, Math.ceil(Math.log2(us) * PER_OCTAVE));
    this.#counts[bucket]!++;
    this.#count++;
    this.#sumMs += ms;
    if (ms > this.#maxMs) this.#maxMs = ms;
  }

  /** The value that this share (0 to 1) of all samples does not exceed; 0 when there are none. */
  quantileMs(share: number): number {
    if (this.#count === 0) return 0;
    let left = Math.max(1, Math.ceil(share * this.#count));
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      left -= this.#counts[bucket]!;
      if (left <= 0) return Math.min(this.#maxMs, 2 ** (bucket / PER_OCTAVE) / 1000);
    }
    return this.#maxMs;
  }

  clear(): void {
    this.#counts.fill(0);
    this.#count = 0;
    this.#maxMs = 0;
    this.#sumMs = 0;
  }
}
