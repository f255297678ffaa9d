/**
 * Store: what holds one replica on disk (design.md §5, docs/format/store.md).
 *
 * A replica is a stack of *layers*: the writable head over frozen snapshot layers. A layer holds
 * per 4 KiB block *absent | zero | data* and a crc32c over (volume, block number, contents); absent
 * blocks fall through to the parent. Data is written in place in the head; checksums, presence and
 * stamps live in paged maps beside it, change in memory, and become durable by flush.
 *
 * Invariants
 * - *Intent before data*: a segment's intent mark is durable before data of that segment can reach
 *   the disk.
 * - A flush is: data synced, then one append to the map log synced. What a flush covered is read
 *   back after a power loss, or refused by its checksum.
 * - Outside intent segments a checksum mismatch is corruption, always.
 * - Memory does not grow with the volume: maps are paged, only dirty pages are pinned.
 * - After a failed sync the store is failed, never retried (W3).
 *
 * The store knows nothing of sessions, voters' quorums or other replicas: it keeps what the replica
 * (data/replica) tells it to keep.
 */
import type {
  Generation,
  HoldfastError,
  LayerRef,
  LayerUse,
  MembershipRecord,
  PoolFiles,
  PoolId,
  ReplicaId,
  ReplicaIdentity,
  ReplicaState,
  ReplicaUsage,
  ScrubReport,
  SegmentInspection,
  SnapshotId,
  StampedSegment,
} from '#api/mod.ts';
import type { BlockExtent, ReplicaRequest } from '#data/block/mod.ts';
import type { SpaceReport } from '#host/mod.ts';

/** One stored copy, open. Cold methods may be called at any time; the store orders them itself. */
export interface ReplicaStore {
  state(): ReplicaState;

  /**
   * The hot path. Overlapping requests must be ordered by the caller. Errors: `checksum-mismatch`
   * (read; details offsetBytes), `not-current` (read of a block in doubt: settle its segment first,
   * or write it anew), `no-space`, `io-error`, `replica-failed`, `not-found` (layer), `read-only`
   * (sealed layer), `out-of-range`, `unaligned`, `store-rolled-back` (until `reset`), `aborted`
   * (closed).
   */
  submit(request: ReplicaRequest): void;

  /**
   * Makes everything that was completed before the call durable: data, checksums, presence, stamps.
   * `io-error` fails the store for good.
   */
  flush(): Promise<void>;

  // --- what a voter keeps (durable when the promise resolves) ---
  setPromised(epoch: number, promisedTo: string): Promise<void>;
  setRecord(record: MembershipRecord): Promise<void>;
  /** Stored lazily, with the next flush at the latest; raises only. */
  setCompleted(generation: Generation): void;
  /**
   * Free text of the nexus that rebuilds this replica, durable: progress that a resumed rebuild
   * reads.
   */
  setRebuild(text: string): Promise<void>;

  // --- what a rebuild asks ---
  /** Segments with a durable intent mark now, ascending. */
  intents(): number[];
  /**
   * Segments of the head whose stamp is above `generation`, ascending, in pages of at most `limit`.
   */
  stampedSince(
    generation: Generation,
    fromSegment: number,
    limit: number,
  ): Promise<StampedSegment[]>;
  inspect(layer: LayerRef, segment: number): Promise<SegmentInspection>;
  /**
   * Ends an intent segment's doubt after members were compared (rule 6): the contents must still
   * match `contentCrcs`, else `checksum-mismatch`; they become the checksums, the stamp is set.
   * Durable with the next flush.
   */
  settle(
    segment: number,
    kinds: Uint8Array,
    contentCrcs: Uint32Array,
    stamp: Generation,
  ): Promise<void>;
  /**
   * Drops intent marks whose segment is synced and whose durable stamp is ≤ the stored completed
   * generation (rule 14). Called lazily; `all`: after an orderly close (rule 15).
   */
  clearIntents(all: boolean): Promise<void>;
  /**
   * Forgets all contents, snapshots, stamps and `completed` (a replica that is rebuilt from
   * nothing).
   */
  reset(sizeBytes: number): Promise<void>;

  // --- snapshots, growth, scrub ---
  /** Freezes the head and puts an empty one on top; durable. The caller has drained writes. */
  createSnapshot(id: SnapshotId, generation: Generation): Promise<void>;
  /**
   * Merges the layer into its child, crash-safe at every step; readers of other layers see no
   * change. What was broken off is taken up by the next call, with this or any id. A layer that a
   * clone still needs only loses its name. Nothing to do for an unknown id. Blocks in doubt of an
   * unsealed layer are taken as they lie: their intents stay, so that a rebuild compares them.
   */
  deleteSnapshot(id: SnapshotId): Promise<void>;
  /** Rebuild only: freezes the head as an unsealed layer that accepts writes until it is sealed. */
  beginSnapshotInstall(id: SnapshotId, generation: Generation): Promise<void>;
  /** The caller compared the layer with its source: blocks in doubt are taken as they lie. */
  sealSnapshot(id: SnapshotId): Promise<void>;
  grow(sizeBytes: number): Promise<void>;
  /** Verifies up to `budgetBlocks` blocks from where the last call ended. */
  scrub(budgetBlocks: number): Promise<ScrubReport>;
  /** Bytes on disk: by the head, by each snapshot, by metadata. */
  usage(): Promise<ReplicaUsage>;
  /**
   * Who needs the blocks of each layer; empty for one layer, which is the head's alone, and when
   * the maps, all of which are read, take longer. For people who ask, not for reports.
   */
  layerUses(budgetMs: number): Promise<LayerUse[]>;
  /** Kinds of the range as the head sees it: data, zero (allocated zero) or hole; without gaps. */
  extents(offsetBytes: number, lengthBytes: number): Promise<BlockExtent[]>;

  /** Flushes and marks the store clean. Without it (a crash) the next open says `process-crash`. */
  close(): Promise<void>;
}

export interface CreateReplicaOptions {
  readonly identity: ReplicaIdentity;
  readonly sizeBytes: number;
  /** The record that a new volume begins with, or null for a replica that joins an old one. */
  readonly record: MembershipRecord | null;
  /** A clone: a new head over a frozen layer of another replica in this pool. */
  readonly cloneOf?: { readonly replica: ReplicaId; readonly snapshot: SnapshotId };
}

export interface ReplicaSummary {
  readonly identity: ReplicaIdentity;
  readonly sizeBytes: number;
  readonly directory: string;
  /** Why it cannot be opened, or null. */
  readonly error: HoldfastError | null;
}

/** An allocation domain: one directory of a mounted filesystem that belongs to one cluster. */
export interface StorePool {
  readonly id: PoolId;
  readonly directory: string;
  /** `already-exists`; `no-space`. Nothing is left behind on error. */
  createReplica(options: CreateReplicaOptions): Promise<void>;
  /** `not-found`, `store-corrupt`, `store-newer-format`, `store-foreign`, `store-locked`. */
  openReplica(replica: ReplicaId): Promise<ReplicaStore>;
  /** The replica must be closed. Frozen layers that a clone still needs stay until it is gone. */
  deleteReplica(replica: ReplicaId): Promise<void>;
  /** Every replica on the disk, also those that do not open. */
  listReplicas(): Promise<ReplicaSummary[]>;
  /** One of them; undefined when there is none of this id. */
  findReplica(replica: ReplicaId): Promise<ReplicaSummary | undefined>;
  capacity(): Promise<{ readonly totalBytes: number; readonly freeBytes: number }>;
  /** Keeps room for metadata, where there is plenty: called now and then with how full it is. */
  keepReserve(space: SpaceReport): Promise<void>;
  /** Every file below the directory by what it is for, of open and closed replicas alike. */
  files(): Promise<PoolFiles>;
  close(): Promise<void>;
}

export { openFilePool } from './file/file-pool.ts';
/** Opens one replica by its directory, for a thread that does not own the pool. */
export { openFileReplica } from './file/file-pool.ts';
