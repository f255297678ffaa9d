/** What csi-snapshotter does with a VolumeSnapshotContent: CreateSnapshot and DeleteSnapshot. */
import type { VolumeSnapshotContent } from '#api/kinds/mod.ts';
import { formatTime } from '#api/kinds/mod.ts';
import { hasCode, HoldfastError, PROVISIONER } from '#api/mod.ts';
import type { CsiSnapshot } from '#control/csi/mod.ts';
import type { ReconcileResult } from '#control/kube/mod.ts';
import { changeStatus, describeError, findObject, setFinalizer } from '#control/kube/mod.ts';
import { isDeepStrictEqual } from 'node:util';
import type { EmbeddedContext } from '../context.ts';
import { BEING_CREATED, CONTENT_BOUND, snapshotNameFor } from '../snapshot-names.ts';
import type { ContentAction, ContentObservation } from './plan.ts';
import { planContent } from './plan.ts';

type ContentStatus = NonNullable<VolumeSnapshotContent['status']>;

/** Not yet, rather than not: the next try goes on with what this one began. */
const MOVING = ['timed-out', 'operation-pending'] as const;

export async function reconcileSnapshotContent(
  context: EmbeddedContext,
  name: string,
): Promise<ReconcileResult> {
  const seen = await observeContent(context, name);
  if (seen === undefined || seen.content.spec.driver !== PROVISIONER) return {};
  const { actions, message } = planContent(seen);
  for (const action of actions) {
    try {
      await perform(context, seen.content, action);
    } catch (error) {
      if (!HoldfastError.is(error) || error.code === 'conflict') throw error;
      await recordProblem(context, seen.content, action, error);
      throw error;
    }
  }
  if (message !== '') await recordError(context, name, message);
  return {};
}

async function observeContent(
  context: EmbeddedContext,
  name: string,
): Promise<ContentObservation | undefined> {
  const content = await findObject(context, 'VolumeSnapshotContent', { name });
  if (content === undefined) return undefined;
  const { volumeSnapshotRef } = content.spec;
  const found = await findObject(context, 'VolumeSnapshot', {
    namespace: volumeSnapshotRef.namespace,
    name: volumeSnapshotRef.name,
  });
  return { content, snapshot: found?.metadata.uid === volumeSnapshotRef.uid ? found : undefined };
}

async function perform(
  context: EmbeddedContext,
  content: VolumeSnapshotContent,
  action: ContentAction,
): Promise<void> {
  const { client, controller } = context;
  const { name } = content.metadata;
  const kind = 'VolumeSnapshotContent';
  switch (action.type) {
    case 'add-finalizer':
      return setFinalizer(client, kind, { name }, CONTENT_BOUND, true);
    case 'remove-finalizer':
      return ignoreAbsent(setFinalizer(client, kind, { name }, CONTENT_BOUND, false));
    case 'mark-created':
    case 'unmark-created': {
      const value = action.type === 'mark-created' ? 'yes' : null;
      const patch = { metadata: { annotations: { [BEING_CREATED]: value } } };
      return void (await client.patch(kind, { name }, patch));
    }
    case 'take':
      return recordTaken(context, name, await take(context, content, action.volumeHandle));
    case 'find':
      return find(context, content, action.volumeHandle);
    case 'look-up':
      return lookUp(context, name, action.snapshotHandle);
    case 'delete-data':
      await controller.DeleteSnapshot({ snapshotId: action.snapshotHandle });
      return;
  }
}

async function take(
  { client, controller }: EmbeddedContext,
  content: VolumeSnapshotContent,
  sourceVolumeId: string,
): Promise<CsiSnapshot> {
  const { volumeSnapshotClassName: className, volumeSnapshotRef } = content.spec;
  const snapshotClass =
    className === undefined
      ? undefined
      : await findObject({ client }, 'VolumeSnapshotClass', { name: className });
  const { snapshot } = await controller.CreateSnapshot({
    name: snapshotNameFor(content),
    sourceVolumeId,
    parameters: {
      ...snapshotClass?.parameters,
      'csi.storage.k8s.io/volumesnapshot/name': volumeSnapshotRef.name,
      'csi.storage.k8s.io/volumesnapshot/namespace': volumeSnapshotRef.namespace,
      'csi.storage.k8s.io/volumesnapshotcontent/name': content.metadata.name,
    },
  });
  return snapshot;
}

/** A source that is gone took with it what may have been taken of it. */
async function find(
  context: EmbeddedContext,
  content: VolumeSnapshotContent,
  volumeHandle: string,
): Promise<void> {
  const { client, controller } = context;
  const { name } = content.metadata;
  try {
    const { snapshotId } = await take(context, content, volumeHandle);
    await controller.DeleteSnapshot({ snapshotId });
  } catch (error) {
    if (!hasCode(error, 'not-found')) throw error;
  }
  await ignoreAbsent(setFinalizer(client, 'VolumeSnapshotContent', { name }, CONTENT_BOUND, false));
}

async function lookUp(context: EmbeddedContext, name: string, snapshotId: string): Promise<void> {
  const { entries } = await context.controller.ListSnapshots({
    maxEntries: 0,
    startingToken: '',
    sourceVolumeId: '',
    snapshotId,
  });
  const found = entries[0]?.snapshot;
  if (found === undefined) {
    throw new HoldfastError('not-found', 'Snapshot does not exist', {
      details: { field: 'spec.source.snapshotHandle', value: snapshotId, remedy: 'Check the id' },
    });
  }
  await recordTaken(context, name, found);
  if (!found.readyToUse) {
    throw new HoldfastError('timed-out', 'Snapshot is not ready', {
      details: { snapshot: snapshotId, waitsFor: 'The snapshot is being taken' },
    });
  }
}

async function recordTaken(
  { client, events }: EmbeddedContext,
  name: string,
  { snapshotId, creationTime, sizeBytes, readyToUse }: CsiSnapshot,
): Promise<void> {
  let isNews = false;
  const object = await changeStatus(client, 'VolumeSnapshotContent', { name }, (status) => {
    const after: ContentStatus = {
      snapshotHandle: snapshotId,
      creationTime: creationTime.seconds * 1e9 + creationTime.nanos,
      restoreSize: sizeBytes,
      readyToUse,
    };
    isNews = readyToUse && status.readyToUse !== true;
    return isDeepStrictEqual(status, after) ? status : after;
  });
  if (isNews) events.normal(object, 'SnapshotReady', `It is snapshot ${snapshotId}`);
}

async function recordProblem(
  context: EmbeddedContext,
  content: VolumeSnapshotContent,
  action: ContentAction,
  error: HoldfastError,
): Promise<void> {
  const { waitsFor, why } = error.details;
  const message = String(waitsFor ?? why ?? describeError(error));
  if (!(await recordError(context, content.metadata.name, message))) return;
  const isMoving = MOVING.some((code) => code === error.code);
  const isDeletion = action.type === 'delete-data' || action.type === 'find';
  const reason = isDeletion ? 'SnapshotDeleteError' : 'SnapshotCreationFailed';
  context.events[isMoving ? 'normal' : 'warning'](content, reason, message);
}

/** Whether it is news. */
async function recordError(
  { client, clock }: EmbeddedContext,
  name: string,
  message: string,
): Promise<boolean> {
  let isNews = false;
  await ignoreAbsent(
    changeStatus(client, 'VolumeSnapshotContent', { name }, (status) => {
      isNews = status.error?.message !== message;
      if (!isNews) return status;
      const { readyToUse = false } = status;
      return { ...status, readyToUse, error: { message, time: formatTime(clock.wallMs()) } };
    }),
  );
  return isNews;
}

async function ignoreAbsent(change: Promise<unknown>): Promise<void> {
  try {
    await change;
  } catch (error) {
    if (!hasCode(error, 'not-found')) throw error;
  }
}
