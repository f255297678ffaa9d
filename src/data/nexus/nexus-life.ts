/**
 * NexusLife: the life of the volume: open, serve, open again when no member is left, close.
 *
 *     opening ─▶ reconciling ─▶ serving ─▶ closing ─▶ closed
 *        ▲                        │  │
 *        └────── suspended ◀──────┘  └──▶ failed (another nexus took over)
 *
 * `core.era` rises with every turn of it: what was begun in an older era does nothing any more.
 */
import { HoldfastError, type NexusPhase, type ReplicaId, type VoterId } from '#api/mod.ts';
import { assert, Deferred } from '#lib/mod.ts';
import { lostWrites } from './client-session.ts';
import { asHoldfastError, withDeadline } from './deadline.ts';
import type { Growth } from './growth.ts';
import type { Housekeeping } from './housekeeping.ts';
import { isMajority } from './majority.ts';
import type { NexusClasses } from './nexus-classes.ts';
import type { NexusCore, NexusParts } from './nexus-core.ts';
import type { Opening } from './opening.ts';
import type { OpeningResult } from './opening-plan.ts';
import type { Snapshots } from './snapshots.ts';
import type { Watchdog } from './watchdog.ts';

export interface LifeHelpers {
  readonly growth: Growth;
  readonly snapshots: Snapshots;
  readonly housekeeping: Housekeeping;
  readonly watchdog: Watchdog;
}

export class NexusLife {
  readonly #core: NexusCore;
  readonly #classes: NexusClasses;
  readonly #helpers: LifeHelpers;

  phase: NexusPhase = 'opening';
  reason = 'not started';
  waitingFor: readonly ReplicaId[] = [];
  error: HoldfastError | null = null;
  #opening: Opening | null = null;
  #opens: Promise<void> | null = null;
  blockedMs = 0;
  /** `onQuorumLoss: error` and blocked for too long: requests fail at once. */
  refusing: HoldfastError | null = null;
  /** Requests are refused with this: closing, closed, failed. */
  ended: HoldfastError | null = null;
  /** Epoch of the first opening of this nexus: its own client session. */
  birthEpoch = 0;
  lossEpoch = 0;
  /** Voters of this epoch that promised a higher one to another nexus. */
  readonly #fencedBy = new Set<VoterId>();
  /** The next opening may go above a nexus that holds a minority and does not get further. */
  #overtake = false;
  readonly lossListeners: ((lossEpoch: number) => void)[] = [];

  constructor(core: NexusCore, classes: NexusClasses, helpers: LifeHelpers) {
    this.#core = core;
    this.#classes = classes;
    this.#helpers = helpers;
  }

  get #parts(): NexusParts {
    return this.#core.parts;
  }

  /** A voter that stays with another nexus which gets no further: a new opening goes above it. */
  winBack(error: HoldfastError): void {
    this.#overtake = true;
    this.nobodyLeft(error);
  }

  /** Resolves when serving; waits for replicas as long as it takes. `fenced`, `aborted`. */
  start(): Promise<void> {
    assert(this.#opens === null, 'a nexus is started once');
    this.#opens = this.#open();
    return this.#opens;
  }

  async #open(): Promise<void> {
    for (;;) {
      this.#throwIfEnded();
      const era = ++this.#core.era;
      try {
        if (await this.#openOnce(era)) return;
      } catch (error) {
        const failure = asHoldfastError(error);
        if (failure.code === 'fenced') this.#fail(failure);
        this.#throwIfEnded();
        this.#core.log.warn('Opening failed and begins anew', { code: failure.code });
        this.reason = failure.message;
        const pause = new Deferred<void>();
        this.#core.clock.after(this.#core.policy.reconnectMs, () => pause.resolve());
        await pause.promise;
      }
    }
  }

  #throwIfEnded(): void {
    if (this.ended !== null) throw this.ended;
  }

  /** False when nobody was left in the middle: once more, with a higher epoch. */
  async #openOnce(era: number): Promise<boolean> {
    const core = this.#core;
    this.#setPhase('opening', 'Waits for replicas');
    const formerEpoch = this.#parts.membership.epoch;
    const context = { formerEpoch, overtake: this.#overtake };
    this.#overtake = false;
    const opening = new this.#classes.Opening(this.#core.options, context, {
      onWaiting: (reason, replicas) => {
        this.reason = reason;
        this.waitingFor = replicas;
      },
      onUnreachable: (replica, error) => {
        core.roster.find(replica)?.explain('cannot be reached', error);
      },
    });
    this.#opening = opening;
    const result = await opening.run();
    this.#opening = null;
    if (era !== core.era) {
      for (const { member } of result.sessions.values()) member.close();
      return false;
    }
    this.waitingFor = [];
    this.#setPhase('opening', 'Commits the opening record');
    await this.#commitOpening(result);
    if (era !== core.era) return false;
    this.#setPhase('reconciling', 'Makes intent segments equal');
    await this.#level(result);
    if (era !== core.era) return false;
    this.#serve(result);
    return true;
  }

  async #commitOpening(result: OpeningResult): Promise<void> {
    const { record, found, sessions, controlPlaneTrusted } = result;
    const core = this.#core;
    core.generations.begin(record.epoch);
    this.#fencedBy.clear();
    core.found = found;
    this.#parts.attendance.begin(sessions);
    this.#parts.lease.begin();
    // R5: always, even if nothing changed; and before any other use of the members.
    const committed = this.#parts.membership.begin(record, {
      controlPlaneTrusted,
      newVolume: found.epoch === 0,
    });
    this.#parts.attendance.seat(record.members.map((member) => member.replica));
    core.refresh();
    // A majority may need voters that are away.
    this.#parts.attendance.seekAbsent();
    await committed;
    if (this.birthEpoch === 0) this.birthEpoch = record.epoch;
    if (record.loss > this.lossEpoch) this.#noteLoss(record.loss, result.lost);
  }

  /** *Lost means failed*: whatever waits belongs to sessions that began before the loss. */
  #noteLoss(lossEpoch: number, now: boolean): void {
    this.lossEpoch = lossEpoch;
    if (now) {
      this.#core.log.error('Acknowledged writes may be lost', { epoch: lossEpoch });
      this.#core.counters.add('losses');
    }
    // Whichever nexus found the loss: it may have been another one, since we last served.
    if (lossEpoch <= this.birthEpoch) return;
    const error = lostWrites();
    this.#parts.writes.failWaiting(error);
    this.#parts.reads.failWaiting(error);
    this.#parts.flushes.failWaiting(error);
    for (const listener of this.lossListeners) listener(lossEpoch);
  }

  /** R6, and the other things that a crash can leave different. */
  async #level(result: OpeningResult): Promise<void> {
    const core = this.#core;
    const members = (): readonly (typeof core.roster.slots)[number][] =>
      core.roster.inPhase('in-sync');
    if (!result.found.closed) {
      const reconcile = new this.#classes.Reconcile({
        segmentBytes: this.#core.options.segmentBytes,
        deadlineMs: core.policy.memberDeadlineMs * 2,
        clock: core.clock,
        log: core.log,
        members,
        onMemberError: (slot, session, error) => this.#parts.attendance.lost(slot, session, error),
      });
      const report = await reconcile.run(result.record.epoch, result.lost);
      core.counters.add('reconciledSegments', report.segments);
      core.counters.add('reconciledBlocks', report.rewrittenBlocks);
      core.counters.add('doubtfulBlocks', report.doubtfulBlocks);
    }
    await this.#helpers.growth.align();
    await this.#helpers.snapshots.align();
    // A member that left meanwhile is out only when its removal is committed.
    await this.#parts.membership.settled();
    if (members().length === 0) throw new HoldfastError('disconnected', 'No member is left');
  }

  #serve(result: OpeningResult): void {
    const core = this.#core;
    core.serving = true;
    this.#setPhase('serving', '');
    this.#parts.flushes.begin({ epoch: result.record.epoch, n: 0 });
    core.refresh();
    this.#helpers.housekeeping.start();
    this.#helpers.watchdog.unblock();
    this.#parts.writes.open();
    this.#parts.reads.open();
    this.#parts.flushes.open();
    this.#parts.votes.start();
    this.#parts.rebuilds.wake();
  }

  /**
   * No member is left, or one has to be won back: opened again with a higher epoch; requests wait.
   */
  nobodyLeft(error: HoldfastError): void {
    const core = this.#core;
    if (this.ended !== null) return;
    core.log.warn('Volume has to be opened again', { code: error.code });
    const opened = core.serving;
    core.era++;
    this.#halt();
    // Or what is still under way would take our own next epoch for another nexus.
    this.#parts.attendance.end();
    this.#parts.membership.end(new HoldfastError('aborted', 'Volume is opened again'));
    this.#helpers.watchdog.wake();
    this.#setPhase('suspended', error.message);
    // While it was being opened, that opening sees the era and begins anew.
    if (opened) this.#opens = this.#open().catch(() => undefined);
  }

  /** Nothing runs any more; what was with the members is taken back. */
  #halt(): void {
    this.#core.serving = false;
    this.#helpers.housekeeping.stop();
    this.#parts.votes.stop();
    this.#parts.writes.close();
    this.#parts.reads.close();
    this.#parts.flushes.close();
  }

  recordChanged(): void {
    this.#core.refresh();
    this.#parts.votes.check();
  }

  /**
   * A voter promised a higher epoch. One alone says little: another nexus may have tried and died.
   * When those that have not can no longer form a majority, the volume has another owner.
   */
  fenced(voter: VoterId, promised: number): void {
    this.#fencedBy.add(voter);
    const record = this.#parts.membership.newest;
    if (record !== null && isMajority(record, (name) => !this.#fencedBy.has(name))) {
      this.#core.log.warn('A voter promised a higher epoch to another nexus', { voter, promised });
      return;
    }
    this.#fail(
      new HoldfastError('fenced', 'Another nexus took the volume over', {
        effect: 'unknown',
        details: { voter, promised, epoch: this.#parts.membership.epoch },
      }),
    );
  }

  /** For good. */
  #fail(error: HoldfastError): void {
    if (this.ended !== null) return;
    this.error = error;
    this.#core.log.error('Volume failed', { code: error.code });
    this.#end(error, 'failed');
  }

  #end(error: HoldfastError, phase: NexusPhase): void {
    // What comes from now on has no effect; of what is under way nobody knows.
    this.ended = new HoldfastError(error.code, error.message, { details: error.details });
    this.#core.era++;
    this.#setPhase(phase, phase === 'failed' ? error.message : '');
    this.#opening?.stop(error);
    this.#halt();
    this.#helpers.watchdog.stop();
    this.#parts.membership.end(error);
    this.#parts.attendance.end();
    this.#parts.writes.failForGood(error);
    this.#parts.reads.failForGood(error);
    this.#parts.flushes.failForGood(error);
  }

  /**
   * As a crash: every session ends at once, nothing is written down; requests fail with `aborted`.
   */
  abandon(): void {
    if (this.ended !== null && this.phase !== 'closing') return;
    this.#end(
      new HoldfastError('aborted', 'Volume was abandoned', { effect: 'unknown' }),
      'closed',
    );
  }

  /**
   * R15: no I/O in flight, flush, complete, intents cleared, record closed. When that cannot be had
   * (quorum lost, not open yet) the volume is abandoned: the next opening reconciles.
   */
  async close(): Promise<void> {
    if (this.ended !== null) return;
    const core = this.#core;
    if (!core.serving) {
      this.abandon();
      return;
    }
    this.ended = new HoldfastError('aborted', 'Device is closed');
    this.#setPhase('closing', '');
    const limitMs = core.policy.memberDeadlineMs * 4;
    try {
      await withDeadline(core.clock, limitMs, this.#closeInOrder(core.era));
    } catch (error) {
      core.log.warn('Volume was not closed in order', { code: asHoldfastError(error).code });
    }
    this.abandon();
  }

  async #closeInOrder(era: number): Promise<void> {
    const { roster, clock } = this.#core;
    const check = (): void => {
      if (era !== this.#core.era) throw new HoldfastError('aborted', 'Volume changed meanwhile');
    };
    await this.#parts.rebuilds.stop();
    this.#parts.votes.stop();
    while (this.#parts.writes.waitingCount + this.#parts.reads.waitingCount > 0) {
      await clock.sleep(1);
      check();
    }
    // Its marks say where members may differ after a write that failed: they would be cleared.
    await this.#parts.repair.settled();
    await this.#parts.flushes.flush();
    await this.#parts.membership.settled();
    check();
    this.#helpers.housekeeping.stop();
    const slots = roster.slots.filter((slot) => (roster.readable & slot.bit) !== 0);
    await Promise.all(
      slots.map(async ({ session }) => {
        await session?.member.flush();
        await session?.member.clearIntents(true);
      }),
    );
    check();
    await this.#parts.membership.propose(() => ({ closed: true }));
  }

  // --- blocked
  // ------------------------------------------------------------------------------------

  blocked(blockedMs: number): void {
    this.blockedMs = blockedMs;
    const { onQuorumLoss, quorumErrorMs } = this.#core.policy;
    if (blockedMs === 0) {
      this.refusing = null;
      return;
    }
    if (onQuorumLoss !== 'error' || blockedMs < quorumErrorMs || this.ended !== null) return;
    const error = new HoldfastError('quorum-lost', 'No majority of voters answers', {
      effect: 'unknown',
    });
    if (this.refusing === null) this.#core.log.error('Requests fail: no majority of voters');
    this.refusing = error;
    this.#parts.writes.failWaiting(error);
    this.#parts.reads.failWaiting(error);
    this.#parts.flushes.failWaiting(error);
  }

  requireServing(): void {
    if (this.ended !== null) throw this.ended;
    if (!this.#core.serving) {
      throw new HoldfastError('suspended', 'Volume is not serving', {
        details: { reason: this.reason },
      });
    }
  }

  #setPhase(phase: NexusPhase, reason: string): void {
    this.phase = phase;
    this.reason = reason;
  }
}
