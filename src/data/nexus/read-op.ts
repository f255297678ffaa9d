/** ReadOp: one read on its way to one member, and to another when that one fails. Used again. */
import type { HoldfastError } from '#api/mod.ts';
import type { BlockRequest, ReplicaRequest } from '#data/block/mod.ts';
import { EMPTY_BYTES, RangeTicket } from '#lib/mod.ts';
import type { MemberSession } from './member-session.ts';
import type { MemberSlot } from './member-slot.ts';

export interface ReadOwner {
  granted(op: ReadOp): void;
  answered(op: ReadOp, sub: SubRead, error: HoldfastError | null): void;
}

export class SubRead implements ReplicaRequest {
  readonly verb = 'read';
  readonly layer = null;
  offsetBytes = 0;
  lengthBytes = 0;
  data: Uint8Array = EMPTY_BYTES;
  readonly stampEpoch = 0;
  readonly stampN = 0;
  readonly done: (error: HoldfastError | null) => void;

  /** Null when the op went on without it: its buffer may still be scribbled on. */
  op: ReadOp | null;
  slot: MemberSlot | null = null;
  session: MemberSession | null = null;
  busy = false;

  constructor(owner: ReadOwner, op: ReadOp) {
    this.op = op;
    this.done = (error) => {
      this.busy = false;
      if (this.op !== null) owner.answered(this.op, this, error);
    };
  }
}

export class ReadOp {
  readonly ticket: RangeTicket;
  readonly #owner: ReadOwner;
  sub: SubRead;
  request: BlockRequest | null = null;
  startedMs = 0;
  /** Members that were tried, and those of them whose copy is bad: they are repaired afterwards. */
  tried = 0;
  bad = 0;
  error: HoldfastError | null = null;
  /** After a member answered with an error the next one fills this; copied when it is good. */
  scratch: Uint8Array | null = null;
  started = false;
  before: ReadOp | null = null;
  next: ReadOp | null = null;

  constructor(owner: ReadOwner) {
    this.#owner = owner;
    this.ticket = new RangeTicket(() => owner.granted(this));
    this.ticket.exclusive = false;
    this.sub = new SubRead(owner, this);
  }

  /** Leaves the present request, and with it its buffer, to the member that does not answer. */
  abandonSub(): void {
    this.sub.op = null;
    this.sub = new SubRead(this.#owner, this);
  }
}
