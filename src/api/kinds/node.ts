/** StorageNode and DiskPool: where replicas can live. */
import { z } from 'zod';
import { absolutePath, labelName } from './object-meta.ts';
import type { Frozen, ObjectMeta } from './object-meta.ts';
import { commonStatus } from './volume.ts';

export const nodeSpec = z.strictObject({
  unschedulable: z
    .boolean()
    .optional()
    .describe('Cordoned: what is here stays, nothing new is placed.'),
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
});

export type StorageNodeSpec = z.infer<typeof nodeSpec>;
export type DiskPoolSpec = z.infer<typeof poolSpec>;

export type StorageNodeStatus = Frozen<z.infer<typeof nodeStatus>>;
export type DiskPoolStatus = Frozen<z.infer<typeof poolStatus>>;

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
