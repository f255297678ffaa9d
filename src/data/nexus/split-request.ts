/**
 * SplitRequest: a request that is longer than members take at once, as a row of shorter ones. Each
 * part has its own range and order; blocks are atomic, longer ranges never were.
 */
import type { HoldfastError } from '#api/mod.ts';
import { type BlockRequest, createRequest, REPLICA_IO_BYTES } from '#data/block/mod.ts';

/** Parts of trims and zeroes: bounded so that none of them nears a member's deadline. */
const CLEAR_BYTES = 64 * 1024 * 1024;
/** Parts that are under way at once. */
const DEPTH = 4;

export function partBytesOf(verb: BlockRequest['verb']): number {
  return verb === 'read' || verb === 'write' ? REPLICA_IO_BYTES : CLEAR_BYTES;
}

export class SplitRequest {
  readonly #whole: BlockRequest;
  readonly #submit: (request: BlockRequest) => void;
  readonly #partBytes: number;
  #next = 0;
  #underWay = 0;
  #error: HoldfastError | null = null;
  /** Parts that came back with another buffer than the one they were given. */
  readonly #moved: { readonly at: number; readonly data: Uint8Array }[] = [];
  #starting = false;

  constructor(whole: BlockRequest, submit: (request: BlockRequest) => void) {
    this.#whole = whole;
    this.#submit = submit;
    this.#partBytes = partBytesOf(whole.verb);
  }

  start(): void {
    // A part may end inside its submit: no recursion.
    if (this.#starting) return;
    this.#starting = true;
    while (this.#underWay < DEPTH && this.#next < this.#whole.lengthBytes && this.#error === null) {
      this.#startPart();
    }
    this.#starting = false;
    if (this.#underWay === 0) this.#finish();
  }

  #startPart(): void {
    const whole = this.#whole;
    const at = this.#next;
    const lengthBytes = Math.min(this.#partBytes, whole.lengthBytes - at);
    this.#next += lengthBytes;
    this.#underWay++;
    const part = createRequest();
    part.verb = whole.verb;
    part.offsetBytes = whole.offsetBytes + at;
    part.lengthBytes = lengthBytes;
    const carries = whole.verb === 'read' || whole.verb === 'write';
    const data = carries ? whole.data.subarray(at, at + lengthBytes) : whole.data;
    part.data = data;
    part.fua = whole.fua;
    part.keepAllocated = whole.keepAllocated;
    part.done = (request, error) => {
      this.#underWay--;
      this.#error ??= error;
      if (request.data !== data) this.#moved.push({ at, data: request.data });
      this.start();
    };
    this.#submit(part);
  }

  #finish(): void {
    const whole = this.#whole;
    if (this.#moved.length > 0) {
      // The first buffer still belongs to a disk that hangs: none of it goes back.
      const fresh = whole.data.slice();
      for (const { at, data } of this.#moved) fresh.set(data, at);
      whole.data = fresh;
    }
    whole.done(whole, this.#error);
  }
}
