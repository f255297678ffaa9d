/**
 * ReadLease: how long reads may be served without hearing of a majority (rule 4, design.md §6).
 *
 * A request that a voter answered in this epoch proves that, when it was *sent*, no other nexus
 * could count on that voter. So the lease runs from the sending of the latest requests that a
 * majority answered: writes, flushes, commits, and `confirm` on demand when only reads are asked
 * for. An idle volume sends nothing. A volume whose one member is its one voter needs no lease:
 * whoever takes over needs that voter's promise, and then the replica itself refuses.
 */
import { CONTROL_PLANE, HoldfastError, type MembershipRecord, type VoterId } from '#api/mod.ts';
import type { Clock } from '#host/mod.ts';
import type { Voter } from '#data/member/mod.ts';
import { asHoldfastError, withDeadline } from './deadline.ts';
import { isMajority } from './majority.ts';
import type { MemberRoster } from './member-roster.ts';
import type { MemberSession } from './member-session.ts';
import type { MemberSlot } from './member-slot.ts';
import type { Membership } from './membership.ts';

export interface ReadLeaseOptions {
  readonly roster: MemberRoster;
  readonly membership: Membership;
  readonly controlPlane: Voter | null;
  readonly leaseMs: number;
  readonly deadlineMs: number;
  readonly retryMs: number;
  readonly clock: Clock;
  /** Renewed, or may be asked for again: reads that still wait ask at once. */
  readonly onRenewed: () => void;
  /** The control plane says that a higher epoch was promised. */
  readonly onFenced: (voter: VoterId) => void;
  readonly onVoterLost: (slot: MemberSlot, session: MemberSession, error: HoldfastError) => void;
}

export class ReadLease {
  readonly #options: ReadLeaseOptions;
  #untilMs = Number.NEGATIVE_INFINITY;
  #asking = false;
  #controlPlaneMs = Number.NEGATIVE_INFINITY;
  #era = 0;

  constructor(options: ReadLeaseOptions) {
    this.#options = options;
  }

  /** True when reads may be served now. Renews in time when reads keep coming. */
  valid(nowMs: number): boolean {
    const left = this.#untilMs - nowMs;
    if (left > this.#options.leaseMs / 2) return true;
    return this.#look(nowMs);
  }

  #look(nowMs: number): boolean {
    const untilMs = this.#computeMs();
    if (untilMs > this.#untilMs) this.#untilMs = untilMs;
    if (this.#untilMs - nowMs <= this.#options.leaseMs / 2) this.renew();
    return nowMs < this.#untilMs;
  }

  /** Nothing of an earlier epoch counts. */
  begin(): void {
    this.#era++;
    this.#asking = false;
    this.#untilMs = Number.NEGATIVE_INFINITY;
    this.#controlPlaneMs = Number.NEGATIVE_INFINITY;
    for (const slot of this.#options.roster.slots) slot.confirmedMs = Number.NEGATIVE_INFINITY;
  }

  /** The latest time from which a majority has answered, plus the lease. */
  #computeMs(): number {
    const record = this.#options.membership.newest;
    if (record === null) return Number.NEGATIVE_INFINITY;
    if (isAlone(record)) return Number.POSITIVE_INFINITY;
    const times = new Map<VoterId, number>([[CONTROL_PLANE, this.#controlPlaneMs]]);
    for (const slot of this.#options.roster.slots) {
      // What it answered before its session ended stays true; only who forgot says nothing (R16).
      if (slot.session?.trusted !== false) times.set(slot.replica, slot.confirmedMs);
    }
    let best = Number.NEGATIVE_INFINITY;
    for (const time of times.values()) {
      if (time <= best) continue;
      const since = (voter: VoterId): boolean =>
        (times.get(voter) ?? Number.NEGATIVE_INFINITY) >= time;
      if (isMajority(record, since)) best = time;
    }
    return best + this.#options.leaseMs;
  }

  /** Asks the voters; reads that wait are let go by `onRenewed`. */
  renew(): void {
    const { membership, roster, controlPlane, clock, leaseMs, deadlineMs, retryMs } = this.#options;
    const record = membership.newest;
    if (this.#asking || record === null) return;
    this.#asking = true;
    const era = this.#era;
    const sentMs = clock.monotonicMs();
    const epoch = membership.epoch;
    const limitMs = Math.min(leaseMs, deadlineMs);
    for (const slot of roster.slots) {
      if (slot.session !== null) void this.#confirm(slot, slot.session, epoch, sentMs, era);
    }
    const voters = [...record.voters, ...(record.formerVoters ?? [])];
    if (controlPlane !== null && voters.includes(CONTROL_PLANE) && membership.controlPlaneTrusted) {
      withDeadline(clock, limitMs, controlPlane.confirm(epoch)).then(
        (confirmed) => {
          if (era !== this.#era) return;
          if (!confirmed) return this.#options.onFenced(CONTROL_PLANE);
          this.#controlPlaneMs = Math.max(this.#controlPlaneMs, sentMs);
          this.#renewed();
        },
        () => undefined,
      );
    }
    // Asked again only when reads still come, or still wait: a voter that was away may be back, and
    // a client whose reads all wait sends none that would ask anew.
    clock.after(retryMs, () => {
      if (era !== this.#era) return;
      this.#asking = false;
      this.#options.onRenewed();
    });
  }

  async #confirm(
    slot: MemberSlot,
    session: MemberSession,
    epoch: number,
    sentMs: number,
    era: number,
  ): Promise<void> {
    const { clock, deadlineMs } = this.#options;
    try {
      const confirmed = await withDeadline(clock, deadlineMs, session.member.confirm(epoch));
      if (era !== this.#era || session.closed) return;
      if (!confirmed) {
        const error = new HoldfastError('fenced', 'A higher epoch was promised');
        return this.#options.onVoterLost(slot, session, error);
      }
      if (sentMs > slot.confirmedMs) slot.confirmedMs = sentMs;
      this.#renewed();
    } catch (error) {
      if (era === this.#era && !session.closed) {
        this.#options.onVoterLost(slot, session, asHoldfastError(error));
      }
    }
  }

  #renewed(): void {
    const untilMs = this.#computeMs();
    if (untilMs <= this.#untilMs) return;
    this.#untilMs = untilMs;
    this.#asking = false;
    this.#options.onRenewed();
  }
}

/** Another member, or one without a vote, would go on answering reads (R4). */
function isAlone({ members, voters, formerVoters }: MembershipRecord): boolean {
  return (
    voters.length === 1 &&
    formerVoters === null &&
    members.every((member) => member.replica === voters[0])
  );
}
