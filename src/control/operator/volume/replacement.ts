/**
 * Which replicas of a volume have to go, and what is done about it: another one is made and
 * levelled first, then the old one is let go. Pure.
 *
 * Invariants
 * - *Never delete the last copy*: a replica goes only when as many others as are wanted are in
 *   sync, as the nexus that serves the volume says now; nobody else knows.
 * - A replica that comes back before its time is levelled, not replaced.
 */
import type { ConditionDraft, Replica, ReplicaPlacement } from '#api/kinds/mod.ts';
import {
  findCondition,
  formatDuration,
  parseTime,
  REPLACE_AFTER_SECONDS,
  REPLICAS_MAX,
} from '#api/kinds/mod.ts';
import { formatRefusal } from '#control/sched/mod.ts';
import { placeMore } from '../pool-candidates.ts';
import { isDeleting, POLL_MOVING_MS, POLL_STEADY_MS, POLL_WAITING_MS } from '../reconcile.ts';
import { votelessReplicas } from '../voteless.ts';
import type { VolumeObservation } from './observe.ts';
import type { VolumeAction } from './plan.ts';

export interface PlacementChange {
  readonly actions: readonly VolumeAction[];
  readonly condition: ConditionDraft;
  readonly requeueAfterMs: number;
}

export interface Outgoing {
  readonly entry: ReplicaPlacement;
  readonly kind: 'lost' | 'drained' | 'voteless';
  /** Why it goes, in words. */
  readonly why: string;
}

interface Outlook {
  readonly outgoing: readonly Outgoing[];
  /** When the next absent replica counts as lost; null when none is absent. */
  readonly dueMs: number | null;
}

/** As the nexus that serves the volume says. */
export function inSyncReplicas(seen: Pick<VolumeObservation, 'attachments'>): string[] {
  const members = servingStatus(seen)?.members ?? [];
  return members.filter((member) => member.phase === 'in-sync').map((member) => member.replica);
}

function servingStatus(seen: Pick<VolumeObservation, 'attachments'>) {
  return seen.attachments.find((entry) => entry.report.status.phase === 'serving')?.report.status;
}

/** Lets go of what has to go and places more when there are too few. */
export function planPlacementChange(
  seen: VolumeObservation,
  placement: readonly ReplicaPlacement[],
): PlacementChange {
  const leaving = placement.find((entry) =>
    seen.replicas.some(
      (object) => object.metadata.name === entry.replicaName && isDeleting(object),
    ),
  );
  if (leaving !== undefined) return planLeaving(seen, placement, leaving);
  const outlook = lookOut(seen, placement);
  const { outgoing } = outlook;
  const keepers = placement.filter((entry) => outgoing.every((other) => other.entry !== entry));
  const lacking = seen.volume.spec.replicas - keepers.length;
  if (lacking > 0) return planMore(seen, placement, keepers, outgoing);
  if (outgoing.length > 0) return planFarewell(seen, keepers, outgoing);
  if (lacking < 0) return planScaleDown(seen, placement);
  return planSteady(seen, placement, outlook);
}

function planLeaving(
  seen: VolumeObservation,
  placement: readonly ReplicaPlacement[],
  leaving: ReplicaPlacement,
): PlacementChange {
  const inSync = inSyncReplicas(seen).filter((name) => name !== leaving.replicaName);
  if (inSync.length === 0) {
    const message = `${leaving.replicaName} is kept: no other replica is known to be in sync`;
    return redundant('False', 'LastCopy', message, POLL_MOVING_MS);
  }
  const rest = placement.filter((entry) => entry !== leaving);
  const isWhole = inSync.length >= seen.volume.spec.replicas;
  const message = `${leaving.replicaName} leaves`;
  return {
    ...redundant(isWhole ? 'True' : 'False', 'Replacing', message, POLL_MOVING_MS),
    actions: [{ type: 'place', placement: rest }],
  };
}

// --- who has to go -------------------------------------------------------------------------------

function lookOut(seen: VolumeObservation, placement: readonly ReplicaPlacement[]): Outlook {
  const status = servingStatus(seen);
  const inSync = inSyncReplicas(seen);
  const voteless = status === undefined ? [] : votelessReplicas(status, seen.nowMs);
  const outgoing: Outgoing[] = [];
  let dueMs: number | null = null;
  const waitMs = (seen.volume.spec.replaceAfterSeconds ?? REPLACE_AFTER_SECONDS) * 1_000;
  for (const entry of placement) {
    const { replicaName, poolName } = entry;
    const drained = seen.drained.get(poolName);
    const lostSinceMs = inSync.includes(replicaName) ? null : absentSinceMs(seen, entry);
    if (lostSinceMs !== null && seen.nowMs - lostSinceMs >= waitMs) {
      const gone = formatDuration(seen.nowMs - lostSinceMs);
      outgoing.push({ entry, kind: 'lost', why: `${replicaName} is lost (absent for ${gone})` });
    } else if (drained !== undefined) {
      outgoing.push({ entry, kind: 'drained', why: `${replicaName} moves: ${drained}` });
    } else if (voteless.includes(replicaName) && inSync.length > voteless.length) {
      const why = `${replicaName} has no vote: an older copy of it was put back`;
      outgoing.push({ entry, kind: 'voteless', why });
    } else if (lostSinceMs !== null) {
      dueMs = Math.min(dueMs ?? Number.POSITIVE_INFINITY, lostSinceMs + waitMs);
    }
  }
  return { outgoing, dueMs };
}

/**
 * Where a nexus serves, only it says who is absent; since when, it says or the replica's own state,
 * whichever is longer. What the nexus says counts from when it began to serve: what was known of
 * members before is old.
 */
function absentSinceMs(seen: VolumeObservation, { replicaName }: ReplicaPlacement): number | null {
  const replica = seen.replicas.find((object) => object.metadata.name === replicaName);
  const unreadyMs = replica === undefined ? null : unreadySinceMs(replica);
  const now = servingStatus(seen)?.members.find((entry) => entry.replica === replicaName);
  if (now === undefined) return unreadyMs;
  const { status } = seen.volume;
  const member = status?.members?.find((entry) => entry.replicaName === replicaName);
  if (now.phase !== 'absent' || member?.phase !== 'absent') return null;
  const attached = findCondition(status?.conditions, 'Attached');
  if (attached?.status !== 'True') return unreadyMs;
  const absentMs = Math.max(parseTime(member.sinceTime), parseTime(attached.lastTransitionTime));
  return unreadyMs === null ? absentMs : Math.min(absentMs, unreadyMs);
}

function unreadySinceMs({ status }: Replica): number | null {
  const ready = findCondition(status?.conditions, 'Ready');
  return ready?.status === 'False' ? parseTime(ready.lastTransitionTime) : null;
}

// --- what is done --------------------------------------------------------------------------------

function planMore(
  seen: VolumeObservation,
  placement: readonly ReplicaPlacement[],
  keepers: readonly ReplicaPlacement[],
  outgoing: readonly Outgoing[],
): PlacementChange {
  const { volume } = seen;
  const lacking = volume.spec.replicas - keepers.length;
  const because = outgoing.length === 0 ? '' : `${outgoing.map(({ why }) => why).join('; ')}. `;
  if (keepers.length === 0 && outgoing.every(({ kind }) => kind === 'lost')) {
    const message = `${because}Every replica is absent: it waits for one of them, nothing can be made from nothing`;
    return redundant('False', 'AllLost', message, POLL_STEADY_MS);
  }
  const isOnlyMoving = outgoing.length > 0 && outgoing.every(({ kind }) => kind === 'drained');
  const avoid = outgoing.map(({ entry }) => entry.poolName);
  const result = placeMore(seen.pools, volume, keepers, avoid);
  if (!result.ok) {
    const message = `${because}${formatRefusal(result)}`;
    if (!isOnlyMoving) return redundant('False', 'NoPlacement', message, 2_000);
    return redundant('True', 'CannotMove', message, 2_000);
  }
  if (placement.length + lacking > REPLICAS_MAX) {
    const message = `${because}There are ${placement.length} replicas already: delete some first`;
    return redundant('False', 'TooMany', message, POLL_WAITING_MS);
  }
  if (outgoing.length > 0 && inSyncReplicas(seen).length === 0) return planService(seen, because);
  const added = result.picks.map((pick, index) => ({
    replicaName: seen.freshNames[index] as string,
    poolName: pick.pool,
    nodeName: pick.node,
    founder: false,
  }));
  const where = added.map(({ poolName }) => poolName).join(', ');
  const message = `${because}Another one is made in ${where}`;
  return {
    ...redundant(isOnlyMoving ? 'True' : 'False', 'Replacing', message, 50),
    actions: [{ type: 'place', placement: [...placement, ...added] }],
  };
}

/** Only a nexus can level a replica and say that it is in sync: nobody serves the volume now. */
function planService(seen: VolumeObservation, because: string): PlacementChange {
  if ((seen.volume.spec.attachment ?? null) === null) {
    return redundant('False', 'NeedsNexus', `${because}It is opened for that`, POLL_MOVING_MS);
  }
  const message = `${because}Waiting until the volume serves: only then it is known who is current`;
  return redundant('False', 'NotServed', message, 1_000);
}

function planFarewell(
  seen: VolumeObservation,
  keepers: readonly ReplicaPlacement[],
  outgoing: readonly Outgoing[],
): PlacementChange {
  const because = `${outgoing.map(({ why }) => why).join('; ')}. `;
  const inSync = inSyncReplicas(seen);
  if (inSync.length === 0) return planService(seen, because);
  const { replicas } = seen.volume.spec;
  const ready = keepers.filter((entry) => inSync.includes(entry.replicaName)).length;
  if (ready < replicas) {
    const isWhole = inSync.length >= replicas;
    const message = `${because}It goes when the others are in sync: ${ready} of ${replicas} are`;
    return redundant(isWhole ? 'True' : 'False', 'Replacing', message, POLL_MOVING_MS);
  }
  return {
    ...redundant('True', 'Replacing', `${because}It is let go`, POLL_MOVING_MS),
    actions: outgoing.map(({ entry }) => ({ type: 'delete-replica', name: entry.replicaName })),
  };
}

function planScaleDown(
  seen: VolumeObservation,
  placement: readonly ReplicaPlacement[],
): PlacementChange {
  const inSync = inSyncReplicas(seen);
  const last =
    placement.findLast((entry) => !inSync.includes(entry.replicaName)) ?? placement.at(-1);
  const others = inSync.filter((name) => name !== last?.replicaName);
  if (last === undefined || others.length < seen.volume.spec.replicas) {
    const message = 'Fewer replicas are wanted: waiting until the others are in sync';
    return redundant('False', 'Shrinking', message, POLL_MOVING_MS);
  }
  return {
    ...redundant('False', 'Shrinking', `${last.replicaName} leaves`, POLL_MOVING_MS),
    actions: [{ type: 'delete-replica', name: last.replicaName }],
  };
}

function planSteady(
  seen: VolumeObservation,
  placement: readonly ReplicaPlacement[],
  { dueMs }: Outlook,
): PlacementChange {
  const count = `${placement.length} replicas`;
  if (dueMs === null) return redundant('True', 'AsWanted', count, POLL_STEADY_MS);
  const seconds = seen.volume.spec.replaceAfterSeconds ?? REPLACE_AFTER_SECONDS;
  const waitMs = Math.max(dueMs - seen.nowMs, 0) + 100;
  const message = `${count}; one is absent: it is waited for ${seconds} s, then replaced`;
  return redundant('False', 'Waiting', message, Math.min(waitMs, POLL_STEADY_MS));
}

function redundant(
  status: ConditionDraft['status'],
  reason: string,
  message: string,
  requeueAfterMs: number,
): PlacementChange {
  const condition = { type: 'Redundant', status, reason, message };
  return { actions: [], condition, requeueAfterMs };
}
