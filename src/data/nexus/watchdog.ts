/**
 * Watchdog: deadlines of what is with the members, gray members, and how long the volume has been
 * blocked (W15, W16). It ticks only while something is in flight or waits; an idle volume has no
 * timer.
 *
 * - A member that leaves a request unanswered for `memberDeadlineMs` is lost; a joiner much sooner.
 * - *Blame*: time during which the oldest request waited for one member alone, although the others
 *   had
 *   answered. It fades. A member that gathers too much is gray and is removed before its deadline.
 * - A read that takes long is asked of another member.
 */
import { HoldfastError } from '#api/mod.ts';
import type { Timer } from '#host/mod.ts';
import type { MemberSlot } from './member-slot.ts';
import type { NexusCore } from './nexus-core.ts';

/** Ticks in one member deadline. */
const TICKS = 20;
/** Share of the member deadline after which a joiner is dropped, and a read is tried elsewhere. */
const JOINER_SHARE = 0.2;
const READ_SHARE = 0.1;
/** A request is not the fault of one member before it is this old. */
const BLAME_FROM_MS = 100;
/** Gray: so much blame, as a share of the member deadline. 1.5 s of 5 s. */
const GRAY_SHARE = 0.3;
/** Blame halves in this time. */
const HALF_LIFE_MS = 10_000;
/** A flush may take long without anything being wrong. */
const FLUSH_WEIGHT = 0.5;

export interface WatchdogHooks {
  /** Blocked for so long now; 0 when it is not any more. */
  readonly onBlocked: (blockedMs: number) => void;
}

export class Watchdog {
  readonly #core: NexusCore;
  readonly #hooks: WatchdogHooks;
  readonly #tickMs: number;
  #timer: Timer | null = null;
  #lastMs = 0;
  #blockedSinceMs: number | null = null;
  longestStallMs = 0;

  constructor(core: NexusCore, hooks: WatchdogHooks) {
    this.#core = core;
    this.#hooks = hooks;
    this.#tickMs = Math.max(1, core.policy.memberDeadlineMs / TICKS);
  }

  /** Something is in flight, or waits. */
  wake(): void {
    if (this.#timer !== null) return;
    this.#lastMs = this.#core.clock.monotonicMs();
    this.#arm();
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = null;
  }

  #arm(): void {
    this.#timer = this.#core.clock.after(this.#tickMs, () => {
      this.#timer = null;
      this.#tick();
    });
  }

  #tick(): void {
    const { clock, parts } = this.#core;
    const nowMs = clock.monotonicMs();
    const passedMs = nowMs - this.#lastMs;
    this.#lastMs = nowMs;
    // A process that was stopped for a while has itself to blame: the answers may lie in its
    // sockets.
    if (passedMs < this.#core.policy.memberDeadlineMs / 2) {
      this.#fade(passedMs);
      this.#blame(nowMs, passedMs);
      this.#watchWrites(nowMs);
      this.#watchFlush(nowMs);
      this.#watchReads(nowMs);
    }
    this.#watchBlocked(nowMs);
    const { writes, reads, flushes } = parts;
    const busy = writes.waitingCount + reads.waitingCount + flushes.waitingCount > 0;
    if ((busy || flushes.running || this.#blockedSinceMs !== null) && this.#timer === null) {
      this.#arm();
    }
  }

  #timedOut(slot: MemberSlot, message: string): void {
    const error = new HoldfastError('timed-out', message, { effect: 'unknown' });
    this.#core.counters.add('timeouts');
    this.#core.parts.attendance.lost(slot, slot.session, error);
  }

  #watchWrites(nowMs: number): void {
    const { roster, policy, parts } = this.#core;
    const { memberDeadlineMs } = policy;
    let late = 0;
    let lateJoiner = 0;
    for (let op = parts.writes.inFlight.first; op !== null; op = op.next) {
      const ageMs = nowMs - op.startedMs;
      if (ageMs < memberDeadlineMs * JOINER_SHARE) break;
      lateJoiner |= op.unanswered;
      if (ageMs >= memberDeadlineMs) late |= op.unanswered;
    }
    if ((late | lateJoiner) === 0) return;
    for (const slot of [...roster.slots]) {
      const joining = slot.phase === 'joining' && !parts.membership.counts(slot.replica);
      if (((joining ? lateJoiner : late) & slot.bit) === 0) continue;
      this.#timedOut(slot, 'Member left a write unanswered');
    }
  }

  #watchFlush(nowMs: number): void {
    const { roster, policy, parts } = this.#core;
    const { flushes } = parts;
    if (!flushes.running || nowMs - flushes.startedMs < policy.memberDeadlineMs) return;
    const late = flushes.waiting & roster.receiving;
    for (const slot of [...roster.slots]) {
      if ((late & slot.bit) !== 0) this.#timedOut(slot, 'Member left a flush unanswered');
    }
  }

  #watchReads(nowMs: number): void {
    const { policy, parts } = this.#core;
    const { reads } = parts;
    const slow = [];
    let late: MemberSlot | null = null;
    for (let op = reads.first; op !== null; op = op.next) {
      const ageMs = nowMs - op.startedMs;
      if (ageMs >= policy.memberDeadlineMs) late ??= op.sub.slot;
      else if (ageMs >= policy.memberDeadlineMs * READ_SHARE) slow.push(op);
    }
    for (const op of slow) {
      if (!op.started) continue;
      const { slot } = op.sub;
      if (!reads.retryElsewhere(op)) continue;
      this.#core.counters.add('readsRetried');
      if (slot !== null) slot.blameMs += policy.memberDeadlineMs * READ_SHARE * FLUSH_WEIGHT;
      reads.chooseAgain();
    }
    if (late !== null) this.#timedOut(late, 'Member left a read unanswered');
  }

  #fade(passedMs: number): void {
    const factor = 0.5 ** (passedMs / HALF_LIFE_MS);
    for (const slot of this.#core.roster.slots) {
      slot.blameMs *= factor;
      if (slot.blameMs < 1) slot.blameMs = 0;
    }
  }

  #blame(nowMs: number, passedMs: number): void {
    const { roster, policy, parts } = this.#core;
    const { writes, flushes } = parts;
    const oldest = writes.inFlight.first;
    let blamed = 0;
    let weight = 1;
    if (oldest !== null && nowMs - oldest.startedMs >= BLAME_FROM_MS) blamed = oldest.unanswered;
    if (blamed === 0 && flushes.running && nowMs - flushes.startedMs >= BLAME_FROM_MS) {
      blamed = flushes.waiting & roster.receiving;
      weight = FLUSH_WEIGHT;
    }
    // One alone, with others that answered: anything else is load, or our own fault.
    const others = roster.readable & ~blamed;
    if (blamed === 0 || (blamed & (blamed - 1)) !== 0 || others === 0) return;
    const slot = roster.slots.find((each) => each.bit === blamed);
    if (slot === undefined) return;
    slot.blameMs += passedMs * weight;
    parts.reads.chooseAgain();
    if (slot.blameMs < policy.memberDeadlineMs * GRAY_SHARE) return;
    this.#core.counters.add('grayRemovals');
    const error = new HoldfastError('timed-out', 'Member is much slower than the others');
    // It stays out for a while: it would come back as slow as it left.
    slot.failedJoins = Math.max(slot.failedJoins, 4);
    slot.notBeforeMs = nowMs + policy.memberDeadlineMs * 2;
    parts.attendance.lost(slot, slot.session, error);
  }

  #watchBlocked(nowMs: number): void {
    const { parts, serving } = this.#core;
    const { writes, reads, flushes, membership } = parts;
    const waits = writes.waitingCount + reads.parkedCount + flushes.waitingCount > 0;
    const stopped = !serving || membership.pendingSinceMs !== null || reads.parkedCount > 0;
    if (waits && stopped) {
      this.#blockedSinceMs ??= nowMs;
      const blockedMs = nowMs - this.#blockedSinceMs;
      if (blockedMs > this.longestStallMs) this.longestStallMs = blockedMs;
      this.#hooks.onBlocked(blockedMs);
    } else if (this.#blockedSinceMs !== null) {
      this.unblock();
    }
    const oldest = writes.inFlight.first;
    if (oldest !== null && nowMs - oldest.startedMs > this.longestStallMs) {
      this.longestStallMs = nowMs - oldest.startedMs;
    }
  }

  unblock(): void {
    if (this.#blockedSinceMs === null) return;
    this.#blockedSinceMs = null;
    this.#hooks.onBlocked(0);
  }
}
