/**
 * A free list: objects and buffers that the hot path uses again instead of leaving them to the
 * collector. `spareMax` bounds what is kept, not what is out.
 */
export class Pool<T> {
  readonly #create: () => T;
  readonly #spareMax: number;
  readonly #spare: T[] = [];

  constructor(create: () => T, spareMax: number) {
    this.#create = create;
    this.#spareMax = spareMax;
  }

  get spare(): number {
    return this.#spare.length;
  }

  take(): T {
    return this.#spare.pop() ?? this.#create();
  }

  /** The caller no longer holds it anywhere. */
  give(item: T): void {
    if (this.#spare.length < this.#spareMax) this.#spare.push(item);
  }
}
