import { HoldfastError, hasCode, type VolumeId } from '#api/mod.ts';
import type { ReconcileResult } from '#control/kube/mod.ts';
import { changeStatus } from '#control/kube/mod.ts';
import { ANNOTATION_FORMATTED, carryOut } from '../reconcile.ts';
import type { ActionLabel, OperatorContext } from '../reconcile.ts';
import { observeAttachment } from './observe.ts';
import { planAttachment } from './plan.ts';
import type { AttachmentAction } from './plan.ts';

/** Mounting may format first, and a journal may have to be replayed. */
const MOUNT_TIMEOUT_MS = 180_000;

export async function reconcileAttachment(
  context: OperatorContext,
  name: string,
): Promise<ReconcileResult> {
  const seen = await observeAttachment(context, name);
  if (seen === undefined) return {};
  const plan = planAttachment(seen, context.cluster);
  return carryOut(context, 'Volume', { name }, plan, {
    label: labelOf,
    failureCondition: (action) => {
      if (action.type === 'expand-filesystem') return 'FilesystemGrown';
      return action.type === 'mount' || action.type === 'unmount' ? 'Mounted' : 'Attached';
    },
    perform: (action) => perform(context, name as VolumeId, action),
  });
}

function labelOf(action: AttachmentAction): ActionLabel {
  const where = 'path' in action ? `${action.path} on ${action.node}` : action.node;
  return { action: action.type.replaceAll('-', ' '), target: where };
}

async function perform(
  context: OperatorContext,
  volume: VolumeId,
  action: AttachmentAction,
): Promise<void> {
  const { engine, agent } = context.observer.access(action.node);
  try {
    switch (action.type) {
      case 'attach':
        await engine.call('volume.attach', action.spec, { timeoutMs: 30_000 });
        break;
      case 'detach':
        await engine.call('volume.detach', { volume }, { timeoutMs: 60_000 });
        break;
      case 'set-replicas':
        await engine.call(
          'volume.setReplicas',
          { volume, replicas: action.replicas },
          { timeoutMs: 60_000 },
        );
        break;
      case 'grow':
        await engine.call(
          'volume.grow',
          { volume, sizeBytes: action.sizeBytes },
          { timeoutMs: 60_000 },
        );
        break;
      case 'mount':
        await mount(context, volume, action);
        break;
      case 'unmount':
        await ignoreAbsent(
          agent.call('node.unmount', { volume, path: action.path }, { timeoutMs: 60_000 }),
        );
        break;
      case 'expand-filesystem': {
        if (!action.isKnown) {
          const params = { volume, path: action.path };
          const report = await agent.call('node.expand', params, { timeoutMs: 60_000 });
          failOn(report.error, action.path);
        }
        await changeStatus(context.client, 'Volume', { name: volume }, (status) => ({
          ...status,
          filesystemBytes: action.sizeBytes,
        }));
        break;
      }
    }
  } finally {
    context.observer.forget(action.node);
  }
}

/** A volume that was mounted once is never formatted again, whatever its usage seems to be. */
async function mount(
  context: OperatorContext,
  volume: VolumeId,
  action: AttachmentAction & { readonly type: 'mount' },
): Promise<void> {
  const { agent } = context.observer.access(action.node);
  const current = await context.client.get('Volume', { name: volume });
  const wasFormatted = current.metadata.annotations?.[ANNOTATION_FORMATTED] !== undefined;
  const mayFormat = action.mayFormat && !wasFormatted;
  const { device, path, fsType, readOnly } = action;
  const params = { volume, device, path, fsType, mayFormat, readOnly };
  const report = await agent.call('node.mount', params, { timeoutMs: MOUNT_TIMEOUT_MS });
  failOn(report.error, path);
  if (wasFormatted) return;
  await context.client.patch(
    'Volume',
    { name: volume },
    { metadata: { annotations: { [ANNOTATION_FORMATTED]: fsType } } },
  );
}

async function ignoreAbsent(call: Promise<unknown>): Promise<void> {
  try {
    await call;
  } catch (error) {
    if (!hasCode(error, 'not-found')) throw error;
  }
}

function failOn(error: string, path: string): void {
  if (error === '') return;
  throw new HoldfastError('io-error', 'Mount does not work', { details: { path, reason: error } });
}
