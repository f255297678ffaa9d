/** Volume, Replica and Snapshot: what the controller makes of claims. Cluster-scoped, like a PV. */
import { z } from 'zod';
import type { MembershipRecord } from '../membership.ts';
import { conditions } from './conditions.ts';
import { MKFS_OPTIONS_MAX } from './mkfs-options.ts';
import { POOL_SELECTOR_MAX, readPoolSelector } from './pool-selector.ts';
import type { Condition } from './conditions.ts';
import { labelName, segmentSize, subdomainName, volumeSize } from './object-meta.ts';
import type { Frozen, ObjectMeta } from './object-meta.ts';

export const REPLICAS_MAX = 16;
/** How long a lost replica is waited for, unless the class says otherwise. */
export const REPLACE_AFTER_SECONDS = 300;
/** A year. */
export const REPLACE_AFTER_SECONDS_MAX = 31_536_000;

export const replicaCount = z.number().int().min(1).max(REPLICAS_MAX);
export const isolation = z.enum(['thread', 'shared']);
export const onQuorumLoss = z.enum(['suspend', 'error']);
export const fsType = z.enum(['ext4', 'xfs']);
export const frontendKind = z.enum(['nbd', 'fuse']);

const cloneOf = z
  .strictObject({
    replicaName: labelName.describe('The replica that it begins from.'),
    snapshotName: labelName.describe('The snapshot of that replica.'),
  })
  .describe('Founder of a clone: born from this snapshot of that replica.');

const placement = z
  .strictObject({
    replicaName: labelName.describe('Name of the Replica.'),
    poolName: labelName.describe('Name of its DiskPool.'),
    nodeName: labelName.describe('Name of its StorageNode.'),
    founder: z
      .boolean()
      .describe('One of the replicas the volume began with; false for one that joined later.'),
    cloneOf: cloneOf.optional(),
  })
  .describe("A replica's place, decided once by the scheduler and kept.");

const attachment = z
  .strictObject({
    nodeName: labelName.describe('Name of the StorageNode.'),
    frontends: z.array(frontendKind).max(2).describe('How the node serves it.'),
    readOnly: z.boolean().optional().describe('Nobody writes.'),
  })
  .describe('The node that uses the volume.');

const claimName = {
  namespace: labelName.describe('Namespace of the claim.'),
  name: subdomainName.describe('Name of the claim.'),
};

export const volumeSpec = z.strictObject({
  size: volumeSize.describe('Size of the volume, such as 10Gi. It can grow.'),
  segmentSize: segmentSize.optional().describe('Unit of rebuild; chosen by size when absent.'),
  replicas: replicaCount.describe('How many copies there are.'),
  isolation: isolation
    .optional()
    .meta({ default: 'thread' })
    .describe('Whether the volume has a thread of its own.'),
  onQuorumLoss: onQuorumLoss
    .optional()
    .meta({ default: 'suspend' })
    .describe('What requests get while too few copies are reached.'),
  fsType: fsType.optional().describe('Filesystem that is made on the empty volume.'),
  mkfsOptions: z
    .string()
    .max(MKFS_OPTIONS_MAX)
    .optional()
    .describe('What mkfs is told, of what is safe: "-m 0 -O ^resize_inode".'),
  poolSelector: z
    .string()
    .max(POOL_SELECTOR_MAX)
    .refine((text) => readPoolSelector(text).ok, {
      message: 'must be terms like ssd, !hdd, tier=fast, tier!=slow',
    })
    .optional()
    .describe('Pools that replicas may lie in, by tag or label: "ssd,tier!=slow".'),
  replaceAfterSeconds: z
    .number()
    .int()
    .min(1)
    .max(REPLACE_AFTER_SECONDS_MAX)
    .optional()
    .describe('How long a lost replica is waited for before another one is made (300).'),
  claimRef: z
    .strictObject({
      ...claimName,
      uid: z.string().max(63).optional().describe('UID of the claim.'),
    })
    .optional()
    .describe('The claim that the volume belongs to.'),
  source: z
    .union([z.strictObject({ snapshotName: labelName }), z.strictObject({ volumeName: labelName })])
    .optional()
    .meta({
      description:
        'Born from a snapshot; the controller makes the snapshot first when a volume is named.',
      oneOfFields: {
        snapshotName: 'Name of the Snapshot.',
        volumeName: 'Name of the Volume.',
      },
    }),
  frozen: z
    .boolean()
    .optional()
    .describe('Nobody writes it: each node reads a view, a volume that is made for it.'),
  preferredNodes: z
    .array(labelName)
    .max(REPLICAS_MAX)
    .optional()
    .describe('Best places first: where the consumer runs. A wish, not a condition.'),
  placement: z
    .array(placement)
    .max(REPLICAS_MAX)
    .optional()
    .describe('Where the replicas are; filled in by the controller.'),
  attachment: attachment.nullable().optional().describe('The node that uses the volume.'),
});

export const replicaSpec = z.strictObject({
  volumeName: labelName.describe('Name of the Volume.'),
  nodeName: labelName.describe('Name of the StorageNode.'),
  poolName: labelName.describe('Name of the DiskPool.'),
  size: volumeSize.describe('Size of the volume.'),
  segmentSize: segmentSize.describe('Unit of rebuild.'),
  founders: z
    .array(labelName)
    .max(REPLICAS_MAX)
    .optional()
    .describe('All replicas the volume began with, when this is one of them.'),
  cloneOf: cloneOf.optional(),
});

export const snapshotSpec = z.strictObject({
  volumeName: labelName.describe('Name of the Volume.'),
  claimRef: z.strictObject(claimName).optional().describe('The claim that the volume belonged to.'),
});

const pendingAction = z
  .strictObject({
    action: z.string().describe('What is being done.'),
    target: z.string().describe('To what.'),
    startTime: z.string().describe('Since when.'),
  })
  .describe('An external action, written down before it is tried.');

export const commonStatus = {
  observedGeneration: z.int().optional().describe('The generation that this status is of.'),
  conditions: conditions.optional(),
  pendingAction: pendingAction.nullable().optional(),
};

const memberStatus = z.strictObject({
  replicaName: z.string().describe('Name of the Replica.'),
  phase: z.enum(['absent', 'joining', 'in-sync', 'leaving']).describe('Where it is.'),
  reason: z.string().describe('Why it is there, for people.'),
  errorCode: z.string().describe('The error that put it there; empty for none.'),
  sinceTime: z.string().describe('When the controller first saw it in this phase.'),
  rebuildPercent: z.int().optional().describe('Whole percent of a rebuild under way.'),
});

const attachmentStatus = z
  .strictObject({
    nodeName: z.string().describe('Name of the StorageNode.'),
    phase: z.string().describe('Where attaching is.'),
    reason: z.string().describe('Why, for people.'),
    epoch: z.int().describe('Ownership number of the writer.'),
    frontends: z
      .array(
        z.strictObject({
          kind: frontendKind.describe('Protocol.'),
          url: z.string().describe('Where it is served.'),
          error: z.string().describe('Why it is not served; empty when it is.'),
        }),
      )
      .describe('How the node serves it.'),
    devicePath: z.string().describe('Device on the node.'),
  })
  .describe('What became of the attachment.');

const position = {
  epoch: z.int().describe('Epoch of the position.'),
  seq: z.int().describe('Number of the record in its epoch.'),
};

const record = z
  .strictObject({
    ...position,
    members: z
      .array(z.strictObject({ replica: z.string(), incarnation: z.string() }))
      .describe('The in-sync set.'),
    voters: z.array(z.string()).describe('The voters.'),
    formerVoters: z.array(z.string()).nullable().describe('The voters before a change.'),
    closed: z.boolean().describe('The last writer left in order.'),
    loss: z.int().describe('Epoch of the last opening without a complete member.'),
    floor: z.strictObject(position).describe('What every in-sync member holds.'),
    held: z
      .array(z.strictObject({ voter: z.string(), ...position }))
      .describe('What each voter holds.'),
  })
  .describe('The membership record that the control plane holds.');

const vote = z
  .strictObject({
    promised: z.int().describe('The epoch that was promised.'),
    promisedTo: z.string().describe('The nexus that it was promised to.'),
    // Names inside are ids, checked where they are decoded.
    record: (record as unknown as z.ZodType<MembershipRecord>).nullable(),
  })
  .describe("The control plane's vote: changed only by compare-and-swap.");

export const volumeStatus = z.strictObject({
  ...commonStatus,
  sizeBytes: z.int().optional().describe('Size that is served.'),
  dataBytes: z
    .int()
    .optional()
    .describe('Space that the data takes on all replicas, snapshots included.'),
  members: z.array(memberStatus).optional().describe('The replicas, as the nexus sees them.'),
  attachment: attachmentStatus.nullable().optional(),
  vote: vote.optional(),
});

export const replicaStatus = z.strictObject({
  ...commonStatus,
  directory: z.string().optional().describe('Where on the node it is kept.'),
  sizeBytes: z.int().optional().describe('Size of the volume.'),
  dataBytes: z.int().optional().describe('Space that the data takes.'),
  incarnation: z.string().optional().describe('Changes when accepted writes may be lost.'),
  snapshots: z.array(z.string()).optional().describe('Snapshots that it holds.'),
});

export const snapshotStatus = z.strictObject({
  ...commonStatus,
  readyToUse: z.boolean().optional().describe('Volumes can be made from it.'),
  creationTime: z.string().optional().describe('The point in time that it holds.'),
  sizeBytes: z.int().optional().describe('Size of the volume at that time.'),
  epoch: z.int().optional().describe('Epoch in which it was made.'),
  generation: z.int().optional().describe('Flush round at which it was made.'),
  replicas: z.array(z.string()).optional().describe('Replicas that hold it complete.'),
});

export type VolumeSpec = z.infer<typeof volumeSpec>;
export type ReplicaPlacement = z.infer<typeof placement>;
export type VolumeAttachmentSpec = z.infer<typeof attachment>;
export type ReplicaSpec = z.infer<typeof replicaSpec>;
export type SnapshotSpec = z.infer<typeof snapshotSpec>;

export type PendingAction = Frozen<z.infer<typeof pendingAction>>;

export interface CommonStatus {
  readonly observedGeneration?: number | undefined;
  readonly conditions?: readonly Condition[] | undefined;
  readonly pendingAction?: PendingAction | null | undefined;
}

export type VolumeMemberStatus = Frozen<z.infer<typeof memberStatus>>;
export type VolumeAttachmentStatus = Frozen<z.infer<typeof attachmentStatus>>;
/** The control plane's vote (protocol.md rule 17): changed only by compare-and-swap. */
export type VoteStatus = Frozen<z.infer<typeof vote>>;
export type VolumeStatus = Frozen<z.infer<typeof volumeStatus>>;
export type ReplicaStatus = Frozen<z.infer<typeof replicaStatus>>;
export type SnapshotStatus = Frozen<z.infer<typeof snapshotStatus>>;

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
