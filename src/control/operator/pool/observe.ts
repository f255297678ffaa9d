import type { DiskPool, Replica } from '#api/kinds/mod.ts';
import { HoldfastError, type PoolId, type PoolReport } from '#api/mod.ts';
import type { NodeView } from '../cluster-observer.ts';
import { observeFacts } from '../forecast/observe.ts';
import { planOrphans } from './orphans.ts';
import type { OrphanPlan } from './orphans.ts';
import { findObject, isDeleting } from '../reconcile.ts';
import type { OperatorContext } from '../reconcile.ts';

export interface PoolObservation {
  readonly pool: DiskPool;
  readonly node: NodeView;
  readonly report: PoolReport | undefined;
  /** Replica objects that name this pool. */
  readonly replicas: readonly Replica[];
  readonly orphans: OrphanPlan;
  /** Its StorageNode was deleted, or is to be: nobody will open the pool again. */
  readonly isNodeGone: boolean;
  /** There is no StorageNode of the name. */
  readonly isNodeUnknown: boolean;
}

export async function observePool(
  context: OperatorContext,
  name: string,
): Promise<PoolObservation | undefined> {
  const pool = await findObject(context, 'DiskPool', { name });
  if (pool === undefined) return undefined;
  const node = await context.observer.view(pool.spec.nodeName, 1_000);
  const { items } = await context.client.list('Replica');
  const report = node.engine?.pools.find((entry) => entry.pool === (name as PoolId));
  const storageNode = await findObject(context, 'StorageNode', { name: pool.spec.nodeName });
  return {
    pool,
    node,
    report,
    replicas: items.filter((replica) => replica.spec.poolName === name),
    orphans: await observeOrphans(context, pool, report),
    isNodeUnknown: storageNode === undefined,
    isNodeGone: storageNode === undefined || isDeleting(storageNode),
  };
}

/** All nodes are asked only where something lies in the pool that nobody here knows. */
async function observeOrphans(
  context: OperatorContext,
  pool: DiskPool,
  report: PoolReport | undefined,
): Promise<OrphanPlan> {
  // Listed after the pool was asked: a replica has its object before it has its files.
  const { items } = await context.client.list('Replica');
  const known = new Set(items.map((replica) => replica.metadata.name));
  const reports = report?.replicas ?? [];
  if (reports.every((entry) => known.has(entry.identity.replica))) {
    return { orphans: [], removals: [] };
  }
  const { volumes, replicas, nexuses, nowMs } = await observeFacts(context);
  return planOrphans({
    cluster: context.cluster,
    nowMs,
    reports,
    replicas,
    volumes,
    nexuses,
    before: pool.status?.orphans ?? [],
    pool: pool.metadata.name,
  });
}

/** Why the engine of a node does not answer, for conditions. */
export function silence(node: NodeView): string {
  const error = node.engineError;
  if (error === null) return 'the engine does not answer';
  return HoldfastError.is(error) ? `${error.code}: ${error.message}` : String(error);
}
