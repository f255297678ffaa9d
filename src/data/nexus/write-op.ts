/**
 * WriteOp: one write, trim or zero on its way to the members. Allocated once, used again; so are
 * the requests to the members, which it owns. It waits for `waiting`, a set of member bits: those
 * that have not accepted it and whose removal is not committed.
 */
import { CRC_BLOCK_BYTES, EMPTY_BYTES, RangeTicket, takeBlockCrcs } from '#lib/mod.ts';
import type { HoldfastError } from '#api/mod.ts';
import type { BlockRequest, ReplicaRequest, ReplicaVerb, RequestTrace } from '#data/block/mod.ts';
import type { MemberSession } from './member-session.ts';
import type { MemberSlot } from './member-slot.ts';

/** What an op tells its owner. */
export interface WriteOwner {
  granted(op: WriteOp): void;
  answered(op: WriteOp, sub: SubWrite, error: HoldfastError | null): void;
}

/** The part of a write that one member gets. */
export class SubWrite implements ReplicaRequest {
  verb: ReplicaVerb = 'write';
  readonly layer = null;
  offsetBytes = 0;
  lengthBytes = 0;
  data: Uint8Array = EMPTY_BYTES;
  blockCrcs: Uint32Array | null = null;
  stampEpoch = 0;
  stampN = 0;
  trace: RequestTrace | null = null;
  readonly done: (error: HoldfastError | null) => void;

  /** Null when the op went on without it: what comes back is nobody's. */
  op: WriteOp | null;
  slot: MemberSlot | null = null;
  session: MemberSession | null = null;
  /** With the member now. */
  busy = false;

  constructor(owner: WriteOwner, op: WriteOp) {
    this.op = op;
    this.done = (error) => {
      this.busy = false;
      this.data = EMPTY_BYTES;
      this.trace = null;
      if (this.op !== null) owner.answered(this.op, this, error);
    };
  }
}

export class WriteOp {
  readonly ticket: RangeTicket;
  readonly subs: (SubWrite | undefined)[] = [];
  readonly #owner: WriteOwner;

  /**
   * Null after it failed towards its client (`onQuorumLoss: error`) while members still work on it.
   */
  request: BlockRequest | null = null;
  verb: ReplicaVerb = 'write';
  /** Generation n it was sent with. */
  n = 0;
  waiting = 0;
  /** Members that it was sent to and that have not answered, lost ones not counted. */
  unanswered = 0;
  accepted = 0;
  /** A member was lost while it had the op: requests may still be out there. */
  incomplete = false;
  /** A member that was lost still has the client's bytes and may write them when it wakes. */
  held = false;
  /**
   * Answered with an error of their medium: what happens to them is decided when all have answered.
   */
  failed = 0;
  error: HoldfastError | null = null;
  startedMs = 0;
  /** In flight: with the members. */
  started = false;
  trace: RequestTrace | null = null;

  /** Of a write's blocks, taken once for all members. */
  #blockCrcs: Uint32Array | null = null;

  // In flight, in the order of starting.
  before: WriteOp | null = null;
  next: WriteOp | null = null;

  constructor(owner: WriteOwner) {
    this.#owner = owner;
    this.ticket = new RangeTicket(() => owner.granted(this));
  }

  /** The request object for this member; a new one when the old one is still out there. */
  subFor(slot: MemberSlot): SubWrite {
    let sub = this.subs[slot.index];
    if (sub === undefined || sub.busy) {
      if (sub !== undefined) this.#leave(sub);
      sub = new SubWrite(this.#owner, this);
      this.subs[slot.index] = sub;
    }
    return sub;
  }

  /** Checksums of the data of this write. */
  takeCrcs(data: Uint8Array): Uint32Array {
    const count = data.byteLength / CRC_BLOCK_BYTES;
    let crcs = this.#blockCrcs;
    if (crcs === null || crcs.length < count) {
      crcs = new Uint32Array(count);
      this.#blockCrcs = crcs;
    }
    takeBlockCrcs(data, crcs);
    return crcs;
  }

  /** Forgets requests that did not come back: the op is free without them. */
  detach(): void {
    for (let i = 0; i < this.subs.length; i++) {
      const sub = this.subs[i];
      if (sub === undefined || !sub.busy) continue;
      this.#leave(sub);
      this.subs[i] = undefined;
    }
  }

  /**
   * The request, for its owner to complete; null when it was before. Bytes that a member still has
   * do not go back: whoever used the array again would change what that member writes.
   */
  giveBack(): BlockRequest | null {
    const { request } = this;
    this.request = null;
    if (this.held && request !== null) request.data = new Uint8Array(request.lengthBytes);
    return request;
  }

  #leave(sub: SubWrite): void {
    sub.op = null;
    if (this.verb === 'write') this.held = true;
    // It keeps these, as it keeps the data.
    this.#blockCrcs = null;
  }
}

/** Ops in flight, oldest first. */
export class OpList {
  first: WriteOp | null = null;
  last: WriteOp | null = null;
  size = 0;

  add(op: WriteOp): void {
    op.before = this.last;
    op.next = null;
    if (this.last === null) this.first = op;
    else this.last.next = op;
    this.last = op;
    this.size++;
  }

  delete(op: WriteOp): void {
    if (op.before === null) this.first = op.next;
    else op.before.next = op.next;
    if (op.next === null) this.last = op.before;
    else op.next.before = op.before;
    op.before = null;
    op.next = null;
    this.size--;
  }
}
