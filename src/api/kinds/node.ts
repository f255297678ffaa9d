/** StorageNode and DiskPool: where replicas can live. */
import { z } from 'zod';
import type { ObjectMeta } from './object-meta.ts';
import { absolutePath, labelName } from './object-meta.ts';
import type { CommonStatus } from './volume.ts';

export const nodeSpec = z.strictObject({
  /** Cordoned: what is here stays, nothing new is placed. */
  unschedulable: z.boolean().optional(),
});

export const poolSpec = z.strictObject({
  nodeName: labelName,
  directory: absolutePath,
  unschedulable: z.boolean().optional(),
});

export type StorageNodeSpec = z.infer<typeof nodeSpec>;
export type DiskPoolSpec = z.infer<typeof poolSpec>;

export interface StorageNodeStatus extends CommonStatus {
  readonly enginePid?: number | undefined;
  readonly engineRestarts?: number | undefined;
  readonly version?: string | undefined;
  /** What the machine lacks for mounting. */
  readonly missing?: readonly string[] | undefined;
}

export interface DiskPoolStatus extends CommonStatus {
  readonly capacityBytes?: number | undefined;
  /** Rounded down to 16 MiB, so that it does not change with every write. */
  readonly freeBytes?: number | undefined;
  readonly filesystem?: string | undefined;
  readonly deviceName?: string | undefined;
  readonly deviceSerial?: string | undefined;
  readonly replicas?: number | undefined;
}

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
