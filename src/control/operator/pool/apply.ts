import { HoldfastError, type PoolId, type ReplicaId } from '#api/mod.ts';
import type { ReconcileResult } from '#control/kube/mod.ts';
import { setFinalizer } from '#control/kube/mod.ts';
import { ANNOTATION_INITIALISED, carryOut, FINALIZER_REPLICAS } from '../reconcile.ts';
import type { OperatorContext } from '../reconcile.ts';
import { observePool } from './observe.ts';
import { planPool } from './plan.ts';
import type { PoolAction } from './plan.ts';

export async function reconcilePool(
  context: OperatorContext,
  name: string,
): Promise<ReconcileResult> {
  const seen = await observePool(context, name);
  if (seen === undefined) return {};
  const nodeName = seen.pool.spec.nodeName;
  const key = { name };
  return carryOut(context, 'DiskPool', key, planPool(seen), {
    observed: seen.pool,
    label: (action) => {
      if (action.type === 'ensure') return { action: 'open pool', target: action.directory };
      if (action.type !== 'delete-orphan') return null;
      return { action: 'delete the unwanted replica', target: action.replica };
    },
    failureCondition: (action) => (action.type === 'delete-orphan' ? 'Orphaned' : 'Ready'),
    async perform(action: PoolAction) {
      switch (action.type) {
        case 'add-finalizer':
        case 'remove-finalizer':
          return setFinalizer(
            context.client,
            'DiskPool',
            key,
            FINALIZER_REPLICAS,
            action.type === 'add-finalizer',
          );
        case 'mark-initialised':
          await context.client.patch('DiskPool', key, {
            metadata: { annotations: { [ANNOTATION_INITIALISED]: 'true' } },
          });
          return;
        case 'delete-orphan': {
          const { engine } = context.observer.access(nodeName);
          const replica = action.replica as ReplicaId;
          await engine.call('replica.delete', { replica }, { timeoutMs: 60_000 });
          context.observer.forget(nodeName);
          return;
        }
        case 'ensure': {
          const { engine } = context.observer.access(nodeName);
          const { directory, create } = action;
          const report = await engine.call(
            'pool.ensure',
            { pool: name as PoolId, directory, create },
            { timeoutMs: 30_000 },
          );
          context.observer.forget(nodeName);
          if (report.error !== '') {
            throw new HoldfastError('io-error', 'Pool did not open', {
              details: { pool: name, directory, reason: report.error },
            });
          }
        }
      }
    },
  });
}
