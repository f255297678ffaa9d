/** What the engine remembers on disk is a help, never a reason not to start. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type {
  AttachSpec,
  ClusterId,
  PoolId,
  ReplicaId,
  ReplicaIdentity,
  VolumeId,
} from '#api/mod.ts';
import { replaceWholeFile } from '#host/mod.ts';
import { SimWorld } from '#host/sim/mod.ts';
import { encodeText } from '#lib/mod.ts';
import { AttachmentStore } from './attachment-store.ts';
import { PoolRegistry } from './pool-registry.ts';

const DAMAGES: readonly [string, (text: string) => string][] = [
  ['empty', () => ''],
  ['truncated', (text) => text.slice(0, 20)],
  ['of zeroes', (text) => '\0'.repeat(text.length)],
  ['of another shape', () => '[{"pool":"../x","directory":"../y"}]'],
  ['null', () => 'null'],
];

const SPEC = {
  cluster: 'c' as ClusterId,
  volume: 'v' as VolumeId,
  claim: '',
  sizeBytes: 4096,
  segmentBytes: 65_536,
  replicas: [],
  isolation: 'thread',
  onQuorumLoss: 'suspend',
  frontends: ['nbd'],
  readOnly: false,
  snapshot: null,
} satisfies AttachSpec;

const IDENTITY: ReplicaIdentity = {
  cluster: 'c' as ClusterId,
  volume: 'v' as VolumeId,
  replica: 'r' as ReplicaId,
  pool: 'p' as PoolId,
  shard: 0,
  segmentBytes: 65_536,
  claim: '',
};

for (const [name, damage] of DAMAGES) {
  test(`An attachment file that is ${name} is passed over, the others are read`, async () => {
    const world = new SimWorld(1);
    const { disk, log } = world.addNode('a');
    const store = new AttachmentStore(disk, '/state/attachments', log);
    await world.finish(
      (async () => {
        assert.deepEqual(await store.load(), []);
        await store.put(SPEC);
        const bad = encodeText(damage(JSON.stringify({ ...SPEC, volume: 'w' })));
        await replaceWholeFile(disk, '/state/attachments/w.attachment.json', bad);
        assert.deepEqual(await store.load(), [SPEC]);
      })(),
    );
    assert.equal(
      world.logs.filter((line) => /Attachment cannot be read/.test(line.message)).length,
      1,
    );
  });

  test(`A list of pools that is ${name} is said, and the pools are asked for again`, async () => {
    const world = new SimWorld(1);
    const host = world.addNode('a');
    await world.finish(
      (async () => {
        await host.disk.makeDirectory('/state');
        await host.disk.makeDirectory('/p');
        const first = new PoolRegistry(host, 'c' as ClusterId, '/state/pools.json');
        await first.ensure('p' as PoolId, '/p', true);
        await first.close();
        const text = JSON.stringify([{ pool: 'p', directory: '/p' }]);
        await replaceWholeFile(host.disk, '/state/pools.json', encodeText(damage(text)));
        const second = new PoolRegistry(host, 'c' as ClusterId, '/state/pools.json');
        await second.load();
        assert.deepEqual(second.opened(), []);
        await second.ensure('p' as PoolId, '/p', false);
        await second.close();
        const third = new PoolRegistry(host, 'c' as ClusterId, '/state/pools.json');
        await third.load();
        assert.equal(third.opened().length, 1);
        await third.close();
      })(),
    );
    assert.equal(world.logs.filter((line) => /pools cannot be read/.test(line.message)).length, 1);
  });
}

test('A replica that came or went is in the next report, without a look at all', async () => {
  const world = new SimWorld(1);
  const host = world.addNode('a');
  await world.finish(
    (async () => {
      await host.disk.makeDirectory('/state');
      await host.disk.makeDirectory('/p');
      const pool = 'p' as PoolId;
      const registry = new PoolRegistry(host, 'c' as ClusterId, '/state/pools.json');
      await registry.ensure(pool, '/p', true);
      const store = registry.get(pool);
      const reported = async (): Promise<string[]> => {
        const [report] = await registry.reports(() => Promise.resolve(null));
        return (report?.replicas ?? []).map(({ identity }) => identity.replica).sort();
      };
      const create = async (replica: ReplicaId): Promise<void> => {
        const identity = { ...IDENTITY, pool, replica };
        await store.createReplica({ identity, sizeBytes: 65_536, record: null });
      };
      assert.deepEqual(await reported(), []);
      let looks = 0;
      const list = store.listReplicas.bind(store);
      store.listReplicas = () => {
        looks += 1;
        return list();
      };
      const replicas = ['r-1', 'r-2', 'r-3'] as ReplicaId[];
      await Promise.all(replicas.map((replica) => create(replica)));
      assert.deepEqual(await reported(), [], 'what nobody told of is as old as the last look');
      await Promise.all(replicas.map((replica) => registry.changed(pool, replica)));
      assert.deepEqual(await reported(), replicas);
      await store.deleteReplica('r-2' as ReplicaId);
      await registry.changed(pool, 'r-2' as ReplicaId);
      assert.deepEqual(await reported(), ['r-1', 'r-3']);
      assert.equal(looks, 0);
      await registry.close();
    })(),
  );
});
