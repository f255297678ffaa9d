import type { ReconcileResult } from '#control/kube/mod.ts';
import { setFinalizer } from '#control/kube/mod.ts';
import { carryOut, FINALIZER_REPLICAS } from '../reconcile.ts';
import type { OperatorContext } from '../reconcile.ts';
import { observeNode } from './observe.ts';
import { planNode } from './plan.ts';
import type { NodeAction } from './plan.ts';

export async function reconcileNode(
  context: OperatorContext,
  name: string,
): Promise<ReconcileResult> {
  const seen = await observeNode(context, name);
  if (seen === undefined) return {};
  return carryOut(context, 'StorageNode', { name }, planNode(seen), {
    observed: seen.node,
    label: () => null,
    failureCondition: () => 'Ready',
    perform: (action: NodeAction) =>
      setFinalizer(
        context.client,
        'StorageNode',
        { name },
        FINALIZER_REPLICAS,
        action.type === 'add-finalizer',
      ),
  });
}
