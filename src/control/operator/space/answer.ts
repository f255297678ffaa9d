/** Asks pools and nodes who needs their bytes, and answers for what was asked. */
import type { DiskPool } from '#api/kinds/mod.ts';
import { formatBytes, formatDuration } from '#api/kinds/mod.ts';
import {
  type ClusterSpace,
  HoldfastError,
  type MountSpace,
  type ObjectName,
  type PoolId,
  type PoolLedger,
  type PoolSpace,
} from '#api/mod.ts';
import type { OperatorContext } from '../reconcile.ts';
import { listObjects } from '../volume/observe.ts';
import { bytesOf, shareOut, volumeSpace } from './ledger.ts';
import type { Shares, SpaceFacts } from './ledger.ts';
import { secondsToFull } from './pool-growth.ts';

/** Maps of all snapshots of a pool are read for it. */
const POOL_TIMEOUT_MS = 60_000;
const MOUNTS_TIMEOUT_MS = 3_000;

/** Of one claim or volume, of one pool, or of all where no name is given. */
export async function answerSpace(
  context: OperatorContext,
  asked: ObjectName,
): Promise<ClusterSpace> {
  const objects = await listObjects(context);
  const subject = await resolve(context, asked);
  const places = new Set(
    objects.volumes
      .filter((volume) => volume.metadata.name === subject.volume)
      .flatMap((volume) => (volume.spec.placement ?? []).map(({ poolName }) => poolName)),
  );
  const pools = objects.pools.filter(({ metadata: { name } }) =>
    subject.volume === undefined
      ? subject.pool === undefined || name === subject.pool
      : places.has(name),
  );
  const asking = pools.map((pool) => askPool(context, pool));
  const answers = await Promise.all(asking);
  const facts: SpaceFacts = {
    ...objects,
    snapshots: (await context.client.list('Snapshot')).items,
    contents: (await context.client.list('VolumeSnapshotContent')).items,
    pools: answers.flatMap(({ pool, space }) => (space === undefined ? [] : [{ pool, space }])),
    mounts: await askMounts(context, [...new Set(objects.nodes.map((node) => node.metadata.name))]),
  };
  const shared = shareOut(facts);
  const isMeant = (name: string): boolean =>
    subject.volume === undefined
      ? subject.pool === undefined || shared.shares.some((share) => share.volume === name)
      : name === subject.volume;
  return {
    volumes: facts.volumes
      .filter(({ metadata: { name } }) => isMeant(name))
      .map((volume) => volumeSpace(facts, volume, shared.shares)),
    pools: facts.pools.map(({ pool, space }) => poolLedger(context, facts, shared, pool, space)),
    missing: answers.flatMap(({ pool, why }) =>
      why === '' ? [] : [`pool ${pool.metadata.name} on ${pool.spec.nodeName}: ${why}`],
    ),
  };
}

interface Subject {
  readonly volume?: string;
  readonly pool?: string;
}

async function resolve({ client }: OperatorContext, asked: ObjectName): Promise<Subject> {
  const { kind, name, namespace } = asked;
  if (name === '') return {};
  switch (kind) {
    case 'Volume':
      return { volume: (await client.get('Volume', { name })).metadata.name };
    case 'DiskPool':
      return { pool: (await client.get('DiskPool', { name })).metadata.name };
    case 'PersistentVolumeClaim': {
      const { spec } = await client.get('PersistentVolumeClaim', { name, namespace });
      if (spec.volumeName === undefined) {
        throw new HoldfastError('not-current', 'Claim has no volume yet', {
          details: { claim: name, remedy: 'holdfast explain pvc NAME says why' },
        });
      }
      const { spec: bound } = await client.get('PersistentVolume', { name: spec.volumeName });
      return { volume: bound.csi?.volumeHandle ?? '' };
    }
    default:
      throw new HoldfastError('invalid-argument', 'Kind has no space of its own', {
        details: { field: 'kind', value: kind, remedy: 'Use claim, volume or pool' },
      });
  }
}

interface PoolAnswer {
  readonly pool: DiskPool;
  readonly space: PoolSpace | undefined;
  readonly why: string;
}

async function askPool({ observer }: OperatorContext, pool: DiskPool): Promise<PoolAnswer> {
  try {
    const { engine } = observer.access(pool.spec.nodeName);
    const params = { pool: pool.metadata.name as PoolId };
    const space = await engine.call('pool.space', params, { timeoutMs: POOL_TIMEOUT_MS });
    return { pool, space, why: '' };
  } catch (error) {
    if (!HoldfastError.is(error)) throw error;
    return { pool, space: undefined, why: `${error.message} (${error.code})` };
  }
}

/** What is not known is not guessed: a node that is silent has no mounts here. */
async function askMounts(
  { observer }: OperatorContext,
  nodes: readonly string[],
): Promise<MountSpace[]> {
  const asking = nodes.map(async (node) => {
    try {
      const { agent } = observer.access(node);
      return (await agent.call('node.space', {}, { timeoutMs: MOUNTS_TIMEOUT_MS })).mounts;
    } catch (error) {
      if (HoldfastError.is(error)) return [];
      throw error;
    }
  });
  return (await Promise.all(asking)).flat();
}

function poolLedger(
  context: OperatorContext,
  facts: SpaceFacts,
  { shares, orphanBytes }: Shares,
  { metadata: { name }, spec: { nodeName }, status }: DiskPool,
  space: PoolSpace,
): PoolLedger {
  const volumes = shares
    .filter((share) => share.pool === name)
    .map((share) => {
      const volume = facts.volumes.find((each) => each.metadata.name === share.volume);
      const { claimRef } = volume?.spec ?? {};
      const claim = claimRef === undefined ? '' : `${claimRef.namespace}/${claimRef.name}`;
      return { volume: share.volume, claim, bytes: bytesOf(share) };
    })
    .sort((a, b) => b.bytes - a.bytes);
  const { totalBytes, freeBytes, usedBytes, poolBytes, leftoverBytes } = space;
  const orphans = orphanBytes.get(name) ?? 0;
  const ours = volumes.reduce((sum, { bytes }) => sum + bytes, orphans + poolBytes + leftoverBytes);
  const growth = context.growth.find(name);
  const fullInSeconds = growth === undefined ? null : secondsToFull(growth, freeBytes);
  const over = growth === undefined ? '' : ` over the last ${formatDuration(growth.spanMs)}`;
  return {
    pool: name,
    node: nodeName,
    capacityBytes: totalBytes,
    freeBytes,
    reservedBytes: Math.max(0, totalBytes - usedBytes - freeBytes),
    volumes,
    orphanBytes: orphans,
    poolBytes,
    leftoverBytes,
    otherBytes: usedBytes - ours,
    promisedBytes: status?.promisedBytes ?? 0,
    fullInSeconds,
    forecast:
      growth === undefined
        ? 'not known yet: it is watched for less than two minutes'
        : fullInSeconds === null
          ? `does not fill, as it grew${over}`
          : `full in about ${formatDuration(fullInSeconds * 1_000)}, at ` +
            `${formatBytes(growth.bytesPerSecond * 3_600)} an hour${over}`,
  };
}
