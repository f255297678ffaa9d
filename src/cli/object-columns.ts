/** What `get` shows of each kind. Wide columns come after the plain ones. */
import type { AnyObject, Condition, KindName } from '#api/kinds/mod.ts';
import {
  findCondition,
  formatAge,
  formatBytes,
  formatQuantity,
  parseTime,
} from '#api/kinds/mod.ts';

export interface Column {
  readonly head: string;
  readonly cell: (object: AnyObject, nowMs: number) => string;
  readonly isWide?: boolean;
}

function column<Kind extends KindName>(
  kind: Kind,
  head: string,
  cell: (object: AnyObject & { readonly kind: Kind }) => string | number | undefined,
  isWide = false,
): Column {
  return {
    head,
    isWide,
    cell: (object) =>
      object.kind === kind ? String(cell(object as AnyObject & { readonly kind: Kind }) ?? '') : '',
  };
}

const NAME: Column = { head: 'NAME', cell: (object) => object.metadata.name };
const AGE: Column = {
  head: 'AGE',
  cell: ageOf,
};

function ageOf({ metadata }: AnyObject, nowMs: number): string {
  const ageMs = nowMs - parseTime(metadata.creationTimestamp ?? '');
  return Number.isNaN(ageMs) ? '' : formatAge(ageMs);
}

type WithConditions = {
  readonly status?: { readonly conditions?: readonly Condition[] | undefined } | undefined;
};

/** `Ready`, or the reason why not; a deletion shows first. */
function stateOf(object: AnyObject, type = 'Ready'): string {
  if (object.metadata.deletionTimestamp !== undefined) return 'Terminating';
  const found = findCondition((object as WithConditions).status?.conditions, type);
  if (found === undefined) return 'Unknown';
  return found.status === 'True' ? type : found.reason;
}

function volumeState(object: AnyObject & { readonly kind: 'Volume' }): string {
  const state = stateOf(object);
  if (state !== 'Ready' || (object.spec.attachment ?? null) === null) return state;
  const attached = stateOf(object, 'Attached');
  if (attached !== 'Attached') return attached;
  const healthy = findCondition(object.status?.conditions, 'Healthy');
  return healthy?.status === 'False' ? healthy.reason : 'Serving';
}

export const COLUMNS: Readonly<Record<KindName, readonly Column[]>> = {
  PersistentVolumeClaim: [
    NAME,
    {
      head: 'STATUS',
      cell: (object) =>
        object.metadata.deletionTimestamp === undefined && object.kind === 'PersistentVolumeClaim'
          ? (object.status?.phase ?? 'Pending')
          : 'Terminating',
    },
    column('PersistentVolumeClaim', 'VOLUME', (claim) => claim.spec.volumeName),
    column('PersistentVolumeClaim', 'CAPACITY', (claim) => claim.status?.capacity?.storage),
    column('PersistentVolumeClaim', 'STORAGECLASS', (claim) => claim.spec.storageClassName),
    AGE,
    column(
      'PersistentVolumeClaim',
      'REASON',
      (claim) => findCondition(claim.status?.conditions, 'Ready')?.message,
      true,
    ),
  ],
  StorageClass: [
    NAME,
    column('StorageClass', 'PROVISIONER', (entry) => entry.provisioner),
    column('StorageClass', 'RECLAIMPOLICY', (entry) => entry.reclaimPolicy ?? 'Delete'),
    column('StorageClass', 'PARAMETERS', (entry) =>
      Object.entries(entry.parameters ?? {})
        .map(([name, value]) => `${name}=${value}`)
        .join(','),
    ),
    AGE,
  ],
  Volume: [
    NAME,
    column('Volume', 'SIZE', (volume) =>
      volume.status?.sizeBytes === undefined
        ? volume.spec.size
        : formatQuantity(volume.status.sizeBytes),
    ),
    column('Volume', 'STATE', volumeState),
    column('Volume', 'IN-SYNC', (volume) => {
      const members = volume.status?.members;
      if (members === undefined || (volume.status?.attachment ?? null) === null) {
        return `-/${volume.spec.replicas}`;
      }
      return `${members.filter((member) => member.phase === 'in-sync').length}/${members.length}`;
    }),
    column('Volume', 'NODE', (volume) => volume.status?.attachment?.nodeName),
    column('Volume', 'CLAIM', (volume) =>
      volume.spec.claimRef === undefined
        ? ''
        : `${volume.spec.claimRef.namespace}/${volume.spec.claimRef.name}`,
    ),
    AGE,
    column(
      'Volume',
      'NBD',
      (volume) => volume.status?.attachment?.frontends.find((entry) => entry.kind === 'nbd')?.url,
      true,
    ),
  ],
  Replica: [
    NAME,
    { head: 'STATE', cell: (object) => stateOf(object) },
    column('Replica', 'VOLUME', (replica) => replica.spec.volumeName),
    column('Replica', 'NODE', (replica) => replica.spec.nodeName),
    column('Replica', 'POOL', (replica) => replica.spec.poolName),
    column('Replica', 'DATA', (replica) =>
      replica.status?.dataBytes === undefined ? '' : formatBytes(replica.status.dataBytes),
    ),
    AGE,
    column('Replica', 'DIRECTORY', (replica) => replica.status?.directory, true),
  ],
  Snapshot: [
    NAME,
    { head: 'STATE', cell: (object) => stateOf(object) },
    column('Snapshot', 'VOLUME', (snapshot) => snapshot.spec.volumeName),
    column('Snapshot', 'CLAIM', (snapshot) =>
      snapshot.spec.claimRef === undefined
        ? ''
        : `${snapshot.spec.claimRef.namespace}/${snapshot.spec.claimRef.name}`,
    ),
    column('Snapshot', 'SIZE', (snapshot) =>
      snapshot.status?.sizeBytes === undefined ? '' : formatQuantity(snapshot.status.sizeBytes),
    ),
    AGE,
  ],
  Mount: [
    NAME,
    { head: 'STATE', cell: (object) => stateOf(object) },
    column('Mount', 'CLAIM', (mount) => mount.spec.claimName),
    column('Mount', 'NODE', (mount) => mount.spec.nodeName),
    column('Mount', 'PATH', (mount) => mount.spec.path),
    AGE,
  ],
  DiskPool: [
    NAME,
    { head: 'STATE', cell: (object) => stateOf(object) },
    column('DiskPool', 'NODE', (pool) => pool.spec.nodeName),
    column('DiskPool', 'CAPACITY', (pool) =>
      pool.status?.capacityBytes === undefined ? '' : formatBytes(pool.status.capacityBytes),
    ),
    column('DiskPool', 'AVAILABLE', (pool) =>
      pool.status?.freeBytes === undefined ? '' : formatBytes(pool.status.freeBytes),
    ),
    column('DiskPool', 'REPLICAS', (pool) => pool.status?.replicas),
    AGE,
    column('DiskPool', 'FILESYSTEM', (pool) => pool.status?.filesystem, true),
    column('DiskPool', 'DEVICE', (pool) => pool.status?.deviceName, true),
    column('DiskPool', 'DIRECTORY', (pool) => pool.spec.directory, true),
  ],
  StorageNode: [
    NAME,
    { head: 'STATE', cell: (object) => stateOf(object) },
    column('StorageNode', 'SCHEDULABLE', (node) =>
      node.spec.unschedulable === true ? 'no' : 'yes',
    ),
    column('StorageNode', 'RESTARTS', (node) => node.status?.engineRestarts),
    column('StorageNode', 'VERSION', (node) => node.status?.version),
    AGE,
    column('StorageNode', 'ENGINE-PID', (node) => node.status?.enginePid, true),
    column('StorageNode', 'MISSING', (node) => node.status?.missing?.join(','), true),
  ],
  PersistentVolume: [
    NAME,
    column('PersistentVolume', 'CAPACITY', (pv) => pv.spec.capacity.storage),
    column('PersistentVolume', 'RECLAIM', (pv) => pv.spec.persistentVolumeReclaimPolicy),
    {
      head: 'STATUS',
      cell: (object) =>
        object.metadata.deletionTimestamp === undefined && object.kind === 'PersistentVolume'
          ? (object.status?.phase ?? 'Pending')
          : 'Terminating',
    },
    column('PersistentVolume', 'CLAIM', ({ spec: { claimRef } }) =>
      claimRef === undefined ? '' : `${claimRef.namespace}/${claimRef.name}`,
    ),
    column('PersistentVolume', 'STORAGECLASS', (pv) => pv.spec.storageClassName),
    AGE,
    column('PersistentVolume', 'VOLUME', (pv) => pv.spec.csi?.volumeHandle, true),
    column('PersistentVolume', 'REASON', (pv) => pv.status?.message, true),
  ],
  VolumeAttachment: [
    NAME,
    column('VolumeAttachment', 'PV', (entry) => entry.spec.source.persistentVolumeName),
    column('VolumeAttachment', 'NODE', (entry) => entry.spec.nodeName),
    column('VolumeAttachment', 'ATTACHED', (entry) => String(entry.status?.attached ?? false)),
    AGE,
    column('VolumeAttachment', 'REASON', (entry) => entry.status?.attachError?.message, true),
  ],
  VolumeSnapshot: [
    NAME,
    column('VolumeSnapshot', 'READY', (entry) => String(entry.status?.readyToUse ?? false)),
    column('VolumeSnapshot', 'CLAIM', (entry) => entry.spec.source.persistentVolumeClaimName),
    column('VolumeSnapshot', 'SIZE', (entry) => entry.status?.restoreSize),
    column('VolumeSnapshot', 'CLASS', (entry) => entry.spec.volumeSnapshotClassName),
    AGE,
    column('VolumeSnapshot', 'REASON', (entry) => entry.status?.error?.message, true),
  ],
  VolumeSnapshotClass: [
    NAME,
    column('VolumeSnapshotClass', 'DRIVER', (entry) => entry.driver),
    column('VolumeSnapshotClass', 'DELETIONPOLICY', (entry) => entry.deletionPolicy),
    AGE,
  ],
  VolumeSnapshotContent: [
    NAME,
    column('VolumeSnapshotContent', 'READY', (entry) => String(entry.status?.readyToUse ?? false)),
    column('VolumeSnapshotContent', 'SNAPSHOT', ({ spec: { volumeSnapshotRef } }) =>
      [volumeSnapshotRef.namespace, volumeSnapshotRef.name].join('/'),
    ),
    column('VolumeSnapshotContent', 'HANDLE', (entry) => entry.status?.snapshotHandle),
    AGE,
  ],
  Namespace: [NAME, column('Namespace', 'STATUS', (entry) => entry.status?.phase), AGE],
  Event: [
    AGE,
    column('Event', 'TYPE', (event) => event.type),
    column('Event', 'REASON', (event) => event.reason),
    column(
      'Event',
      'OBJECT',
      (event) => `${event.regarding.kind.toLowerCase()}/${event.regarding.name}`,
    ),
    column('Event', 'NOTE', (event) => event.note),
  ],
};
