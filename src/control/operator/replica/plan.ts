import type { ConditionDraft, ReplicaStatus } from '#api/kinds/mod.ts';
import { parseQuantity } from '#api/kinds/mod.ts';
import type { ReplicaReport } from '#api/mod.ts';
import type { Plan } from '../reconcile.ts';
import {
  ANNOTATION_INITIALISED,
  FINALIZER_DATA,
  hasAnnotation,
  hasFinalizer,
  isDeleting,
  POLL_MOVING_MS,
  POLL_STEADY_MS,
  POLL_WAITING_MS,
} from '../reconcile.ts';
import type { ReplicaObservation } from './observe.ts';

export type ReplicaAction =
  | { readonly type: 'add-finalizer' }
  | { readonly type: 'remove-finalizer' }
  | {
      readonly type: 'create';
      readonly sizeBytes: number;
      readonly segmentBytes: number;
      /** Null for one that joins a volume that already has data. */
      readonly founders: readonly string[] | null;
      readonly cloneOf: { readonly replica: string; readonly snapshot: string } | null;
    }
  | { readonly type: 'mark-initialised' }
  | { readonly type: 'delete-data' };

type ReplicaPlan = Plan<ReplicaAction, ReplicaStatus>;

export function planReplica(seen: ReplicaObservation): ReplicaPlan {
  if (isDeleting(seen.replica)) return planDeletion(seen);
  const { replica, report } = seen;
  const actions: ReplicaAction[] = [];
  if (!hasFinalizer(replica, FINALIZER_DATA)) actions.push({ type: 'add-finalizer' });
  const isInitialised = hasAnnotation(replica, ANNOTATION_INITIALISED);

  if (report !== undefined) {
    if (!isInitialised) actions.push({ type: 'mark-initialised' });
    return planReported(seen, actions);
  }
  const wait = whyNotReachable(seen);
  if (wait !== null) {
    return { actions, conditions: [wait], requeueAfterMs: 1_000 };
  }
  if (isInitialised) {
    // Its pool is open and it is not there. Made anew under the same id it would vote for a
    // history that it does not know: a person replaces it instead.
    const message = `Pool ${replica.spec.poolName} is open and does not hold the replica. Bring its files back, or delete this Replica so that another one is made`;
    return {
      actions,
      conditions: [notReady('ReplicaMissing', message)],
      requeueAfterMs: POLL_WAITING_MS,
    };
  }
  actions.push(createAction(seen), { type: 'mark-initialised' });
  return {
    actions,
    conditions: [
      { type: 'Ready', status: 'Unknown', reason: 'Created', message: 'Created just now' },
    ],
    requeueAfterMs: 100,
  };
}

function createAction({ replica }: ReplicaObservation): ReplicaAction {
  const { size, segmentSize, founders, cloneOf } = replica.spec;
  return {
    type: 'create',
    sizeBytes: parseQuantity('spec.size', size),
    segmentBytes: parseQuantity('spec.segmentSize', segmentSize),
    founders: founders ?? null,
    cloneOf:
      cloneOf === undefined
        ? null
        : { replica: cloneOf.replicaName, snapshot: cloneOf.snapshotName },
  };
}

function planReported(seen: ReplicaObservation, actions: ReplicaAction[]): ReplicaPlan {
  const { report, volume, replica } = seen;
  if (report === undefined) return { actions, conditions: [] };
  const conditions: ConditionDraft[] = [];
  // Of files that cannot be read it is not known whose they are.
  if (isForeign(report, replica.spec.volumeName)) {
    const message = `The files belong to volume ${report.identity.volume}. They are left untouched`;
    conditions.push(notReady('StoreForeign', message));
  } else if (report.error !== '' || report.state === null) {
    const code = report.errorCode === '' ? 'replica-failed' : report.errorCode;
    const message = `${code}: ${report.error === '' ? 'the replica is not open' : report.error}. The volume goes on with the others, where they are a majority`;
    conditions.push(notReady('ReplicaFailed', message));
  } else {
    const message = `Open in ${report.directory}`;
    conditions.push({ type: 'Ready', status: 'True', reason: 'Open', message });
  }
  return {
    actions,
    conditions,
    status: {
      directory: report.directory,
      sizeBytes: report.sizeBytes,
      ...(report.usage === null
        ? {}
        : { dataBytes: roundUsage(report.usage.headBytes + report.usage.snapshotBytes) }),
      ...(report.state === null
        ? {}
        : {
            incarnation: report.state.incarnation,
            snapshots: report.state.snapshots
              .filter((snapshot) => snapshot.sealed)
              .map((snapshot) => snapshot.id),
          }),
    },
    requeueAfterMs: volume === undefined ? 1_000 : POLL_STEADY_MS,
  };
}

/** One whose header cannot be read says nothing of itself. */
function isForeign({ identity }: ReplicaReport, volume: string): boolean {
  return identity.volume !== '' && identity.volume !== volume;
}

/** In steps of a MiB, so that the object does not change with every write. */
function roundUsage(bytes: number): number {
  return Math.ceil(bytes / 1_048_576) * 1_048_576;
}

function notReady(reason: string, message: string): ConditionDraft {
  return { type: 'Ready', status: 'False', reason, message };
}

/** Null when the pool is open and can be asked. */
function whyNotReachable(seen: ReplicaObservation): ConditionDraft | null {
  const { replica, pool, node, poolReport } = seen;
  const { poolName, nodeName } = replica.spec;
  if (pool === undefined) {
    return notReady('PoolMissing', `There is no DiskPool ${poolName}: apply it again`);
  }
  if (node.engine === null) {
    const code = node.engineError?.code ?? 'refused';
    const message = `The engine of node ${nodeName} does not answer (${code}); the replica is on its disk`;
    return notReady('EngineSilent', message);
  }
  if (poolReport === undefined || poolReport.error !== '') {
    const why = poolReport === undefined ? 'it is not open yet' : poolReport.error;
    return notReady('PoolNotReady', `Pool ${poolName} cannot be used: ${why}`);
  }
  return null;
}

/**
 * *Never delete the last copy*: data goes only with the whole volume, or when the volume's plan has
 * taken the replica out of the placement and the serving nexus has committed its removal.
 */
function planDeletion(seen: ReplicaObservation): ReplicaPlan {
  const { replica, volume, report } = seen;
  if (!hasFinalizer(replica, FINALIZER_DATA)) return { actions: [], conditions: [] };
  const isWithVolume = volume === undefined || isDeleting(volume);
  const isPlaced =
    volume?.spec.placement?.some((entry) => entry.replicaName === replica.metadata.name) ?? false;
  const wait = whyNotReachable(seen);
  if ((isWithVolume || !isPlaced) && wait !== null && seen.pool !== undefined) {
    return terminating(wait.reason, `Its data cannot be deleted yet: ${wait.message}`, 1_000);
  }
  const isMember = seen.members?.includes(replica.metadata.name) ?? true;
  const others = seen.inSync.filter((name) => name !== replica.metadata.name);
  if (!isWithVolume && isPlaced && seen.members !== null && others.length === 0) {
    const message =
      'It may be the last copy: no other replica of the volume is known to be in sync';
    return terminating('LastCopy', message, POLL_MOVING_MS);
  }
  if (!isWithVolume && (isPlaced || isMember)) {
    const message = isPlaced
      ? 'The volume still counts on this replica: it is let go when enough others are in sync'
      : 'Waiting for the nexus to record that the replica left';
    return terminating('StillMember', message, POLL_MOVING_MS);
  }
  if (!isWithVolume && seen.inSync.length === 0) {
    const message = 'It may be the last copy: no replica of the volume is known to be in sync';
    return terminating('LastCopy', message, POLL_MOVING_MS);
  }
  if (report !== undefined && isForeign(report, replica.spec.volumeName)) {
    return { actions: [{ type: 'remove-finalizer' }], conditions: [] };
  }
  const actions: ReplicaAction[] = [];
  if (seen.pool !== undefined) actions.push({ type: 'delete-data' });
  actions.push({ type: 'remove-finalizer' });
  return { actions, conditions: [] };
}

function terminating(reason: string, message: string, requeueAfterMs: number): ReplicaPlan {
  return {
    actions: [],
    conditions: [{ type: 'Terminating', status: 'True', reason, message }],
    requeueAfterMs,
  };
}
