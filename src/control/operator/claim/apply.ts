import type { ReconcileResult } from '#control/kube/mod.ts';
import { parseKey, setFinalizer } from '#control/kube/mod.ts';
import { carryOut, FINALIZER_VOLUME } from '../reconcile.ts';
import type { OperatorContext } from '../reconcile.ts';
import { unless } from '../volume/apply.ts';
import { observeClaim } from './observe.ts';
import { planClaim } from './plan.ts';
import type { ClaimAction } from './plan.ts';

export async function reconcileClaim(
  context: OperatorContext,
  text: string,
): Promise<ReconcileResult> {
  const { namespace = 'default', name } = parseKey(text);
  const key = { namespace, name };
  const seen = await observeClaim(context, namespace, name);
  if (seen === undefined) return {};
  const { client } = context;
  return carryOut(context, 'PersistentVolumeClaim' as never, key, planClaim(seen), {
    hasExternalActions: false,
    label: () => null,
    failureCondition: () => 'Ready',
    async perform(action: ClaimAction) {
      switch (action.type) {
        case 'add-finalizer':
        case 'remove-finalizer':
          return setFinalizer(
            client,
            'PersistentVolumeClaim',
            key,
            FINALIZER_VOLUME,
            action.type === 'add-finalizer',
          );
        case 'create-volume':
          return unless('already-exists', client.create('Volume', action.volume));
        case 'bind':
          await client.patch('PersistentVolumeClaim', key, {
            spec: { volumeName: action.volumeName },
          });
          return;
        case 'grow-volume':
          await client.patch('Volume', { name: action.name }, { spec: { size: action.size } });
          return;
        case 'delete-volume':
          return unless('not-found', client.delete('Volume', { name: action.name }));
      }
    },
  });
}
