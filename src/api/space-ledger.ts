/**
 * Who needs the bytes of a disk: what stores and engines report of a pool, and what people are told
 * of a claim. Bytes are those that the filesystem has allocated.
 */
import type { PoolId, ReplicaId, SnapshotId, VolumeId } from './ids.ts';

/** Who needs the blocks of one layer, as the maps of a replica say. */
export interface LayerUse {
  readonly layer: string;
  /** The head reads them. */
  readonly liveBytes: number;
  /** One snapshot alone reads them: they come free with it. */
  readonly onlyBytes: readonly { readonly snapshot: SnapshotId; readonly bytes: number }[];
  /** Several snapshots read them, and the head does not. */
  readonly sharedBytes: number;
  /** Nothing of this replica reads them: a clone does, or they go with the next merge. */
  readonly unreadBytes: number;
}

export interface LayerHolder {
  readonly replica: ReplicaId;
  readonly volume: VolumeId;
  readonly isHead: boolean;
  readonly snapshot: SnapshotId | null;
}

/** The two files of a layer. */
export interface LayerSpace {
  readonly layer: string;
  /** Whose data it was written as. */
  readonly volume: VolumeId;
  readonly dataBytes: number;
  readonly mapBytes: number;
  /** Replicas that have it; a clone has layers of its source. */
  readonly holders: readonly LayerHolder[];
}

export interface ReplicaSpace {
  readonly replica: ReplicaId;
  /** Empty when its header cannot be read: nobody knows which layers it has. */
  readonly volume: VolumeId | '';
  readonly claim: string;
  readonly sizeBytes: number;
  /** Headers, logs, stamps, and its directory. */
  readonly metadataBytes: number;
}

/** Every file below the directory of a pool is in exactly one of these. */
export interface PoolFiles {
  readonly replicas: readonly ReplicaSpace[];
  readonly layers: readonly LayerSpace[];
  /** The pool's own header, lock and directories. */
  readonly poolBytes: number;
  /** What a crash left and the next start removes, and layers that nobody has. */
  readonly leftoverBytes: number;
  /** What is not ours. */
  readonly strangeBytes: number;
}

export interface PoolSpace extends PoolFiles {
  readonly pool: PoolId;
  readonly totalBytes: number;
  readonly freeBytes: number;
  readonly usedBytes: number;
  /** Of replicas that are open here and have more than one layer, as far as there was time. */
  readonly uses: readonly { readonly replica: ReplicaId; readonly layers: readonly LayerUse[] }[];
}

// --- what people are told ------------------------------------------------------------------------

export interface SnapshotSpace {
  readonly snapshot: string;
  /** Who has it: a VolumeSnapshot, the clone that it was made for, else its own name. */
  readonly owner: string;
  readonly bytes: number;
}

/** One volume on all its replicas together. */
export interface VolumeSpace {
  readonly volume: string;
  /** `namespace/name`; empty for none. */
  readonly claim: string;
  readonly sizeBytes: number;
  readonly replicas: number;
  /** Size times replicas. */
  readonly nominalBytes: number;
  /** All that follows together. */
  readonly actualBytes: number;
  readonly liveBytes: number;
  /** What comes free with each. */
  readonly snapshots: readonly SnapshotSpace[];
  /** Maps of some could not be read: their snapshots are counted whole, with what is live. */
  readonly isCountedWhole: boolean;
  /** What comes free only when several of them are gone. */
  readonly sharedSnapshotBytes: number;
  /** Layers that only clones of it need. */
  readonly cloneBytes: number;
  readonly metadataBytes: number;
  /** Allocated and not accounted for: metadata of the filesystem, blocks freed by nobody yet. */
  readonly slackBytes: number;
  /** Of a clone: what it reads in layers of its source, where it is counted. Not in the sum. */
  readonly inheritedBytes: number;
  /** At least so much would come free by fstrim; null where that is not known. */
  readonly trimmableBytes: number | null;
  /** Promised and not written yet. Nothing is reserved for it: volumes are thin. */
  readonly unwrittenBytes: number;
  /** Why it takes more than its size, one line each. */
  readonly why: readonly string[];
}

export interface PoolLedger {
  readonly pool: string;
  readonly node: string;
  readonly capacityBytes: number;
  readonly freeBytes: number;
  /** Kept by the filesystem for root. */
  readonly reservedBytes: number;
  readonly volumes: readonly {
    readonly volume: string;
    readonly claim: string;
    readonly bytes: number;
  }[];
  /** Of replicas that no object wants. */
  readonly orphanBytes: number;
  readonly poolBytes: number;
  readonly leftoverBytes: number;
  /** Other things on the same filesystem, and its own metadata. */
  readonly otherBytes: number;
  /** Sizes of the volumes here together. */
  readonly promisedBytes: number;
  /** Null when it does not fill, or nobody knows yet. */
  readonly fullInSeconds: number | null;
  /** When it is full, or why that is not known. */
  readonly forecast: string;
}

export interface ClusterSpace {
  readonly volumes: readonly VolumeSpace[];
  readonly pools: readonly PoolLedger[];
  /** Pools that did not answer, and why: what lies there is missing above. */
  readonly missing: readonly string[];
}
