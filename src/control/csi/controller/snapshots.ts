/** Controller service: snapshots. */
import type { Snapshot } from '#api/kinds/mod.ts';
import { API_VERSION } from '#api/kinds/mod.ts';
import { hasCode, HoldfastError } from '#api/mod.ts';
import type { ControllerContext } from './context.ts';
import { demandVolume, findObject, saysOf } from './context.ts';
import { ANNOTATION_NAME } from './volumes.ts';
import { demandId, demandName, invalid, paginate } from '../demand.ts';
import type { AnswerOf, ControllerCalls, RequestOf } from '../messages.ts';
import { snapshotIdOf } from './names.ts';
import { viewSnapshot } from './volume-view.ts';

/** Takes a snapshot, or finds the one an earlier call took; waits until its moment is fixed. */
export async function createSnapshot(
  context: ControllerContext,
  request: RequestOf<ControllerCalls, 'CreateSnapshot'>,
): Promise<AnswerOf<ControllerCalls, 'CreateSnapshot'>> {
  const wanted = demandName('name', request.name);
  const volumeName = demandId('source_volume_id', request.sourceVolumeId);
  const unknown = Object.keys(request.parameters).find(
    (key) => !key.startsWith('csi.storage.k8s.io/'),
  );
  if (unknown !== undefined) throw invalid(`parameters.${unknown}`, '', 'Remove it');
  const name = snapshotIdOf(wanted);
  const before = await findObject(context.client, 'Snapshot', { name });
  if (before === undefined) await takeSnapshot(context, name, wanted, volumeName);
  else demandSameSource(before, volumeName);
  return { snapshot: await untilTaken(context, name) };
}

async function takeSnapshot(
  context: ControllerContext,
  name: string,
  wanted: string,
  volumeName: string,
): Promise<void> {
  const volume = await demandVolume(context, volumeName);
  const { claimRef } = volume.spec;
  const snapshot: Snapshot = {
    apiVersion: API_VERSION,
    kind: 'Snapshot',
    metadata: { name, annotations: { [ANNOTATION_NAME]: wanted } },
    spec: {
      volumeName,
      ...(claimRef === undefined
        ? {}
        : { claimRef: { namespace: claimRef.namespace, name: claimRef.name } }),
    },
  };
  try {
    await context.client.create('Snapshot', snapshot);
  } catch (error) {
    if (!hasCode(error, 'already-exists')) throw error;
  }
}

function demandSameSource(before: Snapshot, volumeName: string): void {
  if (before.spec.volumeName === volumeName) return;
  throw new HoldfastError('already-exists', 'Another snapshot has the name', {
    details: {
      field: 'source_volume_id',
      value: volumeName,
      source: before.spec.volumeName,
      remedy: 'Choose another name',
    },
  });
}

function untilTaken(context: ControllerContext, name: string) {
  return context.snapshots.until(
    { name },
    context.waitMs,
    (snapshot) => {
      const view = snapshot === undefined ? null : viewSnapshot(snapshot);
      return view?.readyToUse === true ? view : undefined;
    },
    (snapshot) => saysOf(snapshot, ['Terminating', 'Ready'], 'The controller has not seen it yet'),
  );
}

/** Resolves when no replica holds it any more. */
export async function deleteSnapshot(
  context: ControllerContext,
  request: RequestOf<ControllerCalls, 'DeleteSnapshot'>,
): Promise<AnswerOf<ControllerCalls, 'DeleteSnapshot'>> {
  const name = demandId('snapshot_id', request.snapshotId);
  if ((await findObject(context.client, 'Snapshot', { name })) === undefined) return {};
  try {
    await context.client.delete('Snapshot', { name });
  } catch (error) {
    if (!hasCode(error, 'not-found')) throw error;
  }
  await context.snapshots.until(
    { name },
    context.waitMs,
    (snapshot) => (snapshot === undefined ? true : undefined),
    (snapshot) => saysOf(snapshot, ['Terminating'], 'The controller has not seen it yet'),
  );
  return {};
}

/** By id. A snapshot or volume that does not exist gives an empty list, as the standard says. */
export async function listSnapshots(
  context: ControllerContext,
  request: RequestOf<ControllerCalls, 'ListSnapshots'>,
): Promise<AnswerOf<ControllerCalls, 'ListSnapshots'>> {
  const { snapshotId, sourceVolumeId, maxEntries, startingToken } = request;
  const { items } = await context.client.list('Snapshot');
  const views = items
    .filter((entry) => snapshotId === '' || entry.metadata.name === snapshotId)
    .filter((entry) => sourceVolumeId === '' || entry.spec.volumeName === sourceVolumeId)
    .flatMap((entry) => viewSnapshot(entry) ?? []);
  const { page, nextToken } = paginate(views, maxEntries, startingToken);
  return { entries: page.map((snapshot) => ({ snapshot })), nextToken };
}
