import type {
  Mount,
  PersistentVolume,
  PersistentVolumeClaim,
  StorageNode,
  VolumeAttachment,
} from '#api/kinds/mod.ts';
import { findObject } from '#control/kube/mod.ts';
import type { EmbeddedContext } from '../context.ts';
import { attachmentNameOf } from '../context.ts';

export interface MountObservation {
  readonly mount: Mount;
  readonly node: StorageNode | undefined;
  readonly claim: PersistentVolumeClaim | undefined;
  /** The one that the claim is bound to. */
  readonly persistentVolume: PersistentVolume | undefined;
  readonly attachment: VolumeAttachment | undefined;
  /** Other uses of the claim. */
  readonly others: readonly Mount[];
  /** Milliseconds since 1970. */
  readonly nowMs: number;
}

export async function observeMount(
  context: EmbeddedContext,
  namespace: string,
  name: string,
): Promise<MountObservation | undefined> {
  const mount = await findObject(context, 'Mount', { namespace, name });
  if (mount === undefined) return undefined;
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
  return {
    mount,
    node: await findObject(context, 'StorageNode', { name: nodeName }),
    claim,
    persistentVolume,
    attachment,
    others: items.filter(
      (other) => other.spec.claimName === claimName && other.metadata.name !== name,
    ),
    nowMs: context.clock.wallMs(),
  };
}
