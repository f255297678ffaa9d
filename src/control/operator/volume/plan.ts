import type {
  ConditionDraft,
  Replica,
  ReplicaPlacement,
  Snapshot,
  Volume,
  VolumeStatus,
} from '#api/kinds/mod.ts';
import {
  API_VERSION,
  chooseSegmentBytes,
  formatQuantity,
  isConditionTrue,
  parseQuantity,
} from '#api/kinds/mod.ts';
import { describeSpread, formatRefusal } from '#control/sched/mod.ts';
import { isPublished } from '../attachment/published.ts';
import { placeMore } from '../pool-candidates.ts';
import type { Plan } from '../reconcile.ts';
import {
  ANNOTATION_INITIALISED,
  FINALIZER_REPLICAS,
  hasAnnotation,
  hasFinalizer,
  isDeleting,
  LABEL_CLONE,
  LABEL_VOLUME,
  POLL_MOVING_MS,
} from '../reconcile.ts';
import type { VolumeObservation } from './observe.ts';
import { planPlacementChange } from './replacement.ts';

export type VolumeAction =
  | { readonly type: 'add-finalizer' }
  | { readonly type: 'remove-finalizer' }
  /** The whole new placement, in one write that fails if the volume changed meanwhile. */
  | { readonly type: 'place'; readonly placement: readonly ReplicaPlacement[] }
  /** It was kept when its claim went, and another claim has it now. */
  | { readonly type: 'adopt'; readonly claimRef: NonNullable<Volume['spec']['claimRef']> }
  | { readonly type: 'create-replica'; readonly replica: Replica }
  | { readonly type: 'delete-replica'; readonly name: string }
  | { readonly type: 'create-snapshot'; readonly snapshot: Snapshot }
  | { readonly type: 'delete-snapshot'; readonly name: string };

type VolumePlan = Plan<VolumeAction, VolumeStatus>;

export function planVolume(seen: VolumeObservation): VolumePlan {
  const { volume } = seen;
  if (isDeleting(volume)) return planDeletion(seen);
  const actions: VolumeAction[] = [];
  if (!hasFinalizer(volume, FINALIZER_REPLICAS)) actions.push({ type: 'add-finalizer' });
  if (isAnotherClaim(seen)) actions.push({ type: 'adopt', claimRef: seen.claim });
  const placement = volume.spec.placement ?? [];
  if (placement.length === 0) return planFounders(seen, actions);

  for (const entry of placement) {
    if (seen.replicas.every((replica) => replica.metadata.name !== entry.replicaName)) {
      actions.push({ type: 'create-replica', replica: replicaObject(volume, entry, placement) });
    }
  }
  const founders = placement.filter((entry) => entry.founder);
  const missing = founders.filter((entry) => !isMade(seen, entry.replicaName));
  if (missing.length > 0 && !isConditionTrue(volume.status?.conditions, 'Ready')) {
    return {
      actions,
      conditions: [placed(seen, placement), waitingForReplicas(seen, missing)],
      requeueAfterMs: POLL_MOVING_MS,
    };
  }
  const change = planPlacementChange(seen, placement);
  return {
    actions: [...actions, ...change.actions],
    conditions: [
      placed(seen, placement),
      { type: 'Ready', status: 'True', reason: 'ReplicasMade', message: 'Can be attached' },
      change.condition,
    ],
    status: { dataBytes: dataBytesOf(seen) },
    requeueAfterMs: change.requeueAfterMs,
  };
}

/** In the steps of the replicas: what is idle does not change. */
function dataBytesOf({ replicas }: VolumeObservation): number {
  return replicas.reduce((sum, { status }) => sum + (status?.dataBytes ?? 0), 0);
}

function isAnotherClaim(
  seen: VolumeObservation,
): seen is VolumeObservation & { claim: NonNullable<VolumeObservation['claim']> } {
  const { claim, volume } = seen;
  if (claim === undefined) return false;
  const before = volume.spec.claimRef;
  return before?.namespace !== claim.namespace || before.name !== claim.name;
}

function isMade(seen: VolumeObservation, name: string): boolean {
  const replica = seen.replicas.find((entry) => entry.metadata.name === name);
  return replica !== undefined && hasAnnotation(replica, ANNOTATION_INITIALISED);
}

function placed(
  { pools }: VolumeObservation,
  placement: readonly ReplicaPlacement[],
): ConditionDraft {
  const where = placement.map((entry) => entry.poolName).join(', ');
  const spread = describeSpread(
    placement.flatMap((entry) => pools.find((pool) => pool.pool === entry.poolName) ?? []),
  );
  const message = `In ${where}${spread === '' ? '' : `: ${spread}`}`;
  return { type: 'Placed', status: 'True', reason: 'Placed', message };
}

function waitingForReplicas(
  seen: VolumeObservation,
  missing: readonly ReplicaPlacement[],
): ConditionDraft {
  const reasons = missing.map((entry) => {
    const replica = seen.replicas.find((object) => object.metadata.name === entry.replicaName);
    const ready = replica?.status?.conditions?.find((condition) => condition.type === 'Ready');
    return `${entry.poolName}: ${ready?.message ?? 'not made yet'}`;
  });
  const message = `Waiting for replicas: ${reasons.join('; ')}`;
  return { type: 'Ready', status: 'False', reason: 'ReplicasMissing', message };
}

// --- first placement -----------------------------------------------------------------------------

function planFounders(seen: VolumeObservation, actions: VolumeAction[]): VolumePlan {
  if (seen.source !== null) return planClone(seen, actions);
  const { volume, pools, freshNames } = seen;
  const result = placeMore(pools, volume, [], []);
  if (!result.ok) {
    const message = formatRefusal(result);
    return {
      actions,
      conditions: [
        { type: 'Placed', status: 'False', reason: 'NoPlacement', message },
        { type: 'Ready', status: 'False', reason: 'NoPlacement', message },
      ],
      requeueAfterMs: 2_000,
    };
  }
  const placement = result.picks.map((pick, index) => ({
    replicaName: freshNames[index] as string,
    poolName: pick.pool,
    nodeName: pick.node,
    founder: true,
  }));
  return {
    actions: [...actions, { type: 'place', placement }],
    conditions: [placed(seen, placement)],
    requeueAfterMs: 50,
  };
}

/** A clone begins in the pools where its source lies: it shares the frozen layers there. */
function planClone(seen: VolumeObservation, actions: VolumeAction[]): VolumePlan {
  const { volume, source, freshNames } = seen;
  if (source === null) return { actions, conditions: [] };
  const wait = (reason: string, message: string): VolumePlan => ({
    actions,
    conditions: [{ type: 'Ready', status: 'False', reason, message }],
    requeueAfterMs: POLL_MOVING_MS,
  });
  if (source.volume === undefined) {
    return wait('SourceMissing', 'The volume or snapshot to be cloned does not exist');
  }
  if (source.snapshot === undefined) {
    if (!('volumeName' in (volume.spec.source ?? {}))) {
      return wait('SourceMissing', `There is no snapshot ${source.snapshotName}`);
    }
    const snapshot: Snapshot = {
      apiVersion: API_VERSION,
      kind: 'Snapshot',
      metadata: {
        name: source.snapshotName,
        labels: { [LABEL_CLONE]: volume.metadata.name },
      },
      spec: { volumeName: source.volume.metadata.name },
    };
    actions.push({ type: 'create-snapshot', snapshot });
    return wait('SourceNotReady', 'A snapshot of the source is being taken');
  }
  const holders = source.snapshot.status?.replicas ?? [];
  if (source.snapshot.status?.readyToUse !== true || holders.length === 0) {
    return wait('SourceNotReady', `Waiting for snapshot ${source.snapshotName}`);
  }
  const sizeBytes = parseQuantity('spec.size', volume.spec.size);
  const sourceBytes = source.snapshot.status.sizeBytes ?? 0;
  if (sizeBytes < sourceBytes) {
    const message = `The source has ${formatQuantity(sourceBytes)}: ask for that or more`;
    return wait('TooSmall', message);
  }
  const placement = (source.volume.spec.placement ?? [])
    .filter((entry) => holders.includes(entry.replicaName))
    .slice(0, volume.spec.replicas)
    .map((entry, index) => ({
      replicaName: freshNames[index] as string,
      poolName: entry.poolName,
      nodeName: entry.nodeName,
      founder: true,
      cloneOf: { replicaName: entry.replicaName, snapshotName: source.snapshotName },
    }));
  if (placement.length === 0) {
    return wait('SourceNotReady', 'No replica of the source holds the snapshot now');
  }
  return {
    actions: [...actions, { type: 'place', placement }],
    conditions: [placed(seen, placement)],
    requeueAfterMs: 50,
  };
}

function replicaObject(
  volume: Volume,
  entry: ReplicaPlacement,
  placement: readonly ReplicaPlacement[],
): Replica {
  const sizeBytes = volume.status?.sizeBytes ?? parseQuantity('spec.size', volume.spec.size);
  const founders = placement.filter((other) => other.founder).map((other) => other.replicaName);
  return {
    apiVersion: API_VERSION,
    kind: 'Replica',
    metadata: {
      name: entry.replicaName,
      labels: { [LABEL_VOLUME]: volume.metadata.name },
      ownerReferences: [
        {
          apiVersion: API_VERSION,
          kind: 'Volume',
          name: volume.metadata.name,
          uid: volume.metadata.uid ?? '',
          controller: true,
          blockOwnerDeletion: true,
        },
      ],
    },
    spec: {
      volumeName: volume.metadata.name,
      nodeName: entry.nodeName,
      poolName: entry.poolName,
      size: formatQuantity(sizeBytes),
      segmentSize: formatQuantity(segmentBytesOf(volume)),
      ...(entry.founder ? { founders } : {}),
      ...(entry.cloneOf === undefined ? {} : { cloneOf: entry.cloneOf }),
    },
  };
}

export function segmentBytesOf(volume: Volume): number {
  if (volume.spec.segmentSize !== undefined) {
    return parseQuantity('spec.segmentSize', volume.spec.segmentSize);
  }
  return chooseSegmentBytes(parseQuantity('spec.size', volume.spec.size));
}

// --- deletion ------------------------------------------------------------------------------------

function planDeletion(seen: VolumeObservation): VolumePlan {
  const { volume, replicas, snapshots, dependents, attachments } = seen;
  if (!hasFinalizer(volume, FINALIZER_REPLICAS)) return { actions: [], conditions: [] };
  const wait = (reason: string, message: string): VolumePlan => ({
    actions: [],
    conditions: [{ type: 'Terminating', status: 'True', reason, message }],
    requeueAfterMs: POLL_MOVING_MS,
  });
  const { attachment } = volume.spec;
  if (isPublished(attachment)) {
    const { nodeName } = attachment;
    return wait('InUse', `It is published to ${nodeName}: unmount it first (holdfast umount)`);
  }
  if (dependents.length > 0) {
    return wait('InUse', `Volumes are being made from it: ${dependents.join(', ')}`);
  }
  const kept = snapshots.filter(
    (snapshot) => !isDeleting(snapshot) && snapshot.metadata.labels?.[LABEL_CLONE] === undefined,
  );
  if (kept.length > 0) {
    const names = kept.map((snapshot) => snapshot.metadata.name).join(', ');
    return wait('InUse', `It has snapshots: ${names}. Delete them first`);
  }
  if (attachments.length > 0) {
    return wait('Detaching', `Attached to ${attachments.map((entry) => entry.node).join(', ')}`);
  }
  const actions: VolumeAction[] = [
    ...snapshots
      .filter((snapshot) => !isDeleting(snapshot))
      .map(({ metadata }) => ({ type: 'delete-snapshot', name: metadata.name }) as const),
    ...replicas
      .filter((replica) => !isDeleting(replica))
      .map(({ metadata }) => ({ type: 'delete-replica', name: metadata.name }) as const),
  ];
  if (replicas.length === 0 && snapshots.length === 0) {
    const origin = originOf(seen);
    return { actions: [...origin, { type: 'remove-finalizer' }], conditions: [] };
  }
  const stuck = replicas.flatMap((replica) =>
    (replica.status?.conditions ?? [])
      .filter((condition) => condition.type === 'Terminating')
      .map((condition) => `${replica.metadata.name}: ${condition.message}`),
  );
  const why = stuck.length === 0 ? '' : `: ${stuck.join('; ')}`;
  const message = `Deleting ${replicas.length} replicas${why}`;
  return { ...wait('DeletingReplicas', message), actions };
}

/** The snapshot that was taken of the source only to make this clone. */
function originOf({ source }: VolumeObservation): VolumeAction[] {
  const snapshot = source?.snapshot;
  if (snapshot?.metadata.labels?.[LABEL_CLONE] === undefined) return [];
  return [{ type: 'delete-snapshot', name: snapshot.metadata.name }];
}
