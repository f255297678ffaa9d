import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type ClusterId,
  type ErrorCode,
  hasCode,
  HoldfastError,
  type PoolId,
  type ReplicaId,
  type SnapshotId,
  type VolumeId,
} from '#api/mod.ts';
import { type Host, type OpenOptions } from '#host/mod.ts';
import { type DiskFault, SimWorld } from '#host/sim/mod.ts';
import { openFilePool, openFileReplica } from './file-pool.ts';
import { encodeEnvelope } from './format.ts';
import { writeMetadata } from './metadata-file.ts';
import {
  CLUSTER,
  filled,
  identityOf,
  POOL,
  REPLICA,
  StoreBench,
  submitTo,
} from './store.testkit.ts';

const S1 = 's1' as SnapshotId;
const R2 = 'r2' as ReplicaId;
const V2 = 'v2' as VolumeId;

/** Opens a pool in /p on a fresh machine and gives the error it meets. */
async function refusal(
  prepare: (world: SimWorld, host: Host) => Promise<void> | void,
  disk: (host: Host) => Host['disk'] = (host) => host.disk,
): Promise<{ error: HoldfastError; left: string[] }> {
  const world = new SimWorld(1);
  const host = world.addNode('a');
  await world.finish(host.disk.makeDirectory('/p'));
  await prepare(world, host);
  const before = await world.finish(host.disk.list('/p').catch(() => []));
  const options = { ...host, disk: disk(host), cluster: CLUSTER, pool: POOL, directory: '/p' };
  try {
    await world.finish(openFilePool(options));
  } catch (error) {
    assert.ok(HoldfastError.is(error));
    world.disk('a').removeFaults();
    const after = await world.finish(host.disk.list('/p').catch(() => []));
    assert.deepEqual(after, before, 'nothing is left behind');
    for (const detail of ['remedy']) assert.ok(detail in error.details, `details have ${detail}`);
    return { error, left: after };
  }
  throw new assert.AssertionError({ message: 'the pool opened' });
}

function fault(code: ErrorCode, verbs: DiskFault['verbs']): DiskFault {
  return { verbs: verbs!, path: '/p', effect: { kind: 'fail', code } };
}

test('A pool directory that is missing is refused', async () => {
  const { error } = await refusal(async (world, host) => {
    await world.finish(host.disk.remove('/p'));
  });
  assert.equal(error.code, 'not-found');
  assert.deepEqual([error.details['field'], error.details['value']], ['directory', '/p']);
});

test('A pool directory that is read-only is refused', async () => {
  const { error } = await refusal((world) => {
    world.disk('a').addFault(fault('read-only', ['open']));
  });
  assert.equal(error.code, 'read-only');
  assert.equal(error.details['value'], '/p');
});

test('A pool directory that is full is refused', async () => {
  const { error } = await refusal((world) => {
    world.disk('a').addFault(fault('no-space', ['write']));
  });
  assert.equal(error.code, 'no-space');
  assert.equal(error.details['value'], '/p');
});

test('A pool directory on a filesystem without holes is refused', async () => {
  const dense = (host: Host): Host['disk'] => {
    const disk = Object.create(host.disk) as Host['disk'];
    const bound = host.disk;
    return Object.assign(disk, {
      open: async (path: string, options: OpenOptions) => {
        const file = await bound.open(path, options);
        const stat = file.stat.bind(file);
        file.stat = async () => {
          const found = await stat();
          return { ...found, allocatedBytes: found.sizeBytes };
        };
        return file;
      },
      stat: bound.stat.bind(bound),
      space: bound.space.bind(bound),
      remove: bound.remove.bind(bound),
    });
  };
  const { error } = await refusal(() => {}, dense);
  assert.equal(error.code, 'no-holes');
  assert.equal(error.details['filesystem'], 'simfs');
});

test('A pool of another cluster is refused', async () => {
  const { error } = await refusal(async (world, host) => {
    const options = { ...host, cluster: 'other' as ClusterId, pool: POOL, directory: '/p' };
    const pool = await world.finish(openFilePool(options));
    await world.finish(pool.close());
  });
  assert.equal(error.code, 'store-foreign');
  assert.deepEqual([error.details['field'], error.details['value']], ['cluster', 'other']);
});

test('A pool of a newer format is refused', async () => {
  const { error } = await refusal(async (world, host) => {
    const newer = encodeEnvelope('POOL', { cluster: CLUSTER, pool: POOL });
    newer[12] = 2;
    const { crc32c, viewOf } = await import('#lib/mod.ts');
    const crc = crc32c(newer.subarray(48), crc32c(newer.subarray(0, 44)));
    viewOf(newer).setUint32(44, crc, true);
    await world.finish(writeMetadata(host.disk, '/p', 'holdfast-pool', () => newer));
  });
  assert.equal(error.code, 'store-newer-format');
});

test('A pool that is open already is refused', async () => {
  const { error } = await refusal(async (world, host) => {
    await world.finish(openFilePool({ ...host, cluster: CLUSTER, pool: POOL, directory: '/p' }));
  });
  assert.equal(error.code, 'store-locked');
  assert.equal(error.details['value'], '/p');
});

test('A replica with a size or segment that cannot be served is refused', async () => {
  const bench = await StoreBench.create();
  for (const sizeBytes of [0, -4096, 4097, 2 ** 53 + 4096, Number.NaN]) {
    const identity = identityOf(R2, V2);
    await assert.rejects(
      bench.run(bench.pool.createReplica({ identity, sizeBytes, record: null })),
      (error) => hasCode(error, 'invalid-argument'),
      String(sizeBytes),
    );
  }
  for (const segmentBytes of [0, 4096, 65_537, 2 ** 31]) {
    const identity = identityOf(R2, V2, segmentBytes);
    await assert.rejects(
      bench.run(bench.pool.createReplica({ identity, sizeBytes: 8192, record: null })),
      (error) => hasCode(error, 'invalid-argument'),
    );
  }
  const identity = identityOf('../x' as ReplicaId, V2);
  await assert.rejects(
    bench.run(bench.pool.createReplica({ identity, sizeBytes: 8192, record: null })),
    (error) => hasCode(error, 'invalid-argument'),
  );
  assert.equal((await bench.run(bench.pool.listReplicas())).length, 1);
});

test('A replica is created, opened, deleted once', async () => {
  const bench = await StoreBench.create();
  const create = { identity: identityOf(), sizeBytes: 8192, record: null };
  await assert.rejects(bench.run(bench.pool.createReplica(create)), (e) =>
    hasCode(e, 'already-exists'),
  );
  await assert.rejects(bench.run(bench.pool.openReplica(REPLICA)), (e) =>
    hasCode(e, 'store-locked'),
  );
  await assert.rejects(bench.run(bench.pool.deleteReplica(REPLICA)), (e) => hasCode(e, 'in-use'));
  await bench.run(bench.store.close());
  await bench.run(bench.pool.deleteReplica(REPLICA));
  assert.deepEqual(await bench.run(bench.host.disk.list('/pool/replicas')), []);
  await assert.rejects(bench.run(bench.pool.openReplica(REPLICA)), (e) => hasCode(e, 'not-found'));
});

test('openFileReplica opens a replica without its pool, one opener at a time', async () => {
  const bench = await StoreBench.create();
  await bench.write(1, filled(3));
  await bench.run(bench.store.close());
  const options = { ...bench.host, directory: '/pool/replicas/r1' };
  const store = await bench.run(openFileReplica(options));
  await assert.rejects(bench.run(openFileReplica(options)), (e) => hasCode(e, 'store-locked'));
  await assert.rejects(bench.run(bench.pool.openReplica(REPLICA)), (e) =>
    hasCode(e, 'store-locked'),
  );
  const data = filled(0);
  await bench.run(submitTo(store, 'read', 1, data, 1));
  assert.deepEqual(data, filled(3));
  await bench.run(store.close());
  await bench.openStore();
});

test('A source that was begun anew leaves its clone what it has, when it is deleted', async () => {
  const bench = await StoreBench.create();
  await bench.write(0, filled(1));
  await bench.run(bench.store.createSnapshot(S1, { epoch: 1, n: 1 }));
  const cloneOf = { replica: REPLICA, snapshot: S1 };
  const sizeBytes = 8 * 1024 * 1024;
  const identity = identityOf(R2, V2);
  await bench.run(bench.pool.createReplica({ identity, sizeBytes, record: null, cloneOf }));
  await bench.run(bench.store.reset(sizeBytes));
  await bench.run(bench.store.close());
  await bench.run(bench.pool.deleteReplica(REPLICA));
  await bench.openStore(R2);
  assert.deepEqual(await bench.read(0), filled(1));
  await bench.run(bench.store.close());
  await bench.run(bench.pool.deleteReplica(R2));
  assert.deepEqual(await bench.run(bench.host.disk.list('/pool/replicas')), []);
});

test('A replica is found by its id, without a look at the others', async () => {
  const bench = await StoreBench.create();
  const found = await bench.run(bench.pool.findReplica(REPLICA));
  assert.deepEqual([found], await bench.run(bench.pool.listReplicas()));
  assert.equal(await bench.run(bench.pool.findReplica(R2)), undefined);
  await bench.run(bench.store.close());
  await bench.run(bench.pool.deleteReplica(REPLICA));
  assert.equal(await bench.run(bench.pool.findReplica(REPLICA)), undefined);
});

test('A clone shares layers with its source, each may be deleted first', async () => {
  for (const first of ['source', 'clone', 'snapshot'] as const) {
    const bench = await StoreBench.create();
    await bench.write(0, filled(1, 4));
    await bench.run(bench.store.createSnapshot(S1, { epoch: 1, n: 1 }));
    await bench.write(1, filled(2));
    const cloneOf = { replica: REPLICA, snapshot: S1 };
    const sizeBytes = 16 * 1024 * 1024;
    const identity = identityOf(R2, V2);
    await bench.run(bench.pool.createReplica({ identity, sizeBytes, record: null, cloneOf }));
    if (first === 'snapshot') await bench.run(bench.store.deleteSnapshot(S1));
    assert.deepEqual(await bench.read(1), filled(2));
    assert.deepEqual(await bench.read(0), filled(1));
    await bench.run(bench.store.close());
    if (first === 'source') await bench.run(bench.pool.deleteReplica(REPLICA));
    await bench.openStore(R2);
    assert.deepEqual(await bench.read(0, 5), new Uint8Array([...filled(1, 4), ...filled(0)]));
    assert.deepEqual(
      await bench.run(bench.store.stampedSince({ epoch: 0, n: 0 }, 126, 10)),
      [126, 127].map((segment) => ({ segment, stamp: { epoch: 0, n: 1 } })),
      'what a clone was born with is stamped',
    );
    await bench.write(2, filled(9));
    await bench.reopen().catch(() => undefined);
    await bench.run(bench.pool.close()).catch(() => undefined);
    await bench.openPool();
    await bench.openStore(R2);
    assert.deepEqual(await bench.read(2), filled(9));
    await bench.run(bench.store.close());
    await bench.run(bench.pool.deleteReplica(R2));
    if (first === 'source') {
      assert.deepEqual(await bench.run(bench.host.disk.list('/pool/replicas')), []);
      continue;
    }
    await bench.openStore();
    assert.deepEqual(await bench.read(0, 2), new Uint8Array([...filled(1), ...filled(2)]));
    if (first === 'clone') {
      assert.deepEqual(await bench.read(1, 1, S1), filled(1));
      await bench.run(bench.store.deleteSnapshot(S1));
    } else {
      // Kept for the clone until now.
      await bench.run(bench.store.deleteSnapshot(S1));
    }
    assert.deepEqual(await bench.read(0, 2), new Uint8Array([...filled(1), ...filled(2)]));
    const names = await bench.run(bench.host.disk.list(bench.path('')));
    assert.equal(names.filter((name) => name.endsWith('.data')).length, 1, first);
  }
});

test('A pool id that is not an id is refused before a path is made', async () => {
  const bench = await StoreBench.create();
  for (const id of ['../r1', '', 'R1', 'a/b']) {
    await assert.rejects(bench.run(bench.pool.openReplica(id as ReplicaId)), (e) =>
      hasCode(e, 'invalid-argument'),
    );
  }
  const options = { ...bench.host, cluster: CLUSTER, pool: '../p' as PoolId, directory: '/pool' };
  await assert.rejects(bench.run(openFilePool(options)), (e) => hasCode(e, 'invalid-argument'));
});
