/** The phases of a PersistentVolume, and the provisioner's second half: its end. */
import type { PersistentVolume } from '#api/kinds/mod.ts';
import { hasCode, HoldfastError } from '#api/mod.ts';
import type { ReconcileResult } from '#control/kube/mod.ts';
import { changeStatus, describeError, findObject, setFinalizer } from '#control/kube/mod.ts';
import { findVolume } from '../claim/observe.ts';
import type { EmbeddedContext } from '../context.ts';
import type {
  PersistentVolumeAction,
  PersistentVolumeObservation,
  PersistentVolumePlan,
} from './plan.ts';
import { planPersistentVolume } from './plan.ts';

export async function reconcilePersistentVolume(
  context: EmbeddedContext,
  name: string,
): Promise<ReconcileResult> {
  const seen = await observePersistentVolume(context, name);
  if (seen === undefined) return {};
  const plan = planPersistentVolume(seen);
  await writePhase(context, name, plan);
  const isNews = plan.message !== '' && plan.message !== seen.persistentVolume.status?.message;
  if (isNews) context.events.normal(seen.persistentVolume, plan.phase, plan.message);
  for (const action of plan.actions) {
    try {
      await ignoreAbsent(perform(context, name, action));
    } catch (error) {
      if (!HoldfastError.is(error)) throw error;
      const message = saysOf(error);
      await writePhase(context, name, { ...plan, message });
      context.events.warning(seen.persistentVolume, 'VolumeFailedDelete', message);
      throw error;
    }
  }
  return {};
}

function saysOf(error: HoldfastError): string {
  const { waitsFor, why } = error.details;
  return String(waitsFor ?? why ?? describeError(error));
}

async function observePersistentVolume(
  context: EmbeddedContext,
  name: string,
): Promise<PersistentVolumeObservation | undefined> {
  const persistentVolume = await findObject(context, 'PersistentVolume', { name });
  if (persistentVolume === undefined) return undefined;
  const { claimRef } = persistentVolume.spec;
  const found =
    claimRef === undefined
      ? undefined
      : await findObject(context, 'PersistentVolumeClaim', claimRef);
  // Another claim of the name is not the one it was made for.
  const claim = found?.metadata.uid === claimRef?.uid ? found : undefined;
  return { persistentVolume, claim, volume: await findVolume(context, persistentVolume) };
}

async function writePhase(
  { client }: EmbeddedContext,
  name: string,
  { phase, message }: Pick<PersistentVolumePlan, 'phase' | 'message'>,
): Promise<void> {
  await ignoreAbsent(
    changeStatus(client, 'PersistentVolume', { name }, (status) => {
      const isSame = status.phase === phase && (status.message ?? '') === message;
      if (isSame) return status;
      const { message: _before, ...rest } = status;
      const after: PersistentVolume['status'] = message === '' ? rest : { ...rest, message };
      return { ...after, phase };
    }),
  );
}

async function perform(
  { client, controller }: EmbeddedContext,
  name: string,
  action: PersistentVolumeAction,
): Promise<void> {
  switch (action.type) {
    case 'delete-volume':
      await controller.DeleteVolume({ volumeId: action.handle });
      return;
    case 'delete-object':
      return client.delete('PersistentVolume', { name });
    case 'remove-finalizer':
      return setFinalizer(client, 'PersistentVolume', { name }, action.finalizer, false);
  }
}

async function ignoreAbsent(change: Promise<unknown>): Promise<void> {
  try {
    await change;
  } catch (error) {
    if (!hasCode(error, 'not-found')) throw error;
  }
}
