/**
 * Membership: the records of this epoch, from proposal to commit (rules 5, 10, 11, 16, 17).
 *
 *     committed ◀── proposed ◀── proposed ◀── ...        the newest is sent to every voter
 *
 * A proposal cannot be taken back: the next nexus may find it on one voter and believe it. So until
 * a newer record is committed
 * - a member *counts* (must acknowledge) when any record since the committed one names it;
 * - a member may be *read* only when all of them name it.
 *
 * Invariants
 * - seq rises with every proposal; a record is committed when a majority of its voters (and of the
 *   former ones while they change) accepted exactly it.
 * - *Remove before ack*: who waits for a removal waits until `propose` resolves.
 * - At most one change of voters is under way, and nothing but a removal overtakes a proposal.
 */
import {
  comparePositions,
  CONTROL_PLANE,
  HoldfastError,
  type MembershipRecord,
  type RecordMember,
  type RecordPosition,
  type ReplicaId,
  type VoterId,
  type VoterState,
} from '#api/mod.ts';
import type { Clock, Log, Timer } from '#host/mod.ts';
import type { Voter } from '#data/member/mod.ts';
import { assert, Deferred } from '#lib/mod.ts';
import { asHoldfastError, withDeadline } from './deadline.ts';
import { isMajority, votersOf } from './majority.ts';
import type { MemberRoster } from './member-roster.ts';
import type { MemberSession } from './member-session.ts';
import type { MemberSlot } from './member-slot.ts';
import { isBelowFloor, raiseFloors } from './voter-floors.ts';

/** What a proposal changes of the record before it. */
export interface RecordChange {
  readonly members?: readonly RecordMember[];
  readonly voters?: readonly VoterId[];
  readonly closed?: boolean;
}

export interface MembershipOptions {
  readonly roster: MemberRoster;
  readonly controlPlane: Voter | null;
  readonly nexusId: string;
  readonly deadlineMs: number;
  readonly retryMs: number;
  readonly clock: Clock;
  readonly log: Log;
  /** The control plane promised a higher epoch. */
  readonly onFenced: (voter: VoterId, promised: number) => void;
  /** The session of a replica failed while it was asked. */
  readonly onVoterLost: (slot: MemberSlot, session: MemberSession, error: HoldfastError) => void;
  /** Something was proposed or committed: sets of members must be computed again. */
  readonly onChange: () => void;
}

interface Waiter {
  readonly seq: number;
  readonly committed: Deferred<void>;
}

export class Membership {
  readonly #options: MembershipOptions;
  #epoch = 0;
  #committed: MembershipRecord | null = null;
  /** Proposed since the committed one, ascending; the last is the one that is sent. */
  #open: MembershipRecord[] = [];
  #last: MembershipRecord | null = null;
  /** Who accepted the last one. */
  #granted = new Set<VoterId>();
  #waiters: Waiter[] = [];
  #closed = true;
  /** Proposals other than removals, one after another. */
  #turn: Promise<void> = Promise.resolve();
  #controlPlaneTimer: Timer | null = null;
  #controlPlaneAsked = false;
  #controlPlaneTrusted = false;
  /** R16: it was restored from an older copy: out of the voters, then in again as a new one. */
  #controlPlaneForgot = false;
  /** What it promised and holds, as far as it told us. */
  #controlPlanePromised = 0;
  #controlPlaneHeld: RecordPosition | null = null;
  #newVolume = false;
  #pendingSinceMs: number | null = null;

  constructor(options: MembershipOptions) {
    this.#options = options;
  }

  get epoch(): number {
    return this.#epoch;
  }

  /**
   * The last record known to be held by a majority; null before the opening record is committed.
   */
  get committed(): MembershipRecord | null {
    return this.#committed;
  }

  /** The newest proposal, committed or not. */
  get newest(): MembershipRecord | null {
    return this.#last;
  }

  /** Since when a proposal waits for its majority; null when none does. */
  get pendingSinceMs(): number | null {
    return this.#pendingSinceMs;
  }

  /** Voters of the newest proposal that have not accepted it. */
  missingVoters(): VoterId[] {
    if (this.#last === null) return [];
    return votersOf(this.#last).filter((voter) => !this.#granted.has(voter));
  }

  /** True when a record that could be found by the next nexus names it: it must acknowledge. */
  counts(replica: ReplicaId): boolean {
    return this.#some().some((record) => names(record, replica));
  }

  /** True when every record that could be found by the next nexus names it: it may be read. */
  readable(replica: ReplicaId): boolean {
    return this.#committed !== null && this.#some().every((record) => names(record, replica));
  }

  /** True when the newest record, or the one before a change of voters, gives it a vote. */
  votes(voter: VoterId): boolean {
    return this.#last !== null && votersOf(this.#last).includes(voter);
  }

  #some(): MembershipRecord[] {
    return this.#committed === null ? this.#open : [this.#committed, ...this.#open];
  }

  /** A new epoch begins with the opening record (rule 5). Resolves when it is committed. */
  begin(
    opening: MembershipRecord,
    context: { readonly controlPlaneTrusted: boolean; readonly newVolume: boolean },
  ): Promise<void> {
    this.end(new HoldfastError('aborted', 'Volume is opened again', { effect: 'unknown' }));
    this.#closed = false;
    this.#epoch = opening.epoch;
    this.#committed = null;
    this.#open = [];
    this.#controlPlaneTrusted = context.controlPlaneTrusted;
    this.#controlPlaneForgot = false;
    this.#controlPlaneHeld = null;
    this.#newVolume = context.newVolume;
    return this.#send(opening);
  }

  /** Stops; whoever waits for a commit gets the error. */
  end(error: HoldfastError): void {
    this.#closed = true;
    this.#controlPlaneTimer?.cancel();
    this.#controlPlaneTimer = null;
    this.#controlPlaneAsked = false;
    this.#pendingSinceMs = null;
    this.#turn = Promise.resolve();
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const { committed } of waiters) committed.reject(error);
  }

  /**
   * R10, R11: the set without these. Overtakes a pending proposal, which it repeats in all else.
   * The caller has stopped reading from them. Not called when nobody would be left.
   */
  remove(replicas: readonly ReplicaId[]): Promise<void> {
    const last = this.#require();
    const members = last.members.filter((member) => !replicas.includes(member.replica));
    assert(members.length > 0, 'a record names at least one member');
    return this.#send(this.#next(last, { members }));
  }

  /**
   * Any other change: after what is pending. `change` sees the record it builds on; null: no
   * change.
   */
  propose(change: (last: MembershipRecord) => RecordChange | null): Promise<void> {
    const turn = this.#turn.then(async () => {
      // A removal may overtake while we wait.
      while (this.#open.length > 0) await this.#wait(this.#require().seq);
      const last = this.#require();
      const wanted = change(last);
      if (wanted !== null) await this.#send(this.#next(last, wanted));
    });
    this.#turn = turn.catch(() => undefined);
    return turn;
  }

  /**
   * R17: a joint record first, which needs both majorities; then one that forgets the former
   * voters, so that the next opening need not find a majority of them.
   */
  async changeVoters(voters: readonly VoterId[]): Promise<void> {
    await this.propose((last) => (sameVoters(last.voters, voters) ? null : { voters }));
    await this.propose((last) => (last.formerVoters === null ? null : {}));
  }

  /** Resolves when nothing is pending. */
  async settled(): Promise<void> {
    while (this.#open.length > 0) await this.#wait(this.#require().seq);
  }

  /** A voter has a new session: it is told the newest record. */
  offer(slot: MemberSlot): void {
    const record = this.#last;
    if (this.#closed || record === null || slot.session === null) return;
    void this.#ask(slot, slot.session, record);
  }

  #require(): MembershipRecord {
    assert(this.#last !== null, 'an opening record comes first');
    return this.#last;
  }

  #next(last: MembershipRecord, change: RecordChange): MembershipRecord {
    const voters = change.voters ?? last.voters;
    const formerVoters = this.formerVoters(last, change, this.#open.length === 0);
    return {
      epoch: this.#epoch,
      seq: last.seq + 1,
      members: change.members ?? last.members,
      voters,
      formerVoters,
      closed: change.closed ?? false,
      loss: last.loss,
      floor: this.#floor(last, change.members ?? last.members),
      held: raiseFloors(last, { voters, formerVoters }, (voter) => this.#heldBy(voter)),
    };
  }

  /**
   * R17: a record that changes the voters carries both sets, and so does every further one until
   * one of them is committed: the next nexus may find it, and nobody knows then if it was.
   */
  protected formerVoters(
    last: MembershipRecord,
    change: RecordChange,
    settled: boolean,
  ): readonly VoterId[] | null {
    if (change.voters !== undefined) return last.voters;
    return settled ? null : last.formerVoters;
  }

  /** R16: what every member of the record is known to hold; never falls. */
  #floor(last: MembershipRecord, members: readonly RecordMember[]): RecordPosition {
    let lowest: RecordPosition | null = null;
    for (const { replica } of members) {
      const held = this.#options.roster.get(replica).held;
      if (lowest === null || comparePositions(held, lowest) < 0) lowest = held;
    }
    if (lowest === null || comparePositions(lowest, last.floor) <= 0) return last.floor;
    return { epoch: lowest.epoch, seq: lowest.seq };
  }

  #heldBy(voter: VoterId): RecordPosition | null {
    if (voter === CONTROL_PLANE) return this.#controlPlaneHeld;
    return this.#options.roster.find(voter)?.held ?? null;
  }

  #send(record: MembershipRecord): Promise<void> {
    assert(!this.#closed, 'records are proposed while the volume is open');
    this.#last = record;
    this.#open.push(record);
    this.#granted = new Set();
    this.#pendingSinceMs ??= this.#options.clock.monotonicMs();
    this.#options.onChange();
    const committed = this.#wait(record.seq);
    for (const voter of votersOf(record)) {
      if (voter === CONTROL_PLANE) {
        this.#askControlPlane();
        continue;
      }
      const slot = this.#options.roster.find(voter);
      if (slot !== undefined && slot.session !== null) void this.#ask(slot, slot.session, record);
    }
    // Members that do not vote (their vote was handed over) keep up with the records too.
    for (const slot of this.#options.roster.slots) {
      if (slot.session === null || votersOf(record).includes(slot.replica)) continue;
      void this.#ask(slot, slot.session, record);
    }
    return committed;
  }

  #wait(seq: number): Promise<void> {
    if (this.#committed !== null && this.#committed.seq >= seq) return Promise.resolve();
    const waiter = { seq, committed: new Deferred<void>() };
    this.#waiters.push(waiter);
    return waiter.committed.promise;
  }

  async #ask(slot: MemberSlot, session: MemberSession, record: MembershipRecord): Promise<void> {
    const { clock, deadlineMs } = this.#options;
    const sentMs = clock.monotonicMs();
    try {
      const answer = await withDeadline(clock, deadlineMs, session.member.commit(record));
      if (this.#closed || session.closed || record.epoch !== this.#epoch) return;
      if (!answer.granted && answer.promised > record.epoch) {
        const details = { promised: answer.promised, epoch: record.epoch };
        const error = new HoldfastError('fenced', 'A higher epoch was promised', { details });
        this.#options.onVoterLost(slot, session, error);
      } else if (answer.granted) {
        if (sentMs > slot.confirmedMs) slot.confirmedMs = sentMs;
        if (comparePositions(record, slot.held) > 0) slot.held = record;
        if (session.trusted) this.#grant(slot.replica, record);
      }
    } catch (error) {
      if (this.#closed || session.closed) return;
      this.#options.onVoterLost(slot, session, asHoldfastError(error));
    }
  }

  #askControlPlane(): void {
    const { controlPlane, clock, deadlineMs, retryMs, nexusId } = this.#options;
    const record = this.#last;
    if (controlPlane === null || record === null || this.#controlPlaneAsked || this.#closed) return;
    if (!votersOf(record).includes(CONTROL_PLANE) || this.#granted.has(CONTROL_PLANE)) return;
    this.#controlPlaneAsked = true;
    const epoch = this.#epoch;
    const ask = async (): Promise<VoterState> => {
      if (this.#controlPlanePromised < epoch) {
        const promise = await controlPlane.promise(epoch, nexusId);
        if (!promise.granted) return promise;
        this.#controlPlanePromised = epoch;
        this.#weighControlPlane(promise);
      }
      return controlPlane.commit(record);
    };
    withDeadline(clock, deadlineMs, ask()).then(
      (answer) => {
        if (this.#closed || epoch !== this.#epoch) return;
        this.#controlPlaneAsked = false;
        if (answer.granted) {
          this.#controlPlaneHeld = record;
          if (this.#controlPlaneTrusted) this.#grant(CONTROL_PLANE, record);
        } else if (answer.promised > record.epoch) {
          this.#options.onFenced(CONTROL_PLANE, answer.promised);
        } else if (answer.promised < record.epoch) {
          this.#forgotten();
        }
        // A newer record may have been proposed meanwhile.
        if (this.#last !== record) this.#askControlPlane();
      },
      (error: unknown) => {
        if (this.#closed || epoch !== this.#epoch) return;
        this.#controlPlaneAsked = false;
        const { code } = asHoldfastError(error);
        this.#options.log.warn('Control plane did not accept a record', { code });
        // Needed only while something is pending; when nothing is, it learns the next record.
        this.#controlPlaneTimer?.cancel();
        this.#controlPlaneTimer = clock.after(retryMs, () => {
          if (this.#open.length > 0) this.#askControlPlane();
        });
      },
    );
  }

  #grant(voter: VoterId, record: MembershipRecord): void {
    if (record !== this.#last) return;
    this.#granted.add(voter);
    if (this.#open.length === 0) return;
    if (!isMajority(record, (name) => this.#granted.has(name))) return;
    this.#committed = record;
    if (!votersOf(record).includes(CONTROL_PLANE)) this.#forgetControlPlane();
    this.#open = [];
    this.#pendingSinceMs = null;
    this.#options.log.info('Membership record committed', {
      epoch: record.epoch,
      seq: record.seq,
      members: record.members.map((member) => member.replica).join(' '),
    });
    // Everything that `onChange` does comes before what waits for the commit.
    this.#options.onChange();
    const done = this.#waiters.filter((waiter) => waiter.seq <= record.seq);
    this.#waiters = this.#waiters.filter((waiter) => waiter.seq > record.seq);
    for (const { committed } of done) committed.resolve();
  }

  /**
   * R16 for the control plane. A record that makes it a voter gives it its vote, by a majority of
   * the others (R17). Else it voted before: without a record, or with less than it is known to have
   * held, it was restored from an older copy, and may have forgotten a promise.
   */
  #weighControlPlane({ record }: VoterState): void {
    const last = this.#require();
    const isNew = last.formerVoters !== null && !last.formerVoters.includes(CONTROL_PLANE);
    if (this.#newVolume || isNew) this.#controlPlaneTrusted = true;
    else if (record === null || isBelowFloor(last, CONTROL_PLANE, record)) this.#forgotten();
    else this.#controlPlaneTrusted = true;
  }

  /** Having accepted a record is not enough to be believed again: VoteHandover takes it out. */
  #forgotten(): void {
    if (this.#controlPlaneForgot) return;
    this.#options.log.warn('Control plane forgot what it promised');
    this.#controlPlaneTrusted = false;
    this.#controlPlaneForgot = true;
    this.#granted.delete(CONTROL_PLANE);
    this.#options.onChange();
  }

  /** It has no vote: when it gets one it is a new voter. */
  #forgetControlPlane(): void {
    this.#controlPlaneForgot = false;
    this.#controlPlaneTrusted = false;
    this.#controlPlanePromised = 0;
  }

  /** True while it must be taken out of the voters. */
  get controlPlaneForgot(): boolean {
    return this.#controlPlaneForgot;
  }

  get controlPlaneTrusted(): boolean {
    return this.#controlPlaneTrusted;
  }
}

function names(record: MembershipRecord, replica: ReplicaId): boolean {
  return record.members.some((member) => member.replica === replica);
}

function sameVoters(a: readonly VoterId[], b: readonly VoterId[]): boolean {
  return a.length === b.length && a.every((voter) => b.includes(voter));
}
