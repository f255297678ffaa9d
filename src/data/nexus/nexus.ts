/**
 * Nexus: the parts put together, as a block device with its operations and its status. How it opens
 * and ends is NexusLife's; what the parts do is told in their files; see mod.ts for the whole.
 */
import {
  CONTROL_PLANE,
  GENERATION_ZERO,
  HoldfastError,
  type Generation,
  type NexusStatus,
  type ReplicaId,
  type SnapshotId,
  type SnapshotInfo,
  type TraceEvent,
} from '#api/mod.ts';
import type {
  BlockCapabilities,
  BlockDevice,
  BlockExtent,
  BlockLimits,
  BlockRequest,
  TraceSwitch,
} from '#data/block/mod.ts';
import { BLOCK_BYTES, checkRequest } from '#data/block/mod.ts';
import { assert } from '#lib/mod.ts';
import type { Attendance } from './attendance.ts';
import { BlockRepair } from './block-repair.ts';
import { ClientSession, lostWrites } from './client-session.ts';
import { asHoldfastError, withDeadline } from './deadline.ts';
import type { FlushRounds } from './flush-rounds.ts';
import { Growth } from './growth.ts';
import { Housekeeping } from './housekeeping.ts';
import type { Membership } from './membership.ts';
import type { NexusOptions } from './mod.ts';
import { type NexusClasses, SOUND_CLASSES } from './nexus-classes.ts';
import { NexusCore } from './nexus-core.ts';
import { NexusLife } from './nexus-life.ts';
import { ReadLease } from './read-lease.ts';
import type { ReadPath } from './read-path.ts';
import { RebuildQueue } from './rebuild/rebuild-queue.ts';
import { type ScrubOptions, type ScrubOutcome, ScrubRepair } from './scrub-repair.ts';
import type { Snapshots } from './snapshots.ts';
import { partBytesOf, SplitRequest } from './split-request.ts';
import { VoteHandover } from './vote-handover.ts';
import { Watchdog } from './watchdog.ts';
import type { WritePath } from './write-path.ts';
import { WriteTrace } from './write-trace.ts';

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
  readonly #life: NexusLife;

  constructor(options: NexusOptions, classes: Partial<NexusClasses> = {}) {
    assert(options.replicas.length > 0, 'a volume has at least one replica');
    this.#classes = { ...SOUND_CLASSES, ...classes };
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
      onFenced: (voter, promised) => this.#life.fenced(voter, promised),
      onVoterLost: onMemberError,
      onChange: () => this.#life.recordChanged(),
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
      onFenced: (voter) => this.#life.fenced(voter, 0),
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
    this.#watchdog = new Watchdog(core, { onBlocked: (ms) => this.#life.blocked(ms) });
    this.#life = new NexusLife(core, this.#classes, {
      growth: this.#growth,
      snapshots: this.#snapshots,
      housekeeping: this.#housekeeping,
      watchdog: this.#watchdog,
    });
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
    core.onNobodyLeft = (error) => this.#life.nobodyLeft(error);
    core.onStuckVoter = (error) => this.#life.winBack(error);
    core.onFenced = (voter, promised) => this.#life.fenced(voter, promised);
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
    if (this.#life.lossEpoch > this.#life.birthEpoch) request.done(request, lostWrites());
    else this.submitUnguarded(request);
  }

  /** For ClientSession, which knows its own age. */
  submitUnguarded(request: BlockRequest): void {
    const refusal = this.#life.ended ?? this.#life.refusing ?? checkRequest(this, request);
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
    if (this.#life.ended !== null) {
      request.done(request, this.#life.ended);
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
    if (this.#life.ended !== null) throw this.#life.ended;
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
    return this.#life.lossEpoch;
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
    this.#life.lossListeners.push(listener);
  }

  /** Resolves when serving; waits for replicas as long as it takes. `fenced`, `aborted`. */
  start(): Promise<void> {
    return this.#life.start();
  }

  /**
   * As a crash: every session ends at once, nothing is written down; requests fail with `aborted`.
   */
  abandon(): void {
    this.#life.abandon();
  }

  /**
   * R15. When an orderly end cannot be had (quorum lost, not open yet) the volume is abandoned: the
   * next opening reconciles.
   */
  close(): Promise<void> {
    return this.#life.close();
  }

  // --- operations
  // ---------------------------------------------------------------------------------

  /** Crash-consistent, the same on all members; `already-exists`, `no-space`, `suspended`. */
  async createSnapshot(id: SnapshotId): Promise<void> {
    this.#life.requireServing();
    await this.#snapshots.create(id);
  }

  /** `not-found`. */
  async deleteSnapshot(id: SnapshotId): Promise<void> {
    this.#life.requireServing();
    await this.#snapshots.delete(id);
  }

  listSnapshots(): readonly SnapshotInfo[] {
    return this.#snapshots.list;
  }

  /**
   * Resolves when every member has grown; shows the new size then. `invalid-argument`, `no-space`.
   */
  async grow(sizeBytes: number): Promise<void> {
    this.#life.requireServing();
    await this.#growth.grow(sizeBytes);
  }

  /**
   * A new replica (created without a record): it is rebuilt and gets its vote when it is in sync.
   */
  addReplica(replica: ReplicaId): void {
    this.#life.requireServing();
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
    this.#life.requireServing();
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
    this.#life.requireServing();
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
    this.#life.requireServing();
    return this.#scrub.run(options);
  }

  /** The next write tells its life to the sink. */
  traceNext(sink: (event: TraceEvent) => void): void {
    this.#writes.traces.next = new WriteTrace(this.#core.clock, sink);
  }

  get traces(): TraceSwitch {
    return this.#writes.traces;
  }

  // --- status
  // -------------------------------------------------------------------------------------

  status(): NexusStatus {
    const core = this.#core;
    const suspended = this.#life.phase === 'serving' && this.#life.blockedMs >= SUSPENDED_MS;
    const missing = this.#membership.missingVoters();
    const { error } = this.#life;
    return {
      phase: suspended ? 'suspended' : this.#life.phase,
      reason: suspended ? 'Waits for a majority of voters' : this.#life.reason,
      waitingFor: suspended
        ? missing.filter((voter): voter is ReplicaId => voter !== CONTROL_PLANE)
        : this.#life.waitingFor,
      epoch: this.#membership.epoch,
      generation: this.#generation(),
      completed: this.#flushes.completed,
      record: this.#membership.committed,
      members: core.roster.slots.map((slot) => slot.status()),
      sizeBytes: core.sizeBytes,
      snapshots: this.#snapshots.list.map((snapshot) => snapshot.id),
      damagedBlocks: core.parts.repair.damaged,
      longestStallMs: this.#watchdog.longestStallMs,
      counters: core.counters.all(),
      error: error === null ? null : { code: error.code, message: error.message },
    };
  }

  #generation(): Generation {
    const { generations } = this.#core;
    return generations.epoch === 0 ? GENERATION_ZERO : generations.now();
  }
}
