/**
 * The classes that every cluster has from its first start. Every operation works for both storage
 * classes: what does not fully work is not shipped as a preset.
 */
import { PROVISIONER } from '../provisioner.ts';
import type { StorageClass } from './claim.ts';
import type { VolumeSnapshotClass } from './cluster-storage.ts';

/** One replica beside the consumer: no copy survives its disk. */
const LOCAL_CLASS: StorageClass = {
  apiVersion: 'storage.k8s.io/v1',
  kind: 'StorageClass',
  metadata: { name: 'holdfast-local' },
  provisioner: PROVISIONER,
  parameters: { replicas: '1' },
  reclaimPolicy: 'Delete',
  volumeBindingMode: 'WaitForFirstConsumer',
  allowVolumeExpansion: true,
};

/** Three replicas on three nodes; the one that a claim gets which names none. */
export const SIMPLE_CLASS: StorageClass = {
  apiVersion: 'storage.k8s.io/v1',
  kind: 'StorageClass',
  metadata: {
    name: 'holdfast-simple',
    annotations: { 'storageclass.kubernetes.io/is-default-class': 'true' },
  },
  provisioner: PROVISIONER,
  parameters: { replicas: '3' },
  reclaimPolicy: 'Delete',
  volumeBindingMode: 'Immediate',
  allowVolumeExpansion: true,
};

const SNAPSHOT_CLASS: VolumeSnapshotClass = {
  apiVersion: 'snapshot.storage.k8s.io/v1',
  kind: 'VolumeSnapshotClass',
  metadata: {
    name: 'holdfast',
    annotations: { 'snapshot.storage.kubernetes.io/is-default-class': 'true' },
  },
  driver: PROVISIONER,
  deletionPolicy: 'Delete',
};

export const SHIPPED_CLASSES: readonly (StorageClass | VolumeSnapshotClass)[] = [
  LOCAL_CLASS,
  SIMPLE_CLASS,
  SNAPSHOT_CLASS,
];
