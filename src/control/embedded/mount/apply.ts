/** What a scheduler and the attach-detach controller do for a pod, for one Mount. */
import type { PersistentVolume, VolumeAttachment } from '#api/kinds/mod.ts';
import { hasCode, PROVISIONER } from '#api/mod.ts';
import type { ReconcileResult } from '#control/kube/mod.ts';
import { carryOut, parseKey, setFinalizer } from '#control/kube/mod.ts';
import type { EmbeddedContext } from '../context.ts';
import { attachmentNameOf, MOUNT_FINALIZER, SELECTED_NODE } from '../context.ts';
import { observeMount } from './observe.ts';
import { planMount } from './plan.ts';

export async function reconcileMount(
  context: EmbeddedContext,
  text: string,
): Promise<ReconcileResult> {
  const { namespace = 'default', name } = parseKey(text);
  const key = { namespace, name };
  const seen = await observeMount(context, namespace, name);
  if (seen === undefined) return {};
  const plan = planMount(seen);
  // From here on the node speaks.
  if (plan.actions.length === 0 && plan.conditions.length === 0) return {};
  const { client } = context;
  const { claimName, nodeName } = seen.mount.spec;
  return carryOut(context, 'Mount', key, plan, {
    hasExternalActions: false,
    label: () => null,
    failureCondition: () => 'Ready',
    async perform(action) {
      switch (action.type) {
        case 'select-node': {
          const metadata = { annotations: { [SELECTED_NODE]: nodeName } };
          const claim = { namespace, name: claimName };
          await client.patch('PersistentVolumeClaim', claim, { metadata });
          return;
        }
        case 'attach':
          return createAttachment(context, action.persistentVolume, nodeName);
        case 'give-up':
          return setFinalizer(client, 'Mount', key, MOUNT_FINALIZER, false);
      }
    },
  });
}

async function createAttachment(
  { client }: EmbeddedContext,
  persistentVolume: PersistentVolume,
  nodeName: string,
): Promise<void> {
  const attachment: VolumeAttachment = {
    apiVersion: 'storage.k8s.io/v1',
    kind: 'VolumeAttachment',
    metadata: { name: attachmentNameOf(persistentVolume, nodeName) },
    spec: {
      attacher: PROVISIONER,
      nodeName,
      source: { persistentVolumeName: persistentVolume.metadata.name },
    },
  };
  try {
    await client.create('VolumeAttachment', attachment);
  } catch (error) {
    if (!hasCode(error, 'already-exists')) throw error;
  }
}
