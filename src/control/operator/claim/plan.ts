import type {
  CommonStatus,
  ConditionDraft,
  PersistentVolumeClaim,
  PersistentVolumeClaimStatus,
  Volume,
} from '#api/kinds/mod.ts';
import {
  API_VERSION,
  chooseSegmentBytes,
  findCondition,
  formatQuantity,
  isConditionTrue,
  parseClassParameters,
  parseQuantity,
} from '#api/kinds/mod.ts';
import { HoldfastError, PROVISIONER } from '#api/mod.ts';
import type { Plan } from '../reconcile.ts';
import {
  describeError,
  FINALIZER_VOLUME,
  hasFinalizer,
  isDeleting,
  POLL_MOVING_MS,
} from '../reconcile.ts';
import { segmentBytesOf } from '../volume/plan.ts';
import { volumeNameOf } from './observe.ts';
import type { ClaimObservation } from './observe.ts';

export type ClaimAction =
  | { readonly type: 'add-finalizer' }
  | { readonly type: 'remove-finalizer' }
  | { readonly type: 'create-volume'; readonly volume: Volume }
  | { readonly type: 'bind'; readonly volumeName: string }
  | { readonly type: 'grow-volume'; readonly name: string; readonly size: string }
  | { readonly type: 'delete-volume'; readonly name: string };

type ClaimStatus = CommonStatus & PersistentVolumeClaimStatus;
type ClaimPlan = Plan<ClaimAction, ClaimStatus>;

export function planClaim(seen: ClaimObservation): ClaimPlan {
  if (isDeleting(seen.claim)) return planDeletion(seen);
  const { claim, volume } = seen;
  const actions: ClaimAction[] = [];
  if (!hasFinalizer(claim, FINALIZER_VOLUME)) actions.push({ type: 'add-finalizer' });
  if (volume === undefined) return planBirth(seen, actions);
  if (!isOurs(claim, volume)) {
    const message = `Volume ${volume.metadata.name} belongs to another claim`;
    return pending(actions, 'AlreadyExists', message);
  }
  if (claim.spec.volumeName === undefined) {
    actions.push({ type: 'bind', volumeName: volume.metadata.name });
  }
  return planBound(claim, volume, actions);
}

function isOurs(claim: PersistentVolumeClaim, volume: Volume): boolean {
  const { claimRef } = volume.spec;
  if (claimRef === undefined) return true;
  const { namespace, name, uid } = claim.metadata;
  if (claimRef.namespace !== namespace || claimRef.name !== name) return false;
  return claimRef.uid === undefined || claimRef.uid === uid;
}

function pending(
  actions: readonly ClaimAction[],
  reason: string,
  message: string,
  requeueAfterMs = 2_000,
): ClaimPlan {
  return {
    actions,
    conditions: [{ type: 'Ready', status: 'False', reason, message }],
    status: { phase: 'Pending' },
    requeueAfterMs,
  };
}

function planBirth(seen: ClaimObservation, actions: ClaimAction[]): ClaimPlan {
  const { claim, storageClass, source } = seen;
  if (claim.spec.volumeName !== undefined) {
    // It had a volume. Making an empty one in its place would hide the loss.
    const message = `Volume ${claim.spec.volumeName} does not exist: bring its object back`;
    return { ...pending(actions, 'VolumeLost', message), status: { phase: 'Lost' } };
  }
  if (storageClass === undefined) {
    const named = claim.spec.storageClassName;
    const message =
      named === undefined
        ? 'It names no storage class and none is the default one'
        : `There is no StorageClass ${named}`;
    return pending(actions, 'ClassMissing', message);
  }
  if (storageClass.provisioner !== PROVISIONER) {
    const message = `Class ${storageClass.metadata.name} is served by ${storageClass.provisioner}, not by Holdfast`;
    return { actions: [], conditions: [otherProvisioner(message)] };
  }
  if (source !== null && source.snapshot === undefined && source.claim === undefined) {
    const message = `There is no ${source.kind} ${source.name} in this namespace`;
    return pending(actions, 'SourceMissing', message);
  }
  if (source?.claim !== undefined && source.claim.spec.volumeName === undefined) {
    return pending(actions, 'SourceNotReady', `Claim ${source.name} has no volume yet`, 500);
  }
  try {
    const volume = volumeObject(seen);
    const all: ClaimAction[] = [...actions, { type: 'create-volume', volume }];
    return pending(all, 'Provisioning', 'Volume is being made', 50);
  } catch (error) {
    if (!HoldfastError.is(error)) throw error;
    return pending(actions, 'ClassInvalid', describeError(error));
  }
}

function otherProvisioner(message: string): ConditionDraft {
  return { type: 'Ready', status: 'False', reason: 'OtherProvisioner', message };
}

function volumeObject(seen: ClaimObservation): Volume {
  const { claim, storageClass, source } = seen;
  const parameters = parseClassParameters(storageClass?.parameters);
  const size = claim.spec.resources.requests.storage;
  const sizeBytes = parseQuantity('spec.resources.requests.storage', size);
  // A clone shares the layers of its source, so it has its segments too.
  const segmentBytes =
    source?.volume === undefined
      ? (parameters.segmentBytes ?? chooseSegmentBytes(sizeBytes))
      : segmentBytesOf(source.volume);
  const { namespace = 'default', name, uid } = claim.metadata;
  return {
    apiVersion: API_VERSION,
    kind: 'Volume',
    metadata: { name: volumeNameOf(claim) },
    spec: {
      size: formatQuantity(sizeBytes),
      segmentSize: formatQuantity(segmentBytes),
      replicas: parameters.replicas,
      isolation: parameters.isolation,
      onQuorumLoss: parameters.onQuorumLoss,
      fsType: parameters.fsType,
      claimRef: { namespace, name, ...(uid === undefined ? {} : { uid }) },
      ...(source?.snapshot === undefined
        ? {}
        : { source: { snapshotName: source.snapshot.metadata.name } }),
      ...(source?.claim?.spec.volumeName === undefined
        ? {}
        : { source: { volumeName: source.claim.spec.volumeName } }),
    },
  };
}

function planBound(
  claim: PersistentVolumeClaim,
  volume: Volume,
  actions: ClaimAction[],
): ClaimPlan {
  const wanted = claim.spec.resources.requests.storage;
  const wantedBytes = parseQuantity('spec.resources.requests.storage', wanted);
  const volumeBytes = parseQuantity('spec.size', volume.spec.size);
  if (wantedBytes > volumeBytes) {
    const size = formatQuantity(wantedBytes);
    actions.push({ type: 'grow-volume', name: volume.metadata.name, size });
  }
  const servedBytes = volume.status?.sizeBytes ?? volumeBytes;
  const isReady = isConditionTrue(volume.status?.conditions, 'Ready');
  const why = findCondition(volume.status?.conditions, 'Ready');
  const conditions: ConditionDraft[] = [
    isReady
      ? {
          type: 'Ready',
          status: 'True',
          reason: 'Bound',
          message: `Volume ${volume.metadata.name} is ready`,
        }
      : {
          type: 'Ready',
          status: 'False',
          reason: why?.reason ?? 'Provisioning',
          message: why?.message ?? `Volume ${volume.metadata.name} is being made`,
        },
  ];
  const isResizing = wantedBytes > servedBytes && isReady;
  if (isResizing) {
    const message = `From ${formatQuantity(servedBytes)} to ${formatQuantity(wantedBytes)}`;
    conditions.push({ type: 'Resizing', status: 'True', reason: 'Growing', message });
  }
  return {
    actions,
    conditions,
    dropConditions: isResizing ? [] : ['Resizing'],
    status: {
      phase: isReady ? 'Bound' : 'Pending',
      ...(claim.spec.accessModes === undefined ? {} : { accessModes: claim.spec.accessModes }),
      capacity: { storage: formatQuantity(servedBytes) },
    },
    requeueAfterMs: isReady && !isResizing ? undefined : POLL_MOVING_MS,
  };
}

function planDeletion(seen: ClaimObservation): ClaimPlan {
  const { claim, volume, storageClass } = seen;
  if (!hasFinalizer(claim, FINALIZER_VOLUME)) return { actions: [], conditions: [] };
  const isKept = storageClass?.reclaimPolicy === 'Retain';
  if (volume === undefined || !isOurs(claim, volume) || isKept) {
    return { actions: [{ type: 'remove-finalizer' }], conditions: [] };
  }
  const mountPath = volume.spec.attachment?.mountPath;
  if (mountPath !== undefined) {
    const node = volume.spec.attachment?.nodeName ?? '';
    const { namespace, name } = claim.metadata;
    const message =
      `Mounted at ${mountPath} on ${node}: ` +
      `unmount it first (holdfast umount ${namespace}/${name})`;
    return {
      actions: [],
      conditions: [{ type: 'Terminating', status: 'True', reason: 'InUse', message }],
      requeueAfterMs: POLL_MOVING_MS,
    };
  }
  const why = findCondition(volume.status?.conditions, 'Terminating');
  const message = why?.message ?? `Deleting volume ${volume.metadata.name}`;
  return {
    actions: isDeleting(volume) ? [] : [{ type: 'delete-volume', name: volume.metadata.name }],
    conditions: [
      { type: 'Terminating', status: 'True', reason: why?.reason ?? 'DeletingVolume', message },
    ],
    requeueAfterMs: POLL_MOVING_MS,
  };
}
