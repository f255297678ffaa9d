import type {
  Mount,
  PersistentVolume,
  PersistentVolumeClaim,
  VolumeAttachment,
} from '#api/kinds/mod.ts';
import { findObject } from '#control/kube/mod.ts';
import type { ReconcileContext } from '#control/kube/mod.ts';
import { attachmentNameOf } from '../context.ts';

export interface NodeMountObservation {
  readonly mount: Mount;
  readonly claim: PersistentVolumeClaim | undefined;
  readonly persistentVolume: PersistentVolume | undefined;
  readonly attachment: VolumeAttachment | undefined;
  /** Other Mounts of the claim on this node. */
  readonly others: readonly Mount[];
}

export async function observeNodeMount(
  context: Pick<ReconcileContext, 'client'>,
  mount: Mount,
): Promise<NodeMountObservation> {
  const { namespace = 'default', name } = mount.metadata;
  const { claimName, nodeName } = mount.spec;
  const claim = await findObject(context, 'PersistentVolumeClaim', { namespace, name: claimName });
  const bound = claim?.spec.volumeName;
  const persistentVolume =
    bound === undefined
      ? undefined
      : await findObject(context, 'PersistentVolume', { name: bound });
  const attachment =
    persistentVolume === undefined
      ? undefined
      : await findObject(context, 'VolumeAttachment', {
          name: attachmentNameOf(persistentVolume, nodeName),
        });
  const { items } = await context.client.list('Mount', { namespace });
  const others = items.filter(
    (other) =>
      other.spec.claimName === claimName &&
      other.spec.nodeName === nodeName &&
      other.metadata.name !== name,
  );
  return { mount, claim, persistentVolume, attachment, others };
}
