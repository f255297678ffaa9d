import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { hasCode, type SnapshotId } from '#api/mod.ts';
import { createNodeHost } from '#host/node/mod.ts';
import { openFilePool } from './file-pool.ts';
import { CLUSTER, filled, identityOf, POOL, REPLICA, submitTo } from './store.testkit.ts';

test('A replica on a real filesystem keeps what was written', async () => {
  const root = await mkdtemp(join(tmpdir(), 'holdfast-store-'));
  const { disk, rng, clock, log } = createNodeHost({ logLevel: 'silent' });
  const options = { disk, rng, clock, log, cluster: CLUSTER, pool: POOL, directory: root };
  const create = { identity: identityOf(), sizeBytes: 2 ** 40, record: null };
  try {
    const pool = await openFilePool(options);
    await assert.rejects(openFilePool(options), (error) => hasCode(error, 'store-locked'));
    await pool.createReplica({ ...create, identity: identityOf(REPLICA, undefined, 2 ** 20) });
    let store = await pool.openReplica(REPLICA);
    await submitTo(store, 'write', 2 ** 27, filled(7, 3), 3);
    await store.createSnapshot('s1' as SnapshotId, { epoch: 1, n: 1 });
    await submitTo(store, 'zero', 2 ** 27, new Uint8Array(0), 1);
    await store.flush();
    await store.close();
    store = await pool.openReplica(REPLICA);
    assert.equal(store.state().condition, 'clean');
    const data = new Uint8Array(3 * 4096);
    await submitTo(store, 'read', 2 ** 27, data, 3);
    assert.deepEqual(data, new Uint8Array([...filled(0), ...filled(7, 2)]));
    await store.deleteSnapshot('s1' as SnapshotId);
    assert.deepEqual((await store.scrub(1e9)).mismatches, []);
    const { headBytes, snapshotBytes } = await store.usage();
    assert.ok(headBytes < 64 * 1024 && snapshotBytes === 0);
    await store.close();
    await pool.deleteReplica(REPLICA);
    assert.deepEqual(await disk.list(join(root, 'replicas')), []);
    await pool.close();
  } finally {
    await rm(root, { recursive: true, force: true });
  }
});
