/**
 * ReadPath: a read goes to one in-sync member, the local one when there is; on an error, a checksum
 * mismatch or silence to the next.
 *
 * Invariants
 * - *Current or silent*: only `roster.readable` members are asked (never a joiner, nor one whose
 *   removal is under way, R10), and only under a read lease (R4).
 * - A range with a write in flight is not read (R7): the read holds its range, shared.
 * - *Right bytes or an error*: what fails its checksum is read elsewhere, block by block if need
 *   be, and
 *   repaired in place.
 * - After silence or a lost session the answer comes in a fresh buffer: the first may still be
 * written to.
 */
import { HoldfastError } from '#api/mod.ts';
import type { BlockRequest } from '#data/block/mod.ts';
import type { Clock } from '#host/mod.ts';
import { EMPTY_BYTES, type RangeLock } from '#lib/mod.ts';
import { errorKind } from './error-kind.ts';
import type { MemberRoster } from './member-roster.ts';
import type { MemberSession } from './member-session.ts';
import type { MemberSlot } from './member-slot.ts';
import type { ReadLease } from './read-lease.ts';
import { ReadOp, type ReadOwner, type SubRead } from './read-op.ts';

const SPARE_MAX = 1024;
const SAMPLE_MASK = 7;
/** The preferred member is chosen again after so many reads. */
const CHOOSE_EVERY = 256;
/** A member this many times slower than the best one, and by this much, is not preferred. */
const SLOW_FACTOR = 4;
const SLOW_MS = 2;

export interface ReadPathOptions {
  readonly roster: MemberRoster;
  readonly lock: RangeLock;
  readonly lease: ReadLease;
  readonly clock: Clock;
  readonly onMemberError: (
    slot: MemberSlot,
    session: MemberSession | null,
    error: HoldfastError,
  ) => void;
  /** Reads the range block by block from whoever has it; the range is held. */
  readonly readByBlock: (request: BlockRequest) => Promise<Uint8Array>;
  /** These members' copies of the range are bad. The range is not held. */
  readonly onBadCopies: (offsetBytes: number, lengthBytes: number, members: number) => void;
  readonly onBusy: () => void;
  /** A sampled latency, for the throttle of rebuilds. */
  readonly throttle: (nowMs: number, ms: number) => void;
}

export class ReadPath implements ReadOwner {
  readonly #options: ReadPathOptions;
  readonly #roster: MemberRoster;
  readonly #lock: RangeLock;
  readonly #lease: ReadLease;
  readonly #clock: Clock;
  readonly #spare: ReadOp[] = [];
  readonly #queued = new Set<ReadOp>();
  /** Wait for the flow, a lease or a member. */
  #parked: ReadOp[] = [];
  #open = false;
  #failure: HoldfastError | null = null;
  #preferred: MemberSlot | null = null;
  #untilChoice = 0;
  #samples = 0;
  first: ReadOp | null = null;
  #last: ReadOp | null = null;
  inFlight = 0;

  constructor(options: ReadPathOptions) {
    this.#options = options;
    this.#roster = options.roster;
    this.#lock = options.lock;
    this.#lease = options.lease;
    this.#clock = options.clock;
  }

  get waitingCount(): number {
    return this.#queued.size + this.#parked.length + this.inFlight;
  }

  get parkedCount(): number {
    return this.#parked.length;
  }

  submit(request: BlockRequest): void {
    const op = this.#spare.pop() ?? new ReadOp(this);
    op.request = request;
    op.tried = 0;
    op.bad = 0;
    op.error = null;
    const { ticket } = op;
    ticket.offset = request.offsetBytes;
    ticket.length = request.lengthBytes;
    if (this.#lock.acquire(ticket)) this.granted(op);
    else this.#queued.add(op);
  }

  granted(op: ReadOp): void {
    if (this.#queued.size > 0) this.#queued.delete(op);
    if (this.#failure !== null) this.#finish(op, this.#failure);
    else this.#start(op);
  }

  #start(op: ReadOp): void {
    const nowMs = this.#clock.monotonicMs();
    if (!this.#open || !this.mayRead(nowMs)) {
      this.#parked.push(op);
      return;
    }
    op.startedMs = nowMs;
    const slot = this.#choose(op.tried);
    if (slot === null || slot.session === null) this.#exhausted(op);
    else this.#send(op, slot, slot.session);
  }

  /** R4: checked for every read, at the moment when it is sent. */
  mayRead(nowMs: number): boolean {
    return this.#lease.valid(nowMs);
  }

  /** The members that may be read. */
  candidates(): number {
    return this.#roster.readable;
  }

  #send(op: ReadOp, slot: MemberSlot, session: MemberSession): void {
    const request = op.request as BlockRequest;
    const { sub } = op;
    op.tried |= slot.bit;
    if (!op.started) this.#link(op);
    sub.offsetBytes = request.offsetBytes;
    sub.lengthBytes = request.lengthBytes;
    sub.data = op.scratch ?? request.data;
    sub.slot = slot;
    sub.session = session;
    sub.busy = true;
    session.member.submit(sub);
  }

  #choose(tried: number): MemberSlot | null {
    const readable = this.candidates();
    const preferred = this.#preferred;
    if (preferred !== null && --this.#untilChoice > 0) {
      if ((readable & preferred.bit & ~tried) !== 0 && preferred.session !== null) return preferred;
    }
    let best: MemberSlot | null = null;
    let local: MemberSlot | null = null;
    for (const slot of this.#roster.slots) {
      if ((readable & slot.bit & ~tried) === 0 || slot.session === null) continue;
      if (best === null || slot.recentMs.value < best.recentMs.value) best = slot;
      if (slot.local) local = slot;
    }
    // A gray local member is read again when the others are no quicker.
    if (local !== null && best !== null) {
      const slow = best.recentMs.value * SLOW_FACTOR + SLOW_MS;
      if (local.recentMs.value <= slow && local.blameMs === 0) best = local;
    }
    if (tried === 0) {
      this.#preferred = best;
      this.#untilChoice = CHOOSE_EVERY;
    }
    return best;
  }

  answered(op: ReadOp, sub: SubRead, error: HoldfastError | null): void {
    const slot = sub.slot as MemberSlot;
    if (error === null) {
      if ((++this.#samples & SAMPLE_MASK) === 0) {
        const nowMs = this.#clock.monotonicMs();
        const ms = nowMs - op.startedMs;
        this.#options.throttle(nowMs, ms);
        slot.latency.add(ms);
        slot.recentMs.add(ms);
      }
      this.#finish(op, null);
      return;
    }
    if (errorKind(error.code) === 'medium') {
      op.bad |= slot.bit;
      op.error = error;
      // It gave the buffer back; still nothing of two members' answers is ever mixed.
      op.abandonSub();
      op.scratch = new Uint8Array((op.request as BlockRequest).lengthBytes);
    } else {
      this.freshBuffer(op);
      this.#options.onMemberError(slot, sub.session, error);
      if (!op.started) return;
    }
    this.#unlink(op);
    this.#start(op);
  }

  /** The member may still write into what it was given. */
  freshBuffer(op: ReadOp): void {
    const request = op.request as BlockRequest;
    op.abandonSub();
    op.scratch = null;
    request.data = new Uint8Array(request.lengthBytes);
  }

  /** It takes too long: it is asked of another member, if there is one. */
  retryElsewhere(op: ReadOp): boolean {
    const slot = this.#choose(op.tried);
    if (slot === null || slot.session === null) return false;
    this.freshBuffer(op);
    op.startedMs = this.#clock.monotonicMs();
    // Younger than what follows it in the list now.
    this.#unlink(op);
    this.#send(op, slot, slot.session);
    return true;
  }

  /** Everybody was tried. */
  #exhausted(op: ReadOp): void {
    const { error } = op;
    if (error === null) {
      // Nobody said no: they were lost. The flow closes, or a member comes.
      op.tried = 0;
      this.#parked.push(op);
      return;
    }
    const request = op.request as BlockRequest;
    // Members may be bad in different blocks.
    void this.#options.readByBlock(request).then(
      (data) => {
        if (op.request !== request) return;
        request.data.set(data);
        op.scratch = null;
        this.#finish(op, null);
      },
      (reason: unknown) => {
        if (op.request !== request) return;
        this.#finish(op, HoldfastError.is(reason) ? reason : error);
      },
    );
  }

  #finish(op: ReadOp, error: HoldfastError | null): void {
    if (op.started) this.#unlink(op);
    const request = op.request as BlockRequest;
    const { bad } = op;
    op.request = null;
    op.error = null;
    op.sub.data = EMPTY_BYTES;
    if (op.scratch !== null && error === null) request.data.set(op.scratch);
    op.scratch = null;
    this.#lock.release(op.ticket);
    if (this.#spare.length < SPARE_MAX) this.#spare.push(op);
    if (bad !== 0 && (error === null || error.code === 'checksum-mismatch')) {
      this.#options.onBadCopies(request.offsetBytes, request.lengthBytes, bad);
    }
    request.done(request, error);
  }

  #link(op: ReadOp): void {
    op.started = true;
    op.before = this.#last;
    op.next = null;
    if (this.#last === null) this.first = op;
    else this.#last.next = op;
    this.#last = op;
    if (++this.inFlight === 1) this.#options.onBusy();
  }

  #unlink(op: ReadOp): void {
    op.started = false;
    if (op.before === null) this.first = op.next;
    else op.before.next = op.next;
    if (op.next === null) this.#last = op.before;
    else op.next.before = op.before;
    op.before = null;
    op.next = null;
    this.inFlight--;
  }

  /** This member's session is over: its reads go elsewhere. */
  memberStopped(slot: MemberSlot): void {
    if (this.#preferred === slot) this.#preferred = null;
    const moved: ReadOp[] = [];
    for (let op = this.first; op !== null; op = op.next) if (op.sub.slot === slot) moved.push(op);
    for (const op of moved) {
      if (!op.started || op.sub.slot !== slot) continue;
      this.freshBuffer(op);
      this.#unlink(op);
      this.#start(op);
    }
  }

  /** Who is gray is not preferred from now on. */
  chooseAgain(): void {
    this.#preferred = null;
  }

  /** A lease, a member, or the flow came back. */
  recheck(): void {
    if (!this.#open || this.#parked.length === 0) return;
    const parked = this.#parked;
    this.#parked = [];
    for (const op of parked) this.#start(op);
  }

  open(): void {
    this.#open = true;
    this.#failure = null;
    this.#preferred = null;
    this.recheck();
  }

  /** Takes everything back from the members; read again when the flow opens. */
  close(): void {
    this.#open = false;
    this.#preferred = null;
    for (let op = this.first; op !== null; op = this.first) {
      this.freshBuffer(op);
      this.#unlink(op);
      op.tried = 0;
      this.#parked.push(op);
    }
  }

  failWaiting(error: HoldfastError): void {
    const parked = this.#parked;
    this.#parked = [];
    const queued = [...this.#queued];
    this.#queued.clear();
    for (const op of queued) this.#finish(op, error);
    for (const op of parked) this.#finish(op, error);
  }

  failForGood(error: HoldfastError): void {
    this.#failure = error;
    this.close();
    this.failWaiting(error);
  }
}
