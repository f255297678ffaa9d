/**
 * Any offset and length on a device of larger blocks.
 *
 *      offset                                offset + length
 *         │                                        │
 *     ├───┼──────┼───────────┼───────────┼─────────┼──┤   blocks of the device below
 *     │ head     │          body         │  tail      │
 *
 * The body goes down as it is. A head or tail is a block of which the request covers a part: a
 * write reads it, patches it and writes it back under an exclusive lock of the blocks it touches.
 * Trim and zero are rounded inwards and their edges written as zeroes the same way.
 *
 * Invariants
 * - While a block is read, patched and written back, no other change to it is in flight: an aligned
 *   change holds its blocks shared (such changes have no order among themselves), one with edges
 *   exclusively. Reads take no lock.
 * - An aligned request allocates nothing, and a read costs no more than the call.
 */
import type { HoldfastError } from '#api/mod.ts';
import { assert, Pool, RangeLock, RangeTicket } from '#lib/mod.ts';
import { appendExtent } from './append-extent.ts';
import { checkRequest, closedError } from './check-request.ts';
import { createRequest, partlyApplied } from './cold-forms.ts';
import type {
  BlockCapabilities,
  BlockDevice,
  BlockExtent,
  BlockLimits,
  BlockRequest,
} from './mod.ts';
import type { RequestTrace, TraceSwitch } from './request-trace.ts';

const SPARE_MAX = 256;

export class AlignDevice implements BlockDevice {
  readonly limits: BlockLimits;
  readonly capabilities: BlockCapabilities;
  readonly traces: TraceSwitch | undefined;
  readonly #below: BlockDevice;
  readonly #blockBytes: number;
  readonly #lock = new RangeLock();
  readonly #pieces = new Pool(() => new AlignedPieces(this.#below, this.#finish), SPARE_MAX);
  #inFlightCount = 0;
  #idle: (() => void)[] = [];
  #closed = false;

  /** `minBytes` (default 1) is what requests become multiples of; it divides the device's own. */
  constructor(below: BlockDevice, options: { readonly minBytes?: number } = {}) {
    const minBytes = options.minBytes ?? 1;
    const blockBytes = below.limits.minBytes;
    assert(blockBytes % minBytes === 0, 'the block is a multiple of what is offered');
    assert(below.limits.maxBytes % blockBytes === 0, 'the longest transfer is whole blocks');
    this.#below = below;
    this.#blockBytes = blockBytes;
    this.limits = {
      minBytes,
      preferredBytes: Math.max(blockBytes, below.limits.preferredBytes),
      maxBytes: below.limits.maxBytes,
    };
    this.capabilities = below.capabilities;
    this.traces = below.traces;
  }

  get sizeBytes(): number {
    return this.#below.sizeBytes;
  }

  submit(request: BlockRequest): void {
    const error = this.#closed ? closedError() : checkRequest(this, request);
    if (error !== null) {
      request.done(request, error);
      return;
    }
    const { verb } = request;
    const aligned =
      request.offsetBytes % this.#blockBytes === 0 && request.lengthBytes % this.#blockBytes === 0;
    if (verb === 'flush' || (verb === 'read' && aligned)) {
      this.#below.submit(request);
      return;
    }
    this.#inFlightCount++;
    const pieces = this.#pieces.take();
    pieces.prepare(request, this.#blockBytes);
    if (verb === 'read' || this.#lock.acquire(pieces.ticket)) pieces.run();
  }

  async extents(offsetBytes: number, lengthBytes: number): Promise<BlockExtent[]> {
    const end = Math.min(offsetBytes + lengthBytes, this.sizeBytes);
    const first = roundDown(offsetBytes, this.#blockBytes);
    const last = roundUp(end, this.#blockBytes);
    const extents: BlockExtent[] = [];
    for (const extent of await this.#below.extents(first, last - first)) {
      const from = Math.max(offsetBytes, extent.offsetBytes);
      const to = Math.min(end, extent.offsetBytes + extent.lengthBytes);
      appendExtent(extents, from, to - from, extent.kind);
    }
    return extents;
  }

  async close(): Promise<void> {
    this.#closed = true;
    if (this.#inFlightCount > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
    await this.#below.close();
  }

  readonly #finish = (pieces: AlignedPieces): void => {
    const { outer, error } = pieces;
    if (pieces.ticket.linked) this.#lock.release(pieces.ticket);
    pieces.clear();
    this.#pieces.give(pieces);
    this.#inFlightCount--;
    outer.done(outer, error);
    if (this.#inFlightCount > 0 || this.#idle.length === 0) return;
    for (const resolve of this.#idle.splice(0)) resolve();
  };
}

const IDLE = createRequest();

/** One request on its way, cut into head, body and tail. Used again and again. */
class AlignedPieces {
  outer: BlockRequest = IDLE;
  error: HoldfastError | null = null;
  readonly ticket = new RangeTicket(() => this.run());
  readonly #below: BlockDevice;
  readonly #finish: (pieces: AlignedPieces) => void;
  readonly #head = new EdgeBlock();
  readonly #tail = new EdgeBlock();
  readonly #body = createRequest();
  #bodyBytes = 0;
  /** What the body was sent with: it may come back with another array. */
  #bodyData = IDLE.data;
  #pendingCount = 0;
  #appliedCount = 0;

  constructor(below: BlockDevice, finish: (pieces: AlignedPieces) => void) {
    this.#below = below;
    this.#finish = finish;
    this.#body.done = (_request, error) => this.#settle(error);
    this.#head.request.done = (_request, error) => this.#edgeDone(this.#head, error);
    this.#tail.request.done = (_request, error) => this.#edgeDone(this.#tail, error);
  }

  prepare(outer: BlockRequest, blockBytes: number): void {
    const start = outer.offsetBytes;
    const end = start + outer.lengthBytes;
    const bodyStart = roundUp(start, blockBytes);
    const bodyEnd = roundDown(end, blockBytes);
    const firstBlock = roundDown(start, blockBytes);
    this.outer = outer;
    this.#bodyBytes = Math.max(0, bodyEnd - bodyStart);
    this.#head.lengthBytes = 0;
    this.#tail.lengthBytes = 0;
    if (bodyStart > start)
      this.#head.place(firstBlock, start, Math.min(end, bodyStart), blockBytes);
    // A request inside one block is a head only.
    if (end > bodyEnd && bodyEnd >= bodyStart) this.#tail.place(bodyEnd, bodyEnd, end, blockBytes);
    if (this.#bodyBytes > 0) this.#placeBody(bodyStart);
    if (outer.trace) this.#passTrace(outer, outer.trace);
    this.ticket.offset = firstBlock;
    this.ticket.length = roundUp(end, blockBytes) - firstBlock;
    this.ticket.exclusive = this.#head.lengthBytes > 0 || this.#tail.lengthBytes > 0;
  }

  run(): void {
    // One more than the pieces, so that none of them is the last while others are still to start.
    this.#pendingCount = 1;
    for (const edge of [this.#head, this.#tail]) {
      if (edge.lengthBytes === 0) continue;
      this.#pendingCount++;
      edge.request.verb = 'read';
      edge.request.fua = false;
      this.#below.submit(edge.request);
    }
    if (this.#bodyBytes > 0) {
      this.#pendingCount++;
      this.#below.submit(this.#body);
    }
    this.#release();
  }

  clear(): void {
    this.outer = IDLE;
    this.error = null;
    this.#body.data = IDLE.data;
    this.#bodyData = IDLE.data;
    this.#appliedCount = 0;
  }

  #passTrace(outer: BlockRequest, trace: RequestTrace): void {
    trace.add('src/data/block', this.#head.lengthBytes > 0 ? 'made whole blocks' : 'passed on');
    outer.trace = null;
    const first = this.#bodyBytes > 0 ? this.#body : this.#head.request;
    first.trace = trace;
  }

  #placeBody(bodyStart: number): void {
    const { outer } = this;
    const body = this.#body;
    body.verb = outer.verb;
    body.offsetBytes = bodyStart;
    body.lengthBytes = this.#bodyBytes;
    body.fua = outer.fua;
    body.keepAllocated = outer.keepAllocated;
    const from = bodyStart - outer.offsetBytes;
    body.data =
      outer.data.byteLength === 0 || this.#bodyBytes === outer.lengthBytes
        ? outer.data
        : outer.data.subarray(from, from + this.#bodyBytes);
    this.#bodyData = body.data;
  }

  /** The first array still belongs to a disk that hangs: nothing of it goes back. */
  #moveBody(): void {
    const { outer } = this;
    const whole = outer.data.slice();
    whole.set(this.#body.data, this.#body.offsetBytes - outer.offsetBytes);
    outer.data = whole;
  }

  #edgeDone(edge: EdgeBlock, error: HoldfastError | null): void {
    const { outer } = this;
    const { request } = edge;
    if (error !== null || request.verb === 'write') {
      this.#settle(error);
      return;
    }
    const at = edge.startBytes - outer.offsetBytes;
    if (outer.verb === 'read') {
      outer.data.set(edge.part(), at);
      this.#settle(null);
      return;
    }
    if (outer.verb === 'write') edge.part().set(outer.data.subarray(at, at + edge.lengthBytes));
    else edge.part().fill(0);
    request.verb = 'write';
    request.fua = outer.fua;
    this.#below.submit(request);
  }

  #settle(error: HoldfastError | null): void {
    if (error === null) this.#appliedCount++;
    else this.error ??= error;
    this.#release();
  }

  #release(): void {
    if (--this.#pendingCount > 0) return;
    if (this.#body.data !== this.#bodyData) this.#moveBody();
    // "Effect none" of one piece is not true of the whole when another piece was applied.
    if (this.error !== null && this.#appliedCount > 0 && this.outer.verb !== 'read') {
      this.error = partlyApplied(this.error);
    }
    this.#finish(this);
  }
}

/** A block at either end, of which the request covers [startBytes, startBytes + lengthBytes). */
class EdgeBlock {
  readonly request = createRequest();
  startBytes = 0;
  lengthBytes = 0;

  place(blockStart: number, start: number, end: number, blockBytes: number): void {
    const { request } = this;
    this.startBytes = start;
    this.lengthBytes = end - start;
    request.offsetBytes = blockStart;
    request.lengthBytes = blockBytes;
    if (request.data.byteLength !== blockBytes) request.data = new Uint8Array(blockBytes);
  }

  /** The covered part of the block's bytes. */
  part(): Uint8Array {
    const from = this.startBytes - this.request.offsetBytes;
    return this.request.data.subarray(from, from + this.lengthBytes);
  }
}

function roundDown(value: number, unit: number): number {
  return value - (value % unit);
}

function roundUp(value: number, unit: number): number {
  return roundDown(value + unit - 1, unit);
}
