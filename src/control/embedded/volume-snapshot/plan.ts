import type { VolumeSnapshot, VolumeSnapshotContent } from '#api/kinds/mod.ts';
import { findCondition, formatQuantity, formatTime } from '#api/kinds/mod.ts';
import { PROVISIONER } from '#api/mod.ts';
import { hasFinalizer, isDeleting } from '#control/kube/mod.ts';
import {
  BEING_DELETED,
  CLAIM_AS_SOURCE,
  contentNameOf,
  SNAPSHOT_AS_SOURCE,
  SNAPSHOT_BOUND,
} from '../snapshot-names.ts';
import type { VolumeSnapshotObservation } from './observe.ts';
import { wantedContent } from './observe.ts';

export type VolumeSnapshotAction =
  | { readonly type: 'add-finalizer'; readonly finalizer: string }
  | { readonly type: 'remove-finalizer'; readonly finalizer: string }
  /** It names none: from now on it names the default one. */
  | { readonly type: 'set-class'; readonly className: string }
  /** Nobody deletes the source while a snapshot of it is being taken. */
  | { readonly type: 'protect-claim'; readonly claim: string }
  | { readonly type: 'release-claim'; readonly claim: string }
  | { readonly type: 'create-content'; readonly content: VolumeSnapshotContent }
  /** Of an existing snapshot: it is for this VolumeSnapshot from now on. */
  | { readonly type: 'bind-content'; readonly content: string }
  | { readonly type: 'mark-content'; readonly content: string }
  | { readonly type: 'delete-content'; readonly content: string };

/** Why it is not ready, and the reason of the Event that says so. */
export interface SnapshotWait {
  readonly reason: string;
  readonly message: string;
}

export interface VolumeSnapshotPlan {
  readonly actions: readonly VolumeSnapshotAction[];
  /** Null while it is as it should be. */
  readonly wait: SnapshotWait | null;
  /** Without the error, which `wait` becomes. */
  readonly status: Omit<NonNullable<VolumeSnapshot['status']>, 'error'> | undefined;
  readonly requeueAfterMs?: number | undefined;
}

const LATER_MS = 2_000;
const FINALIZERS = [SNAPSHOT_AS_SOURCE, SNAPSHOT_BOUND];

/** A snapshot and the content that stands for it: both by their uids, never by names alone. */
export function planVolumeSnapshot(seen: VolumeSnapshotObservation): VolumeSnapshotPlan {
  const { snapshot } = seen;
  if (isDeleting(snapshot)) return planDeletion(seen);
  const actions = FINALIZERS.filter((finalizer) => !hasFinalizer(snapshot, finalizer)).map(
    (finalizer) => ({ type: 'add-finalizer', finalizer }) as const,
  );
  if (snapshot.spec.source.volumeSnapshotContentName !== undefined) {
    return planExisting(seen, actions);
  }
  if (seen.content !== undefined) return planBound(seen, seen.content, actions);
  if (snapshot.status?.boundVolumeSnapshotContentName !== undefined) {
    const message = `VolumeSnapshotContent ${wantedContent(snapshot)} does not exist: what it stood for is lost to this object`;
    return waits(actions, 'SnapshotContentMissing', message);
  }
  return planBirth(seen, actions);
}

function waits(
  actions: readonly VolumeSnapshotAction[],
  reason: string,
  message: string,
  status: VolumeSnapshotPlan['status'] = { readyToUse: false },
): VolumeSnapshotPlan {
  return { actions, wait: { reason, message }, status, requeueAfterMs: LATER_MS };
}

function isOf({ spec }: VolumeSnapshotContent, { metadata }: VolumeSnapshot): boolean {
  const { namespace, name, uid } = spec.volumeSnapshotRef;
  return namespace === metadata.namespace && name === metadata.name && uid === metadata.uid;
}

function planExisting(
  seen: VolumeSnapshotObservation,
  actions: VolumeSnapshotAction[],
): VolumeSnapshotPlan {
  const { snapshot, content } = seen;
  const name = wantedContent(snapshot);
  if (content === undefined) {
    const message = `There is no VolumeSnapshotContent ${name}`;
    return waits(actions, 'SnapshotContentMissing', message);
  }
  const { source, volumeSnapshotRef: reference } = content.spec;
  const isBound = reference.uid !== undefined && reference.uid !== '';
  if (isBound && !isOf(content, snapshot)) return misbound(actions, content);
  if (source.snapshotHandle === undefined) {
    const message = `VolumeSnapshotContent ${name} stands for no existing snapshot`;
    return waits(actions, 'SnapshotContentMismatch', message);
  }
  if (isBound) return planBound(seen, content, actions);
  const { namespace, name: own } = snapshot.metadata;
  if (reference.namespace !== namespace || reference.name !== own) {
    return misbound(actions, content);
  }
  return { actions: [...actions, { type: 'bind-content', content: name }], ...taking(name) };
}

/** The content has more to say soon: its change brings us back. */
function taking(name: string): Pick<VolumeSnapshotPlan, 'wait' | 'status' | 'requeueAfterMs'> {
  return {
    wait: null,
    status: { boundVolumeSnapshotContentName: name, readyToUse: false },
    requeueAfterMs: LATER_MS,
  };
}

function misbound(
  actions: readonly VolumeSnapshotAction[],
  { metadata, spec: { volumeSnapshotRef: other } }: VolumeSnapshotContent,
): VolumeSnapshotPlan {
  const whose = `VolumeSnapshot ${other.namespace}/${other.name}`;
  const message = `VolumeSnapshotContent ${metadata.name} is for ${whose}, not for this one`;
  return waits(actions, 'SnapshotContentMisbound', message);
}

function planBound(
  seen: VolumeSnapshotObservation,
  content: VolumeSnapshotContent,
  actions: VolumeSnapshotAction[],
): VolumeSnapshotPlan {
  if (!isOf(content, seen.snapshot)) return misbound(actions, content);
  const { name } = content.metadata;
  const { creationTime, readyToUse = false, restoreSize, error } = content.status ?? {};
  const status = {
    boundVolumeSnapshotContentName: name,
    readyToUse,
    ...(creationTime === undefined
      ? {}
      : { creationTime: formatTime(Math.round(creationTime / 1e6)) }),
    ...(restoreSize === undefined ? {} : { restoreSize: formatQuantity(restoreSize) }),
  };
  if (readyToUse) actions.push(...releaseClaim(seen));
  if (error !== undefined) return waits(actions, 'SnapshotCreationFailed', error.message, status);
  return { actions, wait: null, status, requeueAfterMs: readyToUse ? undefined : LATER_MS };
}

/** When no other snapshot of the claim is being taken. */
function releaseClaim({ claim, others }: VolumeSnapshotObservation): VolumeSnapshotAction[] {
  if (claim === undefined || !hasFinalizer(claim, CLAIM_AS_SOURCE)) return [];
  const isNeeded = others.some((other) => !isDeleting(other) && other.status?.readyToUse !== true);
  return isNeeded ? [] : [{ type: 'release-claim', claim: claim.metadata.name }];
}

function planBirth(
  seen: VolumeSnapshotObservation,
  actions: VolumeSnapshotAction[],
): VolumeSnapshotPlan {
  const { snapshot, snapshotClass, claim, persistentVolume } = seen;
  const { volumeSnapshotClassName: className } = snapshot.spec;
  const refuse = (reason: string, message: string) => waits(actions, reason, message);
  const claimName = snapshot.spec.source.persistentVolumeClaimName ?? '';
  if (className === undefined) return planClass(seen, actions);
  if (snapshotClass === undefined) {
    return refuse('GetSnapshotClassFailed', `There is no VolumeSnapshotClass ${className}`);
  }
  if (snapshotClass.driver !== PROVISIONER) {
    const message = `Class ${className} is served by ${snapshotClass.driver}, not by Holdfast`;
    return refuse('OtherDriver', message);
  }
  if (claim === undefined) {
    return refuse('ClaimMissing', `There is no claim ${claimName} in this namespace`);
  }
  if (isDeleting(claim)) {
    return refuse('ClaimTerminating', `Claim ${claimName} is being deleted`);
  }
  const { csi, claimRef } = persistentVolume?.spec ?? {};
  if (claim.status?.phase !== 'Bound' || claimRef?.uid !== claim.metadata.uid) {
    const why = findCondition(claim.status?.conditions, 'Ready')?.message ?? 'nobody looked at it';
    return refuse('ClaimNotBound', `Claim ${claimName} has no volume yet: ${why}`);
  }
  if (csi?.driver !== PROVISIONER) {
    return refuse('OtherDriver', `Claim ${claimName} is served by another driver`);
  }
  const { deletionPolicy } = snapshotClass;
  const { namespace = 'default', name, uid } = snapshot.metadata;
  const content: VolumeSnapshotContent = {
    apiVersion: 'snapshot.storage.k8s.io/v1',
    kind: 'VolumeSnapshotContent',
    metadata: { name: contentNameOf(snapshot) },
    spec: {
      driver: PROVISIONER,
      deletionPolicy,
      source: { volumeHandle: csi.volumeHandle },
      sourceVolumeMode: persistentVolume?.spec.volumeMode ?? 'Filesystem',
      volumeSnapshotClassName: className,
      volumeSnapshotRef: {
        apiVersion: 'snapshot.storage.k8s.io/v1',
        kind: 'VolumeSnapshot',
        namespace,
        name,
        uid,
      },
    },
  };
  if (!hasFinalizer(claim, CLAIM_AS_SOURCE)) {
    actions.push({ type: 'protect-claim', claim: claimName });
  }
  actions.push({ type: 'create-content', content });
  return { actions, ...taking(content.metadata.name) };
}

function planClass(
  { defaultClasses, snapshot, persistentVolume }: VolumeSnapshotObservation,
  actions: VolumeSnapshotAction[],
): VolumeSnapshotPlan {
  const driver = persistentVolume?.spec.csi?.driver ?? PROVISIONER;
  const fitting = defaultClasses.filter((entry) => entry.driver === driver);
  const [only, ...more] = fitting;
  if (only === undefined) {
    const message = 'It names no VolumeSnapshotClass and none is the default one';
    return waits(actions, 'SetDefaultSnapshotClassFailed', message);
  }
  if (more.length > 0) {
    const names = fitting.map(({ metadata }) => metadata.name).sort();
    const message = `It names no VolumeSnapshotClass and several are the default: ${names.join(', ')}`;
    return waits(actions, 'SetDefaultSnapshotClassFailed', message);
  }
  const className = only.metadata.name;
  const status = snapshot.status ?? { readyToUse: false };
  return { actions: [...actions, { type: 'set-class', className }], wait: null, status };
}

/** First the content and what it stands for, then this object: what is left says what is to do. */
function planDeletion(seen: VolumeSnapshotObservation): VolumeSnapshotPlan {
  const { snapshot, content, restoring } = seen;
  const held = FINALIZERS.filter((finalizer) => hasFinalizer(snapshot, finalizer));
  const status = snapshot.status ?? {};
  if (held.length === 0) return { actions: [], wait: null, status: undefined };
  if (restoring.length > 0) {
    const message = `Claims are being made from it: ${restoring.join(', ')}. It goes when they are bound or deleted`;
    return waits([], 'SnapshotDeletePending', message, status);
  }
  const ours = content !== undefined && isOf(content, snapshot) ? content : undefined;
  if (ours?.spec.deletionPolicy === 'Delete') {
    const { name, annotations } = ours.metadata;
    const actions: VolumeSnapshotAction[] = [];
    if (annotations?.[BEING_DELETED] === undefined) {
      actions.push({ type: 'mark-content', content: name });
    }
    if (!isDeleting(ours)) actions.push({ type: 'delete-content', content: name });
    const why = ours.status?.error?.message;
    const going = `VolumeSnapshotContent ${name} is being deleted`;
    const message = why === undefined ? going : `${going}: ${why}`;
    return waits(actions, 'SnapshotDeletePending', message, status);
  }
  const last = held.map((finalizer) => ({ type: 'remove-finalizer', finalizer }) as const);
  return { actions: [...releaseClaim(seen), ...last], wait: null, status: undefined };
}
