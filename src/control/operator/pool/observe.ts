import type { DiskPool, Replica } from '#api/kinds/mod.ts';
import { HoldfastError, type PoolId, type PoolReport } from '#api/mod.ts';
import type { NodeView } from '../cluster-observer.ts';
import { findObject } from '../reconcile.ts';
import type { OperatorContext } from '../reconcile.ts';

export interface PoolObservation {
  readonly pool: DiskPool;
  readonly node: NodeView;
  readonly report: PoolReport | undefined;
  /** Replica objects that name this pool. */
  readonly replicas: readonly Replica[];
}

export async function observePool(
  context: OperatorContext,
  name: string,
): Promise<PoolObservation | undefined> {
  const pool = await findObject(context, 'DiskPool', { name });
  if (pool === undefined) return undefined;
  const node = await context.observer.view(pool.spec.nodeName, 1_000);
  const { items } = await context.client.list('Replica');
  return {
    pool,
    node,
    report: node.engine?.pools.find((entry) => entry.pool === (name as PoolId)),
    replicas: items.filter((replica) => replica.spec.poolName === name),
  };
}

/** Why the engine of a node does not answer, for conditions. */
export function silence(node: NodeView): string {
  const error = node.engineError;
  if (error === null) return 'the engine does not answer';
  return HoldfastError.is(error) ? `${error.code}: ${error.message}` : String(error);
}
