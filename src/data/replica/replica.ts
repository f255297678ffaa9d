/**
 * Replica: one stored copy, and who may use it (protocol.md "State", rules 1, 8, 10, 16).
 *
 *     nexus A ── LocalMember (session 3, bound: epoch 7) ─┐
 *     nexus B ── LocalMember (session 4, not bound)       ├─ Replica ─── ReplicaStore
 *     PeerServer ── LocalMember (session 5, not bound)    ┘
 *
 * Any number of sessions may be connected; at most one is *bound*: the one whose promise was
 * granted last. Only the bound session changes or reads data and commits records.
 *
 * Invariants
 * - R1: a promise is durable before it is answered. The same epoch is granted to the same nexus
 *   only,
 *   and then only to a session that is not older than the bound one.
 * - R1: a granted promise ends the session that was bound. What that one still has in the store is
 *   waited for before the promise is answered: an old write must not land over a newer one.
 * - R10: a record is accepted from the bound session, in its epoch, when (epoch, seq) rises;
 *   durable
 *   before it is answered.
 * - *One writer*: whatever comes from another session is refused with `fenced` or `stale-session`.
 * - *Current or silent* (R16): a replica that was rolled back reads nothing before `reset`.
 * - W3: when the store has failed, every session fails with `replica-failed`.
 *
 * It keeps nothing durable by itself and knows neither addresses nor other replicas.
 */
import {
  comparePositions,
  HoldfastError,
  type MembershipRecord,
  type ReplicaId,
  type ReplicaState,
  type ScrubReport,
  type VoterState,
} from '#api/mod.ts';
import type { ReplicaStore } from '#data/store/mod.ts';
import type { Log } from '#host/mod.ts';
import { LocalMember } from './local-member.ts';

export interface ReplicaOptions {
  readonly store: ReplicaStore;
  readonly log?: Log;
}

export class Replica {
  readonly id: ReplicaId;
  readonly store: ReplicaStore;
  readonly #log: Log | null;
  readonly #sessions = new Set<LocalMember>();
  #lastNumber = 0;
  #bound: LocalMember | null = null;
  /** Number of the session that the promised epoch was last granted to. */
  #boundNumber = 0;
  /** Sessions that ended while they had something in the store. */
  readonly #draining = new Set<LocalMember>();
  /** The highest epoch that is promised, or about to be: in memory ahead of the store. */
  #promised: number;
  #silent: boolean;
  #ended: HoldfastError | null = null;
  /** Promises and commits one after another. */
  #voting: Promise<unknown> = Promise.resolve();

  constructor(options: ReplicaOptions) {
    this.store = options.store;
    this.#log = options.log ?? null;
    const state = this.store.state();
    this.id = state.identity.replica;
    this.#promised = state.promised;
    this.#silent = state.condition === 'rolled-back';
    if (state.failed !== null) this.#ended = failedError(state.failed);
  }

  /**
   * A new session, not bound to an epoch yet. Throws `replica-failed` or `aborted` when it is over.
   */
  openSession(): LocalMember {
    if (this.#ended !== null) throw this.#ended;
    this.#lastNumber += 1;
    const session = new LocalMember(this, this.#lastNumber);
    this.#sessions.add(session);
    return session;
  }

  state(): ReplicaState {
    return this.store.state();
  }

  /**
   * Verifies the next blocks for the engine's own schedule: it changes nothing and tells nobody's
   * data, so it needs no session. `replica-failed`, `aborted`.
   */
  async scrub(budgetBlocks: number): Promise<ScrubReport> {
    if (this.#ended !== null) throw this.#ended;
    return this.watch(this.store.scrub(budgetBlocks));
  }

  get promised(): number {
    return this.#promised;
  }

  get sessionCount(): number {
    return this.#sessions.size;
  }

  /** True while reads are refused: rolled back and not yet reset (R16). */
  get silent(): boolean {
    return this.#silent;
  }

  /** Why the replica serves nobody any more, or null. */
  get ended(): HoldfastError | null {
    return this.#ended;
  }

  /**
   * Ends every session with this error and refuses new ones; the store stays as it is. For a store
   * that failed, a pool that is taken away, and the crash of a simulated process.
   */
  fail(error: HoldfastError): void {
    if (this.#ended !== null) return;
    this.#ended = error;
    for (const session of [...this.#sessions]) session.endBy(error);
  }

  /** Ends every session, waits for what is in the store, and closes the store cleanly. */
  async close(): Promise<void> {
    const sessions = [...this.#sessions];
    this.fail(new HoldfastError('aborted', 'Replica was closed'));
    await Promise.all(sessions.map((session) => session.drained()));
    await this.#voting;
    await this.store.close();
  }

  // --- what sessions ask
  // ----------------------------------------------------------------------------

  /** Rule 1. */
  promise(session: LocalMember, epoch: number, nexus: string): Promise<VoterState> {
    return this.#vote(session, async () => {
      const { promised, promisedTo } = this.store.state();
      if (epoch < promised) return this.#answer(false);
      if (epoch === promised) {
        if (nexus !== promisedTo) return this.#answer(false);
        // The same nexus again: only a session that is not older than the one it replaces.
        if (session.number < this.#boundNumber) throw staleError(epoch);
      }
      const former = this.#bound;
      this.#bound = null;
      this.#promised = epoch;
      if (former !== null && former !== session) {
        former.endBy(epoch > promised ? fencedError(epoch) : staleError(epoch));
      }
      session.unbind();
      // Also a session that ended long ago may still have writes in the store.
      await Promise.all([session, ...this.#draining].map((other) => this.drain(other)));
      if (epoch > promised) {
        await this.watch(this.store.setPromised(epoch, nexus));
      }
      if (session.ended !== null) throw session.ended;
      this.#bound = session;
      this.#boundNumber = session.number;
      session.bind(epoch);
      return this.#answer(true);
    });
  }

  /** Rule 10. */
  commit(session: LocalMember, record: MembershipRecord): Promise<VoterState> {
    return this.#vote(session, async () => {
      if (session !== this.#bound || record.epoch !== session.epoch) return this.#answer(false);
      const stored = this.store.state().record;
      if (stored !== null) {
        const order = comparePositions(record, stored);
        if (order < 0) return this.#answer(false);
        if (order === 0) return this.#answer(sameRecord(record, stored));
      }
      await this.watch(this.store.setRecord(record));
      return this.#answer(true);
    });
  }

  /** Called by a session that reset the store: it holds nothing old any more. */
  resetDone(): void {
    this.#silent = false;
  }

  /** A session that ended; its changes in the store go on being waited for. */
  forget(session: LocalMember): void {
    this.#sessions.delete(session);
    if (session === this.#bound) this.#bound = null;
    if (session.inFlight === 0) return;
    this.#draining.add(session);
    void session.drained().then(() => this.#draining.delete(session));
  }

  /**
   * Passes the outcome of a store verb on and ends the replica when the store failed with it (W3).
   */
  async watch<T>(outcome: Promise<T>): Promise<T> {
    try {
      return await outcome;
    } catch (error) {
      this.noteError();
      throw error;
    }
  }

  /** After any error of the store: has it failed for good? */
  noteError(): void {
    const { failed } = this.store.state();
    if (failed === null || this.#ended !== null) return;
    this.#log?.error('Replica stopped serving', { replica: this.id, storeCode: failed.code });
    this.fail(failedError(failed));
  }

  /** Why a session that is not bound may do nothing. */
  refusal(): HoldfastError {
    return fencedError(this.#promised);
  }

  /** Waits for what an older session has in the store. A test plants a mistake here. */
  protected drain(session: LocalMember): Promise<void> {
    return session.drained();
  }

  #answer(granted: boolean): VoterState {
    const { promised, record } = this.store.state();
    return { granted, promised, record };
  }

  #vote(session: LocalMember, action: () => Promise<VoterState>): Promise<VoterState> {
    const turn = this.#voting.then(async () => {
      if (session.ended !== null) throw session.ended;
      return action();
    });
    this.#voting = turn.catch(() => {});
    return turn;
  }
}

function sameRecord(a: MembershipRecord, b: MembershipRecord): boolean {
  return recordText(a) === recordText(b);
}

function recordText(record: MembershipRecord): string {
  const { epoch, seq, closed, loss, floor, held } = record;
  const members = record.members.map((member) => [member.replica, member.incarnation]);
  const places = [floor, ...held].map((place) => [place.epoch, place.seq]);
  const holders = held.map(({ voter }) => voter);
  return JSON.stringify([
    epoch,
    seq,
    members,
    record.voters,
    record.formerVoters,
    closed,
    loss,
    places,
    holders,
  ]);
}

function fencedError(promised: number): HoldfastError {
  return new HoldfastError('fenced', 'Another epoch was promised', { details: { promised } });
}

function staleError(epoch: number): HoldfastError {
  return new HoldfastError('stale-session', 'A newer session of this nexus took over', {
    details: { epoch },
  });
}

function failedError(cause: HoldfastError): HoldfastError {
  if (cause.code === 'replica-failed') return cause;
  return new HoldfastError('replica-failed', 'Replica stopped after an error of its store', {
    details: { storeCode: cause.code },
    cause,
  });
}
