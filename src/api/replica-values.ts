/**
 * What a replica says of itself and of its contents: values that cross the peer protocol and the
 * engine RPC (design.md §5-7).
 */
import type { HoldfastError } from './errors.ts';
import type { ClusterId, Incarnation, PoolId, ReplicaId, SnapshotId, VolumeId } from './ids.ts';
import type { Generation, MembershipRecord } from './membership.ts';

/** Who a replica is; enough to adopt a disk that was found on a shelf. */
export interface ReplicaIdentity {
  readonly cluster: ClusterId;
  readonly volume: VolumeId;
  readonly replica: ReplicaId;
  readonly pool: PoolId;
  /** Index of the shard; always 0 in this format. */
  readonly shard: number;
  /** Bytes per segment, a power of two from 64 KiB to 1 GiB: unit of intent, stamps and rebuild. */
  readonly segmentBytes: number;
  /** `namespace/name` of the claim the volume belongs to; empty when there is none. */
  readonly claim: string;
}

/** How the last process left the store; decided once, at open. */
export type OpenCondition =
  /** Closed in order, everything synced; or never written. */
  | 'clean'
  /** Only the process died: accepted writes are in the files, the maps in memory are lost. */
  | 'process-crash'
  /** Accepted writes may be lost (power, unmount): a new incarnation was taken. */
  | 'cache-lost'
  /** An older copy of the files came back (protocol.md rule 16): to be rebuilt from nothing. */
  | 'rolled-back';

/** Which view a request or question means: null is the head, otherwise a snapshot. */
export type LayerRef = SnapshotId | null;

export interface StampedSegment {
  readonly segment: number;
  readonly stamp: Generation;
}

/** What a segment of a layer's view (the layer and everything below it) holds. */
export interface SegmentInspection {
  readonly segment: number;
  /** Per block: 0 reads as zero (absent everywhere, or zero), 1 data. */
  readonly kinds: Uint8Array;
  /**
   * Per block: seeded crc32c of the contents as they lie on disk now; 0 for zero. Equal on all
   * replicas.
   */
  readonly contentCrcs: Uint32Array;
  /**
   * Per block: 1 when the contents match the checksum known for them (durable, or set by a write or
   * settle of this process); 0 when not. Outside intent segments 0 is corruption.
   */
  readonly verified: Uint8Array;
  readonly stamp: Generation;
}

export interface SnapshotInfo {
  readonly id: SnapshotId;
  readonly generation: Generation;
  readonly sizeBytes: number;
  /** False while a rebuild is still filling it: it serves no reads. */
  readonly sealed: boolean;
  /** Bytes that only this layer holds. */
  readonly allocatedBytes: number;
}

export interface ScrubReport {
  readonly checkedBlocks: number;
  readonly mismatches: readonly { readonly layer: LayerRef; readonly block: number }[];
  /** True when the end was reached; the next call begins anew. */
  readonly done: boolean;
}

export interface ReplicaState {
  readonly identity: ReplicaIdentity;
  readonly incarnation: Incarnation;
  readonly condition: OpenCondition;
  readonly sizeBytes: number;
  readonly promised: number;
  /** Id of the nexus that `promised` was given to: another one may not have the same epoch. */
  readonly promisedTo: string;
  readonly record: MembershipRecord | null;
  /** Highest generation that is complete everywhere (rule 9), as stored. */
  readonly completed: Generation;
  /** Oldest first. */
  readonly snapshots: readonly SnapshotInfo[];
  /**
   * Progress of a rebuild of this replica, in the words of the nexus that drives it; else empty.
   */
  readonly rebuild: string;
  readonly failed: HoldfastError | null;
}

export interface ReplicaUsage {
  readonly headBytes: number;
  readonly snapshotBytes: number;
  readonly metadataBytes: number;
}
