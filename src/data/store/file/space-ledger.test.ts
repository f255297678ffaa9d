/** What the store says of its space against what the filesystem says of the same files. */
import assert from 'node:assert/strict';
import { lstat, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { LayerUse, PoolFiles, ReplicaId, SnapshotId, VolumeId } from '#api/mod.ts';
import { createNodeHost } from '#host/node/mod.ts';
import type { ReplicaStore, StorePool } from '../mod.ts';
import { openFilePool } from './file-pool.ts';
import { CLUSTER, filled, identityOf, POOL, REPLICA, submitTo } from './store.testkit.ts';

const BLOCK = 4096;
const BUDGET_MS = 60_000;
const S1 = 's1' as SnapshotId;
const S2 = 's2' as SnapshotId;
const CLONE = 'r2' as ReplicaId;

/** Everything below a directory, and the directory, as du counts it. */
async function diskUsage(path: string): Promise<number> {
  const stat = await lstat(path);
  let bytes = stat.blocks * 512;
  if (!stat.isDirectory()) return bytes;
  for (const name of await readdir(path)) bytes += await diskUsage(join(path, name));
  return bytes;
}

/** The ledger's sum. */
function sumOf({ replicas, layers, poolBytes, leftoverBytes, strangeBytes }: PoolFiles): number {
  return (
    replicas.reduce((sum, { metadataBytes }) => sum + metadataBytes, 0) +
    layers.reduce((sum, { dataBytes, mapBytes }) => sum + dataBytes + mapBytes, 0) +
    poolBytes +
    leftoverBytes +
    strangeBytes
  );
}

async function withPool(
  t: TestContext,
): Promise<{ root: string; pool: StorePool; store: ReplicaStore }> {
  const root = await mkdtemp(join(tmpdir(), 'holdfast-space-'));
  const { disk, rng, clock, log } = createNodeHost({ logLevel: 'silent' });
  const pool = await openFilePool({
    disk,
    rng,
    clock,
    log,
    cluster: CLUSTER,
    pool: POOL,
    directory: root,
  });
  t.after(async () => {
    await pool.close();
    await rm(root, { recursive: true, force: true });
  });
  await pool.createReplica({ identity: identityOf(), sizeBytes: 2 ** 24, record: null });
  return { root, pool, store: await pool.openReplica(REPLICA) };
}

async function write(store: ReplicaStore, block: number, blocks: number): Promise<void> {
  await submitTo(store, 'write', block, filled(block + 1, blocks), blocks);
}

/** Blocks 0 to 9, s1, 0 to 3 again, s2, then 0, 1 and 4 again. */
async function withSnapshots(store: ReplicaStore): Promise<void> {
  await write(store, 0, 10);
  await store.flush();
  await store.createSnapshot(S1, { epoch: 1, n: 1 });
  await write(store, 0, 4);
  await store.flush();
  await store.createSnapshot(S2, { epoch: 1, n: 2 });
  await write(store, 0, 2);
  await write(store, 4, 1);
  await store.flush();
}

const blocksOf = ({ liveBytes, onlyBytes, sharedBytes, unreadBytes }: LayerUse) => ({
  live: liveBytes / BLOCK,
  only: Object.fromEntries(onlyBytes.map(({ snapshot, bytes }) => [snapshot, bytes / BLOCK])),
  shared: sharedBytes / BLOCK,
  unread: unreadBytes / BLOCK,
});

test('Every block of every layer is counted for who reads it', async (t) => {
  const { store } = await withPool(t);
  await write(store, 0, 1);
  assert.deepEqual(await store.layerUses(BUDGET_MS), [], 'one layer is the head alone');
  await withSnapshots(store);
  assert.deepEqual((await store.layerUses(BUDGET_MS)).map(blocksOf), [
    { live: 5, only: { s1: 4 }, shared: 1, unread: 0 },
    { live: 2, only: { s2: 2 }, shared: 0, unread: 0 },
    { live: 3, only: {}, shared: 0, unread: 0 },
  ]);
});

test('Maps that take too long are left out', async (t) => {
  const { store } = await withPool(t);
  await withSnapshots(store);
  assert.deepEqual(await store.layerUses(-1), []);
  assert.equal((await store.layerUses(BUDGET_MS)).length, 3);
});

test('A snapshot that is deleted gives back what was said of it', async (t) => {
  const { pool, store } = await withPool(t);
  await withSnapshots(store);
  const dataOf = async (): Promise<number> =>
    (await pool.files()).layers.reduce((sum, { dataBytes }) => sum + dataBytes, 0);
  const before = await dataOf();
  const only = (await store.layerUses(BUDGET_MS))
    .flatMap(({ onlyBytes }) => onlyBytes)
    .filter(({ snapshot }) => snapshot === S1)
    .reduce((sum, { bytes }) => sum + bytes, 0);
  await store.deleteSnapshot(S1);
  await store.flush();
  assert.equal(before - (await dataOf()), only);
});

test('The sum of the ledger is what the filesystem has allocated', async (t) => {
  const { root, pool, store } = await withPool(t);
  await withSnapshots(store);
  const identity = identityOf(CLONE, 'v2' as VolumeId);
  const cloneOf = { replica: REPLICA, snapshot: S2 };
  await pool.createReplica({ identity, sizeBytes: 2 ** 24, record: null, cloneOf });
  const clone = await pool.openReplica(CLONE);
  await write(clone, 7, 3);
  await clone.flush();
  const equal = async (title: string): Promise<PoolFiles> => {
    const files = await pool.files();
    assert.equal(sumOf(files), await diskUsage(root), title);
    return files;
  };
  const both = await equal('a volume with snapshots, and a clone');
  const held = both.layers.filter(({ holders }) => holders.length === 2);
  assert.equal(held.length, 2, 'two layers are in both');
  assert.ok(held.every(({ volume }) => volume === 'v1'));
  assert.deepEqual((await clone.layerUses(BUDGET_MS)).map(blocksOf).at(-1)?.live, 3);
  // Each mistake of counting is seen.
  for (const planted of [
    { ...both, layers: both.layers.slice(1) },
    { ...both, layers: [...both.layers, held[0]!] },
    { ...both, layers: both.layers.map((layer) => ({ ...layer, mapBytes: 0 })) },
    { ...both, replicas: [] },
    { ...both, poolBytes: 0 },
  ]) {
    assert.notEqual(sumOf(planted), await diskUsage(root), 'a planted miscount');
  }
  await store.deleteSnapshot(S2);
  await equal('a layer without its name, which the clone needs');
  await store.close();
  await equal('a replica that is closed');
  await pool.deleteReplica(REPLICA);
  const kept = await equal('layers of a deleted replica');
  assert.deepEqual(
    kept.layers.filter(({ volume }) => volume === 'v1').map(({ holders }) => holders.length),
    [1, 1],
    'kept for the clone alone',
  );
  await writeFile(join(root, 'letter'), 'x'.repeat(10_000));
  await writeFile(join(root, 'replicas', CLONE, `${'0'.repeat(16)}.data`), 'y'.repeat(5_000));
  const more = await equal('what is not ours');
  assert.ok(more.strangeBytes >= 10_000 && more.leftoverBytes >= 5_000);
});
