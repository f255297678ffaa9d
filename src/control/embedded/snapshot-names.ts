/** The names that external-snapshotter gives to what it leaves on objects, and who restores. */
import type {
  PersistentVolumeClaim,
  VolumeSnapshot,
  VolumeSnapshotContent,
} from '#api/kinds/mod.ts';
import { isDeleting } from '#control/kube/mod.ts';

const PREFIX = 'snapshot.storage.kubernetes.io';

/** On a claim of which a snapshot is being taken. */
export const CLAIM_AS_SOURCE = `${PREFIX}/pvc-as-source-protection`;
/** On a VolumeSnapshot that claims may be made from. */
export const SNAPSHOT_AS_SOURCE = `${PREFIX}/volumesnapshot-as-source-protection`;
/** On a VolumeSnapshot that has, or may get, a content. */
export const SNAPSHOT_BOUND = `${PREFIX}/volumesnapshot-bound-protection`;
/** On a content, until what it stands for is gone or left. */
export const CONTENT_BOUND = `${PREFIX}/volumesnapshotcontent-bound-protection`;
/** On a content: CreateSnapshot may have been called, and its answer is not known. */
export const BEING_CREATED = `${PREFIX}/volumesnapshot-being-created`;
/** On a content: its VolumeSnapshot goes. */
export const BEING_DELETED = `${PREFIX}/volumesnapshot-being-deleted`;
export const DEFAULT_SNAPSHOT_CLASS = `${PREFIX}/is-default-class`;

export const SNAPSHOT_API_GROUP = 'snapshot.storage.k8s.io';

/** Of one made for a VolumeSnapshot. */
export function contentNameOf({ metadata }: VolumeSnapshot): string {
  return `snapcontent-${metadata.uid ?? ''}`;
}

/** What CreateSnapshot is called with: the same at every try. */
export function snapshotNameFor({ spec }: VolumeSnapshotContent): string {
  return `snapshot-${spec.volumeSnapshotRef.uid ?? ''}`;
}

export function isDefaultSnapshotClass(object: {
  readonly metadata: { readonly annotations?: Readonly<Record<string, string>> | undefined };
}): boolean {
  return object.metadata.annotations?.[DEFAULT_SNAPSHOT_CLASS] === 'true';
}

/** The VolumeSnapshot that the claim is to be made from; undefined for every other source. */
export function sourceSnapshotOf({ spec }: PersistentVolumeClaim): string | undefined {
  const source = spec.dataSourceRef ?? spec.dataSource ?? null;
  if (source?.kind !== 'VolumeSnapshot' || source.apiGroup !== SNAPSHOT_API_GROUP) return undefined;
  return source.name;
}

/** Asked for before the snapshot was to go: it waits for such a claim, and the claim goes on. */
export function isAskedInTime(claim: PersistentVolumeClaim, snapshot: VolumeSnapshot): boolean {
  const { deletionTimestamp } = snapshot.metadata;
  if (deletionTimestamp === undefined) return true;
  return (claim.metadata.creationTimestamp ?? '') <= deletionTimestamp;
}

/** A claim that is being made from the snapshot. */
export function isRestoring(claim: PersistentVolumeClaim, snapshot: VolumeSnapshot): boolean {
  return (
    !isDeleting(claim) &&
    claim.status?.phase !== 'Bound' &&
    claim.metadata.namespace === snapshot.metadata.namespace &&
    sourceSnapshotOf(claim) === snapshot.metadata.name &&
    isAskedInTime(claim, snapshot)
  );
}
