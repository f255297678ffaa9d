/**
 * One at a time per key, first come, first served. For cold paths (opening a store, reconciling an
 * object); keys that nobody holds or wants cost nothing.
 */
export class KeyedMutex {
  readonly #tails = new Map<string, Promise<void>>();

  /** Keys held or wanted. */
  get size(): number {
    return this.#tails.size;
  }

  /**
   * Runs `action` when all earlier actions of the key have settled; their outcome does not matter.
   */
  async run<T>(key: string, action: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(key);
    const { promise: tail, resolve: leave } = Promise.withResolvers<void>();
    this.#tails.set(key, tail);
    try {
      if (before !== undefined) await before;
      return await action();
    } finally {
      if (this.#tails.get(key) === tail) this.#tails.delete(key);
      leave();
    }
  }
}
