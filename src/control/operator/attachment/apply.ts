import type { VolumeId } from '#api/mod.ts';
import type { ReconcileResult } from '#control/kube/mod.ts';
import { carryOut } from '../reconcile.ts';
import type { ActionLabel, OperatorContext } from '../reconcile.ts';
import { observeAttachment } from './observe.ts';
import { planAttachment } from './plan.ts';
import type { AttachmentAction } from './plan.ts';

export async function reconcileAttachment(
  context: OperatorContext,
  name: string,
): Promise<ReconcileResult> {
  const seen = await observeAttachment(context, name);
  if (seen === undefined) return {};
  const plan = planAttachment(seen, context.cluster);
  return carryOut(context, 'Volume', { name }, plan, {
    observed: seen.volume,
    label: labelOf,
    failureCondition: () => 'Attached',
    perform: (action) => perform(context, name as VolumeId, action),
  });
}

function labelOf(action: AttachmentAction): ActionLabel {
  return { action: action.type.replaceAll('-', ' '), target: action.node };
}

async function perform(
  context: OperatorContext,
  volume: VolumeId,
  action: AttachmentAction,
): Promise<void> {
  const { engine } = context.observer.access(action.node);
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
    }
  } finally {
    context.observer.forget(action.node);
  }
}
