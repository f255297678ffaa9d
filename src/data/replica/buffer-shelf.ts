import { Pool } from '#lib/mod.ts';

/**
 * Data buffers of exact length, kept for the next request of that length. Lengths are few: requests
 * are whole blocks up to 1 MiB. What is kept is bounded in bytes, not only in number.
 */
export class BufferShelf {
  readonly #pools = new Map<number, Pool<Uint8Array>>();
  readonly #bytesMax: number;
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** Contents are what the last user left. */
  take(lengthBytes: number): Uint8Array {
    const pool = this.#pools.get(lengthBytes);
    if (pool === undefined || pool.spare === 0) return new Uint8Array(lengthBytes);
    this.#bytes -= lengthBytes;
    return pool.take();
  }

  /** Nobody else may hold it. */
  give(buffer: Uint8Array): void {
    const lengthBytes = buffer.byteLength;
    if (lengthBytes === 0 || this.#bytes + lengthBytes > this.#bytesMax) return;
    let pool = this.#pools.get(lengthBytes);
    if (pool === undefined) {
      // A peer that tries every length is not given a list for each.
      if (this.#pools.size >= 64) return;
      pool = new Pool(() => new Uint8Array(lengthBytes), Infinity);
      this.#pools.set(lengthBytes, pool);
    }
    this.#bytes += lengthBytes;
    pool.give(buffer);
  }
}
