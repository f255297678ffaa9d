/**
 * A layer's own request to the device below, taken from a free list so that the steady state
 * allocates nothing. The list also counts what is in flight, which is what `close` waits for.
 */
import type { HoldfastError } from '#api/mod.ts';
import { assert } from '#lib/mod.ts';
import { createRequest } from './cold-forms.ts';
import type { BlockRequest, BlockVerb } from './mod.ts';

const IDLE = createRequest();

export class LayerRequest implements BlockRequest {
  verb: BlockVerb = 'flush';
  offsetBytes = 0;
  lengthBytes = 0;
  data: Uint8Array = IDLE.data;
  fua = false;
  keepAllocated = false;
  done: (request: BlockRequest, error: HoldfastError | null) => void = IDLE.done;
  /** The request this one stands for; set from take to finish. */
  outer: BlockRequest = IDLE;
}

export class LayerRequests {
  readonly #free: LayerRequest[] = [];
  readonly #done: (request: BlockRequest, error: HoldfastError | null) => void;
  #inFlightCount = 0;
  #waiting: (() => void)[] = [];

  /** `done` gets every request of this list that the device below completes. */
  constructor(done: (request: LayerRequest, error: HoldfastError | null) => void) {
    this.#done = (request, error) => {
      assert(request instanceof LayerRequest, 'a device completes the request it was given');
      done(request, error);
    };
  }

  get inFlightCount(): number {
    return this.#inFlightCount;
  }

  /** A copy of `outer` that remembers it. */
  take(outer: BlockRequest): LayerRequest {
    let inner = this.#free.pop();
    if (inner === undefined) {
      inner = new LayerRequest();
      inner.done = this.#done;
    }
    this.#inFlightCount++;
    inner.outer = outer;
    inner.verb = outer.verb;
    inner.offsetBytes = outer.offsetBytes;
    inner.lengthBytes = outer.lengthBytes;
    inner.data = outer.data;
    inner.fua = outer.fua;
    inner.keepAllocated = outer.keepAllocated;
    return inner;
  }

  /** Gives the request back to the list and completes the one it stood for. */
  finish(inner: LayerRequest, error: HoldfastError | null): void {
    const outer = inner.outer;
    assert(outer !== IDLE, 'a request is completed once');
    // Perhaps another array than the one that was given.
    outer.data = inner.data;
    inner.outer = IDLE;
    inner.data = IDLE.data;
    this.#free.push(inner);
    this.#inFlightCount--;
    outer.done(outer, error);
    if (this.#inFlightCount === 0 && this.#waiting.length > 0) {
      const waiting = this.#waiting;
      this.#waiting = [];
      for (const resolve of waiting) resolve();
    }
  }

  /** Resolves when nothing is in flight. */
  idle(): Promise<void> {
    if (this.#inFlightCount === 0) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}
