/**
 * The calls between processes (design.md §2): what an engine, a node and the controller answer.
 * Every method is idempotent: asked again with the same arguments it answers the same and does
 * nothing twice. Values are JSON; errors cross as HoldfastError (code, effect, details).
 */
import type { NodeId, PoolId, ReplicaId, SnapshotId, VolumeId, ClusterId } from './ids.ts';
import type { MembershipRecord, VoterState } from './membership.ts';
import type { NexusStatus, TraceEvent } from './nexus-status.ts';
import type { PoolSpace } from './space-ledger.ts';
import type { ReplicaIdentity, ReplicaState, ReplicaUsage, ScrubReport } from './replica-values.ts';

/** `unix:/path` or `tcp:host:port`. An address is never an identity. */
export type AddressText = string;

export interface PoolReport {
  readonly pool: PoolId;
  readonly directory: string;
  readonly totalBytes: number;
  readonly freeBytes: number;
  readonly filesystem: string;
  readonly deviceName: string;
  readonly deviceSerial: string;
  /** Why the pool cannot be used, in the form `code: message`; empty when it can. */
  readonly error: string;
  readonly errorCode: string;
  readonly replicas: readonly ReplicaReport[];
}

export interface ReplicaReport {
  readonly identity: ReplicaIdentity;
  readonly sizeBytes: number;
  readonly directory: string;
  /** Where its peer protocol answers now; empty when it is not open. */
  readonly address: AddressText;
  /** Null when it is not open; `error` says why. */
  readonly state: ReplicaState | null;
  readonly usage: ReplicaUsage | null;
  readonly error: string;
  readonly errorCode: string;
}

export interface ReplicaPlace {
  readonly replica: ReplicaId;
  readonly node: NodeId;
  readonly pool: PoolId;
  /**
   * The engine that holds it: its RPC address, by which the replica's peer address is looked up.
   */
  readonly engine: AddressText;
}

export interface AttachSpec {
  readonly cluster: ClusterId;
  readonly volume: VolumeId;
  readonly claim: string;
  readonly sizeBytes: number;
  readonly segmentBytes: number;
  readonly replicas: readonly ReplicaPlace[];
  readonly isolation: 'thread' | 'shared';
  readonly onQuorumLoss: 'suspend' | 'error';
  readonly frontends: readonly ('nbd' | 'fuse')[];
  readonly readOnly: boolean;
  /** A frozen view of a volume that has no writer is attached by snapshot; null is the head. */
  readonly snapshot: SnapshotId | null;
}

export interface FrontendReport {
  readonly kind: 'nbd' | 'fuse';
  /** nbd: `nbd+unix:///EXPORT?socket=PATH`; fuse: the loop device. */
  readonly url: string;
  readonly error: string;
}

export interface AttachmentReport {
  readonly volume: VolumeId;
  readonly spec: AttachSpec;
  readonly status: NexusStatus;
  readonly frontends: readonly FrontendReport[];
}

interface Call<Params, Result> {
  readonly params: Params;
  readonly result: Result;
}

export interface EngineReport {
  readonly node: NodeId;
  readonly cluster: ClusterId;
  readonly version: string;
  readonly pid: number;
  readonly pools: readonly PoolReport[];
  readonly attachments: readonly AttachmentReport[];
}

/** Answered by `engine`. */
export interface EngineMethods {
  'engine.describe': Call<Record<string, never>, EngineReport>;
  /**
   * As `engine.describe`, of one volume alone: every pool, of the replicas and attachments those of
   * the volume, and replicas of which nobody can say whose they are. As dear as the volume is, not
   * as the node.
   */
  'engine.describeVolume': Call<{ readonly volume: VolumeId }, EngineReport>;
  /** Whether it answers at all. */
  'engine.ping': Call<Record<string, never>, Record<string, never>>;
  /** Opens (and, when `create`, first makes) a pool in a directory. */
  'pool.ensure': Call<
    { readonly pool: PoolId; readonly directory: string; readonly create: boolean },
    PoolReport
  >;
  /** Who needs its bytes: every file is looked at, and every map where there are snapshots. */
  'pool.space': Call<{ readonly pool: PoolId }, PoolSpace>;
  'replica.create': Call<
    {
      readonly pool: PoolId;
      readonly identity: ReplicaIdentity;
      readonly sizeBytes: number;
      /** All replicas of a new volume; null for a replica that joins an old one. */
      readonly founders: readonly ReplicaId[] | null;
      readonly cloneOf: { readonly replica: ReplicaId; readonly snapshot: SnapshotId } | null;
    },
    ReplicaReport
  >;
  'replica.delete': Call<{ readonly replica: ReplicaId }, Record<string, never>>;
  'replica.describe': Call<{ readonly replica: ReplicaId }, ReplicaReport>;
  'replica.scrub': Call<
    { readonly replica: ReplicaId; readonly budgetBlocks: number },
    ScrubReport
  >;

  /** Returns as soon as the nexus was started; `volume.describe` says when it serves. */
  'volume.attach': Call<AttachSpec, AttachmentReport>;
  'volume.detach': Call<{ readonly volume: VolumeId }, Record<string, never>>;
  'volume.describe': Call<{ readonly volume: VolumeId }, AttachmentReport>;
  'volume.setReplicas': Call<
    { readonly volume: VolumeId; readonly replicas: readonly ReplicaPlace[] },
    AttachmentReport
  >;
  'volume.createSnapshot': Call<
    { readonly volume: VolumeId; readonly snapshot: SnapshotId },
    { readonly epoch: number; readonly n: number }
  >;
  'volume.deleteSnapshot': Call<
    { readonly volume: VolumeId; readonly snapshot: SnapshotId },
    Record<string, never>
  >;
  'volume.grow': Call<{ readonly volume: VolumeId; readonly sizeBytes: number }, AttachmentReport>;
  'volume.rebuild': Call<
    { readonly volume: VolumeId; readonly replica: ReplicaId; readonly full: boolean },
    Record<string, never>
  >;
  'volume.scrub': Call<
    { readonly volume: VolumeId },
    {
      readonly checkedBlocks: number;
      readonly repairedBlocks: number;
      readonly unhealableBlocks: number;
    }
  >;
  /**
   * Whether no block was ever written, as a member in sync says: what decides that a volume may be
   * formatted.
   */
  'volume.isBlank': Call<{ readonly volume: VolumeId }, { readonly isBlank: boolean }>;
  /** Traces the next write through nexus, members and stores. Resolves when it is answered. */
  'volume.trace': Call<
    { readonly volume: VolumeId; readonly timeoutMs: number },
    { readonly events: readonly TraceEvent[] }
  >;
  'engine.stop': Call<Record<string, never>, Record<string, never>>;
}

/** How full a filesystem is that is mounted. */
export interface MountSpace {
  readonly volume: VolumeId;
  readonly totalBytes: number;
  readonly usedBytes: number;
}

export interface MountReport {
  readonly volume: VolumeId;
  readonly path: string;
  readonly fsType: string;
  readonly device: string;
  readonly error: string;
}

/** Answered by `node`. */
export interface NodeMethods {
  'node.describe': Call<
    Record<string, never>,
    {
      readonly node: NodeId;
      readonly pid: number;
      readonly engineAddress: AddressText;
      readonly enginePid: number;
      readonly engineRestarts: number;
      readonly mounts: readonly MountReport[];
      /** What the machine lacks for mounting; empty when it can. */
      readonly missing: readonly string[];
    }
  >;
  /** Of those that answer within a second. */
  'node.space': Call<Record<string, never>, { readonly mounts: readonly MountSpace[] }>;
  /** Unmounts everything that CSI mounted here; nothing is mounted until the process ends. */
  'node.quiesce': Call<
    Record<string, never>,
    {
      /** What could not be unmounted, in words. */
      readonly busy: readonly string[];
    }
  >;
}

/** Answered by `controller` for nexuses: the control plane's vote (rule 17). */
export interface VoteMethods {
  'vote.promise': Call<
    { readonly volume: VolumeId; readonly epoch: number; readonly nexus: string },
    VoterState
  >;
  'vote.commit': Call<{ readonly volume: VolumeId; readonly record: MembershipRecord }, VoterState>;
  'vote.confirm': Call<
    { readonly volume: VolumeId; readonly epoch: number },
    { readonly current: boolean }
  >;
}

export type MethodTable = Record<string, Call<unknown, unknown>>;
export type ParamsOf<Table, Name extends keyof Table> =
  Table[Name] extends Call<infer P, unknown> ? P : never;
export type ResultOf<Table, Name extends keyof Table> =
  Table[Name] extends Call<unknown, infer R> ? R : never;
/** One async function per method: what a server of these calls is made of. */
export type Handlers<Table> = {
  readonly [Name in keyof Table]: (params: ParamsOf<Table, Name>) => Promise<ResultOf<Table, Name>>;
};
