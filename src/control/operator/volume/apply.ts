import { hasCode } from '#api/mod.ts';
import type { ReconcileResult } from '#control/kube/mod.ts';
import { setFinalizer } from '#control/kube/mod.ts';
import { carryOut, FINALIZER_REPLICAS } from '../reconcile.ts';
import type { OperatorContext } from '../reconcile.ts';
import { observeVolume } from './observe.ts';
import { planVolume } from './plan.ts';
import type { VolumeAction } from './plan.ts';

export async function reconcileVolume(
  context: OperatorContext,
  name: string,
): Promise<ReconcileResult> {
  const seen = await observeVolume(context, name);
  if (seen === undefined) return {};
  const { client } = context;
  const key = { name };
  return carryOut(context, 'Volume', key, planVolume(seen), {
    observed: seen.volume,
    hasExternalActions: false,
    label: () => null,
    failureCondition: () => 'Ready',
    async perform(action: VolumeAction) {
      switch (action.type) {
        case 'add-finalizer':
        case 'remove-finalizer':
          return setFinalizer(
            client,
            'Volume',
            key,
            FINALIZER_REPLICAS,
            action.type === 'add-finalizer',
          );
        case 'place': {
          // The decision was made for what was read: if that changed, it is made again.
          const current = await client.get('Volume', key);
          const isSame =
            JSON.stringify(current.spec.placement) === JSON.stringify(seen.volume.spec.placement);
          if (!isSame) return;
          const { resourceVersion } = current.metadata;
          await client.patch('Volume', key, {
            metadata: { resourceVersion },
            spec: { placement: action.placement },
          });
          return;
        }
        case 'adopt': {
          const { claimRef } = action;
          await client.patch('Volume', key, { spec: { claimRef } });
          return;
        }
        case 'create-replica':
          return unless('already-exists', client.create('Replica', action.replica));
        case 'delete-replica':
          return unless('not-found', client.delete('Replica', { name: action.name }));
        case 'create-snapshot':
          return unless('already-exists', client.create('Snapshot', action.snapshot));
        case 'delete-snapshot':
          return unless('not-found', client.delete('Snapshot', { name: action.name }));
      }
    },
  });
}

/** What was to be brought about is so already. */
export async function unless(
  code: 'already-exists' | 'not-found',
  done: Promise<unknown>,
): Promise<void> {
  try {
    await done;
  } catch (error) {
    if (!hasCode(error, code)) throw error;
  }
}
