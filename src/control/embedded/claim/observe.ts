import type {
  Mount,
  PersistentVolume,
  PersistentVolumeClaim,
  StorageClass,
  Volume,
} from '#api/kinds/mod.ts';
import { persistentVolumeNameOf } from '#api/kinds/mod.ts';
import { PROVISIONER } from '#api/mod.ts';
import { findObject, isDeleting } from '#control/kube/mod.ts';
import type { EmbeddedContext } from '../context.ts';
import { needsVolume } from '../context.ts';
import type { ClaimSource } from './source.ts';
import { findSource } from './source.ts';

export interface ClaimObservation {
  readonly claim: PersistentVolumeClaim;
  /** The class it names, or the default one; undefined when there is none. */
  readonly storageClass: StorageClass | undefined;
  /** The one it is bound to, or that was made for it. */
  readonly persistentVolume: PersistentVolume | undefined;
  readonly volume: Volume | undefined;
  readonly source: ClaimSource | null;
  /** Snapshots of it that are being taken, by name. */
  readonly snapshots: readonly string[];
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
    snapshots: isDeleting(claim) ? await findSnapshotsOf(context, claim) : [],
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

async function findSnapshotsOf(
  { client }: EmbeddedContext,
  { metadata: { namespace, name } }: PersistentVolumeClaim,
): Promise<string[]> {
  const { items } = await client.list('VolumeSnapshot', { namespace });
  return items
    .filter(({ spec }) => spec.source.persistentVolumeClaimName === name)
    .filter(({ status }) => status?.readyToUse !== true)
    .map(({ metadata }) => metadata.name);
}
