import type {
  CommonStatus,
  Mount,
  PersistentVolume,
  PersistentVolumeClaim,
  Snapshot,
  StorageClass,
  Volume,
} from '#api/kinds/mod.ts';
import { findCondition, persistentVolumeNameOf } from '#api/kinds/mod.ts';
import { PROVISIONER } from '#api/mod.ts';
import { findObject } from '#control/kube/mod.ts';
import { findBound } from '../claim-volume.ts';
import type { EmbeddedContext } from '../context.ts';
import { needsVolume } from '../context.ts';

export interface ClaimSource {
  readonly kind: 'Snapshot' | 'PersistentVolumeClaim';
  readonly name: string;
  /** The id for CSI; undefined while there is none. */
  readonly handle: string | undefined;
  readonly exists: boolean;
  /** Why a claim that is to be cloned has no volume, in its own words; empty for none. */
  readonly why: string;
}

export interface ClaimObservation {
  readonly claim: PersistentVolumeClaim;
  /** The class it names, or the default one; undefined when there is none. */
  readonly storageClass: StorageClass | undefined;
  /** The one it is bound to, or that was made for it. */
  readonly persistentVolume: PersistentVolume | undefined;
  readonly volume: Volume | undefined;
  readonly source: ClaimSource | null;
  /** Uses of the claim that are not over. */
  readonly mounts: readonly Mount[];
}

const DEFAULT_CLASS = 'storageclass.kubernetes.io/is-default-class';

export async function observeClaim(
  context: EmbeddedContext,
  namespace: string,
  name: string,
): Promise<ClaimObservation | undefined> {
  const claim = await findObject(context, 'PersistentVolumeClaim', { namespace, name });
  if (claim === undefined) return undefined;
  const persistentVolume = await findObject(context, 'PersistentVolume', {
    name: claim.spec.volumeName ?? persistentVolumeNameOf(claim),
  });
  return {
    claim,
    storageClass: await findClass(context, claim.spec.storageClassName),
    persistentVolume,
    volume: await findVolume(context, persistentVolume),
    source: await findSource(context, claim),
    mounts: (await context.client.list('Mount', { namespace })).items.filter(
      (mount) => mount.spec.claimName === name && needsVolume(mount),
    ),
  };
}

export async function findVolume(
  context: Pick<EmbeddedContext, 'client'>,
  persistentVolume: PersistentVolume | undefined,
): Promise<Volume | undefined> {
  const csi = persistentVolume?.spec.csi;
  if (csi?.driver !== PROVISIONER) return undefined;
  return findObject(context, 'Volume', { name: csi.volumeHandle });
}

async function findClass(
  context: EmbeddedContext,
  name: string | undefined,
): Promise<StorageClass | undefined> {
  if (name !== undefined) return findObject(context, 'StorageClass', { name });
  const { items } = await context.client.list('StorageClass');
  return items.find((entry) => entry.metadata.annotations?.[DEFAULT_CLASS] === 'true');
}

async function findSource(
  context: EmbeddedContext,
  claim: PersistentVolumeClaim,
): Promise<ClaimSource | null> {
  const source = claim.spec.dataSourceRef ?? claim.spec.dataSource ?? null;
  if (source === null) return null;
  const { name } = source;
  const { namespace } = claim.metadata;
  if (source.kind === 'PersistentVolumeClaim') {
    const found = await findObject(context, 'PersistentVolumeClaim', { namespace, name });
    const handle = (await findBound(context, found))?.spec.csi?.volumeHandle;
    const { conditions } = (found?.status ?? {}) as CommonStatus;
    const why = findCondition(conditions, 'Ready')?.message ?? '';
    return { kind: 'PersistentVolumeClaim', name, handle, exists: found !== undefined, why };
  }
  const snapshot = await findObject(context, 'Snapshot', { name });
  const exists = snapshot !== undefined && isVisible(snapshot, namespace);
  return { kind: 'Snapshot', name, handle: exists ? name : undefined, exists, why: '' };
}

/** A snapshot of another namespace's claim is not this namespace's to read. */
function isVisible(snapshot: Snapshot, namespace: string | undefined): boolean {
  const { claimRef } = snapshot.spec;
  return claimRef === undefined || claimRef.namespace === namespace;
}
