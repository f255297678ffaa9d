import type { DiskPool, Replica, Volume } from '#api/kinds/mod.ts';
import type { PoolReport, ReplicaReport } from '#api/mod.ts';
import type { NodeView } from '../cluster-observer.ts';
import { findAttachments } from '../cluster-observer.ts';
import { findObject } from '../reconcile.ts';
import type { OperatorContext } from '../reconcile.ts';

export interface ReplicaObservation {
  readonly replica: Replica;
  readonly volume: Volume | undefined;
  readonly pool: DiskPool | undefined;
  readonly node: NodeView;
  readonly poolReport: PoolReport | undefined;
  readonly report: ReplicaReport | undefined;
  /** Replicas that a serving nexus of the volume has as members; null when none serves. */
  readonly members: readonly string[] | null;
  /** Those of them that are in sync. */
  readonly inSync: readonly string[];
}

export async function observeReplica(
  context: OperatorContext,
  name: string,
): Promise<ReplicaObservation | undefined> {
  const replica = await findObject(context, 'Replica', { name });
  if (replica === undefined) return undefined;
  const { volumeName, poolName, nodeName } = replica.spec;
  const volume = await findObject(context, 'Volume', { name: volumeName });
  const attachedOn = volume?.spec.attachment?.nodeName ?? volume?.status?.attachment?.nodeName;
  const nodes = attachedOn === undefined ? [nodeName] : [nodeName, attachedOn];
  const views = await context.observer.volumeViews(nodes, volumeName);
  const node = views.get(nodeName) as NodeView;
  const poolReport = node.engine?.pools.find((entry) => entry.pool === poolName);
  const serving = findAttachments(views.values(), volumeName).find(
    (entry) => entry.report.status.phase === 'serving',
  );
  return {
    replica,
    volume,
    pool: await findObject(context, 'DiskPool', { name: poolName }),
    node,
    poolReport,
    report: poolReport?.replicas.find((entry) => entry.identity.replica === name),
    members: serving?.report.status.members.map((member) => member.replica) ?? null,
    inSync: (serving?.report.status.members ?? [])
      .filter((member) => member.phase === 'in-sync')
      .map((member) => member.replica),
  };
}
