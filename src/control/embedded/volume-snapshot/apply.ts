/** What external-snapshotter's controller does with a VolumeSnapshot. */
import type { VolumeSnapshot } from '#api/kinds/mod.ts';
import { formatTime } from '#api/kinds/mod.ts';
import { hasCode } from '#api/mod.ts';
import type { ReconcileResult } from '#control/kube/mod.ts';
import { changeStatus, parseKey, setFinalizer } from '#control/kube/mod.ts';
import { isDeepStrictEqual } from 'node:util';
import type { EmbeddedContext } from '../context.ts';
import { BEING_DELETED, CLAIM_AS_SOURCE } from '../snapshot-names.ts';
import { observeVolumeSnapshot } from './observe.ts';
import { planVolumeSnapshot } from './plan.ts';
import type { SnapshotWait, VolumeSnapshotAction, VolumeSnapshotPlan } from './plan.ts';

export async function reconcileVolumeSnapshot(
  context: EmbeddedContext,
  text: string,
): Promise<ReconcileResult> {
  const { namespace = 'default', name } = parseKey(text);
  const seen = await observeVolumeSnapshot(context, namespace, name);
  if (seen === undefined) return {};
  const plan = planVolumeSnapshot(seen);
  for (const action of plan.actions) await perform(context, seen.snapshot, action);
  await writeStatus(context, seen.snapshot, plan);
  return { requeueAfterMs: plan.requeueAfterMs };
}

async function perform(
  { client }: EmbeddedContext,
  { metadata: { namespace = 'default', name, uid } }: VolumeSnapshot,
  action: VolumeSnapshotAction,
): Promise<void> {
  const key = { namespace, name };
  switch (action.type) {
    case 'add-finalizer':
    case 'remove-finalizer': {
      const isWanted = action.type === 'add-finalizer';
      return setFinalizer(client, 'VolumeSnapshot', key, action.finalizer, isWanted);
    }
    case 'set-class': {
      const patch = { metadata: { uid }, spec: { volumeSnapshotClassName: action.className } };
      await client.patch('VolumeSnapshot', key, patch);
      return;
    }
    case 'protect-claim':
    case 'release-claim': {
      const claim = { namespace, name: action.claim };
      const isWanted = action.type === 'protect-claim';
      const change = setFinalizer(
        client,
        'PersistentVolumeClaim',
        claim,
        CLAIM_AS_SOURCE,
        isWanted,
      );
      return isWanted ? change : ignoring('not-found', change);
    }
    case 'create-content':
      return ignoring('already-exists', client.create('VolumeSnapshotContent', action.content));
    case 'bind-content':
      return void (await client.patch(
        'VolumeSnapshotContent',
        { name: action.content },
        { spec: { volumeSnapshotRef: { uid } } },
      ));
    case 'mark-content': {
      const patch = { metadata: { annotations: { [BEING_DELETED]: 'yes' } } };
      const content = { name: action.content };
      return ignoring('not-found', client.patch('VolumeSnapshotContent', content, patch));
    }
    case 'delete-content': {
      const content = { name: action.content };
      return ignoring('not-found', client.delete('VolumeSnapshotContent', content));
    }
  }
}

async function ignoring(
  code: 'not-found' | 'already-exists',
  change: Promise<unknown>,
): Promise<void> {
  try {
    await change;
  } catch (error) {
    if (!hasCode(error, code)) throw error;
  }
}

/** The status and, once per change, an Event. */
async function writeStatus(
  { client, clock, events }: EmbeddedContext,
  { metadata: { namespace = 'default', name } }: VolumeSnapshot,
  { status, wait }: VolumeSnapshotPlan,
): Promise<void> {
  if (status === undefined) return;
  let before: VolumeSnapshot['status'];
  let object: VolumeSnapshot | undefined;
  try {
    object = await changeStatus(client, 'VolumeSnapshot', { namespace, name }, (current) => {
      before = current;
      const { error } = current;
      const after = { ...status, ...errorOf(wait, error, clock.wallMs()) };
      return isDeepStrictEqual(after, current) ? current : after;
    });
  } catch (error) {
    if (!hasCode(error, 'not-found')) throw error;
  }
  if (object === undefined) return;
  if (wait !== null && before?.error?.message !== wait.message) {
    const isMoving = wait.reason === 'SnapshotDeletePending';
    events[isMoving ? 'normal' : 'warning'](object, wait.reason, wait.message);
  }
  const { boundVolumeSnapshotContentName: content } = status;
  if (content !== undefined && before?.boundVolumeSnapshotContentName === undefined) {
    events.normal(object, 'CreatingSnapshot', `Waiting for VolumeSnapshotContent ${content}`);
  }
  if (status.readyToUse === true && before?.readyToUse !== true) {
    events.normal(object, 'SnapshotReady', 'Claims can be made from it');
  }
}

function errorOf(
  wait: SnapshotWait | null,
  before: NonNullable<VolumeSnapshot['status']>['error'],
  nowMs: number,
): Pick<NonNullable<VolumeSnapshot['status']>, 'error'> {
  if (wait === null) return {};
  const { message } = wait;
  return { error: before?.message === message ? before : { message, time: formatTime(nowMs) } };
}
