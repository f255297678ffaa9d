/** Volume, Replica and Snapshot: what the controller makes of claims. Cluster-scoped, like a PV. */
import { z } from 'zod';
import type { MembershipRecord } from '../membership.ts';
import type { Condition } from './conditions.ts';
import { absolutePath, labelName, segmentSize, subdomainName, volumeSize } from './object-meta.ts';
import type { ObjectMeta } from './object-meta.ts';

export const REPLICAS_MAX = 16;

export const replicaCount = z.number().int().min(1).max(REPLICAS_MAX);
export const isolation = z.enum(['thread', 'shared']);
export const onQuorumLoss = z.enum(['suspend', 'error']);
export const fsType = z.enum(['ext4', 'xfs']);
export const frontendKind = z.enum(['nbd', 'fuse']);

/** A replica's place, decided once by the scheduler and kept. */
const placement = z.strictObject({
  replicaName: labelName,
  poolName: labelName,
  nodeName: labelName,
  /** One of the replicas the volume began with; false for one that joined later. */
  founder: z.boolean(),
  /** Founder of a clone: born from this snapshot of that replica. */
  cloneOf: z.strictObject({ replicaName: labelName, snapshotName: labelName }).optional(),
});

const attachment = z.strictObject({
  nodeName: labelName,
  frontends: z.array(frontendKind).max(2),
  /** Where the node mounts it; needs the fuse frontend. */
  mountPath: absolutePath.optional(),
  fsType: fsType.optional(),
  readOnly: z.boolean().optional(),
});

export const volumeSpec = z.strictObject({
  size: volumeSize,
  segmentSize: segmentSize.optional(),
  replicas: replicaCount,
  isolation: isolation.optional(),
  onQuorumLoss: onQuorumLoss.optional(),
  fsType: fsType.optional(),
  claimRef: z
    .strictObject({ namespace: labelName, name: subdomainName, uid: z.string().optional() })
    .optional(),
  /** Born from a snapshot; the controller makes the snapshot first when a volume is named. */
  source: z
    .union([z.strictObject({ snapshotName: labelName }), z.strictObject({ volumeName: labelName })])
    .optional(),
  /** Best places first: where the consumer runs. A wish, not a condition. */
  preferredNodes: z.array(labelName).max(REPLICAS_MAX).optional(),
  placement: z.array(placement).max(REPLICAS_MAX).optional(),
  attachment: attachment.nullable().optional(),
});

export const replicaSpec = z.strictObject({
  volumeName: labelName,
  nodeName: labelName,
  poolName: labelName,
  size: volumeSize,
  segmentSize: segmentSize,
  /** All replicas the volume began with, when this is one of them. */
  founders: z.array(labelName).optional(),
  cloneOf: z.strictObject({ replicaName: labelName, snapshotName: labelName }).optional(),
});

export const snapshotSpec = z.strictObject({
  volumeName: labelName,
  claimRef: z.strictObject({ namespace: labelName, name: subdomainName }).optional(),
});

export type VolumeSpec = z.infer<typeof volumeSpec>;
export type ReplicaPlacement = z.infer<typeof placement>;
export type VolumeAttachmentSpec = z.infer<typeof attachment>;
export type ReplicaSpec = z.infer<typeof replicaSpec>;
export type SnapshotSpec = z.infer<typeof snapshotSpec>;

/** An external action, written down before it is tried. */
export interface PendingAction {
  readonly action: string;
  readonly target: string;
  readonly startTime: string;
}

export interface CommonStatus {
  readonly observedGeneration?: number | undefined;
  readonly conditions?: readonly Condition[] | undefined;
  readonly pendingAction?: PendingAction | null | undefined;
}

export interface VolumeMemberStatus {
  readonly replicaName: string;
  readonly phase: 'absent' | 'joining' | 'in-sync' | 'leaving';
  readonly reason: string;
  readonly errorCode: string;
  /** When the controller first saw it in this phase. */
  readonly sinceTime: string;
  /** Whole percent of a rebuild under way. */
  readonly rebuildPercent?: number | undefined;
}

export interface VolumeAttachmentStatus {
  readonly nodeName: string;
  readonly phase: string;
  readonly reason: string;
  readonly epoch: number;
  readonly frontends: readonly {
    readonly kind: 'nbd' | 'fuse';
    readonly url: string;
    readonly error: string;
  }[];
  readonly devicePath: string;
  readonly mountPath: string;
}

/** The control plane's vote (protocol.md rule 17): changed only by compare-and-swap. */
export interface VoteStatus {
  readonly promised: number;
  readonly promisedTo: string;
  readonly record: MembershipRecord | null;
}

export interface VolumeStatus extends CommonStatus {
  readonly sizeBytes?: number | undefined;
  /** The size that the mounted filesystem was last told of. */
  readonly filesystemBytes?: number | undefined;
  readonly members?: readonly VolumeMemberStatus[] | undefined;
  readonly attachment?: VolumeAttachmentStatus | null | undefined;
  readonly vote?: VoteStatus | undefined;
}

export interface ReplicaStatus extends CommonStatus {
  readonly directory?: string | undefined;
  readonly sizeBytes?: number | undefined;
  readonly dataBytes?: number | undefined;
  readonly incarnation?: string | undefined;
  readonly snapshots?: readonly string[] | undefined;
}

export interface SnapshotStatus extends CommonStatus {
  readonly readyToUse?: boolean | undefined;
  readonly creationTime?: string | undefined;
  readonly sizeBytes?: number | undefined;
  readonly epoch?: number | undefined;
  readonly generation?: number | undefined;
  /** Replicas that hold it complete. */
  readonly replicas?: readonly string[] | undefined;
}

interface OwnObject {
  readonly apiVersion: string;
  readonly metadata: ObjectMeta;
}

export interface Volume extends OwnObject {
  readonly kind: 'Volume';
  readonly spec: VolumeSpec;
  readonly status?: VolumeStatus | undefined;
}

export interface Replica extends OwnObject {
  readonly kind: 'Replica';
  readonly spec: ReplicaSpec;
  readonly status?: ReplicaStatus | undefined;
}

export interface Snapshot extends OwnObject {
  readonly kind: 'Snapshot';
  readonly spec: SnapshotSpec;
  readonly status?: SnapshotStatus | undefined;
}
