/**
 * Controller service: where a volume is served. Publishing opens it on a node with a higher epoch,
 * which fences every writer before (protocol.md rule 1).
 */
import type { Volume } from '#api/kinds/mod.ts';
import { hasCode, HoldfastError } from '#api/mod.ts';
import type { ControllerContext } from './context.ts';
import { demandNode, demandVolume, findObject, saysOf } from './context.ts';
import { ensureView, findViews } from './views.ts';
import { deleteIfPresent, inUse } from './volumes.ts';
import { demandCapability, demandId, invalid, refusalForReaders } from '../demand.ts';
import type { AnswerOf, ControllerCalls, RequestOf, StringMap } from '../messages.ts';

const ATTEMPTS_MAX = 10;

/**
 * Serves the volume on the node and waits for its block device. `in-use` while another node has
 * it; `already-exists` when it is published there in another way.
 */
export async function publishVolume(
  context: ControllerContext,
  request: RequestOf<ControllerCalls, 'ControllerPublishVolume'>,
): Promise<AnswerOf<ControllerCalls, 'ControllerPublishVolume'>> {
  const name = demandId('volume_id', request.volumeId);
  const node = demandId('node_id', request.nodeId);
  demandCapability('volume_capability', request.volumeCapability);
  const mode = request.volumeCapability?.accessMode?.mode;
  const readOnly = request.readonly || mode === 'SINGLE_NODE_READER_ONLY';
  const volume = await demandVolume(context, name);
  await demandNode(context, node);
  const isFrozen = volume.spec.frozen === true;
  const refusal = refusalForReaders(request.volumeCapability, isFrozen);
  if (refusal !== '') throw invalid('volume_capability.access_mode', mode, refusal);
  if (isFrozen) {
    const view = await ensureView(context, volume, node);
    return { publishContext: await untilServed(context, view, node) };
  }
  await changeAttachment(context, name, (volume) => {
    const current = volume.spec.attachment ?? null;
    if (current === null) {
      return { nodeName: node, frontends: ['fuse'], ...(readOnly ? { readOnly } : {}) };
    }
    demandSamePlace(name, node, readOnly, current);
    if (current.frontends.includes('fuse')) return undefined;
    // It is served over NBD there: the block device joins it.
    return { ...current, frontends: [...current.frontends, 'fuse'] };
  });
  return { publishContext: await untilServed(context, name, node) };
}

function demandSamePlace(
  name: string,
  node: string,
  readOnly: boolean,
  current: NonNullable<Volume['spec']['attachment']>,
): void {
  if (current.nodeName !== node) {
    throw inUse(name, `It is published to ${current.nodeName}`, 'Unpublish it there first');
  }
  if ((current.readOnly ?? false) === readOnly) return;
  throw new HoldfastError('already-exists', 'Volume is published there in another way', {
    details: { name, field: 'readonly', value: readOnly, remedy: 'Unpublish it first' },
  });
}

/** Compare and swap; `decide` says undefined when nothing is to be changed. */
async function changeAttachment(
  context: ControllerContext,
  name: string,
  decide: (volume: Volume) => Volume['spec']['attachment'] | undefined,
): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    const volume = await demandVolume(context, name);
    const attachment = decide(volume);
    if (attachment === undefined) return;
    const { resourceVersion } = volume.metadata;
    try {
      const patch = { metadata: { resourceVersion }, spec: { attachment } };
      await context.client.patch('Volume', { name }, patch);
      return;
    } catch (error) {
      if (!hasCode(error, 'conflict') || attempt >= ATTEMPTS_MAX) throw error;
    }
  }
}

function untilServed(context: ControllerContext, name: string, node: string): Promise<StringMap> {
  return context.volumes.until(
    { name },
    context.waitMs,
    (volume) => {
      const attachment = volume?.status?.attachment ?? null;
      const isHere = attachment?.nodeName === node && attachment.phase === 'serving';
      if (!isHere || attachment.devicePath === '') return undefined;
      return {
        devicePath: attachment.devicePath,
        epoch: String(attachment.epoch),
        fsType: volume?.spec.fsType ?? 'ext4',
        ...(volume?.spec.mkfsOptions === undefined ? {} : { mkfsOptions: volume.spec.mkfsOptions }),
      };
    },
    (volume) =>
      saysOf(volume, ['Ready', 'Attached'], deviceErrorOf(volume) ?? 'It is being opened'),
  );
}

function deviceErrorOf(volume: Volume | undefined): string | undefined {
  const frontends = volume?.status?.attachment?.frontends ?? [];
  const error = frontends.find((entry) => entry.kind === 'fuse')?.error ?? '';
  return error === '' ? undefined : `There is no block device: ${error}`;
}

/** Resolves when the volume's device is gone from the node. Nothing is done for another node. */
export async function unpublishVolume(
  context: ControllerContext,
  request: RequestOf<ControllerCalls, 'ControllerUnpublishVolume'>,
): Promise<AnswerOf<ControllerCalls, 'ControllerUnpublishVolume'>> {
  const name = demandId('volume_id', request.volumeId);
  const volume = await findObject(context.client, 'Volume', { name });
  if (volume === undefined) return {};
  if (volume.spec.frozen !== true) {
    await withdraw(context, name, request.nodeId);
    return {};
  }
  for (const view of await findViews(context, volume, request.nodeId)) {
    await withdraw(context, view, '');
    await deleteIfPresent(context, view);
  }
  return {};
}

async function withdraw(context: ControllerContext, name: string, node: string): Promise<void> {
  let isElsewhere = false;
  await changeAttachment(context, name, ({ spec: { attachment } }) => {
    if (attachment === undefined || attachment === null) return undefined;
    isElsewhere = node !== '' && attachment.nodeName !== node;
    if (isElsewhere) return undefined;
    const frontends = attachment.frontends.filter((kind) => kind !== 'fuse');
    return frontends.length === 0 ? null : { ...attachment, frontends };
  });
  if (isElsewhere) return;
  await context.volumes.until(
    { name },
    context.waitMs,
    (volume) => {
      const device = volume?.status?.attachment?.devicePath ?? '';
      return device === '' ? true : undefined;
    },
    (volume) => saysOf(volume, ['Attached'], 'It is being closed'),
  );
}
