/**
 * Nexus: the parts put together, and the life of the volume: open, serve, open again when no member
 * is left, close. What the parts do is told in their files; see mod.ts for the whole.
 */
import {
  CONTROL_PLANE,
  GENERATION_ZERO,
  HoldfastError,
  type Generation,
  type NexusPhase,
  type NexusStatus,
  type ReplicaId,
  type SnapshotId,
  type SnapshotInfo,
  type TraceEvent,
  type VoterId,
} from '#api/mod.ts';
import type {
  BlockCapabilities,
  BlockDevice,
  BlockExtent,
  BlockLimits,
  BlockRequest,
} from '#data/block/mod.ts';
import { BLOCK_BYTES, checkRequest } from '#data/block/mod.ts';
import { assert, Deferred } from '#lib/mod.ts';
import { Attendance } from './attendance.ts';
import { BlockRepair } from './block-repair.ts';
import { ClientSession, lostWrites } from './client-session.ts';
import { asHoldfastError, withDeadline } from './deadline.ts';
import { FlushRounds } from './flush-rounds.ts';
import { Growth } from './growth.ts';
import { Housekeeping } from './housekeeping.ts';
import { isMajority } from './majority.ts';
import { Membership } from './membership.ts';
import type { NexusOptions } from './mod.ts';
import { NexusCore } from './nexus-core.ts';
import { Opening } from './opening.ts';
import type { OpeningResult } from './opening-plan.ts';
import { ReadLease } from './read-lease.ts';
import { ReadPath } from './read-path.ts';
import { Reconcile } from './reconcile.ts';
import { RebuildJob } from './rebuild/rebuild-job.ts';
import { RebuildQueue } from './rebuild/rebuild-queue.ts';
import { type ScrubOptions, type ScrubOutcome, ScrubRepair } from './scrub-repair.ts';
import { Snapshots } from './snapshots.ts';
import { partBytesOf, SplitRequest } from './split-request.ts';
import { VoteHandover } from './vote-handover.ts';
import { Watchdog } from './watchdog.ts';
import { WritePath } from './write-path.ts';
import { WriteTrace } from './write-trace.ts';

/** The classes that carry the rules: a test gives a broken one to show that it would be caught. */
export interface NexusClasses {
  readonly Membership: typeof Membership;
  readonly Opening: typeof Opening;
  readonly Reconcile: typeof Reconcile;
  readonly WritePath: typeof WritePath;
  readonly ReadPath: typeof ReadPath;
  readonly FlushRounds: typeof FlushRounds;
  readonly RebuildJob: typeof RebuildJob;
  readonly Attendance: typeof Attendance;
  readonly Snapshots: typeof Snapshots;
}

const CLASSES: NexusClasses = {
  Membership,
  Opening,
  Reconcile,
  WritePath,
  ReadPath,
  FlushRounds,
  RebuildJob,
  Attendance,
  Snapshots,
};

const LIMITS: BlockLimits = {
  minBytes: BLOCK_BYTES,
  preferredBytes: BLOCK_BYTES,
  maxBytes: 32 * 1024 * 1024,
};

const CAPABILITIES: BlockCapabilities = {
  trim: true,
  zero: true,
  fastZero: true,
  flush: true,
  fua: true,
  extents: true,
  readOnly: false,
};

/** Blocked for longer than this shows as `suspended`. */
const SUSPENDED_MS = 1_000;

export class Nexus implements BlockDevice {
  readonly #options: NexusOptions;
  readonly #core: NexusCore;
  readonly #classes: NexusClasses;
  readonly #membership: Membership;
  readonly #lease: ReadLease;
  readonly #writes: WritePath;
  readonly #reads: ReadPath;
  readonly #flushes: FlushRounds;
  readonly #attendance: Attendance;
  readonly #rebuilds: RebuildQueue;
  readonly #repair: BlockRepair;
  readonly #snapshots: Snapshots;
  readonly #growth: Growth;
  readonly #scrub: ScrubRepair;
  readonly #votes: VoteHandover;
  readonly #housekeeping: Housekeeping;
  readonly #watchdog: Watchdog;

  #phase: NexusPhase = 'opening';
  #reason = 'not started';
  #waitingFor: readonly ReplicaId[] = [];
  #error: HoldfastError | null = null;
  #opening: Opening | null = null;
  #opens: Promise<void> | null = null;
  #blockedMs = 0;
  /** `onQuorumLoss: error` and blocked for too long: requests fail at once. */
  #refusing: HoldfastError | null = null;
  /** Requests are refused with this: closing, closed, failed. */
  #ended: HoldfastError | null = null;
  /** Epoch of the first opening of this nexus: its own client session. */
  #birthEpoch = 0;
  #lossEpoch = 0;
  /** Voters of this epoch that promised a higher one to another nexus. */
  readonly #fencedBy = new Set<VoterId>();
  /** The next opening may go above a nexus that holds a minority and does not get further. */
  #overtake = false;
  readonly #lossListeners: ((lossEpoch: number) => void)[] = [];

  constructor(options: NexusOptions, classes: Partial<NexusClasses> = {}) {
    assert(options.replicas.length > 0, 'a volume has at least one replica');
    this.#options = options;
    this.#classes = { ...CLASSES, ...classes };
    const core = new NexusCore(options);
    this.#core = core;
    const { clock, log, roster, policy } = core;
    const attendance = new this.#classes.Attendance(core);
    const onMemberError = attendance.lost.bind(attendance);
    const onBusy = (): void => this.#watchdog.wake();
    this.#attendance = attendance;
    this.#repair = new BlockRepair(core);
    this.#membership = new this.#classes.Membership({
      roster,
      controlPlane: options.controlPlane,
      nexusId: options.nexusId,
      deadlineMs: policy.memberDeadlineMs,
      retryMs: policy.reconnectMaxMs,
      clock,
      log,
      onFenced: (voter, promised) => this.#fenced(voter, promised),
      onVoterLost: onMemberError,
      onChange: () => this.#recordChanged(),
    });
    this.#lease = new ReadLease({
      roster,
      membership: this.#membership,
      controlPlane: options.controlPlane,
      leaseMs: policy.readLeaseMs,
      deadlineMs: policy.memberDeadlineMs,
      retryMs: Math.min(policy.reconnectMs, policy.readLeaseMs / 4),
      clock,
      onRenewed: () => this.#reads.recheck(),
      onFenced: (voter) => this.#fenced(voter, 0),
      onVoterLost: onMemberError,
    });
    this.#writes = new this.#classes.WritePath({
      roster,
      lock: core.lock,
      generations: core.generations,
      clock,
      flush: (request) => this.#flushes.submit(request),
      onMemberError,
      onAllFailed: (op) => this.#repair.equalise(op),
      onBusy,
      onDirty: () => this.#housekeeping.dirty(),
      throttle: (nowMs, ms) => this.#rebuilds.throttle.sample(nowMs, ms),
    });
    this.#reads = new this.#classes.ReadPath({
      roster,
      lock: core.lock,
      lease: this.#lease,
      clock,
      onMemberError,
      readByBlock: (request) => this.#repair.readByBlock(request),
      onBadCopies: (offset, length, members) => this.#repair.badCopies(offset, length, members),
      onBusy,
      throttle: (nowMs, ms) => this.#rebuilds.throttle.sample(nowMs, ms),
    });
    this.#flushes = new this.#classes.FlushRounds({
      roster,
      generations: core.generations,
      inFlight: this.#writes.inFlight,
      clock,
      onMemberError,
      onBusy,
    });
    this.#rebuilds = new RebuildQueue(core, this.#classes.RebuildJob);
    this.#snapshots = new this.#classes.Snapshots(core);
    this.#growth = new Growth(core, this.#snapshots);
    this.#scrub = new ScrubRepair(core);
    this.#votes = new VoteHandover(core);
    this.#housekeeping = new Housekeeping(core);
    this.#watchdog = new Watchdog(core, { onBlocked: (ms) => this.#blocked(ms) });
    core.assemble({
      membership: this.#membership,
      lease: this.#lease,
      writes: this.#writes,
      reads: this.#reads,
      flushes: this.#flushes,
      attendance,
      rebuilds: this.#rebuilds,
      repair: this.#repair,
      votes: this.#votes,
    });
    core.onNobodyLeft = (error) => this.#nobodyLeft(error);
    core.onStuckVoter = (error) => {
      this.#overtake = true;
      this.#nobodyLeft(error);
    };
    core.onFenced = (voter, promised) => this.#fenced(voter, promised);
  }

  // --- BlockDevice
  // --------------------------------------------------------------------------------

  get sizeBytes(): number {
    return this.#core.sizeBytes;
  }

  get limits(): BlockLimits {
    return LIMITS;
  }

  get capabilities(): BlockCapabilities {
    return CAPABILITIES;
  }

  /** As the client session that began when the nexus was opened first. */
  submit(request: BlockRequest): void {
    if (this.#lossEpoch > this.#birthEpoch) request.done(request, lostWrites());
    else this.submitUnguarded(request);
  }

  /** For ClientSession, which knows its own age. */
  submitUnguarded(request: BlockRequest): void {
    const refusal = this.#ended ?? this.#refusing ?? checkRequest(this, request);
    if (refusal !== null) {
      request.done(request, refusal);
      return;
    }
    if (request.verb === 'flush') {
      this.#flushes.submit(request);
      this.#watchdogForWaiting();
    } else if (request.lengthBytes > partBytesOf(request.verb)) {
      new SplitRequest(request, (part) => this.#submitPart(part)).start();
    } else {
      this.#submitPart(request);
    }
  }

  #submitPart(request: BlockRequest): void {
    if (this.#ended !== null) {
      request.done(request, this.#ended);
      return;
    }
    if (request.verb === 'read') this.#reads.submit(request);
    else this.#writes.submit(request);
    if (!this.#core.serving) this.#watchdog.wake();
  }

  #watchdogForWaiting(): void {
    if (!this.#core.serving) this.#watchdog.wake();
  }

  async extents(offsetBytes: number, lengthBytes: number): Promise<BlockExtent[]> {
    const { roster, clock, policy } = this.#core;
    if (this.#ended !== null) throw this.#ended;
    if (offsetBytes < 0 || lengthBytes < 0 || offsetBytes + lengthBytes > this.sizeBytes) {
      throw new HoldfastError('out-of-range', 'Range ends beyond the volume', {
        details: { offsetBytes, lengthBytes },
      });
    }
    for (const slot of roster.slots) {
      if ((roster.readable & slot.bit) === 0 || slot.session === null) continue;
      const { session } = slot;
      try {
        const outcome = session.member.extents(offsetBytes, lengthBytes);
        return await withDeadline(clock, policy.memberDeadlineMs, outcome);
      } catch (error) {
        this.#attendance.lost(slot, session, asHoldfastError(error));
      }
    }
    // Nobody to ask: "data" is always allowed to be said.
    if (lengthBytes === 0) return [];
    return [{ offsetBytes, lengthBytes, kind: 'data' }];
  }

  // --- client sessions
  // ----------------------------------------------------------------------------

  get epoch(): number {
    return this.#membership.epoch;
  }

  /** Epoch of the last opening that found no complete member; 0 when never (rule 3). */
  get lossEpoch(): number {
    return this.#lossEpoch;
  }

  /**
   * The volume for one client session. `sinceEpoch`: of a session that began under an earlier nexus
   * and goes on; it fails at once when writes were lost since.
   */
  session(sinceEpoch: number = this.epoch): ClientSession {
    return new ClientSession(this, sinceEpoch);
  }

  /** Called when sessions older than `lossEpoch` have just failed: frontends end them. */
  onLoss(listener: (lossEpoch: number) => void): void {
    this.#lossListeners.push(listener);
  }

  // --- life
  // ---------------------------------------------------------------------------------------

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
        this.#reason = failure.message;
        const pause = new Deferred<void>();
        this.#core.clock.after(this.#core.policy.reconnectMs, () => pause.resolve());
        await pause.promise;
      }
    }
  }

  #throwIfEnded(): void {
    if (this.#ended !== null) throw this.#ended;
  }

  /** False when nobody was left in the middle: once more, with a higher epoch. */
  async #openOnce(era: number): Promise<boolean> {
    const core = this.#core;
    this.#setPhase('opening', 'Waits for replicas');
    const formerEpoch = this.#membership.epoch;
    const context = { formerEpoch, overtake: this.#overtake };
    this.#overtake = false;
    const opening = new this.#classes.Opening(this.#options, context, {
      onWaiting: (reason, replicas) => {
        this.#reason = reason;
        this.#waitingFor = replicas;
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
    this.#waitingFor = [];
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
    this.#attendance.begin(sessions);
    this.#lease.begin();
    // R5: always, even if nothing changed; and before any other use of the members.
    const committed = this.#membership.begin(record, {
      controlPlaneTrusted,
      newVolume: found.epoch === 0,
    });
    this.#attendance.seat(record.members.map((member) => member.replica));
    core.refresh();
    // A majority may need voters that are away.
    this.#attendance.seekAbsent();
    await committed;
    if (this.#birthEpoch === 0) this.#birthEpoch = record.epoch;
    if (record.loss > this.#lossEpoch) this.#noteLoss(record.loss, result.lost);
  }

  /** *Lost means failed*: whatever waits belongs to sessions that began before the loss. */
  #noteLoss(lossEpoch: number, now: boolean): void {
    this.#lossEpoch = lossEpoch;
    if (now) {
      this.#core.log.error('Acknowledged writes may be lost', { epoch: lossEpoch });
      this.#core.counters.add('losses');
    }
    // Whichever nexus found the loss: it may have been another one, since we last served.
    if (lossEpoch <= this.#birthEpoch) return;
    const error = lostWrites();
    this.#writes.failWaiting(error);
    this.#reads.failWaiting(error);
    this.#flushes.failWaiting(error);
    for (const listener of this.#lossListeners) listener(lossEpoch);
  }

  /** R6, and the other things that a crash can leave different. */
  async #level(result: OpeningResult): Promise<void> {
    const core = this.#core;
    const members = (): readonly (typeof core.roster.slots)[number][] =>
      core.roster.inPhase('in-sync');
    if (!result.found.closed) {
      const reconcile = new this.#classes.Reconcile({
        segmentBytes: this.#options.segmentBytes,
        deadlineMs: core.policy.memberDeadlineMs * 2,
        clock: core.clock,
        log: core.log,
        members,
        onMemberError: (slot, session, error) => this.#attendance.lost(slot, session, error),
      });
      const report = await reconcile.run(result.record.epoch, result.lost);
      core.counters.add('reconciledSegments', report.segments);
      core.counters.add('reconciledBlocks', report.rewrittenBlocks);
      core.counters.add('doubtfulBlocks', report.doubtfulBlocks);
    }
    await this.#growth.align();
    await this.#snapshots.align();
    // A member that left meanwhile is out only when its removal is committed.
    await this.#membership.settled();
    if (members().length === 0) throw new HoldfastError('disconnected', 'No member is left');
  }

  #serve(result: OpeningResult): void {
    const core = this.#core;
    core.serving = true;
    this.#setPhase('serving', '');
    this.#flushes.begin({ epoch: result.record.epoch, n: 0 });
    core.refresh();
    this.#housekeeping.start();
    this.#watchdog.unblock();
    this.#writes.open();
    this.#reads.open();
    this.#flushes.open();
    this.#votes.start();
    this.#rebuilds.wake();
  }

  /**
   * No member is left, or one has to be won back: opened again with a higher epoch; requests wait.
   */
  #nobodyLeft(error: HoldfastError): void {
    const core = this.#core;
    if (this.#ended !== null) return;
    core.log.warn('Volume has to be opened again', { code: error.code });
    const opened = core.serving;
    core.era++;
    this.#halt();
    // Or what is still under way would take our own next epoch for another nexus.
    this.#attendance.end();
    this.#membership.end(new HoldfastError('aborted', 'Volume is opened again'));
    this.#watchdog.wake();
    this.#setPhase('suspended', error.message);
    // While it was being opened, that opening sees the era and begins anew.
    if (opened) this.#opens = this.#open().catch(() => undefined);
  }

  /** Nothing runs any more; what was with the members is taken back. */
  #halt(): void {
    this.#core.serving = false;
    this.#housekeeping.stop();
    this.#votes.stop();
    this.#writes.close();
    this.#reads.close();
    this.#flushes.close();
  }

  #recordChanged(): void {
    this.#core.refresh();
    this.#votes.check();
  }

  /**
   * A voter promised a higher epoch. One alone says little: another nexus may have tried and died.
   * When those that have not can no longer form a majority, the volume has another owner.
   */
  #fenced(voter: VoterId, promised: number): void {
    this.#fencedBy.add(voter);
    const record = this.#membership.newest;
    if (record !== null && isMajority(record, (name) => !this.#fencedBy.has(name))) {
      this.#core.log.warn('A voter promised a higher epoch to another nexus', { voter, promised });
      return;
    }
    this.#fail(
      new HoldfastError('fenced', 'Another nexus took the volume over', {
        effect: 'unknown',
        details: { voter, promised, epoch: this.#membership.epoch },
      }),
    );
  }

  /** For good. */
  #fail(error: HoldfastError): void {
    if (this.#ended !== null) return;
    this.#error = error;
    this.#core.log.error('Volume failed', { code: error.code });
    this.#end(error, 'failed');
  }

  #end(error: HoldfastError, phase: NexusPhase): void {
    // What comes from now on has no effect; of what is under way nobody knows.
    this.#ended = new HoldfastError(error.code, error.message, { details: error.details });
    this.#core.era++;
    this.#setPhase(phase, phase === 'failed' ? error.message : '');
    this.#opening?.stop(error);
    this.#halt();
    this.#watchdog.stop();
    this.#membership.end(error);
    this.#attendance.end();
    this.#writes.failForGood(error);
    this.#reads.failForGood(error);
    this.#flushes.failForGood(error);
  }

  /**
   * As a crash: every session ends at once, nothing is written down; requests fail with `aborted`.
   */
  abandon(): void {
    if (this.#ended !== null && this.#phase !== 'closing') return;
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
    if (this.#ended !== null) return;
    const core = this.#core;
    if (!core.serving) {
      this.abandon();
      return;
    }
    this.#ended = new HoldfastError('aborted', 'Device is closed');
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
    await this.#rebuilds.stop();
    this.#votes.stop();
    while (this.#writes.waitingCount + this.#reads.waitingCount > 0) {
      await clock.sleep(1);
      check();
    }
    await this.#flushes.flush();
    await this.#membership.settled();
    check();
    this.#housekeeping.stop();
    const slots = roster.slots.filter((slot) => (roster.readable & slot.bit) !== 0);
    await Promise.all(
      slots.map(async ({ session }) => {
        await session?.member.flush();
        await session?.member.clearIntents(true);
      }),
    );
    check();
    await this.#membership.propose(() => ({ closed: true }));
  }

  // --- blocked
  // ------------------------------------------------------------------------------------

  #blocked(blockedMs: number): void {
    this.#blockedMs = blockedMs;
    const { onQuorumLoss, quorumErrorMs } = this.#core.policy;
    if (blockedMs === 0) {
      this.#refusing = null;
      return;
    }
    if (onQuorumLoss !== 'error' || blockedMs < quorumErrorMs || this.#ended !== null) return;
    const error = new HoldfastError('quorum-lost', 'No majority of voters answers', {
      effect: 'unknown',
    });
    if (this.#refusing === null) this.#core.log.error('Requests fail: no majority of voters');
    this.#refusing = error;
    this.#writes.failWaiting(error);
    this.#reads.failWaiting(error);
    this.#flushes.failWaiting(error);
  }

  // --- operations
  // ---------------------------------------------------------------------------------

  /** Crash-consistent, the same on all members; `already-exists`, `no-space`, `suspended`. */
  async createSnapshot(id: SnapshotId): Promise<void> {
    this.#requireServing();
    await this.#snapshots.create(id);
  }

  /** `not-found`. */
  async deleteSnapshot(id: SnapshotId): Promise<void> {
    this.#requireServing();
    await this.#snapshots.delete(id);
  }

  listSnapshots(): readonly SnapshotInfo[] {
    return this.#snapshots.list;
  }

  /**
   * Resolves when every member has grown; shows the new size then. `invalid-argument`, `no-space`.
   */
  async grow(sizeBytes: number): Promise<void> {
    this.#requireServing();
    await this.#growth.grow(sizeBytes);
  }

  /**
   * A new replica (created without a record): it is rebuilt and gets its vote when it is in sync.
   */
  addReplica(replica: ReplicaId): void {
    this.#requireServing();
    const slot = this.#core.roster.add(replica);
    slot.retired = false;
    if (!this.#votes.replicas.includes(replica)) {
      this.#votes.setReplicas([...this.#votes.replicas, replica]);
    }
    this.#attendance.seekAbsent();
    this.#votes.check();
  }

  /**
   * Takes a replica out for good: of the record, then of the voters (rule 17), then of mind.
   * Resolves when it may be deleted. `conflict` when it is the last one in sync, or of these the
   * last one that has a vote.
   */
  async removeReplica(replica: ReplicaId): Promise<void> {
    this.#requireServing();
    const slot = this.#core.roster.find(replica);
    if (slot === undefined) throw new HoldfastError('not-found', 'Volume has no such replica');
    const others = this.#core.roster.inPhase('in-sync').filter((each) => each !== slot);
    if (others.length === 0) {
      throw new HoldfastError('conflict', 'Replica is the last one in sync', {
        details: { replica },
      });
    }
    if (others.every((each) => each.voteless)) {
      throw new HoldfastError('conflict', 'Replica is the last one in sync that has a vote', {
        details: { replica },
      });
    }
    this.#attendance.retire(slot, new HoldfastError('aborted', 'Replica is taken out'));
    await this.#membership.settled();
    const remaining = this.#votes.replicas.filter((each) => each !== replica);
    this.#votes.setReplicas(remaining);
    await this.#membership.changeVoters(this.#votes.wanted());
    slot.session?.close();
    slot.session = null;
    this.#core.roster.delete(slot);
    this.#core.refresh();
  }

  /**
   * Begins a rebuild: of what it lacks, or (`full`) of everything. A member in sync leaves first.
   */
  rebuild(replica: ReplicaId, options: { readonly full?: boolean } = {}): void {
    this.#requireServing();
    const slot = this.#core.roster.find(replica);
    if (slot === undefined) throw new HoldfastError('not-found', 'Volume has no such replica');
    if (slot.phase === 'in-sync') {
      const others = this.#core.roster.inPhase('in-sync').length;
      if (others < 2) {
        throw new HoldfastError('conflict', 'Replica is the last one in sync', {
          details: { replica },
        });
      }
    }
    if (options.full === true) slot.fullRebuild = true;
    slot.notBeforeMs = 0;
    slot.failedJoins = 0;
    this.#attendance.expel(slot, new HoldfastError('aborted', 'Rebuild was asked for'));
    this.#rebuilds.wake();
  }

  /** Verifies every member's copy and repairs bad blocks from the others. */
  async scrub(options: ScrubOptions = {}): Promise<ScrubOutcome> {
    this.#requireServing();
    return this.#scrub.run(options);
  }

  /** The next write tells its life to the sink. */
  traceNext(sink: (event: TraceEvent) => void): void {
    this.#writes.traceNext(new WriteTrace(this.#core.clock, sink));
  }

  #requireServing(): void {
    if (this.#ended !== null) throw this.#ended;
    if (!this.#core.serving) {
      throw new HoldfastError('suspended', 'Volume is not serving', {
        details: { reason: this.#reason },
      });
    }
  }

  // --- status
  // -------------------------------------------------------------------------------------

  #setPhase(phase: NexusPhase, reason: string): void {
    this.#phase = phase;
    this.#reason = reason;
  }

  status(): NexusStatus {
    const core = this.#core;
    const suspended = this.#phase === 'serving' && this.#blockedMs >= SUSPENDED_MS;
    const missing = this.#membership.missingVoters();
    return {
      phase: suspended ? 'suspended' : this.#phase,
      reason: suspended ? 'Waits for a majority of voters' : this.#reason,
      waitingFor: suspended
        ? missing.filter((voter): voter is ReplicaId => voter !== CONTROL_PLANE)
        : this.#waitingFor,
      epoch: this.#membership.epoch,
      generation: this.#generation(),
      completed: this.#flushes.completed,
      record: this.#membership.committed,
      members: core.roster.slots.map((slot) => slot.status()),
      sizeBytes: core.sizeBytes,
      snapshots: this.#snapshots.list.map((snapshot) => snapshot.id),
      longestStallMs: this.#watchdog.longestStallMs,
      counters: core.counters.all(),
      error: this.#error,
    };
  }

  #generation(): Generation {
    const { generations } = this.#core;
    return generations.epoch === 0 ? GENERATION_ZERO : generations.now();
  }
}
