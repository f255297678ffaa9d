import type { ConditionDraft, SnapshotStatus } from '#api/kinds/mod.ts';
import type { Plan } from '../reconcile.ts';
import { FINALIZER_DATA, hasFinalizer, isDeleting, POLL_MOVING_MS } from '../reconcile.ts';
import type { SnapshotObservation } from './observe.ts';

export type SnapshotAction =
  | { readonly type: 'add-finalizer' }
  | { readonly type: 'remove-finalizer' }
  | { readonly type: 'create'; readonly node: string }
  | { readonly type: 'delete-data'; readonly node: string };

/** What is recorded before a snapshot is taken. */
export const TAKE = 'take snapshot of';

type SnapshotPlan = Plan<SnapshotAction, SnapshotStatus>;

export function planSnapshot(seen: SnapshotObservation): SnapshotPlan {
  const { snapshot, volume, serving, holders } = seen;
  if (isDeleting(snapshot)) return planDeletion(seen);
  const actions: SnapshotAction[] = [];
  if (!hasFinalizer(snapshot, FINALIZER_DATA)) actions.push({ type: 'add-finalizer' });
  if (volume === undefined) {
    const message = `There is no volume ${snapshot.spec.volumeName}`;
    return { actions, conditions: [ready('False', 'VolumeMissing', message)] };
  }
  if (holders.length > 0 && snapshot.status?.creationTime !== undefined) {
    return {
      actions,
      conditions: [ready('True', 'Taken', `Held by ${holders.length} replicas`)],
      status: {
        readyToUse: true,
        sizeBytes: holders[0]?.sizeBytes,
        replicas: holders.map((holder) => holder.replica),
      },
      // A replica that was away may have it too, or get it by a rebuild.
      requeueAfterMs: holders.length < (volume.spec.placement ?? []).length ? 2_000 : 60_000,
    };
  }
  if (snapshot.status?.creationTime !== undefined && serving === undefined) {
    const message = 'None of the replicas that hold it answers now';
    return {
      actions,
      conditions: [ready('Unknown', 'HoldersSilent', message)],
      requeueAfterMs: 1_000,
    };
  }
  if (serving === undefined) {
    const message = 'Waiting for the volume to be served: a snapshot is a point in its writes';
    return {
      actions,
      conditions: [ready('False', 'VolumeNotServing', message)],
      requeueAfterMs: POLL_MOVING_MS,
    };
  }
  if (snapshot.status?.creationTime === undefined) {
    actions.push({ type: 'create', node: serving.node });
  }
  return {
    actions,
    conditions: [ready('Unknown', 'Taken', 'Taken just now: asking the replicas')],
    requeueAfterMs: 200,
  };
}

function ready(status: ConditionDraft['status'], reason: string, message: string): ConditionDraft {
  return { type: 'Ready', status, reason, message };
}

function planDeletion(seen: SnapshotObservation): SnapshotPlan {
  const { snapshot, volume, serving, holders, dependents } = seen;
  if (!hasFinalizer(snapshot, FINALIZER_DATA)) return { actions: [], conditions: [] };
  if (volume === undefined || isDeleting(volume)) {
    return { actions: [{ type: 'remove-finalizer' }], conditions: [] };
  }
  if (dependents.length > 0) {
    const message = `Volumes are being made from it: ${dependents.join(', ')}`;
    return terminating('InUse', message);
  }
  const wasNeverTaken = holders.length === 0 && snapshot.status?.creationTime === undefined;
  const mayBeTaken = snapshot.status?.pendingAction?.action === TAKE;
  if (wasNeverTaken && !mayBeTaken) {
    return { actions: [{ type: 'remove-finalizer' }], conditions: [] };
  }
  if (serving === undefined) {
    return terminating('VolumeNotServing', 'Waiting for the volume to be served');
  }
  return {
    actions: [{ type: 'delete-data', node: serving.node }, { type: 'remove-finalizer' }],
    conditions: [],
  };
}

function terminating(reason: string, message: string): SnapshotPlan {
  return {
    actions: [],
    conditions: [{ type: 'Terminating', status: 'True', reason, message }],
    requeueAfterMs: POLL_MOVING_MS,
  };
}
