import type {
  PersistentVolume,
  PersistentVolumeClaim,
  VolumeSnapshot,
  VolumeSnapshotClass,
  VolumeSnapshotContent,
} from '#api/kinds/mod.ts';
import { findObject } from '#control/kube/mod.ts';
import { findBound } from '../claim-volume.ts';
import type { EmbeddedContext } from '../context.ts';
import { contentNameOf, isDefaultSnapshotClass, isRestoring } from '../snapshot-names.ts';

export interface VolumeSnapshotObservation {
  readonly snapshot: VolumeSnapshot;
  /** The one that it names. */
  readonly snapshotClass: VolumeSnapshotClass | undefined;
  readonly defaultClasses: readonly VolumeSnapshotClass[];
  /** The source. */
  readonly claim: PersistentVolumeClaim | undefined;
  readonly persistentVolume: PersistentVolume | undefined;
  /** The one that it is bound to, that it names, or that was made for it. */
  readonly content: VolumeSnapshotContent | undefined;
  /** Other VolumeSnapshots of the claim. */
  readonly others: readonly VolumeSnapshot[];
  /** Claims that are being made from it, by name. */
  readonly restoring: readonly string[];
}

export async function observeVolumeSnapshot(
  context: EmbeddedContext,
  namespace: string,
  name: string,
): Promise<VolumeSnapshotObservation | undefined> {
  const snapshot = await findObject(context, 'VolumeSnapshot', { namespace, name });
  if (snapshot === undefined) return undefined;
  const { source, volumeSnapshotClassName } = snapshot.spec;
  const { persistentVolumeClaimName: claimName } = source;
  const claim =
    claimName === undefined
      ? undefined
      : await findObject(context, 'PersistentVolumeClaim', { namespace, name: claimName });
  const classes = (await context.client.list('VolumeSnapshotClass')).items;
  const snapshots = (await context.client.list('VolumeSnapshot', { namespace })).items;
  const claims = (await context.client.list('PersistentVolumeClaim', { namespace })).items;
  return {
    snapshot,
    snapshotClass: classes.find(({ metadata }) => metadata.name === volumeSnapshotClassName),
    defaultClasses: classes.filter(isDefaultSnapshotClass),
    claim,
    persistentVolume: await findBound(context, claim),
    content: await findObject(context, 'VolumeSnapshotContent', { name: wantedContent(snapshot) }),
    others: snapshots.filter(
      (other) =>
        claimName !== undefined &&
        other.spec.source.persistentVolumeClaimName === claimName &&
        other.metadata.name !== name,
    ),
    restoring: claims
      .filter((entry) => isRestoring(entry, snapshot))
      .map((entry) => entry.metadata.name),
  };
}

export function wantedContent(snapshot: VolumeSnapshot): string {
  return (
    snapshot.spec.source.volumeSnapshotContentName ??
    snapshot.status?.boundVolumeSnapshotContentName ??
    contentNameOf(snapshot)
  );
}
