/** The CSI driver: what a StorageClass names as its provisioner. */
export const PROVISIONER = 'csi.holdfast.dev';
