/**
 * Attendance: which replicas are here. It takes note when one is lost, proposes its removal, and
 * looks for the absent ones (rules 10 to 12).
 *
 *     lost ─▶ not read any more ─▶ removal proposed ─▶ committed ─▶ absent ─▶ new session ─▶
 *     rebuild
 *                │                      ▲
 *                └─▶ looked for ────────┘ it votes as soon as it is back, also on its own removal
 *
 * Invariants
 * - R10: a member is out of `roster.readable` before a record without it is sent.
 * - R11: a removal names only members in sync and joiners that were proposed already. When none is
 *   left
 *   nothing is proposed: the volume is opened again.
 */
import {
  comparePositions,
  HoldfastError,
  type MembershipRecord,
  type ReplicaId,
} from '#api/mod.ts';
import type { Member } from '#data/member/mod.ts';
import { backOffMs, Deferred } from '#lib/mod.ts';
import { asHoldfastError, withDeadline } from './deadline.ts';
import { errorKind } from './error-kind.ts';
import { MemberSession } from './member-session.ts';
import type { MemberSlot } from './member-slot.ts';
import type { NexusCore } from './nexus-core.ts';
import { checkIdentity, noteForgotten, type OpenedSession } from './opened-session.ts';
import { parseNote } from './rebuild/rebuild-note.ts';

/** Read leases that a nexus with a minority has to become the owner. */
const PATIENCE = 3;

export class Attendance {
  readonly #core: NexusCore;
  /** Being looked for. */
  readonly #sought = new Set<MemberSlot>();

  constructor(core: NexusCore) {
    this.#core = core;
  }

  // --- sessions begin
  // -----------------------------------------------------------------------------

  /** The sessions of a new opening. Others are looked for once `seekAbsent` is called. */
  begin(sessions: ReadonlyMap<ReplicaId, OpenedSession>): void {
    this.#sought.clear();
    const nowMs = this.#core.clock.monotonicMs();
    for (const slot of this.#core.roster.slots) {
      slot.session?.close();
      slot.session = null;
      slot.held = { epoch: 0, seq: 0 };
      slot.become('absent', nowMs, 'not connected yet');
    }
    for (const [replica, { member, trusted, forgot, record, handTo }] of sessions) {
      const slot = this.#core.roster.add(replica);
      slot.voteless = !trusted;
      if (forgot || record === null) slot.fullRebuild = true;
      slot.absentSinceMs ??= nowMs;
      const session = this.#adopt(slot, member, trusted, record);
      // May say at once that it is lost.
      handTo((error) => this.lost(slot, session, error));
    }
  }

  /** The members of the opening record are in sync from the start. */
  seat(members: readonly ReplicaId[]): void {
    const nowMs = this.#core.clock.monotonicMs();
    for (const replica of members) {
      const slot = this.#core.roster.get(replica);
      if (slot.session !== null) slot.become('in-sync', nowMs);
      else slot.become('leaving', nowMs, 'lost while the volume was opened', 'disconnected');
    }
  }

  seekAbsent(): void {
    for (const slot of this.#core.roster.slots) {
      const { session } = slot;
      if (session === null) this.#seek(slot);
      else if (slot.fullRebuild && slot.voteless) this.#forgot(slot);
    }
  }

  #adopt(
    slot: MemberSlot,
    member: Member,
    trusted: boolean,
    record: MembershipRecord | null,
  ): MemberSession {
    const session = new MemberSession(member, trusted);
    const nowMs = this.#core.clock.monotonicMs();
    slot.session = session;
    slot.blameMs = 0;
    slot.held = record === null ? { epoch: 0, seq: 0 } : record;
    if (slot.phase === 'absent') slot.become('absent', nowMs, 'waits for its rebuild');
    return session;
  }

  #seek(slot: MemberSlot): void {
    if (this.#sought.has(slot) || slot.retired) return;
    this.#sought.add(slot);
    void this.#find(slot, this.#core.era).then(() => undefined);
  }

  async #find(slot: MemberSlot, era: number): Promise<void> {
    const { clock, rng, policy } = this.#core;
    const limits = { firstMs: policy.reconnectMs, maxMs: policy.reconnectMaxMs };
    let refusals = 0;
    for (let attempt = 1; ; attempt++) {
      const pause = new Deferred<void>();
      clock.after(backOffMs(attempt, limits, rng.float()), () => pause.resolve());
      await pause.promise;
      if (era !== this.#core.era || slot.retired) break;
      try {
        if (await this.#connect(slot, era)) break;
      } catch (error) {
        if (era !== this.#core.era) break;
        const failure = asHoldfastError(error);
        slot.explain(
          failure.code === 'fenced' ? 'promised to another nexus' : 'cannot be reached',
          failure,
        );
        if (failure.code === 'fenced' && (await this.#outlast(slot, ++refusals, failure))) break;
      }
    }
    if (era === this.#core.era) this.#sought.delete(slot);
  }

  /**
   * Another nexus asked this voter and got no further, or not yet. When it had time enough and we
   * still have our majority, the volume is opened again above it.
   */
  async #outlast(slot: MemberSlot, refusals: number, error: HoldfastError): Promise<boolean> {
    const { clock, policy, era } = this.#core;
    if (refusals > PATIENCE) {
      this.#core.log.warn('Voter is won back by a new opening', { replica: slot.replica });
      this.#core.onStuckVoter(error);
      return true;
    }
    const pause = new Deferred<void>();
    clock.after(policy.readLeaseMs, () => pause.resolve());
    await pause.promise;
    return era !== this.#core.era;
  }

  async #connect(slot: MemberSlot, era: number): Promise<boolean> {
    const { options, policy, clock, parts } = this.#core;
    const timeoutMs = policy.memberDeadlineMs;
    const member = await options.connector.connect(slot.replica, { timeoutMs });
    if (era !== this.#core.era) {
      member.close();
      return true;
    }
    checkIdentity(member, options);
    const { membership } = parts;
    const { state } = member;
    try {
      const { epoch } = membership;
      // R1: a new session of the same nexus, the same epoch again.
      const outcome = member.promise(epoch, options.nexusId);
      const answer = await withDeadline(clock, timeoutMs, outcome);
      if (era !== this.#core.era) {
        member.close();
        return true;
      }
      if (!answer.granted) {
        this.#core.onFenced(slot.replica, answer.promised);
        throw new HoldfastError('fenced', 'Replica promised a higher epoch to another nexus', {
          details: { promised: answer.promised, epoch },
        });
      }
      // It knows a record that the opening did not find: some voter forgot. Open again, with this
      // one.
      const { record } = answer;
      if (
        record !== null &&
        record.epoch < epoch &&
        comparePositions(record, this.#core.found) > 0
      ) {
        member.close();
        const reason = new HoldfastError('not-current', 'A newer record came to light');
        this.#core.onNobodyLeft(reason);
        return true;
      }
      // R16: it forgot, or is new: it holds less than we know that it held, or nothing.
      const known = slot.held;
      const older =
        answer.record === null ||
        comparePositions(answer.record, known) < 0 ||
        (known.epoch === epoch && state.promised < epoch);
      const forgot = state.condition === 'rolled-back' || older;
      if (forgot) slot.fullRebuild = true;
      // Without a record and without a vote it is not forgetful but new.
      const fresh = answer.record === null && !membership.votes(slot.replica);
      const voteless = parseNote(state.rebuild).voteless || (forgot && !fresh) || slot.voteless;
      if (forgot && !fresh) await noteForgotten(member, clock, timeoutMs);
      if (era !== this.#core.era) {
        member.close();
        return true;
      }
      const session = this.#adopt(slot, member, !voteless, answer.record);
      member.onLost((error) => this.lost(slot, session, error));
      if (forgot && !fresh) this.#forgot(slot);
      slot.voteless = voteless;
      membership.offer(slot);
      parts.rebuilds.wake();
      return true;
    } catch (error) {
      member.close();
      throw error;
    }
  }

  /**
   * R16: a voter that forgot may have promised a higher epoch to somebody who still counts on it.
   * So it never votes again under this name; a majority without it takes it out of the voters
   * (R17), and its contents are rebuilt from nothing.
   */
  #forgot(slot: MemberSlot): void {
    this.#core.log.warn('Replica forgot what it promised', { replica: slot.replica });
    this.#core.counters.add('rollbacks');
    slot.fullRebuild = true;
    slot.voteless = true;
    this.#core.parts.votes.check();
  }

  // --- sessions end
  // -------------------------------------------------------------------------------

  /** Something went wrong with this session; an older session of the slot says nothing. */
  lost(slot: MemberSlot, session: MemberSession | null, error: HoldfastError): void {
    this.#leave(slot, session, error, errorKind(error.code) === 'medium');
  }

  /** `answers`: it cannot be a member, but it can still vote, also on its own removal. */
  #leave(
    slot: MemberSlot,
    session: MemberSession | null,
    error: HoldfastError,
    answers: boolean,
  ): void {
    if (session === null || slot.session !== session) return;
    const { clock, log, parts, roster, era } = this.#core;
    const kind = errorKind(error.code);
    if (kind === 'fenced') {
      const promised = error.details['promised'];
      this.#core.onFenced(slot.replica, typeof promised === 'number' ? promised : 0);
      // Another owner: it is over. Else only this voter went over to one that has no majority.
      if (era !== this.#core.era) return;
    }
    const { membership, reads, writes, flushes } = parts;
    const counts = membership.counts(slot.replica);
    if (!answers || !counts) {
      session.close();
      slot.session = null;
    }
    log.warn('Member was lost', { replica: slot.replica, phase: slot.phase, code: error.code });
    this.#core.counters.add('membersLost');
    const nowMs = clock.monotonicMs();
    if (slot.phase === 'in-sync') slot.leftFor = error.message;
    slot.become(counts ? 'leaving' : 'absent', nowMs, error.message, error.code);
    slot.rebuild = null;
    // R10: from here on it is not read; only then is the removal sent.
    roster.update(membership);
    if (counts) this.#remove(error);
    // It was the last one: a new opening has begun and looks for everybody.
    if (era !== this.#core.era) return;
    reads.memberStopped(slot);
    writes.memberStopped(slot);
    writes.recheck();
    flushes.recheck();
    if (slot.session === null) this.#seek(slot);
  }

  #remove(error: HoldfastError): void {
    const { membership } = this.#core.parts;
    const { newest } = membership;
    if (newest === null) return;
    const leaving = newest.members
      .map((member) => this.#core.roster.get(member.replica))
      .filter((slot) => slot.phase === 'leaving' || slot.phase === 'absent');
    if (leaving.length === newest.members.length) {
      this.#core.onNobodyLeft(error);
      return;
    }
    if (leaving.length === 0) return;
    membership.remove(leaving.map((slot) => slot.replica)).catch(() => undefined);
  }

  /** Leaves on purpose: gray, or to be rebuilt. */
  expel(slot: MemberSlot, error: HoldfastError): void {
    this.lost(slot, slot.session, error);
  }

  /** Leaves for good: it votes until its vote is taken (R17). */
  retire(slot: MemberSlot, error: HoldfastError): void {
    slot.retired = true;
    this.#leave(slot, slot.session, error, true);
  }

  /** Phases follow the records: called by the core before the sets are computed. */
  followRecord(): void {
    const { membership, rebuilds } = this.#core.parts;
    const nowMs = this.#core.clock.monotonicMs();
    for (const slot of this.#core.roster.slots) {
      if (slot.phase === 'leaving' && !membership.counts(slot.replica)) {
        slot.become('absent', nowMs, slot.reason, slot.errorCode);
        // R13: it comes back in a new session.
        if (slot.errorCode !== '' && errorKind(slot.errorCode as never) === 'medium') {
          slot.session?.close();
          slot.session = null;
        }
        if (slot.session === null) this.#seek(slot);
        else rebuilds.wake();
      } else if (slot.phase === 'joining' && membership.readable(slot.replica)) {
        slot.become('in-sync', nowMs);
        slot.rebuild = null;
        slot.fullRebuild = false;
        slot.failedJoins = 0;
      }
    }
  }

  /** Every session ends at once. */
  end(): void {
    this.#sought.clear();
    const nowMs = this.#core.clock.monotonicMs();
    for (const slot of this.#core.roster.slots) {
      slot.session?.close();
      slot.session = null;
      slot.rebuild = null;
      if (slot.phase !== 'absent') slot.become('absent', nowMs, 'volume is not open');
    }
    this.#core.roster.update(this.#core.parts.membership);
  }
}
