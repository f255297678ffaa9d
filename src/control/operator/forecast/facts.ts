/** What forecasts are made from: objects, and what the nexuses say of themselves. */
import type {
  DiskPool,
  Replica,
  ReplicaPlacement,
  Snapshot,
  Volume,
  VolumeSnapshotContent,
} from '#api/kinds/mod.ts';
import { parseQuantity } from '#api/kinds/mod.ts';
import type { NexusStatus } from '#api/mod.ts';
import type { ClusterObjects } from '../pool-candidates.ts';

export interface ClusterFacts extends ClusterObjects {
  readonly snapshots: readonly Snapshot[];
  readonly contents: readonly VolumeSnapshotContent[];
  /** Of the volumes that are served now. */
  readonly nexuses: ReadonlyMap<string, NexusStatus>;
  readonly nowMs: number;
}

/** What a rebuild copies in a second, where none is under way to be asked. */
export const REBUILD_BYTES_PER_SECOND = 100 * 2 ** 20;

export function claimOf({ spec }: Volume): string {
  return spec.claimRef === undefined ? '' : `${spec.claimRef.namespace}/${spec.claimRef.name}`;
}

/** What a new replica of the volume has to copy: as much as the fullest one holds. */
export function dataBytesOf(facts: ClusterFacts, volume: Volume): number {
  const own = facts.replicas.filter((replica) => replica.spec.volumeName === volume.metadata.name);
  return Math.max(0, ...own.map((replica) => replica.status?.dataBytes ?? 0));
}

export function sizeOf(volume: Volume): number {
  return parseQuantity('spec.size', volume.spec.size);
}

export function inSyncOf(facts: ClusterFacts, volume: Volume): string[] | null {
  const nexus = facts.nexuses.get(volume.metadata.name);
  if (nexus === undefined || nexus.phase !== 'serving') return null;
  return nexus.members.filter(({ phase }) => phase === 'in-sync').map(({ replica }) => replica);
}

export interface Rest {
  readonly bytes: number;
  readonly seconds: number | null;
}

/** What is left of the rebuilds of a volume that are under way; null when none is. */
export function restOfRebuilds(facts: ClusterFacts, volume: Volume): Rest | null {
  const members = facts.nexuses.get(volume.metadata.name)?.members ?? [];
  const rebuilds = members.flatMap(({ rebuild }) => (rebuild === null ? [] : [rebuild]));
  if (rebuilds.length === 0) return null;
  const data = dataBytesOf(facts, volume);
  const bytes = rebuilds.reduce((sum, { segmentsTotal, segmentsDone }) => {
    const share = segmentsTotal === 0 ? 0 : (segmentsTotal - segmentsDone) / segmentsTotal;
    return sum + Math.round(data * share);
  }, 0);
  const known = rebuilds.map(({ etaMs }) => etaMs);
  const isKnown = known.every((etaMs) => etaMs !== null);
  return { bytes, seconds: isKnown ? Math.ceil(Math.max(...known) / 1_000) : null };
}

export function secondsFor(bytes: number): number {
  return Math.ceil(bytes / REBUILD_BYTES_PER_SECOND);
}

/** The facts with this volume's placement changed. */
export function withPlacement(
  facts: ClusterFacts,
  volume: Volume,
  placement: readonly ReplicaPlacement[],
): ClusterFacts {
  const changed = { ...volume, spec: { ...volume.spec, placement: [...placement] } };
  const volumes = facts.volumes.map((each) =>
    each.metadata.name === volume.metadata.name ? changed : each,
  );
  return { ...facts, volumes };
}

export function poolsOn(facts: ClusterFacts, node: string): DiskPool[] {
  return facts.pools.filter((pool) => pool.spec.nodeName === node);
}

export function replicasIn(facts: ClusterFacts, pools: ReadonlySet<string>): Replica[] {
  return facts.replicas.filter((replica) => pools.has(replica.spec.poolName));
}
