/** From a claim to what it is bound to, and from a Mount to what it needs there. */
import type {
  Mount,
  PersistentVolume,
  PersistentVolumeClaim,
  VolumeAttachment,
} from '#api/kinds/mod.ts';
import type { ReconcileContext } from '#control/kube/mod.ts';
import { findObject, hasFinalizer } from '#control/kube/mod.ts';
import { attachmentNameOf, isForReaders, MOUNT_FINALIZER, needsVolume } from './context.ts';

type Reader = Pick<ReconcileContext, 'client'>;

export async function findBound(
  context: Reader,
  claim: PersistentVolumeClaim | undefined,
): Promise<PersistentVolume | undefined> {
  const name = claim?.spec.volumeName;
  return name === undefined ? undefined : findObject(context, 'PersistentVolume', { name });
}

export interface MountedClaim {
  readonly claim: PersistentVolumeClaim | undefined;
  /** The one that the claim is bound to. */
  readonly persistentVolume: PersistentVolume | undefined;
  /** To the node of the Mount. */
  readonly attachment: VolumeAttachment | undefined;
  /** Other Mounts of the claim, on any node. */
  readonly others: readonly Mount[];
}

export async function observeMountedClaim(
  context: Reader,
  { metadata, spec }: Mount,
): Promise<MountedClaim> {
  const { namespace = 'default', name } = metadata;
  const { claimName, nodeName } = spec;
  const claim = await findObject(context, 'PersistentVolumeClaim', { namespace, name: claimName });
  const persistentVolume = await findBound(context, claim);
  const attachment =
    persistentVolume === undefined
      ? undefined
      : await findObject(context, 'VolumeAttachment', {
          name: attachmentNameOf(persistentVolume, nodeName),
        });
  const { items } = await context.client.list('Mount', { namespace });
  const others = items.filter(
    (other) => other.spec.claimName === claimName && other.metadata.name !== name,
  );
  return { claim, persistentVolume, attachment, others };
}

/** The one that has the volume already, or else was there before. */
export function findRival(
  mount: Mount,
  { others, claim }: Pick<MountedClaim, 'others' | 'claim'>,
): Mount | undefined {
  if (hasFinalizer(mount, MOUNT_FINALIZER)) return undefined;
  if (isForReaders(claim?.spec.accessModes ?? [])) return undefined;
  const isAlone = claim?.spec.accessModes.includes('ReadWriteOncePod') === true;
  return others.find((other) => {
    if (!needsVolume(other)) return false;
    if (!isAlone && other.spec.nodeName === mount.spec.nodeName) return false;
    return hasFinalizer(other, MOUNT_FINALIZER) || isBefore(other, mount);
  });
}

function isBefore(one: Mount, other: Mount): boolean {
  const [a, b] = [one, other].map(({ metadata }) => metadata.creationTimestamp ?? '');
  return a === b ? one.metadata.name < other.metadata.name : String(a) < String(b);
}
