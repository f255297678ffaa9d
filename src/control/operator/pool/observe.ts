import type { DiskPool, Replica } from '#api/kinds/mod.ts';
import { HoldfastError, type PoolId, type PoolReport } from '#api/mod.ts';
import type { NodeView } from '../cluster-observer.ts';
import { observeFacts } from '../forecast/observe.ts';
import { planOrphans } from './orphans.ts';
import type { OrphanPlan } from './orphans.ts';
import { findObject, isDeleting } from '../reconcile.ts';
import type { OperatorContext } from '../reconcile.ts';

/** A pool is looked at so long after its replicas have changed: each look asks the whole node. */
export const POOL_AGE_MS = 200;

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
  const node = await context.observer.view(pool.spec.nodeName, POOL_AGE_MS);
  // A pool goes only when its replicas have: that is decided on what is so now.
  const replicas = isDeleting(pool)
    ? (await context.client.list('Replica')).items
    : context.known().replicas;
  const report = node.engine?.pools.find((entry) => entry.pool === (name as PoolId));
  const storageNode = await findObject(context, 'StorageNode', { name: pool.spec.nodeName });
  return {
    pool,
    node,
    report,
    replicas: replicas.filter((replica) => replica.spec.poolName === name),
    orphans: await observeOrphans(context, pool, report),
    isNodeUnknown: storageNode === undefined,
    isNodeGone: storageNode === undefined || isDeleting(storageNode),
  };
}

const NO_ORPHANS: OrphanPlan = { orphans: [], removals: [] };

/** All nodes are asked only where something lies in the pool that nobody here knows. */
async function observeOrphans(
  context: OperatorContext,
  pool: DiskPool,
  report: PoolReport | undefined,
): Promise<OrphanPlan> {
  const isKnown = (objects: readonly Replica[], { replicas }: PoolReport): boolean => {
    const known = new Set(objects.map((replica) => replica.metadata.name));
    return replicas.every((entry) => known.has(entry.identity.replica));
  };
  if (report === undefined || isKnown(context.known().replicas, report)) return NO_ORPHANS;
  // Both may be of before. Listed after the pool was asked: a replica has its object before files.
  const node = await context.observer.view(pool.spec.nodeName, 0);
  const now = node.engine?.pools.find((entry) => entry.pool === report.pool);
  const { items } = await context.client.list('Replica');
  if (now === undefined || isKnown(items, now)) return NO_ORPHANS;
  const reports = now.replicas;
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
