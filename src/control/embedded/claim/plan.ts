import type {
  CommonStatus,
  ConditionDraft,
  PersistentVolume,
  PersistentVolumeClaim,
  PersistentVolumeClaimStatus,
  StorageClass,
  Volume,
} from '#api/kinds/mod.ts';
import { findCondition, formatQuantity, isConditionTrue, parseQuantity } from '#api/kinds/mod.ts';
import { PROVISIONER } from '#api/mod.ts';
import type { Plan } from '#control/kube/mod.ts';
import { hasFinalizer, isDeleting } from '#control/kube/mod.ts';
import { CLAIM_PROTECTION, SELECTED_NODE } from '../context.ts';
import { CLAIM_AS_SOURCE } from '../snapshot-names.ts';
import type { ClaimObservation } from './observe.ts';
import type { ClaimSource } from './source.ts';

export type ClaimAction =
  | { readonly type: 'add-finalizer' }
  | { readonly type: 'remove-finalizer'; readonly finalizer: string }
  /** CreateVolume, then the PersistentVolume. */
  | {
      readonly type: 'provision';
      readonly storageClass: StorageClass;
      readonly source: UsableSource | null;
    }
  /** Of a volume that nobody has: it is for this claim from now on. */
  | { readonly type: 'take'; readonly persistentVolume: string }
  | { readonly type: 'bind'; readonly persistentVolume: string }
  | {
      readonly type: 'expand';
      readonly persistentVolume: PersistentVolume;
      readonly sizeBytes: number;
    };

type UsableSource = ClaimSource & { readonly isUsable: true };
type ClaimStatus = CommonStatus & PersistentVolumeClaimStatus;
type ClaimPlan = Plan<ClaimAction, ClaimStatus>;

const SOON_MS = 300;
const LATER_MS = 2_000;

export function planClaim(seen: ClaimObservation): ClaimPlan {
  if (isDeleting(seen.claim)) return planDeletion(seen);
  const { claim, persistentVolume } = seen;
  const actions: ClaimAction[] = [];
  if (!hasFinalizer(claim, CLAIM_PROTECTION)) actions.push({ type: 'add-finalizer' });
  if (persistentVolume === undefined) {
    return claim.spec.volumeName === undefined
      ? planBirth(seen, actions)
      : lost(actions, `PersistentVolume ${claim.spec.volumeName} does not exist`);
  }
  const { name } = persistentVolume.metadata;
  if (!isFor(persistentVolume, claim)) {
    return pending(actions, 'AlreadyExists', `Volume ${name} belongs to another claim`);
  }
  if (persistentVolume.spec.claimRef?.uid === undefined) {
    actions.push({ type: 'take', persistentVolume: name });
  }
  if (claim.spec.volumeName === undefined) actions.push({ type: 'bind', persistentVolume: name });
  return planBound(seen, persistentVolume, actions);
}

function isFor({ spec: { claimRef } }: PersistentVolume, claim: PersistentVolumeClaim): boolean {
  if (claimRef === undefined) return true;
  const { namespace, name, uid } = claim.metadata;
  if (claimRef.namespace !== namespace || claimRef.name !== name) return false;
  return claimRef.uid === undefined || claimRef.uid === uid;
}

function pending(
  actions: readonly ClaimAction[],
  reason: string,
  message: string,
  requeueAfterMs = LATER_MS,
): ClaimPlan {
  return {
    actions,
    conditions: [{ type: 'Ready', status: 'False', reason, message }],
    status: { phase: 'Pending' },
    requeueAfterMs,
  };
}

/** It had a volume. Making an empty one in its place would hide the loss. */
function lost(actions: readonly ClaimAction[], what: string): ClaimPlan {
  const message = `${what}: bring its object back`;
  return { ...pending(actions, 'VolumeLost', message), status: { phase: 'Lost' } };
}

function planBirth(seen: ClaimObservation, actions: ClaimAction[]): ClaimPlan {
  const { claim, storageClass, source } = seen;
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
    const reason = 'OtherProvisioner';
    return { actions: [], conditions: [{ type: 'Ready', status: 'False', reason, message }] };
  }
  const problem = refusalOf(claim, source);
  if (problem !== undefined) return pending(actions, problem.reason, problem.message, 500);
  const waitsForConsumer =
    storageClass.volumeBindingMode === 'WaitForFirstConsumer' &&
    claim.metadata.annotations?.[SELECTED_NODE] === undefined;
  if (waitsForConsumer) {
    const message = 'It is made beside its first consumer: nobody mounts it yet';
    return pending(actions, 'WaitForFirstConsumer', message, 60_000);
  }
  // Said before it is begun: making it can take long.
  const said = findCondition((claim.status as ClaimStatus | undefined)?.conditions, 'Ready');
  const isSaid = said !== undefined && said.reason !== 'WaitForFirstConsumer';
  if (isSaid) actions.push({ type: 'provision', storageClass, source: usable(source) });
  return pending(actions, 'Provisioning', 'Volume is being made', isSaid ? 50 : 1);
}

function usable(source: ClaimSource | null): UsableSource | null {
  return source?.isUsable === true ? source : null;
}

/** Why nothing can be made for the claim as it is, or from what it names. */
function refusalOf(
  { spec }: PersistentVolumeClaim,
  source: ClaimSource | null,
): { readonly reason: string; readonly message: string } | undefined {
  const modes: readonly string[] = spec.accessModes;
  if (modes.includes('ReadWriteMany')) {
    const message = 'ReadWriteMany is not served: one node writes, with ReadWriteOnce';
    return { reason: 'AccessModeUnsupported', message };
  }
  if (modes.includes('ReadOnlyMany') && modes.length > 1) {
    const message = 'ReadOnlyMany stands alone: what one node writes, others do not read';
    return { reason: 'AccessModeUnsupported', message };
  }
  if (source === null) {
    if (!modes.includes('ReadOnlyMany')) return undefined;
    const message =
      'ReadOnlyMany needs a source, a VolumeSnapshot or a claim: an empty volume that nobody writes stays empty';
    return { reason: 'AccessModeUnsupported', message };
  }
  if (!source.isUsable) return source;
  const wanted = spec.resources.requests.storage;
  if (parseQuantity('spec.resources.requests.storage', wanted) < source.sizeBytes) {
    const message = `${source.name} has ${formatQuantity(source.sizeBytes)}: ask for that or more`;
    return { reason: 'TooSmall', message };
  }
  const { volumeMode = 'Filesystem' } = spec;
  if (source.volumeMode === undefined || source.volumeMode === volumeMode) return undefined;
  const message = `${source.name} has volumeMode ${source.volumeMode}: use the same`;
  return { reason: 'ModeDiffers', message };
}

function planBound(
  { claim, volume }: ClaimObservation,
  persistentVolume: PersistentVolume,
  actions: ClaimAction[],
): ClaimPlan {
  const { csi, capacity } = persistentVolume.spec;
  const { name } = persistentVolume.metadata;
  if (csi?.driver === PROVISIONER && volume === undefined) {
    return lost(actions, `Volume ${csi.volumeHandle} of ${name} does not exist`);
  }
  const wanted = claim.spec.resources.requests.storage;
  const wantedBytes = parseQuantity('spec.resources.requests.storage', wanted);
  const hasBytes = parseQuantity('spec.capacity.storage', capacity.storage);
  const isResizing = wantedBytes > hasBytes;
  if (isResizing) actions.push({ type: 'expand', persistentVolume, sizeBytes: wantedBytes });
  const ready = readyOf(volume, csi?.volumeHandle ?? name);
  const isReady = ready.status === 'True';
  const resizing = {
    type: 'Resizing',
    status: 'True',
    reason: 'Growing',
    message: `From ${formatQuantity(hasBytes)} to ${formatQuantity(wantedBytes)}`,
  } as const;
  return {
    actions,
    conditions: isResizing ? [ready, resizing] : [ready],
    dropConditions: isResizing ? [] : ['Resizing'],
    status: {
      phase: isReady ? 'Bound' : 'Pending',
      accessModes: persistentVolume.spec.accessModes,
      capacity: { storage: capacity.storage },
    },
    requeueAfterMs: isReady && !isResizing ? undefined : SOON_MS,
  };
}

function readyOf(volume: Volume | undefined, name: string): ConditionDraft {
  const why = findCondition(volume?.status?.conditions, 'Ready');
  if (volume === undefined || isConditionTrue(volume.status?.conditions, 'Ready')) {
    return { type: 'Ready', status: 'True', reason: 'Bound', message: `Volume ${name} is ready` };
  }
  const message = why?.message ?? `Volume ${name} is being made`;
  return { type: 'Ready', status: 'False', reason: why?.reason ?? 'Provisioning', message };
}

function planDeletion({ claim, mounts, snapshots }: ClaimObservation): ClaimPlan {
  if (mounts.length === 0) {
    const last = snapshots.length === 0 ? [CLAIM_PROTECTION, CLAIM_AS_SOURCE] : [CLAIM_PROTECTION];
    const actions = last
      .filter((finalizer) => hasFinalizer(claim, finalizer))
      .map((finalizer) => ({ type: 'remove-finalizer', finalizer }) as const);
    const isHeld = snapshots.length > 0 && hasFinalizer(claim, CLAIM_AS_SOURCE);
    if (!isHeld) return { actions, conditions: [] };
    const message = `Snapshots of it are being taken: ${snapshots.join(', ')}`;
    return { actions, ...terminating('SnapshotPending', message) };
  }
  if (!hasFinalizer(claim, CLAIM_PROTECTION)) return { actions: [], conditions: [] };
  const places = mounts.map(({ spec }) => `at ${spec.path} on ${spec.nodeName}`).join(', ');
  const { namespace, name } = claim.metadata;
  const message = `Mounted ${places}: unmount it first (holdfast umount ${namespace}/${name})`;
  return { actions: [], ...terminating('InUse', message) };
}

function terminating(
  reason: string,
  message: string,
): Pick<ClaimPlan, 'conditions' | 'requeueAfterMs'> {
  const conditions = [{ type: 'Terminating', status: 'True', reason, message } as const];
  return { conditions, requeueAfterMs: LATER_MS };
}
