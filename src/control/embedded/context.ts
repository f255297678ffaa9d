import type {
  AccessModeName,
  Mount,
  PersistentVolume,
  PersistentVolumeClaim,
} from '#api/kinds/mod.ts';
import { PROVISIONER } from '#api/mod.ts';
import type { AccessMode, ControllerCalls, Service, VolumeCapability } from '#control/csi/mod.ts';
import type { ReconcileContext } from '#control/kube/mod.ts';
import { hasFinalizer, isDeleting } from '#control/kube/mod.ts';
import { createHash } from 'node:crypto';

/** What the loops share. They reach volumes by CSI alone. */
export interface EmbeddedContext extends ReconcileContext {
  readonly controller: Service<ControllerCalls>;
}

/** Kubernetes' own names: who knows a cluster looks for these. */
export const CLAIM_PROTECTION = 'kubernetes.io/pvc-protection';
export const VOLUME_PROTECTION = 'kubernetes.io/pv-protection';
export const PROVISIONER_FINALIZER = 'external-provisioner.volume.kubernetes.io/finalizer';
/** A Mount with it may be mounted; the node takes it off when nothing of it is left. */
export const MOUNT_FINALIZER = 'holdfast.dev/mount';
export const ATTACHER_FINALIZER = 'external-attacher/csi-holdfast-dev';
export const SELECTED_NODE = 'volume.kubernetes.io/selected-node';

/** What a claim asks of its volume, as the sidecars say it. */
export function capabilityOf(claim: PersistentVolumeClaim, fsType: string): VolumeCapability {
  const accessMode = { mode: modeOf(claim.spec.accessModes) };
  if (claim.spec.volumeMode === 'Block') return { accessMode, block: {} };
  return { accessMode, mount: { fsType, mountFlags: [], volumeMountGroup: '' } };
}

export function modeOf(accessModes: readonly AccessModeName[]): AccessMode {
  if (isForReaders(accessModes)) return 'MULTI_NODE_READER_ONLY';
  const isAlone = accessModes.includes('ReadWriteOncePod');
  return isAlone ? 'SINGLE_NODE_SINGLE_WRITER' : 'SINGLE_NODE_MULTI_WRITER';
}

/** Every node may read it, and none writes. */
export function isForReaders(accessModes: readonly AccessModeName[]): boolean {
  return accessModes.includes('ReadOnlyMany');
}

/** As the attach-detach controller names them: one for a volume on a node. */
export function attachmentNameOf(persistentVolume: PersistentVolume, nodeName: string): string {
  const handle = persistentVolume.spec.csi?.volumeHandle ?? '';
  const text = `${handle}${PROVISIONER}${nodeName}`;
  return `csi-${createHash('sha256').update(text).digest('hex')}`;
}

/** A Mount that is going counts until its node has let go of the volume. */
export function needsVolume(mount: Mount): boolean {
  return !isDeleting(mount) || hasFinalizer(mount, MOUNT_FINALIZER);
}

/** Whether it is a use of what the volume is bound to. */
export function isMountOf(mount: Mount, { spec: { claimRef } }: PersistentVolume): boolean {
  const { namespace = 'default' } = mount.metadata;
  return claimRef?.namespace === namespace && claimRef.name === mount.spec.claimName;
}
