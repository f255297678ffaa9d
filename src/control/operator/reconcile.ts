/** What the reconcilers of our own kinds share. */
import type {
  AnyObject,
  DiskPool,
  PersistentVolume,
  Replica,
  Snapshot,
  StorageNode,
  Volume,
} from '#api/kinds/mod.ts';
import type { ClusterId } from '#api/mod.ts';
import type { ReconcileContext } from '#control/kube/mod.ts';
import type { Log, Rng } from '#host/mod.ts';
import type { ClusterObserver } from './cluster-observer.ts';
import type { PoolGrowth } from './space/pool-growth.ts';

export {
  carryOut,
  describeError,
  findObject,
  hasFinalizer,
  isDeleting,
  reasonOf,
} from '#control/kube/mod.ts';
export type { ActionLabel, Plan } from '#control/kube/mod.ts';

export interface OperatorContext extends ReconcileContext {
  readonly observer: ClusterObserver;
  readonly rng: Rng;
  readonly log: Log;
  readonly cluster: ClusterId;
  /** How pools fill. */
  readonly growth: PoolGrowth;
  /** True while the cluster is being stopped: every volume is to be detached. */
  readonly isQuiesced: () => boolean;
  /** As the watches last told: for what is looked at often, and looked at again after a change. */
  readonly known: () => KnownObjects;
}

export interface KnownObjects {
  readonly nodes: readonly StorageNode[];
  readonly pools: readonly DiskPool[];
  readonly volumes: readonly Volume[];
  readonly replicas: readonly Replica[];
  readonly snapshots: readonly Snapshot[];
  readonly persistentVolumes: readonly PersistentVolume[];
}

/**
 * On the way, not in trouble: an Event of these is no warning, and `explain` says that it moves.
 */
export const MOVING_REASONS: ReadonlySet<string> = new Set([
  'Opening',
  'Attaching',
  'WaitForFirstConsumer',
  'Growing',
  'Mounting',
  'Provisioning',
  'ReplicasMissing',
  'SourceNotReady',
  'Replacing',
  'Shrinking',
  'NeedsNexus',
  'Draining',
  'Waiting',
  'Reconciling',
  'Detaching',
  'Closing',
  'Stopping',
  'VolumeNotServing',
  'NotWanted',
  'NoDevice',
]);

/** Facts that must survive the loss of every status, so they are annotations. */
export const ANNOTATION_INITIALISED = 'holdfast.dev/initialised';
export const LABEL_VOLUME = 'holdfast.dev/volume';
/** On a snapshot that exists only so that a volume can be cloned: the clone. */
export const LABEL_CLONE = 'holdfast.dev/clone';
export const FINALIZER_REPLICAS = 'holdfast.dev/replicas';
export const FINALIZER_DATA = 'holdfast.dev/data';

export function hasAnnotation(object: AnyObject, name: string): boolean {
  return object.metadata.annotations?.[name] !== undefined;
}

/** Nodes, whose answers tell of everything else. */
export const POLL_NODE_MS = 10_000;
/** The rest, in case something was missed. */
export const POLL_STEADY_MS = 300_000;
/** What waits for another object, or for a person. */
export const POLL_WAITING_MS = 5_000;
export const POLL_MOVING_MS = 300;
