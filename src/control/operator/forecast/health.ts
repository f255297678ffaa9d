/** What is at risk now, and when it will be whole. Pure. */
import type { AnyObject, Condition, Volume } from '#api/kinds/mod.ts';
import { findCondition, formatDuration, isConditionTrue } from '#api/kinds/mod.ts';
import type { ClusterHealth, VolumeAtRisk } from '#api/mod.ts';
import { isDeleting } from '../reconcile.ts';
import type { ClusterFacts } from './facts.ts';
import { claimOf, inSyncOf, restOfRebuilds } from './facts.ts';

export function clusterHealth(facts: ClusterFacts): ClusterHealth {
  const { nodes, pools, volumes } = facts;
  const bytes = (field: 'capacityBytes' | 'freeBytes'): number =>
    pools.reduce((sum, pool) => sum + (pool.status?.[field] ?? 0), 0);
  return {
    nodes: { total: nodes.length, ready: nodes.filter(isReady).length },
    pools: {
      total: pools.length,
      ready: pools.filter(isReady).length,
      capacityBytes: bytes('capacityBytes'),
      freeBytes: bytes('freeBytes'),
    },
    volumes: {
      total: volumes.length,
      served: volumes.filter((volume) => inSyncOf(facts, volume) !== null).length,
    },
    atRisk: volumes.flatMap((volume) => riskOf(facts, volume) ?? []),
    troubles: [...placeTroubles(facts), ...orphanTroubles(facts)],
  };
}

interface WithConditions {
  readonly status?: { readonly conditions?: readonly Condition[] | undefined } | undefined;
}

function isReady({ status }: WithConditions): boolean {
  return isConditionTrue(status?.conditions, 'Ready');
}

/** Null for a volume with as many current copies as are wanted, as far as is known. */
function riskOf(facts: ClusterFacts, volume: Volume): VolumeAtRisk | null {
  if (isDeleting(volume)) return null;
  const { conditions } = volume.status ?? {};
  const wanted = volume.spec.replicas;
  const known = inSyncOf(facts, volume);
  const redundant = findCondition(conditions, 'Redundant');
  const ready = findCondition(conditions, 'Ready');
  const isServedWish = (volume.spec.attachment ?? null) !== null;
  const inSync = known?.length ?? openReplicas(facts, volume);
  const isStuck = isServedWish && known === null;
  if (inSync >= wanted && !isStuck && ready?.status === 'True') return null;
  const attached = findCondition(conditions, 'Attached');
  const healthy = findCondition(conditions, 'Healthy');
  const cause =
    ready?.status !== 'True'
      ? ready
      : isStuck
        ? attached
        : healthy?.status === 'False'
          ? healthy
          : redundant;
  const rest = restOfRebuilds(facts, volume);
  return {
    volume: volume.metadata.name,
    claim: claimOf(volume),
    inSync,
    wanted,
    why: cause === undefined ? 'Not looked at yet' : `${cause.reason}: ${cause.message}`,
    wholeInSeconds: rest?.seconds ?? null,
    next: nextOf(rest?.seconds ?? null, redundant),
  };
}

/** Nobody serves it: what can be said is which of its copies can be opened. */
function openReplicas(facts: ClusterFacts, volume: Volume): number {
  const placed = new Set((volume.spec.placement ?? []).map((entry) => entry.replicaName));
  return facts.replicas.filter((each) => placed.has(each.metadata.name) && isReady(each)).length;
}

function nextOf(seconds: number | null, redundant: Condition | undefined): string {
  if (seconds !== null) return `whole in about ${formatDuration(Math.max(seconds, 1) * 1_000)}`;
  if (redundant === undefined || redundant.status === 'True') return 'not known when';
  return `${redundant.reason}: ${redundant.message}`;
}

function placeTroubles({ nodes, pools }: ClusterFacts): string[] {
  const lines: string[] = [];
  for (const object of [...nodes, ...pools]) {
    const ready = findCondition(object.status?.conditions, 'Ready');
    const space = findCondition(object.status?.conditions, 'SpaceAvailable');
    if (ready?.status !== 'True') {
      lines.push(`${nameOf(object)} is not ready: ${ready?.message ?? 'not looked at yet'}`);
    } else if (space?.status === 'False') lines.push(`${nameOf(object)}: ${space.message}`);
    if (object.spec.drain === true) lines.push(`${nameOf(object)} is drained`);
    else if (object.spec.unschedulable === true) lines.push(`${nameOf(object)} is cordoned`);
  }
  return lines;
}

function nameOf(object: AnyObject): string {
  return `${object.kind === 'DiskPool' ? 'pool' : 'node'} ${object.metadata.name}`;
}

function orphanTroubles({ pools }: ClusterFacts): string[] {
  return pools.flatMap(({ metadata, status }) =>
    (status?.orphans ?? []).map(
      (orphan) =>
        `pool ${metadata.name} holds ${orphan.replicaName} of ${orphan.volumeName}, which no object wants: ${orphan.reason}`,
    ),
  );
}
