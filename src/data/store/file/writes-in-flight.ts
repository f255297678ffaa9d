/**
 * Writes whose data is on its way to the disk, and the range that cold work (merge, scrub) keeps
 * them away from. One range at a time.
 */
import type { Layer } from './layer.ts';
import type { ReplicaIo } from './replica-io.ts';

export class WritesInFlight {
  readonly #goOn: (io: ReplicaIo) => void;
  #first: ReplicaIo | null = null;
  /** The range that is held; nothing when its end is 0. */
  #heldLayer: Layer | null = null;
  #heldFirst = 0;
  #heldEnd = 0;
  #heldBack: ReplicaIo[] = [];
  #holds: Promise<void> = Promise.resolve();
  #holdWaiter: (() => void) | null = null;
  /** How many writes went on their way so far. */
  count = 0;

  /** `goOn` begins a write anew that was held back. */
  constructor(goOn: (io: ReplicaIo) => void) {
    this.#goOn = goOn;
  }

  /** Some write that is on its way touches these blocks, in whatever layer. */
  touches(first: number, count: number): boolean {
    for (let io = this.#first; io !== null; io = io.next) {
      if (io.block < first + count && first < io.block + io.count) return true;
    }
    return false;
  }

  /** True when the write must wait: it goes on when the range is free. */
  holdsBack(io: ReplicaIo): boolean {
    if (io.layer !== this.#heldLayer || !this.#isHeld(io)) return false;
    this.#heldBack.push(io);
    return true;
  }

  /** The action runs while no write to these blocks of the layer is in flight. So: short. */
  async hold<T>(layer: Layer, first: number, count: number, action: () => Promise<T>): Promise<T> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const before = this.#holds;
    this.#holds = promise;
    await before;
    try {
      return await this.#hold(layer, first, count, action);
    } finally {
      resolve();
    }
  }

  async #hold<T>(layer: Layer, first: number, count: number, action: () => Promise<T>): Promise<T> {
    this.#heldLayer = layer;
    this.#heldFirst = first;
    this.#heldEnd = first + count;
    try {
      if (this.#heldInFlight()) {
        await new Promise<void>((resolve) => {
          this.#holdWaiter = resolve;
        });
      }
      return await action();
    } finally {
      this.#heldLayer = null;
      this.#heldEnd = 0;
      for (const io of this.#heldBack.splice(0)) this.#goOn(io);
    }
  }

  add(io: ReplicaIo): void {
    this.count++;
    io.linked = true;
    io.before = null;
    io.next = this.#first;
    if (io.next !== null) io.next.before = io;
    this.#first = io;
  }

  delete(io: ReplicaIo): void {
    if (!io.linked) return;
    if (io.before === null) this.#first = io.next;
    else io.before.next = io.next;
    if (io.next !== null) io.next.before = io.before;
    io.linked = false;
    io.before = null;
    io.next = null;
    if (this.#holdWaiter !== null && !this.#heldInFlight()) {
      const waiter = this.#holdWaiter;
      this.#holdWaiter = null;
      waiter();
    }
  }

  #isHeld(io: ReplicaIo): boolean {
    return io.block < this.#heldEnd && this.#heldFirst < io.block + io.count;
  }

  #heldInFlight(): boolean {
    for (let io = this.#first; io !== null; io = io.next) {
      if (io.layer === this.#heldLayer && this.#isHeld(io)) return true;
    }
    return false;
  }
}
