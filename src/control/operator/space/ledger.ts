/**
 * The space ledger: every byte that the pools have allocated, by the claim that needs it and why.
 * Pure. What pools report is counted once: a layer belongs to the volume that it was written for,
 * as long as a replica of that volume has it, else to the one that still needs it.
 */
import type { DiskPool, Replica, Snapshot, Volume, VolumeSnapshotContent } from '#api/kinds/mod.ts';
import { titleOfSnapshot } from '#api/kinds/mod.ts';
import type {
  LayerHolder,
  LayerSpace,
  LayerUse,
  MountSpace,
  PoolSpace,
  SnapshotSpace,
  VolumeSpace,
} from '#api/mod.ts';
import { claimOf, sizeOf } from '../forecast/facts.ts';
import { LABEL_CLONE } from '../reconcile.ts';
import { whyItIsMore } from './why.ts';

export interface SpaceFacts {
  readonly volumes: readonly Volume[];
  readonly replicas: readonly Replica[];
  readonly snapshots: readonly Snapshot[];
  readonly contents: readonly VolumeSnapshotContent[];
  readonly pools: readonly { readonly pool: DiskPool; readonly space: PoolSpace }[];
  /** Filesystems that are mounted now. */
  readonly mounts: readonly MountSpace[];
}

/** Of one volume in one pool. */
export interface Share {
  readonly volume: string;
  readonly pool: string;
  live: number;
  readonly snapshots: Map<string, number>;
  shared: number;
  clones: number;
  metadata: number;
  slack: number;
  inherited: number;
  isCountedWhole: boolean;
}

export interface Shares {
  readonly shares: readonly Share[];
  /** By pool: of replicas that no object wants, and of those that cannot be read. */
  readonly orphanBytes: ReadonlyMap<string, number>;
}

export function bytesOf(share: Share): number {
  const snapshots = [...share.snapshots.values()].reduce((sum, bytes) => sum + bytes, 0);
  const { live, shared, clones, metadata, slack } = share;
  return live + snapshots + shared + clones + metadata + slack;
}

export function shareOut(facts: SpaceFacts): Shares {
  const wanted = new Set(facts.replicas.map((replica) => replica.metadata.name));
  for (const { spec } of facts.volumes) {
    for (const { replicaName } of spec.placement ?? []) wanted.add(replicaName);
  }
  const shares = new Map<string, Share>();
  const orphanBytes = new Map<string, number>();
  for (const { space } of facts.pools) {
    const { pool } = space;
    const shareOf = (volume: string): Share => {
      const key = `${pool} ${volume}`;
      const share = shares.get(key) ?? emptyShare(volume, pool);
      shares.set(key, share);
      return share;
    };
    const orphan = (bytes: number): void =>
      void orphanBytes.set(pool, (orphanBytes.get(pool) ?? 0) + bytes);
    for (const { replica, volume, metadataBytes } of space.replicas) {
      if (wanted.has(replica) && volume !== '') shareOf(volume).metadata += metadataBytes;
      else orphan(metadataBytes);
    }
    for (const layer of space.layers) {
      const holders = layer.holders.filter(({ replica }) => wanted.has(replica));
      const owner = holders.find(({ volume }) => volume === layer.volume) ?? holders[0];
      if (owner === undefined) orphan(layer.dataBytes + layer.mapBytes);
      else countLayer(space, layer, owner, holders, shareOf);
    }
  }
  return { shares: [...shares.values()], orphanBytes };
}

function emptyShare(volume: string, pool: string): Share {
  const none = { live: 0, shared: 0, clones: 0, metadata: 0, slack: 0, inherited: 0 };
  return { volume, pool, snapshots: new Map(), isCountedWhole: false, ...none };
}

function countLayer(
  space: PoolSpace,
  layer: LayerSpace,
  owner: LayerHolder,
  holders: readonly LayerHolder[],
  shareOf: (volume: string) => Share,
): void {
  const share = shareOf(owner.volume);
  share.metadata += layer.mapBytes;
  const use = findUse(space, owner, layer);
  const others = holders.filter(({ volume }) => volume !== owner.volume);
  if (use === undefined) countWhole(share, layer.dataBytes, owner);
  else {
    share.live += use.liveBytes;
    share.shared += use.sharedBytes;
    let known = use.liveBytes + use.sharedBytes;
    for (const { snapshot, bytes } of use.onlyBytes) {
      share.snapshots.set(snapshot, (share.snapshots.get(snapshot) ?? 0) + bytes);
      known += bytes;
    }
    if (others.length > 0) {
      share.clones += use.unreadBytes;
      known += use.unreadBytes;
    }
    share.slack += layer.dataBytes - known;
  }
  for (const other of others) {
    shareOf(other.volume).inherited += findUse(space, other, layer)?.liveBytes ?? 0;
  }
}

/** Nobody looked into the maps: a replica of one layer, or one that is not open. */
function countWhole(share: Share, bytes: number, { isHead, snapshot }: LayerHolder): void {
  if (isHead) share.live += bytes;
  else if (snapshot === null) share.clones += bytes;
  else share.snapshots.set(snapshot, (share.snapshots.get(snapshot) ?? 0) + bytes);
  if (!isHead) share.isCountedWhole = true;
}

function findUse(
  { uses }: PoolSpace,
  { replica }: LayerHolder,
  { layer }: LayerSpace,
): LayerUse | undefined {
  const own = uses.find((entry) => entry.replica === replica);
  return own?.layers.find((entry) => entry.layer === layer);
}

/** All shares of one volume, in words. */
export function volumeSpace(
  facts: SpaceFacts,
  volume: Volume,
  shares: readonly Share[],
): VolumeSpace {
  const own = shares.filter((share) => share.volume === volume.metadata.name);
  const sum = (field: 'live' | 'shared' | 'clones' | 'metadata' | 'slack' | 'inherited'): number =>
    own.reduce((total, share) => total + share[field], 0);
  const sizeBytes = sizeOf(volume);
  const replicas = volume.spec.placement?.length ?? volume.spec.replicas;
  const liveBytes = sum('live');
  const space = {
    volume: volume.metadata.name,
    claim: claimOf(volume),
    sizeBytes,
    replicas,
    nominalBytes: sizeBytes * replicas,
    actualBytes: own.reduce((total, share) => total + bytesOf(share), 0),
    liveBytes,
    snapshots: snapshotSpaces(facts, own),
    isCountedWhole: own.some((share) => share.isCountedWhole),
    sharedSnapshotBytes: sum('shared'),
    cloneBytes: sum('clones'),
    metadataBytes: sum('metadata'),
    slackBytes: sum('slack'),
    inheritedBytes: sum('inherited'),
    trimmableBytes: trimmable(facts, volume, (liveBytes + sum('inherited')) / replicas, replicas),
    unwrittenBytes: Math.max(0, sizeBytes * replicas - liveBytes - sum('inherited')),
  };
  return { ...space, why: whyItIsMore(space) };
}

function snapshotSpaces(facts: SpaceFacts, own: readonly Share[]): SnapshotSpace[] {
  const all = new Map<string, number>();
  for (const { snapshots } of own) {
    for (const [snapshot, bytes] of snapshots) all.set(snapshot, (all.get(snapshot) ?? 0) + bytes);
  }
  return [...all].map(([snapshot, bytes]) => ({
    snapshot,
    owner: ownerOf(facts, snapshot),
    bytes,
  }));
}

function ownerOf({ snapshots, contents }: SpaceFacts, snapshot: string): string {
  const title = titleOfSnapshot(snapshot, contents);
  if (title !== undefined) return title;
  const object = snapshots.find((each) => each.metadata.name === snapshot);
  const clone = object?.metadata.labels?.[LABEL_CLONE];
  if (clone !== undefined) return `made for the clone ${clone}`;
  return object === undefined ? `${snapshot}, which no object wants` : snapshot;
}

/**
 * What the filesystem inside does not use any more and never gave back: at least what lies in the
 * volume beyond what it uses and what it keeps for itself.
 */
function trimmable(
  { mounts }: SpaceFacts,
  volume: Volume,
  liveBytes: number,
  replicas: number,
): number | null {
  const mount = mounts.find((each) => each.volume === volume.metadata.name);
  if (mount === undefined) return null;
  const ownBytes = Math.max(0, sizeOf(volume) - mount.totalBytes);
  return Math.max(0, Math.round(liveBytes) - mount.usedBytes - ownBytes) * replicas;
}
