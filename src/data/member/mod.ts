/**
 * Member: the contract between a nexus and one replica (design.md §7). It is implemented by a
 * replica in the same thread and by the peer protocol; the nexus knows nothing else of a replica.
 *
 * A Member is one *session*: one authenticated connection that proved (cluster, volume, replica).
 * `promise` binds the session to an epoch and ends every older session of that replica: what still
 * lies in an older one is dropped or drained before the promise is answered (rule 1).
 *
 * Invariants
 * - *One writer*: every verb that changes or reads data fails with `fenced` when a higher epoch was
 *   promised, and with `stale-session` when a newer session took over.
 * - *Current or silent*: a replica whose condition is `rolled-back` serves no read before `reset`.
 * - After the session is lost every pending verb fails with `disconnected` or `aborted`, effect
 *   unknown, and nothing is sent again by itself.
 */
import type {
  Generation,
  HoldfastError,
  LayerRef,
  MembershipRecord,
  ReplicaId,
  ReplicaState,
  ReplicaUsage,
  ScrubReport,
  SegmentInspection,
  SnapshotId,
  StampedSegment,
  VoterId,
  VoterState,
} from '#api/mod.ts';
import type { BlockExtent, ReplicaRequest } from '#data/block/mod.ts';

/**
 * Keeps, durably, the highest promised epoch and the last accepted record: a replica or the control
 * plane.
 */
export interface Voter {
  readonly voter: VoterId;
  /**
   * Rule 1. Granted when `epoch` is above what was promised, or equal and promised to the same
   * `nexus`. Durable when it resolves. From then on lower epochs are refused everything.
   */
  promise(epoch: number, nexus: string): Promise<VoterState>;
  /**
   * Accepts the record when its epoch is the promised one and (epoch, seq) rises (rule 10). Durable
   * when it resolves; the same record again is granted too.
   */
  commit(record: MembershipRecord): Promise<VoterState>;
  /** True while `epoch` is still the highest promised: what a read lease is renewed with. */
  confirm(epoch: number): Promise<boolean>;
}

export interface Member extends Voter {
  readonly replica: ReplicaId;
  /** As it was when the session began; `refresh` asks again. */
  readonly state: ReplicaState;
  refresh(): Promise<ReplicaState>;
  /** Called once when the session is lost for any reason but our own `close`. */
  onLost(listener: (error: HoldfastError) => void): void;
  /**
   * Ends the session; pending verbs fail with `aborted`. The replica itself stays open. Idempotent.
   */
  close(): void;

  /**
   * The hot path (rule 7): block-aligned, overlapping requests ordered by the nexus. Errors: those
   * of the store (`checksum-mismatch`, `no-space`, `io-error`, `replica-failed`, `out-of-range`,
   * `unaligned`, `not-found`), `fenced`, `stale-session`, `not-current`, `disconnected`, `aborted`.
   */
  submit(request: ReplicaRequest): void;
  /** Everything this session had completed before the call is durable when it resolves (rule 8). */
  flush(): Promise<void>;
  /** Rule 9; told to in-sync members only. Stored lazily. */
  complete(generation: Generation): void;

  /** Segments with an intent mark, ascending. */
  intents(): Promise<number[]>;
  /** Segments stamped above `generation`, ascending from `fromSegment`, at most `limit`. */
  stampedSince(
    generation: Generation,
    fromSegment: number,
    limit: number,
  ): Promise<StampedSegment[]>;
  inspect(layer: LayerRef, segment: number): Promise<SegmentInspection>;
  /** Ends the doubt of an intent segment (rule 6); `checksum-mismatch` when the contents moved. */
  settle(
    segment: number,
    kinds: Uint8Array,
    contentCrcs: Uint32Array,
    stamp: Generation,
  ): Promise<void>;
  /** Rule 14 lazily, or all of them at an orderly close (rule 15). */
  clearIntents(all: boolean): Promise<void>;
  /** Forgets all contents: the start of a rebuild from nothing. */
  reset(sizeBytes: number): Promise<void>;
  setRebuild(text: string): Promise<void>;

  createSnapshot(id: SnapshotId, generation: Generation): Promise<void>;
  deleteSnapshot(id: SnapshotId): Promise<void>;
  beginSnapshotInstall(id: SnapshotId, generation: Generation): Promise<void>;
  sealSnapshot(id: SnapshotId): Promise<void>;
  grow(sizeBytes: number): Promise<void>;
  scrub(budgetBlocks: number): Promise<ScrubReport>;
  usage(): Promise<ReplicaUsage>;
  extents(offsetBytes: number, lengthBytes: number): Promise<BlockExtent[]>;
}

/** Finds and opens sessions; the nexus has one and never sees an address. */
export interface MemberConnector {
  /**
   * A new session with this replica. `refused`, `timed-out`, `not-found` (no such replica there),
   * `wrong-identity`, `replica-failed`, `store-corrupt` and the like.
   */
  connect(replica: ReplicaId, options: { readonly timeoutMs: number }): Promise<Member>;
}
