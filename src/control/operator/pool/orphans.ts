/**
 * Replicas that lie in a pool and that no object wants. They are told, and removed only when that
 * is surely right: their volume is whole without them, served now, and the membership record proves
 * that they belonged to it and do not any more. Whatever is not sure is kept for a person. Pure.
 */
import type { PoolOrphan, Replica, Volume } from '#api/kinds/mod.ts';
import { formatTime, isConditionTrue, parseTime } from '#api/kinds/mod.ts';
import type { ClusterId, NexusStatus, ReplicaReport } from '#api/mod.ts';
import { CONTROL_PLANE } from '#api/mod.ts';
import { isDeleting } from '../reconcile.ts';

export const ORPHAN_AGE_MS = 24 * 3_600_000;

export interface OrphanObservation {
  readonly cluster: ClusterId;
  readonly nowMs: number;
  readonly reports: readonly ReplicaReport[];
  /** Of every pool. */
  readonly replicas: readonly Replica[];
  readonly volumes: readonly Volume[];
  /** Of the volumes that are served now. */
  readonly nexuses: ReadonlyMap<string, NexusStatus>;
  /** As the status of this pool had them. */
  readonly before: readonly PoolOrphan[];
  readonly pool: string;
}

export interface OrphanPlan {
  readonly orphans: readonly PoolOrphan[];
  readonly removals: readonly string[];
}

export function planOrphans(seen: OrphanObservation): OrphanPlan {
  const orphans: PoolOrphan[] = [];
  const removals: string[] = [];
  for (const report of seen.reports) {
    if (isWanted(seen, report)) continue;
    const name = report.identity.replica;
    const known = seen.before.find((entry) => entry.replicaName === name);
    const sinceTime = known?.sinceTime ?? formatTime(seen.nowMs);
    const goesAtMs = parseTime(sinceTime) + ORPHAN_AGE_MS;
    const doubt = whyKept(seen, report);
    if (doubt === '' && seen.nowMs >= goesAtMs) removals.push(name);
    orphans.push({
      replicaName: name,
      volumeName: report.identity.volume,
      claim: report.identity.claim,
      dataBytes: roundUsage(report),
      sinceTime,
      reason: doubt === '' ? `Not needed: it goes at ${formatTime(goesAtMs)}` : `Kept: ${doubt}`,
    });
  }
  return { orphans, removals };
}

function isWanted({ replicas, volumes, pool }: OrphanObservation, { identity }: ReplicaReport) {
  const isObject = replicas.some(
    (each) => each.metadata.name === identity.replica && each.spec.poolName === pool,
  );
  const isPlaced = volumes.some(({ spec }) =>
    spec.placement?.some(
      (entry) => entry.replicaName === identity.replica && entry.poolName === pool,
    ),
  );
  return isObject || isPlaced;
}

/** Empty when it is surely not needed. */
function whyKept(seen: OrphanObservation, report: ReplicaReport): string {
  const { identity, state } = report;
  if (identity.cluster !== seen.cluster) return `it is of another cluster, ${identity.cluster}`;
  if (seen.replicas.some((each) => each.metadata.name === identity.replica)) {
    return 'a Replica of its name is in another pool: one of the two is a copy of a disk';
  }
  const volume = seen.volumes.find((each) => each.metadata.name === identity.volume);
  if (volume === undefined) {
    return `there is no volume ${identity.volume}: it may be the last copy of one that was forgotten`;
  }
  if (isDeleting(volume)) return 'its volume is being deleted';
  const nexus = seen.nexuses.get(identity.volume);
  if (nexus === undefined || nexus.phase !== 'serving') {
    return 'its volume is not served: only then it is known who is current';
  }
  const inSync = nexus.members.filter((member) => member.phase === 'in-sync');
  const isWhole =
    inSync.length === nexus.members.length &&
    inSync.length >= volume.spec.replicas &&
    isConditionTrue(volume.status?.conditions, 'Redundant');
  if (!isWhole) return 'its volume is not whole';
  const { record } = nexus;
  if (record === null || record.formerVoters !== null) return 'the membership is being changed';
  const members: string[] = record.members.map((member) => member.replica);
  const current = [...members, ...record.voters];
  if (current.includes(identity.replica) || isMember(nexus, identity.replica)) {
    return 'the membership record still names it';
  }
  if (state === null || state.record === null) return 'it cannot say what it belonged to';
  if (state.record.epoch > nexus.epoch || state.promised > nexus.epoch) {
    return 'it knows of a later time than the volume: another history may be the true one';
  }
  const past = [...state.record.members.map((each) => each.replica), ...state.record.voters];
  if (!past.some((name) => name !== CONTROL_PLANE && current.includes(name))) {
    return 'nothing proves that it is of the same history as the volume';
  }
  return '';
}

function isMember(nexus: NexusStatus, replica: string): boolean {
  return nexus.members.some((member) => member.replica === replica);
}

/** In steps of a MiB, so that the object does not change with every write. */
function roundUsage({ usage }: ReplicaReport): number {
  const bytes = (usage?.headBytes ?? 0) + (usage?.snapshotBytes ?? 0);
  return Math.ceil(bytes / 1_048_576) * 1_048_576;
}
