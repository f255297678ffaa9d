/**
 * FlushRounds: flushes, the generations they divide time into, and what is complete (rules 8 and
 * 9).
 *
 * One round at a time. A flush that is asked for while a round runs may follow writes that the
 * round does not cover, so it waits for the next one; all that wait share it (*Honest flush*).
 *
 *     n=3 │ writes (e,3) ...  │ round starts: n=4 │ writes (e,4) ... │ all synced: (e,3) is
 *     complete,
 *         │                   │                   │                  │ if no write ≤ 3 was in
 *         flight
 *                                                                    │ when the round began
 */
import { compareGenerations, type Generation, HoldfastError } from '#api/mod.ts';
import type { BlockRequest } from '#data/block/mod.ts';
import type { Clock } from '#host/mod.ts';
import type { GenerationClock } from './generation-clock.ts';
import type { MemberRoster } from './member-roster.ts';
import type { MemberSession } from './member-session.ts';
import type { MemberSlot } from './member-slot.ts';
import type { OpList } from './write-op.ts';

export interface FlushRoundsOptions {
  readonly roster: MemberRoster;
  readonly generations: GenerationClock;
  readonly inFlight: OpList;
  readonly clock: Clock;
  readonly onMemberError: (
    slot: MemberSlot,
    session: MemberSession | null,
    error: HoldfastError,
  ) => void;
  /** A round is under way: deadlines have to be watched. */
  readonly onBusy: () => void;
}

/** Who waits for a round: a request of the frontend, or a cold path. */
type Waiter = BlockRequest | ((error: HoldfastError | null) => void);

export class FlushRounds {
  readonly #options: FlushRoundsOptions;
  #waiters: Waiter[] = [];
  /** Served by the round that runs; null when none runs. */
  #served: Waiter[] | null = null;
  #open = false;
  #failure: HoldfastError | null = null;
  /** Rises with every start and stop: late answers of an older round say nothing. */
  #round = 0;
  /** Who has not synced yet. */
  waiting = 0;
  startedMs = 0;
  /** What the round makes complete. */
  #covers: Generation = { epoch: 0, n: 0 };
  completed: Generation = { epoch: 0, n: 0 };

  constructor(options: FlushRoundsOptions) {
    this.#options = options;
  }

  get running(): boolean {
    return this.#served !== null;
  }

  get waitingCount(): number {
    return this.#waiters.length + (this.#served?.length ?? 0);
  }

  submit(waiter: Waiter): void {
    if (this.#failure !== null) return finish(waiter, this.#failure);
    this.#waiters.push(waiter);
    if (this.#open && this.#served === null) this.#start();
  }

  flush(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.submit((error) => (error === null ? resolve() : reject(error)));
    });
  }

  #start(): void {
    const { roster, generations, clock, onBusy } = this.#options;
    this.#served = this.#waiters;
    this.#waiters = [];
    const round = ++this.#round;
    this.startedMs = clock.monotonicMs();
    this.#covers = this.coveredNow();
    // R8: writes that start from here on carry the next number.
    generations.raise();
    this.waiting = this.owed();
    onBusy();
    for (const slot of roster.receivers) {
      const { session } = slot;
      if (session !== null && round === this.#round) this.#sync(slot, session, round);
    }
    this.recheck();
  }

  /** R8: every member that counts, and the joiner. */
  owed(): number {
    return this.#options.roster.owed;
  }

  /** R9: everything before the oldest write in flight. */
  coveredNow(): Generation {
    const { generations, inFlight } = this.#options;
    const oldest = inFlight.first;
    return { epoch: generations.epoch, n: oldest === null ? generations.n : oldest.n - 1 };
  }

  #sync(slot: MemberSlot, session: MemberSession, round: number): void {
    session.member.flush().then(
      () => {
        if (!this.isCurrent(round, session)) return;
        if (this.startedMs > slot.confirmedMs) slot.confirmedMs = this.startedMs;
        this.waiting &= ~slot.bit;
        this.recheck();
      },
      (error: unknown) => {
        if (session.closed) return;
        if (!HoldfastError.is(error)) throw error;
        if (round === this.#round) this.#failed(slot, session, error);
      },
    );
  }

  /** R8: an answer belongs to a round and to a session; a late one says nothing of this round. */
  protected isCurrent(round: number, session: MemberSession): boolean {
    return round === this.#round && !session.closed;
  }

  #failed(slot: MemberSlot, session: MemberSession, error: HoldfastError): void {
    const { roster, onMemberError } = this.#options;
    const others = roster.readable & ~slot.bit;
    const isLast = others === 0 && (roster.readable & slot.bit) !== 0;
    // The last copy could not sync: the client has to know. After an I/O error the replica is
    // failed (W3); without space it lost nothing, and syncs again when there is some (W17).
    if (isLast && (error.code === 'io-error' || error.code === 'no-space')) this.#end(error);
    if (isLast && error.code === 'no-space') return;
    onMemberError(slot, session, error);
  }

  /** The sets changed, or a member answered. */
  recheck(): void {
    if (this.#served === null) return;
    this.waiting &= this.owed();
    if (this.waiting === 0) this.#end(null);
  }

  #end(error: HoldfastError | null): void {
    const served = this.#served ?? [];
    this.#served = null;
    this.#round++;
    if (error === null) this.#complete();
    for (const waiter of served) finish(waiter, error);
    if (this.#waiters.length > 0 && this.#open && this.#served === null) this.#start();
  }

  #complete(): void {
    if (compareGenerations(this.#covers, this.completed) <= 0) return;
    this.completed = this.#covers;
    this.tell(this.completed);
  }

  /** R9: told to members that are in sync, never to a joiner. */
  tell(generation: Generation): void {
    for (const slot of this.told()) slot.session?.member.complete(generation);
  }

  told(): readonly MemberSlot[] {
    const { roster } = this.#options;
    return roster.slots.filter((slot) => (roster.readable & slot.bit) !== 0);
  }

  /** After reconcile everything of earlier epochs is equal and synced (rule 6). */
  begin(completed: Generation): void {
    this.completed = completed;
    this.tell(completed);
  }

  open(): void {
    this.#open = true;
    this.#failure = null;
    if (this.#waiters.length > 0 && this.#served === null) this.#start();
  }

  /** Flushes under way begin anew when the flow opens. */
  close(): void {
    this.#open = false;
    this.#round++;
    this.#waiters = [...(this.#served ?? []), ...this.#waiters];
    this.#served = null;
    this.waiting = 0;
  }

  failWaiting(error: HoldfastError): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    const served = this.#served;
    if (served !== null) this.#served = [];
    for (const waiter of [...(served ?? []), ...waiters]) finish(waiter, error);
  }

  failForGood(error: HoldfastError): void {
    this.#failure = error;
    this.close();
    this.failWaiting(error);
  }
}

function finish(waiter: Waiter, error: HoldfastError | null): void {
  if (typeof waiter === 'function') waiter(error);
  else waiter.done(waiter, error);
}
