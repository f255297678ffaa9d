/** The binder, the provisioner's first half, and the resizer, for one claim. */
import type {
  CommonStatus,
  Condition,
  PersistentVolume,
  PersistentVolumeClaim,
} from '#api/kinds/mod.ts';
import {
  findCondition,
  formatQuantity,
  parseClassParameters,
  parseQuantity,
  persistentVolumeNameOf,
} from '#api/kinds/mod.ts';
import { hasCode, PROVISIONER, type HoldfastError } from '#api/mod.ts';
import { TOPOLOGY_NODE } from '#control/csi/mod.ts';
import type { ReconcileResult } from '#control/kube/mod.ts';
import { carryOut, parseKey, setFinalizer } from '#control/kube/mod.ts';
import type { EmbeddedContext } from '../context.ts';
import {
  capabilityOf,
  CLAIM_PROTECTION,
  PROVISIONER_FINALIZER,
  SELECTED_NODE,
  VOLUME_PROTECTION,
} from '../context.ts';
import type { ClaimObservation } from './observe.ts';
import { observeClaim } from './observe.ts';
import { planClaim } from './plan.ts';
import type { ClaimAction } from './plan.ts';

export async function reconcileClaim(
  context: EmbeddedContext,
  text: string,
): Promise<ReconcileResult> {
  const { namespace = 'default', name } = parseKey(text);
  const key = { namespace, name };
  const seen = await observeClaim(context, namespace, name);
  if (seen === undefined) return {};
  return carryOut(context, 'PersistentVolumeClaim', key, planClaim(seen), {
    hasExternalActions: false,
    label: () => null,
    failureCondition: (action) => (action.type === 'expand' ? 'Resizing' : 'Ready'),
    describeFailure: (action, error) => describeFailure(action, error, saidOf(seen)),
    perform: (action) => perform(context, seen, action),
  });
}

function saidOf({ claim }: ClaimObservation): Condition | undefined {
  return findCondition((claim.status as CommonStatus | undefined)?.conditions, 'Ready');
}

/** The words of what is waited for, not of the call that waits. */
function describeFailure(
  action: ClaimAction,
  { code, details }: HoldfastError,
  said: Condition | undefined,
): { readonly reason: string; readonly message: string } | undefined {
  if (action.type !== 'provision' && action.type !== 'expand') return undefined;
  const moving = action.type === 'provision' ? 'Provisioning' : 'Growing';
  if (code === 'no-placement') return { reason: 'NoPlacement', message: String(details['why']) };
  if (code === 'timed-out') return { reason: moving, message: String(details['waitsFor']) };
  if (code !== 'operation-pending') return undefined;
  // As when what had no place is taken back before the next try: that is why it is so still.
  if (said?.status === 'False') return { reason: said.reason, message: said.message };
  return { reason: moving, message: 'An operation is under way' };
}

async function perform(
  context: EmbeddedContext,
  seen: ClaimObservation,
  action: ClaimAction,
): Promise<void> {
  const { client } = context;
  const { namespace, name, uid } = seen.claim.metadata;
  const key = { namespace, name };
  switch (action.type) {
    case 'add-finalizer':
      return setFinalizer(client, 'PersistentVolumeClaim', key, CLAIM_PROTECTION, true);
    case 'remove-finalizer':
      return removeFinalizer(context, key, action.finalizer);
    case 'provision':
      return provision(context, seen, action);
    case 'take': {
      const patch = { spec: { claimRef: claimRefOf(seen.claim) } };
      await client.patch('PersistentVolume', { name: action.persistentVolume }, patch);
      return;
    }
    case 'bind': {
      const annotations = {
        'pv.kubernetes.io/bind-completed': 'yes',
        'pv.kubernetes.io/bound-by-controller': 'yes',
      };
      const patch = {
        metadata: { uid, annotations },
        spec: { volumeName: action.persistentVolume },
      };
      await client.patch('PersistentVolumeClaim', key, patch);
      return;
    }
    case 'expand':
      return expand(context, seen, action);
  }
}

/** With the last of them the claim is gone. */
async function removeFinalizer(
  { client }: EmbeddedContext,
  key: { readonly namespace: string | undefined; readonly name: string },
  finalizer: string,
): Promise<void> {
  try {
    await setFinalizer(client, 'PersistentVolumeClaim', key, finalizer, false);
  } catch (error) {
    if (!hasCode(error, 'not-found')) throw error;
  }
}

/** Every step finds what an earlier try left: the volume by its name, then its object. */
async function provision(
  { client, controller }: EmbeddedContext,
  { claim }: ClaimObservation,
  { storageClass, source }: ClaimAction & { readonly type: 'provision' },
): Promise<void> {
  const { fsType } = parseClassParameters(storageClass.parameters);
  const { namespace = 'default', name: claimName } = claim.metadata;
  const name = persistentVolumeNameOf(claim);
  const size = claim.spec.resources.requests.storage;
  const node = claim.metadata.annotations?.[SELECTED_NODE];
  const { volume } = await controller.CreateVolume({
    name,
    capacityRange: {
      requiredBytes: parseQuantity('spec.resources.requests.storage', size),
      limitBytes: 0,
    },
    volumeCapabilities: [capabilityOf(claim, fsType)],
    parameters: {
      ...storageClass.parameters,
      'csi.storage.k8s.io/pv/name': name,
      'csi.storage.k8s.io/pvc/name': claimName,
      'csi.storage.k8s.io/pvc/namespace': namespace,
    },
    volumeContentSource:
      source === null
        ? null
        : source.kind === 'snapshot'
          ? { snapshot: { snapshotId: source.handle } }
          : { volume: { volumeId: source.handle } },
    accessibilityRequirements:
      node === undefined
        ? null
        : { requisite: [], preferred: [{ segments: { [TOPOLOGY_NODE]: node } }] },
    mutableParameters: {},
  });
  const persistentVolume: PersistentVolume = {
    apiVersion: 'v1',
    kind: 'PersistentVolume',
    metadata: {
      name,
      annotations: { 'pv.kubernetes.io/provisioned-by': PROVISIONER },
      finalizers: [VOLUME_PROTECTION, PROVISIONER_FINALIZER],
    },
    spec: {
      capacity: { storage: formatQuantity(volume.capacityBytes) },
      accessModes: claim.spec.accessModes,
      persistentVolumeReclaimPolicy: storageClass.reclaimPolicy ?? 'Delete',
      storageClassName: storageClass.metadata.name,
      volumeMode: claim.spec.volumeMode ?? 'Filesystem',
      ...(storageClass.mountOptions === undefined
        ? {}
        : { mountOptions: storageClass.mountOptions }),
      claimRef: claimRefOf(claim),
      csi: {
        driver: PROVISIONER,
        volumeHandle: volume.volumeId,
        ...(claim.spec.volumeMode === 'Block' ? {} : { fsType }),
        volumeAttributes: volume.volumeContext ?? {},
      },
    },
  };
  try {
    await client.create('PersistentVolume', persistentVolume);
  } catch (error) {
    if (!hasCode(error, 'already-exists')) throw error;
  }
}

function claimRefOf({ metadata: { namespace = 'default', name, uid } }: PersistentVolumeClaim) {
  return { apiVersion: 'v1', kind: 'PersistentVolumeClaim', namespace, name, uid };
}

async function expand(
  { client, controller }: EmbeddedContext,
  { claim }: ClaimObservation,
  { persistentVolume, sizeBytes }: ClaimAction & { readonly type: 'expand' },
): Promise<void> {
  const { csi } = persistentVolume.spec;
  const { capacityBytes } = await controller.ControllerExpandVolume({
    volumeId: csi?.volumeHandle ?? '',
    capacityRange: { requiredBytes: sizeBytes, limitBytes: 0 },
    volumeCapability: capabilityOf(claim, csi?.fsType ?? ''),
  });
  const patch = { spec: { capacity: { storage: formatQuantity(capacityBytes) } } };
  await client.patch('PersistentVolume', { name: persistentVolume.metadata.name }, patch);
}
