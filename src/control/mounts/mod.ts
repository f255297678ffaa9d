/**
 * Mounting on a node: from a block device to a directory. Knows filesystems and mount(8); knows
 * nothing of replicas or engines.
 */
export { PublishedVolumes } from './published-volumes.ts';
export type { PublishSource } from './published-volumes.ts';
export { VolumeMounts } from './volume-mounts.ts';
