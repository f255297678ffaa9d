/**
 * The pools as the scheduler wants them, from objects alone: a decision can be read from them
 * afterwards, and a forecast makes the same one.
 */
import type { DiskPool, Replica, ReplicaPlacement, StorageNode, Volume } from '#api/kinds/mod.ts';
import {
  findCondition,
  isConditionTrue,
  LABEL_ZONE,
  OVER_PROVISIONING_PERCENT,
  parseQuantity,
} from '#api/kinds/mod.ts';
import type { PlacementResult, PoolCandidate } from '#control/sched/mod.ts';
import { placeReplicas } from '#control/sched/mod.ts';
import { isDeleting } from './reconcile.ts';

export interface ClusterObjects {
  readonly nodes: readonly StorageNode[];
  readonly pools: readonly DiskPool[];
  readonly volumes: readonly Volume[];
  readonly replicas: readonly Replica[];
}

export function poolCandidates(objects: ClusterObjects): PoolCandidate[] {
  const promised = promisesOf(objects);
  return objects.pools.map((pool) => {
    const node = objects.nodes.find((entry) => entry.metadata.name === pool.spec.nodeName);
    const ready = findCondition(pool.status?.conditions, 'Ready');
    const sizes = promised.get(pool.metadata.name) ?? new Map<string, number>();
    return {
      pool: pool.metadata.name,
      node: pool.spec.nodeName,
      zone: zoneOf(node),
      tags: pool.spec.tags ?? [],
      labels: pool.metadata.labels ?? {},
      isNodeReady: isConditionTrue(node?.status?.conditions, 'Ready'),
      isNodeCordoned: node?.spec.unschedulable === true || node?.spec.drain === true,
      isPoolCordoned:
        pool.spec.unschedulable === true || pool.spec.drain === true || isDeleting(pool),
      error: ready?.status === 'True' ? '' : (ready?.message ?? 'it was not opened yet'),
      freeBytes: pool.status?.freeBytes ?? 0,
      totalBytes: pool.status?.capacityBytes ?? 0,
      promisedBytes: [...sizes.values()].reduce((sum, bytes) => sum + bytes, 0),
      overProvisioningPercent: pool.spec.overProvisioningPercent ?? OVER_PROVISIONING_PERCENT,
      replicas: sizes.size,
    };
  });
}

/** Places for the replicas that the volume lacks beside `keepers`, as its spec asks for them. */
export function placeMore(
  pools: readonly PoolCandidate[],
  { spec }: Volume,
  keepers: readonly ReplicaPlacement[],
  avoidPools: readonly string[],
): PlacementResult {
  return placeReplicas(pools, {
    sizeBytes: parseQuantity('spec.size', spec.size),
    count: spec.replicas - keepers.length,
    taken: keepers.map(({ nodeName, poolName }) => ({
      node: nodeName,
      zone: pools.find((pool) => pool.pool === poolName)?.zone ?? '',
    })),
    poolSelector: spec.poolSelector,
    preferredNodes: spec.preferredNodes,
    avoidPools,
  });
}

export function zoneOf(node: StorageNode | undefined): string {
  return node?.spec.zone ?? node?.metadata.labels?.[LABEL_ZONE] ?? '';
}

/** By pool and replica: a replica that is placed counts before it is made, and until it is gone. */
function promisesOf({ volumes, replicas }: ClusterObjects): Map<string, Map<string, number>> {
  const promised = new Map<string, Map<string, number>>();
  const add = (pool: string, replica: string, size: string | number): void => {
    const sizes = promised.get(pool) ?? new Map<string, number>();
    promised.set(pool, sizes.set(replica, parseQuantity('spec.size', size)));
  };
  for (const { metadata, spec } of replicas) add(spec.poolName, metadata.name, spec.size);
  for (const { spec } of volumes) {
    for (const entry of spec.placement ?? []) add(entry.poolName, entry.replicaName, spec.size);
  }
  return promised;
}

/** Pools that are to be emptied, with the word for why. */
export function drainedPools({ nodes, pools }: ClusterObjects): ReadonlyMap<string, string> {
  const drained = new Map<string, string>();
  for (const { metadata, spec } of pools) {
    const node = nodes.find((entry) => entry.metadata.name === spec.nodeName);
    if (spec.drain === true) drained.set(metadata.name, `pool ${metadata.name} is drained`);
    if (node?.spec.drain === true) drained.set(metadata.name, `node ${spec.nodeName} is drained`);
  }
  return drained;
}
