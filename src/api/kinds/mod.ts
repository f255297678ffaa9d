/**
 * The kinds of object of group holdfast.dev/v1alpha1 and those of Kubernetes that we read: schemas
 * for what comes from outside, types for what is inside. Spec is desired, status observed.
 *
 * Objects are strict: an unknown field or a wrong type is `invalid-object` with path, value and
 * remedy. Names are checked here before any path or socket name is made from them.
 */
export { chooseSegmentBytes, parseClassParameters } from './class-parameters.ts';
export type { ClassParameters } from './class-parameters.ts';
export type {
  Event,
  ObjectReference,
  PersistentVolumeClaim,
  PersistentVolumeClaimSpec,
  PersistentVolumeClaimStatus,
  StorageClass,
} from './claim.ts';
export { isMadeFor, persistentVolumeNameOf, titleOfSnapshot } from './cluster-storage.ts';
export type {
  AccessModeName,
  AttachProblem,
  ClaimReference,
  Namespace,
  PersistentVolume,
  SnapshotProblem,
  VolumeAttachment,
  VolumeSnapshot,
  VolumeSnapshotClass,
  VolumeSnapshotContent,
} from './cluster-storage.ts';
export { findCondition, isConditionTrue, setCondition } from './conditions.ts';
export type { Condition, ConditionDraft } from './conditions.ts';
export { FIXED_FIELDS, GROWING_FIELDS } from './fixed-fields.ts';
export { invalidObject, showValue, valueAt } from './invalid-object.ts';
export {
  API_VERSION,
  GROUP,
  isKindName,
  KIND_NAMES,
  KINDS,
  parseKindName,
  parseObject,
} from './kind-table.ts';
export type { AnyObject, KindInfo, KindName, KindTable, ObjectOf } from './kind-table.ts';
export { mergeMkfsOptions, readMkfsOptions } from './mkfs-options.ts';
export type { MkfsOption } from './mkfs-options.ts';
export { nearestName } from './nearest-name.ts';
export type { Mount, MountSpec, MountStatus } from './mount.ts';
export { LABEL_ZONE, OVER_PROVISIONING_PERCENT } from './node.ts';
export type {
  DiskPool,
  DiskPoolStatus,
  PoolOrphan,
  StorageNode,
  StorageNodeStatus,
} from './node.ts';
export type { ObjectMeta, OwnerReference } from './object-meta.ts';
export { findUnmetTerm, readPoolSelector } from './pool-selector.ts';
export type { PoolTerm } from './pool-selector.ts';
export { REPLACE_AFTER_SECONDS, REPLICAS_MAX } from './volume.ts';
export type {
  CommonStatus,
  PendingAction,
  Replica,
  ReplicaPlacement,
  ReplicaStatus,
  Snapshot,
  SnapshotStatus,
  Volume,
  VolumeAttachmentSpec,
  VolumeAttachmentStatus,
  VolumeMemberStatus,
  VolumeStatus,
  VoteStatus,
} from './volume.ts';
export {
  formatAge,
  formatBytes,
  formatDuration,
  formatQuantity,
  parseQuantity,
  parseVolumeSize,
  readQuantity,
  readVolumeSize,
  SIZE_STEP_BYTES,
} from '../units.ts';
export { SHIPPED_CLASSES, SIMPLE_CLASS } from './shipped-classes.ts';
export { formatMicroTime, formatTime, parseTime } from '../wall-time.ts';
