/**
 * Mounting on a node: from a block device to a directory. Knows filesystems and mount(8); knows
 * nothing of replicas or engines.
 */
export { VolumeMounts } from './volume-mounts.ts';
