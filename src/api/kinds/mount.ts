/** Mount: a claim in use on a node, as a pod would use it. Changed by deleting and creating. */
import { z } from 'zod';
import type { Frozen, ObjectMeta } from './object-meta.ts';
import { absolutePath, labelName, subdomainName } from './object-meta.ts';
import { commonStatus } from './volume.ts';

export const mountSpec = z.strictObject({
  claimName: subdomainName.describe('Name of a claim in the same namespace.'),
  nodeName: labelName.describe('Name of the StorageNode that mounts it.'),
  path: absolutePath.describe('Where on the node it is mounted.'),
  readOnly: z.boolean().optional().meta({ default: false }).describe('Nobody writes through it.'),
});

export const mountStatus = z.strictObject({
  ...commonStatus,
  volumeName: z.string().optional().describe('Name of the Volume of the claim.'),
  filesystemBytes: z.int().optional().describe('Size that the filesystem was last told of.'),
  devicePath: z.string().optional().describe('Device of a raw block volume.'),
});

export type MountSpec = z.infer<typeof mountSpec>;
export type MountStatus = Frozen<z.infer<typeof mountStatus>>;

export interface Mount {
  readonly apiVersion: string;
  readonly kind: 'Mount';
  readonly metadata: ObjectMeta;
  readonly spec: MountSpec;
  readonly status?: MountStatus | undefined;
}
