import type { PersistentVolumeClaim } from '#api/kinds/mod.ts';
import type { ControllerCalls, Service, VolumeCapability } from '#control/csi/mod.ts';
import type { ReconcileContext } from '#control/kube/mod.ts';

/** What the loops share. They reach volumes by CSI alone. */
export interface EmbeddedContext extends ReconcileContext {
  readonly controller: Service<ControllerCalls>;
}

/** Kubernetes' own names: who knows a cluster looks for these. */
export const CLAIM_PROTECTION = 'kubernetes.io/pvc-protection';
export const VOLUME_PROTECTION = 'kubernetes.io/pv-protection';
export const PROVISIONER_FINALIZER = 'external-provisioner.volume.kubernetes.io/finalizer';
export const SELECTED_NODE = 'volume.kubernetes.io/selected-node';

/** What a claim asks of its volume, as the sidecars say it. */
export function capabilityOf(claim: PersistentVolumeClaim, fsType: string): VolumeCapability {
  const isAlone = claim.spec.accessModes.includes('ReadWriteOncePod');
  const accessMode = {
    mode: isAlone ? ('SINGLE_NODE_SINGLE_WRITER' as const) : ('SINGLE_NODE_MULTI_WRITER' as const),
  };
  if (claim.spec.volumeMode === 'Block') return { accessMode, block: {} };
  return { accessMode, mount: { fsType, mountFlags: [], volumeMountGroup: '' } };
}
