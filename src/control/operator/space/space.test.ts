import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { DiskPool, Replica, Snapshot, Volume } from '#api/kinds/mod.ts';
import { API_VERSION } from '#api/kinds/mod.ts';
import type { LayerSpace, LayerUse, PoolSpace } from '#api/mod.ts';
import { LABEL_CLONE } from '../reconcile.ts';
import { bytesOf, shareOut, volumeSpace } from './ledger.ts';
import type { SpaceFacts } from './ledger.ts';
import { PoolGrowth, secondsToFull } from './pool-growth.ts';

const MIB = 2 ** 20;

const pool = { metadata: { name: 'p' }, spec: { nodeName: 'n', directory: '/p' } } as DiskPool;

function volume(name: string, claim: string): Volume {
  return {
    apiVersion: API_VERSION,
    kind: 'Volume',
    metadata: { name },
    spec: {
      size: '64Mi',
      replicas: 1,
      claimRef: { namespace: 'default', name: claim },
      placement: [{ replicaName: `r-${name}`, poolName: 'p', nodeName: 'n', founder: true }],
    },
  } as unknown as Volume;
}

function snapshot(name: string, labels: Record<string, string> = {}): Snapshot {
  return { metadata: { name, labels }, spec: { volumeName: 'a' } } as unknown as Snapshot;
}

function holder(volumeName: string, snapshotName: string | null) {
  return {
    replica: `r-${volumeName}`,
    volume: volumeName,
    isHead: snapshotName === null,
    snapshot: snapshotName,
  } as unknown as LayerSpace['holders'][number];
}

function layer(
  name: string,
  of: string,
  bytes: number,
  holders: LayerSpace['holders'],
): LayerSpace {
  return { layer: name, volume: of, dataBytes: bytes, mapBytes: MIB, holders } as LayerSpace;
}

function use(name: string, live: number, more: Partial<LayerUse> = {}): LayerUse {
  const none = { onlyBytes: [], sharedBytes: 0, unreadBytes: 0 };
  return { layer: name, liveBytes: live, ...none, ...more };
}

/** Volume a with a snapshot and a clone b of it, and a replica that no object wants. */
function facts(): SpaceFacts {
  const replicas = ['a', 'b', 'lost'].map((name) => ({
    replica: `r-${name}`,
    volume: name,
    claim: '',
    sizeBytes: 64 * MIB,
    metadataBytes: 2 * MIB,
  }));
  const space = {
    pool: 'p',
    totalBytes: 1000 * MIB,
    freeBytes: 700 * MIB,
    usedBytes: 250 * MIB,
    replicas,
    layers: [
      layer('a1', 'a', 40 * MIB, [holder('a', 's1'), holder('b', 'origin')]),
      layer('a2', 'a', 10 * MIB, [holder('a', null)]),
      layer('b2', 'b', 5 * MIB, [holder('b', null)]),
      layer('lost1', 'lost', 7 * MIB, [holder('lost', null)]),
    ],
    poolBytes: MIB,
    leftoverBytes: 0,
    strangeBytes: 0,
    uses: [
      {
        replica: 'r-a',
        layers: [
          use('a1', 20 * MIB, {
            onlyBytes: [{ snapshot: 's1', bytes: 15 * MIB } as LayerUse['onlyBytes'][number]],
            unreadBytes: 3 * MIB,
          }),
          use('a2', 10 * MIB),
        ],
      },
      { replica: 'r-b', layers: [use('a1', 38 * MIB), use('b2', 5 * MIB)] },
    ],
  } as unknown as PoolSpace;
  return {
    volumes: [volume('a', 'demo'), volume('b', 'twin')],
    replicas: [{ metadata: { name: 'r-a' } } as Replica],
    snapshots: [snapshot('s1'), snapshot('origin', { [LABEL_CLONE]: 'b' })],
    contents: [],
    pools: [{ pool, space }],
    mounts: [],
  };
}

describe('The space ledger', () => {
  test('counts every byte of a pool once, for whom it is there', () => {
    const seen = facts();
    const { shares, orphanBytes } = shareOut(seen);
    const [{ space } = assert.fail()] = seen.pools;
    const all = shares.reduce((sum, share) => sum + bytesOf(share), orphanBytes.get('p') ?? 0);
    const files =
      space.layers.reduce((sum, { dataBytes, mapBytes }) => sum + dataBytes + mapBytes, 0) +
      space.replicas.reduce((sum, { metadataBytes }) => sum + metadataBytes, 0);
    assert.equal(all, files);
    assert.equal(orphanBytes.get('p'), (7 + 1 + 2) * MIB, 'what no object wants is no claim’s');
    const a = volumeSpace(seen, seen.volumes[0]!, shares);
    assert.equal(a.liveBytes, 30 * MIB);
    assert.deepEqual(a.snapshots, [{ snapshot: 's1', owner: 's1', bytes: 15 * MIB }]);
    assert.equal(a.isCountedWhole, false);
    assert.equal(a.cloneBytes, 3 * MIB, 'only the clone reads them');
    assert.equal(a.slackBytes, 2 * MIB);
    assert.equal(a.metadataBytes, 4 * MIB);
    assert.equal(a.actualBytes, 54 * MIB);
    const b = volumeSpace(seen, seen.volumes[1]!, shares);
    assert.equal(b.liveBytes, 5 * MIB);
    assert.equal(b.inheritedBytes, 38 * MIB, 'counted with its source');
    assert.equal(b.actualBytes, 8 * MIB);
    assert.equal(b.unwrittenBytes, 21 * MIB);
  });

  test('says why a volume takes more than its size, and to whom snapshots belong', () => {
    const seen = facts();
    const big = { ...seen.volumes[0]!, spec: { ...seen.volumes[0]!.spec, size: '32Mi' } };
    const content = {
      spec: { volumeSnapshotRef: { namespace: 'default', name: 'monday' } },
      status: { snapshotHandle: 's1' },
    } as SpaceFacts['contents'][number];
    const { why } = volumeSpace({ ...seen, contents: [content] }, big, shareOut(seen).shares);
    assert.deepEqual(why, [
      '15 MiB were overwritten since and are kept for snapshots: VolumeSnapshot default/monday',
      '3 MiB are kept for clones alone',
      '4 MiB are checksums, maps and logs',
      '2 MiB are allocated by the filesystem below without being needed',
    ]);
    assert.deepEqual(volumeSpace(seen, volume('a', 'demo'), []).why, [], 'nothing of a small one');
  });

  test('knows what could be trimmed of a filesystem that is mounted', () => {
    const seen = facts();
    const mount = { volume: 'a', totalBytes: 60 * MIB, usedBytes: 10 * MIB };
    const mounts = [mount as SpaceFacts['mounts'][number]];
    const { shares } = shareOut(seen);
    const { trimmableBytes } = volumeSpace({ ...seen, mounts }, seen.volumes[0]!, shares);
    assert.equal(trimmableBytes, (30 - 10 - 4) * MIB);
    assert.equal(volumeSpace(seen, seen.volumes[0]!, shares).trimmableBytes, null);
  });

  test('takes a snapshot whole where nobody could look into its maps', () => {
    const seen = facts();
    const [{ space } = assert.fail()] = seen.pools;
    const blind = { ...seen, pools: [{ pool, space: { ...space, uses: [] } }] };
    const { shares } = shareOut(blind);
    const a = volumeSpace(blind, seen.volumes[0]!, shares);
    assert.equal(a.liveBytes, 10 * MIB);
    assert.equal(a.snapshots[0]?.bytes, 40 * MIB);
    assert.equal(a.isCountedWhole, true);
    assert.equal(a.actualBytes, 54 * MIB, 'the sum is the same');
  });
});

describe('The growth of a pool', () => {
  test('says when it is full, from what was seen, and nothing from too little', () => {
    const growth = new PoolGrowth();
    growth.note('p', 0, 0);
    assert.equal(growth.find('p'), undefined);
    // A MiB a second for an hour.
    for (let s = 30; s <= 3_600; s += 30) growth.note('p', s * MIB, s * 1_000);
    const found = growth.find('p');
    assert.ok(found !== undefined);
    assert.equal(Math.round(found.bytesPerSecond / MIB), 1);
    assert.equal(secondsToFull(found, 7_200 * MIB), 7_200);
    assert.equal(secondsToFull({ bytesPerSecond: -1, spanMs: 1 }, MIB), null);
    assert.equal(secondsToFull({ bytesPerSecond: 1, spanMs: 1 }, 2 ** 50), null, 'not in a year');
  });

  test('is remembered in bounded memory, for ever longer', () => {
    const growth = new PoolGrowth();
    for (let s = 0; s <= 7 * 86_400; s += 10) growth.note('p', s, s * 1_000);
    const found = growth.find('p');
    assert.ok((found?.spanMs ?? 0) > 6 * 86_400_000);
    assert.equal(Math.round((found?.bytesPerSecond ?? 0) * 1_000), 1_000);
  });
});
