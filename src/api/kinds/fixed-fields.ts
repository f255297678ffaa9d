/**
 * Fields of `spec` that are decided once: another value would lose data or mean something else. A
 * field that is absent may still be given. In a cluster these are CEL rules of the definitions.
 */
import type { KindName } from './kind-table.ts';

export const FIXED_FIELDS: Readonly<Partial<Record<KindName, readonly string[]>>> = {
  PersistentVolumeClaim: ['storageClassName', 'dataSource', 'dataSourceRef', 'volumeMode'],
  Volume: ['segmentSize', 'source', 'frozen'],
  Replica: ['volumeName', 'nodeName', 'poolName', 'segmentSize', 'founders', 'cloneOf'],
  Snapshot: ['volumeName', 'claimRef'],
  DiskPool: ['nodeName', 'directory'],
  Mount: ['claimName', 'nodeName', 'path', 'readOnly'],
};

/** Sizes that only grow, by the path inside the object. */
export const GROWING_FIELDS: Readonly<Partial<Record<KindName, readonly string[]>>> = {
  PersistentVolumeClaim: ['spec', 'resources', 'requests', 'storage'],
  Volume: ['spec', 'size'],
};
