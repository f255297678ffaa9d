/**
 * LocalMember: a session with a replica of the same thread (the contract is data/member).
 *
 * A session is *bound* while its promise is the last one granted; only then do its verbs reach the
 * store. The hot path compares one field, takes a slot from a free list and hands the caller's own
 * request object to the store, with `done` exchanged until it comes back: the session must know
 * what it has in the store, because a flush waits for its earlier writes, and a promise to a newer
 * session waits for all of them.
 *
 * When the session has ended, requests that are still in the store keep their buffers: their `done`
 * runs when the store lets go of them, with the error that ended the session and effect unknown.
 */
import {
  type Generation,
  HoldfastError,
  type LayerRef,
  type MembershipRecord,
  type ReplicaId,
  type ReplicaState,
  type ReplicaUsage,
  type ScrubReport,
  type SegmentInspection,
  type SnapshotId,
  type StampedSegment,
  type VoterState,
} from '#api/mod.ts';
import type { BlockExtent, ReplicaRequest } from '#data/block/mod.ts';
import type { Member } from '#data/member/mod.ts';
import type { ReplicaStore } from '#data/store/mod.ts';
import { assert } from '#lib/mod.ts';
import type { Replica } from './replica.ts';
import { WriteWindow } from './write-window.ts';

/** Entries of one answer of `stampedSince`, in process as on the wire. */
const STAMPED_LIMIT_MAX = 65_536;

class Slot {
  readonly #session: LocalMember;
  request: ReplicaRequest | null = null;
  callerDone: ((error: HoldfastError | null) => void) | null = null;
  window: unknown = null;
  readonly done: (error: HoldfastError | null) => void;

  constructor(session: LocalMember) {
    this.#session = session;
    this.done = (error) => this.#session.completed(this, error);
  }
}

export class LocalMember implements Member {
  readonly replica: ReplicaId;
  readonly voter: ReplicaId;
  readonly state: ReplicaState;
  /** Later sessions of the same replica have higher numbers. */
  readonly number: number;
  readonly #owner: Replica;
  readonly #store: ReplicaStore;
  readonly #spare: Slot[] = [];
  readonly #changes = new WriteWindow();
  #bound = false;
  #epoch = 0;
  #ended: HoldfastError | null = null;
  #onLost: ((error: HoldfastError) => void) | null = null;

  constructor(owner: Replica, number: number) {
    this.#owner = owner;
    this.#store = owner.store;
    this.state = owner.store.state();
    this.replica = owner.id;
    this.voter = owner.id;
    this.number = number;
  }

  /** The epoch it is, or was last, bound to; 0 before the first promise. */
  get epoch(): number {
    return this.#epoch;
  }

  get ended(): HoldfastError | null {
    return this.#ended;
  }

  /** Changes that are in the store: writes, and cold verbs that change something. */
  get inFlight(): number {
    return this.#changes.pending;
  }

  // --- called by the replica
  // --------------------------------------------------------------------------

  bind(epoch: number): void {
    this.#epoch = epoch;
    this.#bound = true;
  }

  unbind(): void {
    this.#bound = false;
  }

  /** Resolves when nothing of this session is in the store any more. */
  async drained(): Promise<void> {
    for (let rest = this.#changes.wait(); rest !== null; rest = this.#changes.wait()) await rest;
  }

  /** Ends the session for a reason that is not our own `close`. */
  endBy(error: HoldfastError): void {
    if (this.#end(error)) this.#onLost?.(error);
  }

  #end(error: HoldfastError): boolean {
    if (this.#ended !== null) return false;
    this.#ended = error;
    this.#bound = false;
    this.#owner.forget(this);
    return true;
  }

  // --- session
  // ------------------------------------------------------------------------------------------

  async refresh(): Promise<ReplicaState> {
    if (this.#ended !== null) throw this.#ended;
    return this.#store.state();
  }

  onLost(listener: (error: HoldfastError) => void): void {
    assert(this.#onLost === null, 'a session has one listener');
    this.#onLost = listener;
  }

  close(): void {
    this.#end(new HoldfastError('aborted', 'Session was closed'));
  }

  async promise(epoch: number, nexus: string): Promise<VoterState> {
    if (!Number.isSafeInteger(epoch) || epoch < 1 || nexus.length < 1 || nexus.length > 256) {
      throw new HoldfastError('invalid-argument', 'Promise is malformed', {
        details: { epoch, nexus: nexus.slice(0, 80) },
      });
    }
    return this.#owner.promise(this, epoch, nexus);
  }

  commit(record: MembershipRecord): Promise<VoterState> {
    return this.#owner.commit(this, record);
  }

  async confirm(epoch: number): Promise<boolean> {
    if (this.#ended !== null) throw this.#ended;
    return epoch === this.#owner.promised;
  }

  // --- hot path
  // -----------------------------------------------------------------------------------------

  submit(request: ReplicaRequest): void {
    const reading = request.verb === 'read';
    if (!this.#bound || this.#owner.silent) {
      request.done(this.#refusal());
      return;
    }
    const slot = this.#spare.pop() ?? new Slot(this);
    slot.request = request;
    slot.callerDone = request.done;
    slot.window = reading ? null : this.#changes.begin();
    request.done = slot.done;
    request.trace?.add('src/data/replica', 'let in');
    this.#store.submit(request);
  }

  /** Called by a slot when the store is done with its request. */
  completed(slot: Slot, outcome: HoldfastError | null): void {
    const request = slot.request as ReplicaRequest;
    const done = slot.callerDone as (error: HoldfastError | null) => void;
    const { window } = slot;
    slot.request = null;
    slot.callerDone = null;
    this.#spare.push(slot);
    request.done = done;
    if (outcome !== null) this.#owner.noteError();
    const error = this.#ended === null ? outcome : lostInFlight(this.#ended);
    done(error);
    // Last: a flush or a promise that waits goes on in a later microtask, and `done` may submit
    // anew.
    if (window !== null) this.#changes.end(window);
  }

  #refusal(): HoldfastError {
    if (this.#ended !== null) return this.#ended;
    if (!this.#bound) return this.#owner.refusal();
    return new HoldfastError('not-current', 'Replica was rolled back and is not reset');
  }

  async flush(): Promise<void> {
    this.#mustBeBound();
    const earlier = this.#changes.wait();
    if (earlier !== null) {
      await earlier;
      this.#mustBeBound();
    }
    await this.#watched(this.#store.flush());
  }

  complete(generation: Generation): void {
    if (this.#bound && !this.#owner.silent) this.#store.setCompleted(generation);
  }

  // --- what a rebuild asks
  // --------------------------------------------------------------------------------

  async intents(): Promise<number[]> {
    this.#mustBeCurrent();
    return this.#store.intents();
  }

  async stampedSince(
    generation: Generation,
    fromSegment: number,
    limit: number,
  ): Promise<StampedSegment[]> {
    this.#mustBeCurrent();
    if (!(limit >= 1 && limit <= STAMPED_LIMIT_MAX)) {
      throw new HoldfastError('invalid-argument', 'Limit is out of range', {
        details: { limit, limitMax: STAMPED_LIMIT_MAX },
      });
    }
    return this.#watched(this.#store.stampedSince(generation, fromSegment, limit));
  }

  async inspect(layer: LayerRef, segment: number): Promise<SegmentInspection> {
    this.#mustBeCurrent();
    return this.#watched(this.#store.inspect(layer, segment));
  }

  settle(
    segment: number,
    kinds: Uint8Array,
    contentCrcs: Uint32Array,
    stamp: Generation,
  ): Promise<void> {
    return this.#change('after-none', () => this.#store.settle(segment, kinds, contentCrcs, stamp));
  }

  clearIntents(all: boolean): Promise<void> {
    return this.#change('after-none', () => this.#store.clearIntents(all));
  }

  async reset(sizeBytes: number): Promise<void> {
    this.#mustBeBound();
    await this.#run('after-writes', () => this.#store.reset(sizeBytes));
    this.#owner.resetDone();
  }

  async setRebuild(text: string): Promise<void> {
    this.#mustBeBound();
    await this.#run('after-none', () => this.#store.setRebuild(text));
  }

  // --- snapshots, growth, scrub
  // -----------------------------------------------------------------------------

  createSnapshot(id: SnapshotId, generation: Generation): Promise<void> {
    return this.#change('after-writes', () => this.#store.createSnapshot(id, generation));
  }

  deleteSnapshot(id: SnapshotId): Promise<void> {
    return this.#change('after-none', () => this.#store.deleteSnapshot(id));
  }

  beginSnapshotInstall(id: SnapshotId, generation: Generation): Promise<void> {
    return this.#change('after-writes', () => this.#store.beginSnapshotInstall(id, generation));
  }

  sealSnapshot(id: SnapshotId): Promise<void> {
    return this.#change('after-writes', () => this.#store.sealSnapshot(id));
  }

  grow(sizeBytes: number): Promise<void> {
    return this.#change('after-none', () => this.#store.grow(sizeBytes));
  }

  async scrub(budgetBlocks: number): Promise<ScrubReport> {
    this.#mustBeCurrent();
    return this.#watched(this.#store.scrub(budgetBlocks));
  }

  async usage(): Promise<ReplicaUsage> {
    if (this.#ended !== null) throw this.#ended;
    return this.#watched(this.#store.usage());
  }

  async extents(offsetBytes: number, lengthBytes: number): Promise<BlockExtent[]> {
    this.#mustBeCurrent();
    return this.#watched(this.#store.extents(offsetBytes, lengthBytes));
  }

  // --- the gate of the cold verbs
  // ---------------------------------------------------------------------------

  #mustBeBound(): void {
    if (!this.#bound) throw this.#refusal();
  }

  #mustBeCurrent(): void {
    if (!this.#bound || this.#owner.silent) throw this.#refusal();
  }

  /** The outcome of a store verb, unless the session ended meanwhile. */
  async #watched<T>(outcome: Promise<T>): Promise<T> {
    const result = await this.#owner.watch(outcome);
    if (this.#ended !== null) throw lostInFlight(this.#ended);
    return result;
  }

  async #change(order: 'after-writes' | 'after-none', action: () => Promise<void>): Promise<void> {
    this.#mustBeCurrent();
    await this.#run(order, action);
  }

  /** A verb that changes the store: a newer session's promise waits for it as for a write. */
  async #run(order: 'after-writes' | 'after-none', action: () => Promise<void>): Promise<void> {
    const earlier = order === 'after-writes' ? this.#changes.wait() : null;
    if (earlier !== null) {
      await earlier;
      this.#mustBeBound();
    }
    const window = this.#changes.begin();
    try {
      await this.#watched(action());
    } finally {
      this.#changes.end(window);
    }
  }
}

function lostInFlight(ended: HoldfastError): HoldfastError {
  return new HoldfastError(ended.code, ended.message, {
    effect: 'unknown',
    details: ended.details,
    cause: ended.cause,
  });
}
