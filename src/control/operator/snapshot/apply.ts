import type { SnapshotStatus } from '#api/kinds/mod.ts';
import { formatTime } from '#api/kinds/mod.ts';
import { hasCode, type SnapshotId, type VolumeId } from '#api/mod.ts';
import type { ReconcileResult } from '#control/kube/mod.ts';
import { changeStatus, setFinalizer } from '#control/kube/mod.ts';
import { carryOut, FINALIZER_DATA } from '../reconcile.ts';
import type { OperatorContext } from '../reconcile.ts';
import type { SnapshotObservation } from './observe.ts';
import { observeSnapshot } from './observe.ts';
import { planSnapshot, TAKE } from './plan.ts';
import type { SnapshotAction } from './plan.ts';

export async function reconcileSnapshot(
  context: OperatorContext,
  name: string,
): Promise<ReconcileResult> {
  const seen = await observeSnapshot(context, name);
  if (seen === undefined) return {};
  const key = { name };
  const { volumeName } = seen.snapshot.spec;
  const volume = volumeName as VolumeId;
  const snapshot = name as SnapshotId;
  return carryOut(context, 'Snapshot', key, planSnapshot(seen), {
    observed: seen.snapshot,
    label: (action) => {
      if (action.type === 'create') return { action: TAKE, target: volumeName };
      if (action.type === 'delete-data')
        return { action: 'delete snapshot of', target: volumeName };
      return null;
    },
    failureCondition: (action) => (action.type === 'delete-data' ? 'Terminating' : 'Ready'),
    async perform(action: SnapshotAction) {
      switch (action.type) {
        case 'add-finalizer':
        case 'remove-finalizer':
          return setFinalizer(
            context.client,
            'Snapshot',
            key,
            FINALIZER_DATA,
            action.type === 'add-finalizer',
          );
        case 'create': {
          const taken = await take(context, seen, action.node);
          await changeStatus(context.client, 'Snapshot', key, (status) => ({
            ...status,
            ...taken,
          }));
          for (const entry of seen.volume?.spec.placement ?? []) {
            context.observer.forget(entry.nodeName);
          }
          return;
        }
        case 'delete-data': {
          const { engine } = context.observer.access(action.node);
          const params = { volume, snapshot };
          try {
            await engine.call('volume.deleteSnapshot', params, { timeoutMs: 120_000 });
          } catch (error) {
            if (!hasCode(error, 'not-found')) throw error;
          }
        }
      }
    },
  });
}

type Taken = Pick<SnapshotStatus, 'creationTime' | 'epoch' | 'generation'>;

/**
 * One that is there already was taken by a try of ours whose answer was lost, if there was such a
 * try; its moment lies after that began. Without one it is somebody else's, of another moment.
 */
async function take(
  context: OperatorContext,
  { snapshot: { metadata, spec, status } }: SnapshotObservation,
  node: string,
): Promise<Taken> {
  const { engine } = context.observer.access(node);
  const params = { volume: spec.volumeName as VolumeId, snapshot: metadata.name as SnapshotId };
  const before = status?.pendingAction;
  try {
    const taken = await engine.call('volume.createSnapshot', params, { timeoutMs: 60_000 });
    const creationTime = formatTime(context.clock.wallMs());
    return { creationTime, epoch: taken.epoch, generation: taken.n };
  } catch (error) {
    if (!hasCode(error, 'already-exists')) throw error;
    if (before?.action === TAKE) return { creationTime: before.startTime };
    // This try must not look like the one that took it.
    await changeStatus(context.client, 'Snapshot', { name: metadata.name }, (current) => ({
      ...current,
      pendingAction: null,
    }));
    throw error;
  }
}
