/**
 * WritePath: writes, trims and zeroes from the frontend to every member and back (rule 7).
 *
 *     submit ─▶ range lock ─▶ start: one request per receiving member ─▶ answers ─▶ acknowledged
 *                  │ taken          │ flow closed                            ▲
 *                  ▼                ▼                                        │ removal committed
 *                queued           parked                           member lost: waits on
 *
 * Invariants
 * - Acknowledged when everybody in `roster.owed` has accepted it: a member that failed is owed
 *   until its
 *   removal is committed (*Remove before ack*).
 * - The range stays locked until then, for the client's death too: no read beside a write in
 *   flight.
 * - A joiner is waited for like a member; only, when it fails it is dropped at once.
 * - In steady state no allocation and no promise.
 */
import { HoldfastError } from '#api/mod.ts';
import type { BlockRequest, TraceSwitch } from '#data/block/mod.ts';
import type { Clock } from '#host/mod.ts';
import type { RangeLock } from '#lib/mod.ts';
import { EMPTY_BYTES } from '#lib/mod.ts';
import { errorKind } from './error-kind.ts';
import type { GenerationClock } from './generation-clock.ts';
import type { MemberRoster } from './member-roster.ts';
import type { MemberSession } from './member-session.ts';
import type { MemberSlot } from './member-slot.ts';
import { OpList, type SubWrite, WriteOp, type WriteOwner } from './write-op.ts';

/** Ops kept for use again. */
const PLACE = 'src/data/nexus';
const SPARE_MAX = 1024;
/** One in so many answers is timed. */
const SAMPLE_MASK = 7;

export interface WritePathOptions {
  readonly roster: MemberRoster;
  readonly lock: RangeLock;
  readonly generations: GenerationClock;
  readonly clock: Clock;
  /** A write with `fua` was accepted by all: it is done after a flush. */
  readonly flush: (request: BlockRequest) => void;
  readonly onMemberError: (
    slot: MemberSlot,
    session: MemberSession | null,
    error: HoldfastError,
  ) => void;
  /** Every member failed with an error of its medium: are their contents still equal? */
  readonly onAllFailed: (op: WriteOp) => void;
  /** The first op after none was in flight: deadlines have to be watched. */
  readonly onBusy: () => void;
  /** A sampled latency, for the throttle of rebuilds. */
  readonly throttle: (nowMs: number, ms: number) => void;
  /** The first write after `dirty` was taken back. */
  readonly onDirty: () => void;
}

export class WritePath implements WriteOwner {
  readonly inFlight = new OpList();
  readonly #options: WritePathOptions;
  readonly #roster: MemberRoster;
  readonly #lock: RangeLock;
  readonly #clock: Clock;
  readonly #spare: WriteOp[] = [];
  /** Wait for their range. */
  readonly #queued = new Set<WriteOp>();
  /** Have their range and wait for the flow to open, in order. */
  #parked: WriteOp[] = [];
  #open = false;
  #failure: HoldfastError | null = null;
  #samples = 0;
  readonly traces: TraceSwitch = { next: null };
  /** Something was written since the volume was last clean. */
  dirty = false;

  constructor(options: WritePathOptions) {
    this.#options = options;
    this.#roster = options.roster;
    this.#lock = options.lock;
    this.#clock = options.clock;
  }

  get waitingCount(): number {
    return this.#queued.size + this.#parked.length + this.inFlight.size;
  }

  submit(request: BlockRequest): void {
    const op = this.#spare.pop() ?? new WriteOp(this);
    op.request = request;
    op.verb = request.verb === 'write' ? 'write' : request.keepAllocated ? 'zero' : 'trim';
    op.accepted = 0;
    op.failed = 0;
    op.error = null;
    op.incomplete = false;
    op.held = false;
    const { ticket } = op;
    ticket.offset = request.offsetBytes;
    ticket.length = request.lengthBytes;
    if (request.trace || this.traces.next !== null) this.#beginTrace(op, request);
    if (this.#lock.acquire(ticket)) this.granted(op);
    else this.#queued.add(op);
  }

  #beginTrace(op: WriteOp, request: BlockRequest): void {
    op.trace = request.trace ?? this.traces.next;
    if (request.trace) request.trace = null;
    else this.traces.next = null;
    const { verb, offsetBytes, lengthBytes } = request;
    op.trace?.add(PLACE, 'submitted', { verb, offsetBytes, lengthBytes });
  }

  /** It has its range now. */
  granted(op: WriteOp): void {
    if (this.#queued.size > 0) this.#queued.delete(op);
    if (this.#open) this.#start(op);
    else if (this.#failure !== null) this.#finish(op, this.#failure);
    else this.#parked.push(op);
  }

  #start(op: WriteOp): void {
    const roster = this.#roster;
    const { generations } = this.#options;
    const request = op.request;
    if (request === null) return this.#finish(op, null);
    op.n = generations.n;
    op.startedMs = this.#clock.monotonicMs();
    op.waiting = this.owed();
    op.unanswered = roster.receiving;
    op.started = true;
    if (!this.dirty) {
      this.dirty = true;
      this.#options.onDirty();
    }
    this.inFlight.add(op);
    if (this.inFlight.size === 1) this.#options.onBusy();
    op.trace?.add(PLACE, 'ordered', { epoch: generations.epoch, n: op.n });
    const crcs = op.verb === 'write' ? op.takeCrcs(request.data) : null;
    const { receivers } = roster;
    for (let i = 0; i < receivers.length; i++) {
      const slot = receivers[i] as MemberSlot;
      // Lost meanwhile: a member may answer, or fail, inside submit.
      const { session } = slot;
      if ((roster.receiving & slot.bit) === 0 || session === null) continue;
      const sub = op.subFor(slot);
      sub.verb = op.verb;
      sub.offsetBytes = request.offsetBytes;
      sub.lengthBytes = request.lengthBytes;
      sub.data = op.verb === 'write' ? request.data : EMPTY_BYTES;
      sub.blockCrcs = crcs;
      sub.stampEpoch = generations.epoch;
      sub.stampN = op.n;
      sub.trace = op.trace;
      sub.slot = slot;
      sub.session = session;
      sub.busy = true;
      op.trace?.add(PLACE, 'sent', { member: slot.replica });
      session.member.submit(sub);
    }
  }

  /** Who must have accepted a write before it is acknowledged. */
  owed(): number {
    return this.#roster.owed;
  }

  answered(op: WriteOp, sub: SubWrite, error: HoldfastError | null): void {
    const slot = sub.slot as MemberSlot;
    const { bit } = slot;
    op.unanswered &= ~bit;
    if (error !== null) {
      this.#refused(op, sub, slot, error);
      return;
    }
    op.accepted |= bit;
    op.waiting &= ~bit;
    if (op.startedMs > slot.confirmedMs) slot.confirmedMs = op.startedMs;
    if ((++this.#samples & SAMPLE_MASK) === 0) {
      const nowMs = this.#clock.monotonicMs();
      const ms = nowMs - op.startedMs;
      this.#options.throttle(nowMs, ms);
      slot.latency.add(ms);
      slot.recentMs.add(ms);
    }
    op.trace?.add(PLACE, 'accepted', { member: slot.replica });
    if (op.waiting === 0) this.#finish(op, null);
    else if (op.failed !== 0 && op.unanswered === 0) this.#decide(op);
  }

  #refused(op: WriteOp, sub: SubWrite, slot: MemberSlot, error: HoldfastError): void {
    op.trace?.add(PLACE, 'refused', { member: slot.replica, code: error.code });
    if (errorKind(error.code) === 'medium') {
      op.failed |= slot.bit;
      if (op.error === null || error.effect !== 'none') op.error = error;
      if (op.unanswered === 0) this.#decide(op);
      return;
    }
    op.incomplete = true;
    this.#options.onMemberError(slot, sub.session, error);
    if (op.started && op.failed !== 0 && op.unanswered === 0) this.#decide(op);
  }

  /** All have answered and some failed: those leave, unless all did (W17). */
  #decide(op: WriteOp): void {
    const { failed, error } = op;
    if (error === null) return;
    op.failed = 0;
    const accepted = op.accepted & this.#roster.readable;
    const joiners = this.#roster.receiving & ~this.#roster.readable;
    for (const slot of this.#roster.slots) {
      if ((failed & slot.bit) === 0) continue;
      // A joiner that lacks the write is dropped; so is a member when another one has it.
      if (accepted !== 0 || (joiners & slot.bit) !== 0) {
        this.#options.onMemberError(slot, slot.session, error);
      }
    }
    if (accepted !== 0 || !op.started) return;
    for (const slot of this.#roster.slots) {
      // A joiner that alone has what its source does not have.
      if ((op.accepted & joiners & slot.bit) !== 0) {
        this.#options.onMemberError(slot, slot.session, error);
      }
    }
    if (op.started) this.#failOnAll(op, error);
  }

  #failOnAll(op: WriteOp, error: HoldfastError): void {
    // One that was lost may have it.
    const failure = op.incomplete ? withUnknownEffect(error) : error;
    // Comes to hold the range right behind this op.
    if (failure.effect !== 'none') this.#options.onAllFailed(op);
    this.#finish(op, failure);
  }

  #finish(op: WriteOp, error: HoldfastError | null): void {
    if (op.started) {
      op.started = false;
      this.inFlight.delete(op);
    }
    if (op.incomplete) op.detach();
    const { trace } = op;
    const request = op.giveBack();
    op.trace = null;
    op.error = null;
    this.#lock.release(op.ticket);
    if (this.#spare.length < SPARE_MAX) this.#spare.push(op);
    if (request === null) return;
    if (error === null && request.fua) {
      trace?.add(PLACE, 'flushing');
      this.#options.flush(request);
    } else {
      trace?.add(PLACE, 'acknowledged', error === null ? {} : { code: error.code });
      request.done(request, error);
    }
  }

  /** This member's session is over: nothing more is expected of it, only its removal. */
  memberStopped(slot: MemberSlot): void {
    const undecided: WriteOp[] = [];
    for (let op = this.inFlight.first; op !== null; op = op.next) {
      op.incomplete = true;
      op.unanswered &= ~slot.bit;
      if (op.failed !== 0 && op.unanswered === 0) undecided.push(op);
    }
    for (const op of undecided) if (op.started && op.failed !== 0) this.#decide(op);
  }

  /** The sets changed: ops need not wait for those who are out of the record (rule 10). */
  recheck(): void {
    const owed = this.owed();
    const ready: WriteOp[] = [];
    for (let op = this.inFlight.first; op !== null; op = op.next) {
      op.waiting &= owed;
      if (op.waiting === 0) ready.push(op);
    }
    for (const op of ready) if (op.started && op.waiting === 0) this.#finish(op, null);
  }

  /** Lets requests run; first those that wait, in their order. */
  open(): void {
    this.#open = true;
    this.#failure = null;
    const parked = this.#parked;
    this.#parked = [];
    for (let i = 0; i < parked.length; i++) {
      const op = parked[i] as WriteOp;
      if (this.#open) this.#start(op);
      else this.#parked.push(op);
    }
  }

  /** Takes everything back from the members: it is sent again when the flow opens (rule 12). */
  close(): void {
    this.#open = false;
    const again: WriteOp[] = [];
    for (let op = this.inFlight.first; op !== null; op = op.next) again.push(op);
    for (const op of again) {
      op.started = false;
      op.detach();
      op.accepted = 0;
      op.failed = 0;
      op.error = null;
      this.inFlight.delete(op);
    }
    this.#parked = [...again, ...this.#parked];
  }

  /** Fails what waits. What is with the members keeps its range until they are done with it. */
  failWaiting(error: HoldfastError): void {
    const parked = this.#parked;
    this.#parked = [];
    const queued = [...this.#queued];
    this.#queued.clear();
    const stuck: BlockRequest[] = [];
    for (let op = this.inFlight.first; op !== null; op = op.next) {
      // The client's bytes are its own again, so no member may still have them.
      if (op.unanswered !== 0) continue;
      op.detach();
      const request = op.giveBack();
      if (request !== null) stuck.push(request);
    }
    // What waits for its range was not begun; it goes first, so that nothing of it begins now.
    for (const op of queued) this.#finish(op, error);
    for (const op of parked) this.#finish(op, error);
    for (const request of stuck) request.done(request, error);
  }

  /** Fails everything, now and from now on. */
  failForGood(error: HoldfastError): void {
    this.#failure = error;
    this.close();
    this.failWaiting(error);
  }
}

function withUnknownEffect({ code, message, details }: HoldfastError): HoldfastError {
  return new HoldfastError(code, message, { effect: 'unknown', details });
}
