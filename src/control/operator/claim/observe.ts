import type { PersistentVolumeClaim, Snapshot, StorageClass, Volume } from '#api/kinds/mod.ts';
import { findObject } from '../reconcile.ts';
import type { OperatorContext } from '../reconcile.ts';

export interface ClaimSource {
  readonly kind: 'Snapshot' | 'PersistentVolumeClaim';
  readonly name: string;
  readonly snapshot: Snapshot | undefined;
  readonly claim: PersistentVolumeClaim | undefined;
  /** The volume that is cloned. */
  readonly volume: Volume | undefined;
}

export interface ClaimObservation {
  readonly claim: PersistentVolumeClaim;
  /** The class it names, or the default one; undefined when there is none. */
  readonly storageClass: StorageClass | undefined;
  readonly volume: Volume | undefined;
  readonly source: ClaimSource | null;
}

const DEFAULT_CLASS = 'storageclass.kubernetes.io/is-default-class';

export async function observeClaim(
  context: OperatorContext,
  namespace: string,
  name: string,
): Promise<ClaimObservation | undefined> {
  const claim = await findObject(context, 'PersistentVolumeClaim', { namespace, name });
  if (claim === undefined) return undefined;
  const volumeName = claim.spec.volumeName ?? volumeNameOf(claim);
  return {
    claim,
    storageClass: await findClass(context, claim.spec.storageClassName),
    volume: await findObject(context, 'Volume', { name: volumeName }),
    source: await findSource(context, claim),
  };
}

/** `pvc-` and half of the uid: short enough to read, and its end names the volume's sockets. */
export function volumeNameOf(claim: PersistentVolumeClaim): string {
  return `pvc-${(claim.metadata.uid ?? '').replaceAll('-', '').slice(0, 12)}`;
}

async function findClass(
  context: OperatorContext,
  name: string | undefined,
): Promise<StorageClass | undefined> {
  if (name !== undefined) return findObject(context, 'StorageClass', { name });
  const { items } = await context.client.list('StorageClass');
  return items.find((entry) => entry.metadata.annotations?.[DEFAULT_CLASS] === 'true');
}

async function findSource(
  context: OperatorContext,
  claim: PersistentVolumeClaim,
): Promise<ClaimSource | null> {
  const source = claim.spec.dataSourceRef ?? claim.spec.dataSource ?? null;
  if (source === null) return null;
  const { name } = source;
  const namespace = claim.metadata.namespace;
  if (source.kind === 'PersistentVolumeClaim') {
    const found = await findObject(context, 'PersistentVolumeClaim', {
      name,
      ...(namespace === undefined ? {} : { namespace }),
    });
    const volume = await findVolume(context, found?.spec.volumeName);
    return { kind: 'PersistentVolumeClaim', name, snapshot: undefined, claim: found, volume };
  }
  const snapshot = await findObject(context, 'Snapshot', { name });
  // A snapshot of another namespace's claim is not this namespace's to read.
  const isVisible =
    snapshot?.spec.claimRef === undefined || snapshot.spec.claimRef.namespace === namespace;
  return {
    kind: 'Snapshot',
    name,
    snapshot: isVisible ? snapshot : undefined,
    claim: undefined,
    volume: await findVolume(context, snapshot?.spec.volumeName),
  };
}

async function findVolume(
  context: OperatorContext,
  name: string | undefined,
): Promise<Volume | undefined> {
  return name === undefined ? undefined : findObject(context, 'Volume', { name });
}
