/** external-attacher, for one VolumeAttachment: the volume is served where it says. */
import type { Mount, PersistentVolume, Volume, VolumeAttachment } from '#api/kinds/mod.ts';
import { formatTime } from '#api/kinds/mod.ts';
import { hasCode, HoldfastError, PROVISIONER } from '#api/mod.ts';
import type { ReconcileResult } from '#control/kube/mod.ts';
import {
  changeStatus,
  describeError,
  findObject,
  hasFinalizer,
  isDeleting,
  setFinalizer,
} from '#control/kube/mod.ts';
import { findVolume } from '../claim/observe.ts';
import type { EmbeddedContext } from '../context.ts';
import {
  ATTACHER_FINALIZER,
  attachmentNameOf,
  isForReaders,
  isMountOf,
  needsVolume,
} from '../context.ts';

export interface AttachmentObservation {
  readonly attachment: VolumeAttachment;
  readonly persistentVolume: PersistentVolume | undefined;
  readonly volume: Volume | undefined;
  /** Mounts that need it. */
  readonly users: readonly Mount[];
}

export type AttachmentStep = 'nothing' | 'publish' | 'delete' | 'unpublish';

export function decideStep(seen: AttachmentObservation): AttachmentStep {
  const { attachment, persistentVolume, volume, users } = seen;
  const { nodeName } = attachment.spec;
  if (isDeleting(attachment)) return 'unpublish';
  if (persistentVolume === undefined) return 'delete';
  // Somebody else's name is somebody else's attachment: it goes when they delete it.
  const isOurs = attachment.metadata.name === attachmentNameOf(persistentVolume, nodeName);
  if (isOurs && users.length === 0) return 'delete';
  // What readers have there is the driver's alone.
  const isThere =
    isForReaders(persistentVolume.spec.accessModes) ||
    volume?.spec.attachment?.nodeName === nodeName;
  return attachment.status?.attached === true && isThere ? 'nothing' : 'publish';
}

export async function reconcileAttachment(
  context: EmbeddedContext,
  name: string,
): Promise<ReconcileResult> {
  const seen = await observeAttachment(context, name);
  if (seen === undefined || seen.attachment.spec.attacher !== PROVISIONER) return {};
  const step = decideStep(seen);
  try {
    await takeStep(context, seen, step);
  } catch (error) {
    if (!HoldfastError.is(error) || error.code === 'conflict') throw error;
    await recordProblem(context, name, step, error).catch((missing: unknown) => {
      if (!hasCode(missing, 'not-found')) throw missing;
    });
    throw error;
  }
  return {};
}

async function observeAttachment(
  context: EmbeddedContext,
  name: string,
): Promise<AttachmentObservation | undefined> {
  const attachment = await findObject(context, 'VolumeAttachment', { name });
  if (attachment === undefined) return undefined;
  const { nodeName, source } = attachment.spec;
  const persistentVolume = await findObject(context, 'PersistentVolume', {
    name: source.persistentVolumeName,
  });
  const { items } = await context.client.list('Mount');
  const users = items.filter(
    (mount) =>
      persistentVolume !== undefined &&
      mount.spec.nodeName === nodeName &&
      isMountOf(mount, persistentVolume) &&
      needsVolume(mount),
  );
  return {
    attachment,
    persistentVolume,
    volume: await findVolume(context, persistentVolume),
    users,
  };
}

async function takeStep(
  context: EmbeddedContext,
  seen: AttachmentObservation,
  step: AttachmentStep,
): Promise<void> {
  const { client, controller } = context;
  const { metadata, spec } = seen.attachment;
  const { name } = metadata;
  const volumeId = seen.persistentVolume?.spec.csi?.volumeHandle ?? '';
  switch (step) {
    case 'nothing':
      return;
    case 'delete':
      return client.delete('VolumeAttachment', { name });
    case 'publish':
      await setFinalizer(client, 'VolumeAttachment', { name }, ATTACHER_FINALIZER, true);
      return publish(context, seen, volumeId);
    case 'unpublish':
      if (!hasFinalizer(seen.attachment, ATTACHER_FINALIZER)) return;
      if (volumeId !== '') {
        await controller.ControllerUnpublishVolume({ volumeId, nodeId: spec.nodeName });
      }
      return setFinalizer(client, 'VolumeAttachment', { name }, ATTACHER_FINALIZER, false);
  }
}

async function publish(
  { client, controller }: EmbeddedContext,
  { attachment, persistentVolume, users }: AttachmentObservation,
  volumeId: string,
): Promise<void> {
  const { volumeMode, csi, accessModes = [] } = persistentVolume?.spec ?? {};
  const isRead = isForReaders(accessModes);
  const mount = { fsType: csi?.fsType ?? '', mountFlags: [], volumeMountGroup: '' };
  const { publishContext } = await controller.ControllerPublishVolume({
    volumeId,
    nodeId: attachment.spec.nodeName,
    volumeCapability: {
      accessMode: { mode: isRead ? 'MULTI_NODE_READER_ONLY' : 'SINGLE_NODE_MULTI_WRITER' },
      ...(volumeMode === 'Block' ? { block: {} } : { mount }),
    },
    // The volume itself is read-only when nobody there writes.
    readonly: isRead || (users.length > 0 && users.every((user) => user.spec.readOnly === true)),
  });
  const { name } = attachment.metadata;
  await changeStatus(client, 'VolumeAttachment', { name }, () => ({
    attached: true,
    attachmentMetadata: publishContext,
  }));
}

async function recordProblem(
  { client, clock, events }: EmbeddedContext,
  name: string,
  step: AttachmentStep,
  error: HoldfastError,
): Promise<void> {
  const { waitsFor, why } = error.details;
  const message = String(waitsFor ?? why ?? describeError(error));
  const isAttaching = step === 'publish';
  const object = await changeStatus(client, 'VolumeAttachment', { name }, (status) => {
    const before = isAttaching ? status.attachError : status.detachError;
    if (before?.message === message) return status;
    const problem = { time: formatTime(clock.wallMs()), message };
    return isAttaching
      ? { ...status, attached: false, attachError: problem }
      : { ...status, attached: status.attached ?? false, detachError: problem };
  });
  events.warning(object, isAttaching ? 'FailedAttach' : 'FailedDetach', message);
}
