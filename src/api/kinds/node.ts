/** StorageNode and DiskPool: where replicas can live. */
import { z } from 'zod';
import { absolutePath, labelName } from './object-meta.ts';
import type { Frozen, ObjectMeta } from './object-meta.ts';
import { commonStatus } from './volume.ts';

/** Volumes are thin: ten times the capacity may be promised, unless the pool says otherwise. */
export const OVER_PROVISIONING_PERCENT = 1_000;

/** Where the failure domain of a node is said, when its spec does not. */
export const LABEL_ZONE = 'topology.kubernetes.io/zone';

const drain = z
  .boolean()
  .optional()
  .describe('Replicas that are here move elsewhere: rebuilt there first, then removed.');

const poolTag = z
  .string()
  .regex(/^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/, 'must be a word of at most 63 letters')
  .meta({ maxLength: 63 });

export const nodeSpec = z.strictObject({
  unschedulable: z
    .boolean()
    .optional()
    .describe('Cordoned: what is here stays, nothing new is placed.'),
  drain,
  zone: poolTag
    .optional()
    .describe('What fails together with the node; else the label topology.kubernetes.io/zone.'),
});

export const nodeStatus = z.strictObject({
  ...commonStatus,
  enginePid: z.int().optional().describe('Process of the engine.'),
  engineRestarts: z.int().optional().describe('How often the engine was started again.'),
  version: z.string().optional().describe('Version of Holdfast on the node.'),
  missing: z.array(z.string()).optional().describe('What the machine lacks for mounting.'),
});

export const poolSpec = z.strictObject({
  nodeName: labelName.describe('Name of the StorageNode.'),
  directory: absolutePath.describe('Where on the node the pool keeps its replicas.'),
  unschedulable: z
    .boolean()
    .optional()
    .describe('Cordoned: what is here stays, nothing new is placed.'),
  drain,
  tags: z.array(poolTag).max(32).optional().describe('What poolSelector of a class asks for.'),
  overProvisioningPercent: z
    .number()
    .int()
    .min(1)
    .max(1_000_000)
    .optional()
    .describe('Sizes of all volumes here together, in percent of the capacity (1000).'),
});

const orphan = z.strictObject({
  replicaName: z.string().describe('The replica that no object wants.'),
  volumeName: z.string().describe('The volume that it says it belongs to.'),
  claim: z.string().describe('The claim that it was made for; empty for none.'),
  dataBytes: z.int().describe('Space that its data takes.'),
  sinceTime: z.string().describe('When it was first seen without an object.'),
  reason: z.string().describe('Why it is kept, or when it goes.'),
});

export const poolStatus = z.strictObject({
  ...commonStatus,
  capacityBytes: z.int().optional().describe('Size of the filesystem of the pool.'),
  freeBytes: z
    .int()
    .optional()
    .describe('Free space, rounded down to 16 MiB: it does not change with every write.'),
  filesystem: z.string().optional().describe('Type of the filesystem.'),
  deviceName: z.string().optional().describe('Disk or device of the filesystem.'),
  deviceSerial: z.string().optional().describe('Serial number of the disk.'),
  replicas: z.int().optional().describe('How many replicas the pool holds.'),
  promisedBytes: z.int().optional().describe('Sizes of the volumes here together.'),
  orphans: z.array(orphan).optional().describe('Replicas here that no object wants.'),
});

export type StorageNodeSpec = z.infer<typeof nodeSpec>;
export type DiskPoolSpec = z.infer<typeof poolSpec>;

export type StorageNodeStatus = Frozen<z.infer<typeof nodeStatus>>;
export type DiskPoolStatus = Frozen<z.infer<typeof poolStatus>>;

export type PoolOrphan = Frozen<z.infer<typeof orphan>>;

export interface StorageNode {
  readonly apiVersion: string;
  readonly kind: 'StorageNode';
  readonly metadata: ObjectMeta;
  readonly spec: StorageNodeSpec;
  readonly status?: StorageNodeStatus | undefined;
}

export interface DiskPool {
  readonly apiVersion: string;
  readonly kind: 'DiskPool';
  readonly metadata: ObjectMeta;
  readonly spec: DiskPoolSpec;
  readonly status?: DiskPoolStatus | undefined;
}
