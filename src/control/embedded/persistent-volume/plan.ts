import type { PersistentVolume, PersistentVolumeClaim, Volume } from '#api/kinds/mod.ts';
import { findCondition } from '#api/kinds/mod.ts';
import { PROVISIONER } from '#api/mod.ts';
import { hasFinalizer, isDeleting } from '#control/kube/mod.ts';
import { PROVISIONER_FINALIZER, VOLUME_PROTECTION } from '../context.ts';

export interface PersistentVolumeObservation {
  readonly persistentVolume: PersistentVolume;
  /** The one that it is for, by its uid. */
  readonly claim: PersistentVolumeClaim | undefined;
  readonly volume: Volume | undefined;
}

export type PersistentVolumeAction =
  | { readonly type: 'delete-volume'; readonly handle: string }
  | { readonly type: 'delete-object' }
  | { readonly type: 'remove-finalizer'; readonly finalizer: string };

export interface PersistentVolumePlan {
  readonly phase: NonNullable<NonNullable<PersistentVolume['status']>['phase']>;
  /** Why it is so, where a person would ask; empty when nobody would. */
  readonly message: string;
  readonly actions: readonly PersistentVolumeAction[];
}

/**
 * A volume goes when its claim is gone and its policy says so. One whose claim cannot be told for
 * sure stays: a claim without uid may be any of that name.
 */
export function planPersistentVolume(seen: PersistentVolumeObservation): PersistentVolumePlan {
  const { persistentVolume, claim, volume } = seen;
  const { claimRef, persistentVolumeReclaimPolicy: policy = 'Retain', csi } = persistentVolume.spec;
  const isOurs = csi?.driver === PROVISIONER;
  if (claim !== undefined) {
    const message = isDeleting(persistentVolume) ? 'It goes when its claim is gone' : '';
    return { phase: 'Bound', message, actions: [] };
  }
  const isFree = claimRef?.uid === undefined;
  const phase = isFree ? 'Available' : 'Released';
  const isGoing = isDeleting(persistentVolume);
  const goes = isGoing || !isFree;
  if (isOurs && policy === 'Delete' && goes) {
    const why = findCondition(volume?.status?.conditions, 'Terminating')?.message ?? '';
    const message = why === '' ? 'Its claim is gone: it is being deleted' : why;
    return { phase, message, actions: deletion(persistentVolume, csi.volumeHandle, isGoing) };
  }
  const finalizers = [VOLUME_PROTECTION, PROVISIONER_FINALIZER];
  const actions = finalizers
    .filter((finalizer) => isGoing && hasFinalizer(persistentVolume, finalizer))
    .map((finalizer) => ({ type: 'remove-finalizer', finalizer }) as const);
  const message = isFree ? '' : `Its claim is gone; it is kept (${policy})`;
  return { phase, message, actions };
}

/** First the data, then the object: what is left after a crash says what is to be done. */
function deletion(
  persistentVolume: PersistentVolume,
  handle: string,
  isGoing: boolean,
): PersistentVolumeAction[] {
  const finalizers = [VOLUME_PROTECTION, PROVISIONER_FINALIZER].filter((finalizer) =>
    hasFinalizer(persistentVolume, finalizer),
  );
  return [
    { type: 'delete-volume', handle },
    ...(isGoing ? [] : [{ type: 'delete-object' } as const]),
    ...finalizers.map((finalizer) => ({ type: 'remove-finalizer', finalizer }) as const),
  ];
}
