import type { Replica, Snapshot, Volume } from '#api/kinds/mod.ts';
import { isConditionTrue } from '#api/kinds/mod.ts';
import { PROVISIONER } from '#api/mod.ts';
import type { PoolCandidate } from '#control/sched/mod.ts';
import { formatHex } from '#lib/mod.ts';
import type { FoundAttachment } from '../cluster-observer.ts';
import { findAttachments } from '../cluster-observer.ts';
import { drainedPools, poolCandidates } from '../pool-candidates.ts';
import type { ClusterObjects } from '../pool-candidates.ts';
import { findObject, isDeleting, LABEL_VOLUME } from '../reconcile.ts';
import type { KnownObjects, OperatorContext } from '../reconcile.ts';

export interface VolumeSource {
  readonly snapshotName: string;
  readonly snapshot: Snapshot | undefined;
  readonly volume: Volume | undefined;
}

export interface VolumeObservation {
  readonly volume: Volume;
  readonly replicas: readonly Replica[];
  readonly pools: readonly PoolCandidate[];
  /** Pools that are to be emptied, with why. */
  readonly drained: ReadonlyMap<string, string>;
  readonly nowMs: number;
  /** The claim that has the volume now, as its PersistentVolume says; undefined where none has. */
  readonly claim: Volume['spec']['claimRef'];
  readonly snapshots: readonly Snapshot[];
  /** Null for a volume that is born empty. */
  readonly source: VolumeSource | null;
  /** Volumes that are being born from snapshots of this one. */
  readonly dependents: readonly string[];
  readonly attachments: readonly FoundAttachment[];
  /** Fresh names for replicas, never used before. */
  readonly freshNames: readonly string[];
}

/**
 * Nodes that may know something of a volume: its replicas' and where it is or should be attached.
 */
export function nodesOf(volume: Volume): string[] {
  const nodes = (volume.spec.placement ?? []).map((entry) => entry.nodeName);
  for (const node of [volume.spec.attachment?.nodeName, volume.status?.attachment?.nodeName]) {
    if (node !== undefined) nodes.push(node);
  }
  return [...new Set(nodes)];
}

/** The snapshot that a clone of a whole volume is made through. */
export function sourceSnapshotName(volume: Volume): string {
  return `${volume.metadata.name.slice(0, 56)}-origin`;
}

export async function observeVolume(
  context: OperatorContext,
  name: string,
): Promise<VolumeObservation | undefined> {
  const volume = await findObject(context, 'Volume', { name });
  if (volume === undefined) return undefined;
  const { client, observer, rng } = context;
  const labels = { [LABEL_VOLUME]: name };
  const replicas = (await client.list('Replica', { labels })).items;
  // A volume goes only when its snapshots have: that is decided on what is so now.
  const snapshots = isDeleting(volume)
    ? (await client.list('Snapshot')).items
    : context.known().snapshots;
  const own = snapshots.filter((snapshot) => snapshot.spec.volumeName === name);
  const views = await observer.volumeViews(nodesOf(volume), name);
  const objects = context.known();
  return {
    volume,
    replicas,
    pools: poolCandidates(objects),
    drained: drainedPools(objects),
    nowMs: context.clock.wallMs(),
    claim: findClaim(objects, name),
    snapshots: own,
    source: await findSource(context, volume),
    dependents: await findDependents(context, new Set(own.map((entry) => entry.metadata.name))),
    attachments: findAttachments(views.values(), name),
    freshNames: Array.from(
      { length: volume.spec.replicas },
      () => `${name.slice(0, 56)}-${formatHex(rng.bytes(3))}`,
    ),
  };
}

function findClaim(
  { persistentVolumes }: KnownObjects,
  volume: string,
): Volume['spec']['claimRef'] {
  const found = persistentVolumes.find(
    ({ spec: { csi } }) => csi?.driver === PROVISIONER && csi.volumeHandle === volume,
  );
  const claimRef = found?.spec.claimRef;
  // Reserved by name only: a claim has it when its uid is there.
  if (claimRef?.uid === undefined) return undefined;
  const { namespace, name, uid } = claimRef;
  return { namespace, name, uid };
}

async function findSource(context: OperatorContext, volume: Volume): Promise<VolumeSource | null> {
  const { source } = volume.spec;
  if (source === undefined) return null;
  const snapshotName = 'snapshotName' in source ? source.snapshotName : sourceSnapshotName(volume);
  const snapshot = await findObject(context, 'Snapshot', { name: snapshotName });
  const volumeName = 'volumeName' in source ? source.volumeName : snapshot?.spec.volumeName;
  return {
    snapshotName,
    snapshot,
    volume:
      volumeName === undefined
        ? undefined
        : await findObject(context, 'Volume', { name: volumeName }),
  };
}

async function findDependents(
  context: OperatorContext,
  snapshots: ReadonlySet<string>,
): Promise<string[]> {
  if (snapshots.size === 0) return [];
  const { items } = await context.client.list('Volume');
  return items
    .filter((other) => {
      const { source } = other.spec;
      if (source === undefined || isConditionTrue(other.status?.conditions, 'Ready')) return false;
      const through = 'snapshotName' in source ? source.snapshotName : sourceSnapshotName(other);
      return snapshots.has(through);
    })
    .map((other) => other.metadata.name);
}

/** Everything that placement and forecasts decide on. */
export async function listObjects({ client }: OperatorContext): Promise<ClusterObjects> {
  const [nodes, pools, volumes, replicas] = await Promise.all([
    client.list('StorageNode'),
    client.list('DiskPool'),
    client.list('Volume'),
    client.list('Replica'),
  ]);
  return {
    nodes: nodes.items,
    pools: pools.items,
    volumes: volumes.items,
    replicas: replicas.items,
  };
}
