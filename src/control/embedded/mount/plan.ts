import type { CommonStatus, PersistentVolume } from '#api/kinds/mod.ts';
import { findCondition, isConditionTrue, parseTime } from '#api/kinds/mod.ts';
import type { Plan } from '#control/kube/mod.ts';
import { hasFinalizer, isDeleting } from '#control/kube/mod.ts';
import { findRival } from '../claim-volume.ts';
import { MOUNT_FINALIZER, SELECTED_NODE } from '../context.ts';
import type { MountObservation } from './observe.ts';

export type MountAction =
  /** Where the claim's volume is wanted: WaitForFirstConsumer goes on with it. */
  | { readonly type: 'select-node' }
  | { readonly type: 'attach'; readonly persistentVolume: PersistentVolume }
  /** Of a node that is gone: it cannot let go, and is fenced when another one takes the volume. */
  | { readonly type: 'give-up' };

type MountPlan = Plan<MountAction, CommonStatus>;

const SOON_MS = 500;
const LATER_MS = 2_000;
/** A node that is silent for so long does not come back to clean up in time. */
const SILENT_MS = 30_000;

/** Until the volume is attached; from then on the node speaks for the mount. */
export function planMount(seen: MountObservation): MountPlan {
  const { mount, claim, node, persistentVolume, attachment } = seen;
  if (isDeleting(mount)) return planDeletion(seen);
  const { claimName, nodeName } = mount.spec;
  if (node === undefined) return waits('NodeUnknown', `There is no node ${nodeName}`);
  if (claim === undefined) {
    return waits('ClaimMissing', `There is no claim ${claimName} in this namespace`);
  }
  if (isDeleting(claim)) return waits('ClaimTerminating', `Claim ${claimName} is being deleted`);
  const rival = findRival(mount, seen);
  if (rival !== undefined) {
    const { name } = rival.metadata;
    const where = `${rival.spec.nodeName} at ${rival.spec.path}`;
    return waits('InUse', `Claim ${claimName} is mounted on ${where} by mount ${name}`);
  }
  if (persistentVolume === undefined || claim.status?.phase !== 'Bound') return planUnbound(seen);
  const missing = node.status?.missing ?? [];
  if (missing.length > 0) {
    const message = `${nodeName} cannot mount: ${missing.join(', ')}. \`holdfast doctor\` says how to get it; the volume can be served over NBD`;
    return waits('CapabilityMissing', message);
  }
  if (attachment === undefined) {
    const wait = waits('Attaching', `Opening the volume on ${nodeName}`, SOON_MS);
    return { ...wait, actions: [{ type: 'attach', persistentVolume }] };
  }
  if (attachment.status?.attached === true && !isDeleting(attachment)) return planAttached(seen);
  const why = attachment.status?.attachError?.message ?? `Opening the volume on ${nodeName}`;
  return waits('Attaching', why, SOON_MS);
}

/** The node speaks from here on, if it can. */
function planAttached({ mount, node }: MountObservation): MountPlan {
  const agent = findCondition(node?.status?.conditions, 'MountCapable');
  const isMounted = isConditionTrue(mount.status?.conditions, 'Ready');
  if (agent?.reason !== 'NodeSilent' || isMounted) return { actions: [], conditions: [] };
  const { nodeName } = mount.spec;
  return waits('NodeSilent', `The process of ${nodeName} does not answer: it mounts when it does`);
}

function waits(reason: string, message: string, requeueAfterMs = LATER_MS): MountPlan {
  return {
    actions: [],
    conditions: [{ type: 'Ready', status: 'False', reason, message }],
    requeueAfterMs,
  };
}

function planUnbound({ mount, claim }: MountObservation): MountPlan {
  const why = findCondition(claim?.status?.conditions, 'Ready');
  const { claimName } = mount.spec;
  const message = `Claim ${claimName} has no volume yet: ${why?.message ?? 'nobody looked at it'}`;
  const wait = waits(why?.reason ?? 'ClaimNotBound', message, SOON_MS);
  const isSelected = claim?.metadata.annotations?.[SELECTED_NODE] !== undefined;
  if (why?.reason !== 'WaitForFirstConsumer' || isSelected) return wait;
  return { ...wait, actions: [{ type: 'select-node' }] };
}

function planDeletion({ mount, node, nowMs }: MountObservation): MountPlan {
  if (!hasFinalizer(mount, MOUNT_FINALIZER)) return { actions: [], conditions: [] };
  const { nodeName } = mount.spec;
  const agent = findCondition(node?.status?.conditions, 'MountCapable');
  if (node !== undefined && agent?.reason !== 'NodeSilent') return { actions: [], conditions: [] };
  const sinceMs = parseTime(agent?.lastTransitionTime ?? '');
  const silentMs = Number.isNaN(sinceMs) ? Infinity : nowMs - sinceMs;
  if (silentMs > SILENT_MS) return { actions: [{ type: 'give-up' }], conditions: [] };
  const message = `${nodeName} does not answer: it unmounts when it does; after 30 s it is given up`;
  const type = 'Terminating';
  return {
    actions: [],
    conditions: [{ type, status: 'True', reason: 'NodeSilent', message }],
    requeueAfterMs: LATER_MS,
  };
}
