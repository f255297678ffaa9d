/** Schedules in which replicas are lost, come back, are drained, or have lost their vote. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Volume } from '#api/kinds/mod.ts';
import { API_VERSION, findCondition } from '#api/kinds/mod.ts';
import { Fleet } from './fleet.testkit.ts';

const MIB = 2 ** 20;
const NAME = 'vol';

async function makeVolume(fleet: Fleet, spec: Partial<Volume['spec']> = {}): Promise<Volume> {
  await fleet.client.create('Volume', {
    apiVersion: API_VERSION,
    kind: 'Volume',
    metadata: { name: NAME },
    spec: { size: '1Gi', replicas: 3, ...spec },
  });
  await fleet.until('made', async () => conditionOf(await read(fleet), 'Ready') === 'True');
  return read(fleet);
}

function read(fleet: Fleet): Promise<Volume> {
  return fleet.client.get('Volume', { name: NAME });
}

function conditionOf(volume: Volume, type: string): string | undefined {
  return findCondition(volume.status?.conditions, type)?.status;
}

function reasonOf(volume: Volume): string {
  return findCondition(volume.status?.conditions, 'Redundant')?.reason ?? '';
}

function messageOf(volume: Volume): string {
  return findCondition(volume.status?.conditions, 'Redundant')?.message ?? '';
}

async function serve(fleet: Fleet, nodeName: string): Promise<void> {
  const attachment = { nodeName, frontends: ['nbd'] };
  await fleet.client.patch('Volume', { name: NAME }, { spec: { attachment } });
  await fleet.until('served', async () => conditionOf(await read(fleet), 'Attached') === 'True');
}

function names(volume: Volume): string[] {
  return (volume.spec.placement ?? []).map((entry) => entry.replicaName);
}

async function untilReplaced(fleet: Fleet, lost: readonly string[], ms = 60_000): Promise<Volume> {
  await fleet.until(
    'replaced',
    async () => {
      const volume = await read(fleet);
      assert.equal(reasonOf(volume), 'AsWanted', messageOf(volume));
      assert.ok(names(volume).every((name) => !lost.includes(name)));
    },
    ms,
  );
  return read(fleet);
}

/** Served on its first node, with data, its second replica about to be lost. */
async function scene(fleet: Fleet, spec: Partial<Volume['spec']> = {}) {
  const volume = await makeVolume(fleet, spec);
  const [home, lost, other] = volume.spec.placement ?? [];
  assert.ok(home !== undefined && lost !== undefined && other !== undefined);
  fleet.copies.fill(NAME, 200 * MIB);
  await serve(fleet, home.nodeName);
  return { volume, home, lost, other, lostNode: fleet.node(lost.nodeName) };
}

describe('A lost replica', () => {
  test('is waited for as long as its volume says, then replaced where it fits best', async () => {
    await new Fleet(31, 5).run(async (fleet) => {
      const { lost, lostNode, volume } = await scene(fleet, { replaceAfterSeconds: 120 });
      lostNode.isSilent = true;
      await fleet.until('said', async () => reasonOf(await read(fleet)) === 'Waiting');
      assert.match(messageOf(await read(fleet)), /waited for 120 s, then replaced/);
      await fleet.host.clock.sleep(105_000);
      assert.deepEqual(names(await read(fleet)), names(volume), 'not before its time');
      const after = await untilReplaced(fleet, [lost.replicaName]);
      const added = after.spec.placement?.at(-1);
      assert.ok(['node-4', 'node-5'].includes(added?.nodeName ?? ''));
      assert.equal(fleet.copies.copiedBytes.get(NAME), 200 * MIB);
      assert.equal(fleet.calls('replica.delete'), 0, 'its node is silent');
      lostNode.isSilent = false;
      await fleet.until('cleaned', async () => lostNode.calls.includes('replica.delete'), 90_000);
      const { items } = await fleet.client.list('Event');
      const told = items.filter(
        (event) => event.regarding?.name === NAME && event.reason === 'Replacing',
      );
      assert.ok(told.length >= 1 && told.length <= 2, `${told.length} Events`);
      assert.deepEqual(fleet.copies.violations, []);
    });
  });

  test('that comes back before its time is levelled, not replaced', async () => {
    await new Fleet(32, 5).run(async (fleet) => {
      const { lostNode, volume } = await scene(fleet);
      lostNode.isSilent = true;
      await fleet.host.clock.sleep(250_000);
      lostNode.isSilent = false;
      await fleet.until('whole', async () => reasonOf(await read(fleet)) === 'AsWanted');
      await fleet.host.clock.sleep(300_000);
      assert.deepEqual(names(await read(fleet)), names(volume));
      assert.equal(fleet.calls('replica.create'), 3);
    });
  });

  test('that comes back while another is made stays, and the one too many goes', async () => {
    await new Fleet(33, 4).run(async (fleet) => {
      const { lost, lostNode } = await scene(fleet);
      fleet.copies.rebuildBytesPerSecond = 2 * MIB;
      lostNode.isSilent = true;
      await fleet.until(
        'being replaced',
        async () => names(await read(fleet)).length === 4,
        400_000,
      );
      lostNode.isSilent = false;
      await fleet.until(
        'three again',
        async () => {
          const volume = await read(fleet);
          assert.equal(names(volume).length, 3);
          assert.equal(reasonOf(volume), 'AsWanted', messageOf(volume));
          assert.ok(names(volume).includes(lost.replicaName));
        },
        200_000,
      );
      assert.deepEqual(fleet.copies.violations, []);
    });
  });

  test('waits where there is no other pool, and says of each why', async () => {
    await new Fleet(34, 3).run(async (fleet) => {
      const { lost, lostNode, volume } = await scene(fleet);
      lostNode.isSilent = true;
      await fleet.until('said', async () => reasonOf(await read(fleet)) === 'NoPlacement', 400_000);
      const said = messageOf(await read(fleet));
      assert.match(said, new RegExp(`${lost.replicaName} is lost`));
      for (const { poolName } of volume.spec.placement ?? []) assert.ok(said.includes(poolName));
      lostNode.isSilent = false;
      await fleet.until('whole', async () => reasonOf(await read(fleet)) === 'AsWanted');
      assert.deepEqual(names(await read(fleet)), names(volume));
    });
  });

  test('whose pool is open without it is replaced in the same pool', async () => {
    await new Fleet(35, 3).run(async (fleet) => {
      const { lost, lostNode } = await scene(fleet);
      lostNode.pools.get(lost.poolName)?.replicas.clear();
      const after = await untilReplaced(fleet, [lost.replicaName], 400_000);
      assert.equal(after.spec.placement?.at(-1)?.poolName, lost.poolName);
    });
  });

  test('and another one leave a single copy: it is never deleted, and becomes three', async () => {
    await new Fleet(36, 5).run(async (fleet) => {
      const { home, lost, other, lostNode } = await scene(fleet);
      lostNode.isSilent = true;
      fleet.node(other.nodeName).isSilent = true;
      const after = await untilReplaced(fleet, [lost.replicaName, other.replicaName], 500_000);
      assert.ok(names(after).includes(home.replicaName));
      assert.deepEqual(fleet.copies.violations, []);
    }, 7_200_000);
  });

  test('is replaced though its successor is lost too', async () => {
    await new Fleet(37, 6).run(async (fleet) => {
      const { lost, lostNode } = await scene(fleet);
      fleet.copies.rebuildBytesPerSecond = MIB;
      lostNode.isSilent = true;
      await fleet.until('placed', async () => names(await read(fleet)).length === 4, 400_000);
      const successor = (await read(fleet)).spec.placement?.at(-1);
      await fleet.host.clock.sleep(20_000);
      fleet.node(successor?.nodeName ?? '').isSilent = true;
      const gone = [lost.replicaName, successor?.replicaName ?? ''];
      await untilReplaced(fleet, gone, 900_000);
    }, 7_200_000);
  });

  test('of a volume that nobody uses is replaced by a nexus that is lent for it', async () => {
    await new Fleet(38, 4).run(async (fleet) => {
      const volume = await makeVolume(fleet);
      const [, lost] = volume.spec.placement ?? [];
      fleet.node(lost?.nodeName ?? '').isSilent = true;
      await untilReplaced(fleet, [lost?.replicaName ?? ''], 500_000);
      await fleet.until('given back', async () => {
        const open = [...fleet.nodes.values()].reduce(
          (sum, node) => sum + node.attachments.size,
          0,
        );
        assert.equal(open, 0);
      });
    }, 7_200_000);
  });

  test('that is the only one is waited for, and no empty one takes its place', async () => {
    await new Fleet(40, 3).run(async (fleet) => {
      const volume = await makeVolume(fleet, { replicas: 1, replaceAfterSeconds: 10 });
      const node = fleet.node(volume.spec.placement?.[0]?.nodeName ?? '');
      node.isSilent = true;
      await fleet.until('said', async () => reasonOf(await read(fleet)) === 'AllLost', 120_000);
      await fleet.host.clock.sleep(60_000);
      assert.deepEqual(names(await read(fleet)), names(volume));
      assert.equal(fleet.calls('volume.attach'), 0);
      node.isSilent = false;
      await fleet.until('back', async () => reasonOf(await read(fleet)) === 'AsWanted', 120_000);
    });
  });

  test('was lost while nobody looked: its time counts from when somebody does', async () => {
    await new Fleet(39, 4).run(async (fleet) => {
      const { home, lost, volume } = await scene(fleet);
      const serving = fleet.node(home.nodeName);
      serving.absent.add(lost.replicaName);
      await fleet.until('seen', async () => reasonOf(await read(fleet)) === 'Waiting');
      await fleet.client.patch('Volume', { name: NAME }, { spec: { attachment: null } });
      await fleet.host.clock.sleep(3_600_000);
      assert.deepEqual(names(await read(fleet)), names(volume));
      await serve(fleet, home.nodeName);
      await fleet.host.clock.sleep(200_000);
      assert.deepEqual(
        names(await read(fleet)),
        names(volume),
        'an hour without a nexus is no loss',
      );
    }, 7_200_000);
  });
});

describe('A replica without a vote', () => {
  test('gets a successor with a vote in its own pool, and then goes', async () => {
    await new Fleet(41, 3).run(async (fleet) => {
      const { home, lost } = await scene(fleet);
      fleet.node(home.nodeName).voteless.add(lost.replicaName);
      const after = await untilReplaced(fleet, [lost.replicaName]);
      assert.equal(after.spec.placement?.at(-1)?.poolName, lost.poolName);
      assert.deepEqual(fleet.copies.violations, []);
    });
  });

  test('stays where no other one has a vote', async () => {
    await new Fleet(42, 3).run(async (fleet) => {
      const { home, volume } = await scene(fleet);
      for (const name of names(volume)) fleet.node(home.nodeName).voteless.add(name);
      await fleet.host.clock.sleep(100_000);
      assert.deepEqual(names(await read(fleet)), names(volume));
    });
  });
});

describe('A node that is gone for good', () => {
  test('is deleted with its pool, and what waited for it is forgotten', async () => {
    await new Fleet(46, 4).run(async (fleet) => {
      const { lost, lostNode } = await scene(fleet, { replaceAfterSeconds: 10 });
      lostNode.isSilent = true;
      await untilReplaced(fleet, [lost.replicaName]);
      await fleet.client.delete('StorageNode', { name: lost.nodeName });
      await fleet.client.delete('DiskPool', { name: lost.poolName });
      await fleet.until(
        'forgotten',
        async () => {
          const { items: nodes } = await fleet.client.list('StorageNode');
          const { items: replicas } = await fleet.client.list('Replica');
          assert.deepEqual([nodes.length, replicas.length], [3, 3]);
        },
        200_000,
      );
      assert.equal(reasonOf(await read(fleet)), 'AsWanted');
    });
  });
});

describe('A drained node', () => {
  const drain = (fleet: Fleet, name: string, isWanted: boolean) =>
    fleet.client.patch('StorageNode', { name }, { spec: { drain: isWanted } });

  test('loses its replicas after others took their place, while the volume serves', async () => {
    await new Fleet(43, 4).run(async (fleet) => {
      const { lost, lostNode } = await scene(fleet);
      fleet.copies.rebuildBytesPerSecond = 20 * MIB;
      await drain(fleet, lost.nodeName, true);
      await fleet.until('moving', async () => names(await read(fleet)).length === 4);
      assert.equal(conditionOf(await read(fleet), 'Redundant'), 'True', 'nothing is at risk');
      await fleet.until('said', async () => {
        const { status } = await fleet.client.get('StorageNode', { name: lost.nodeName });
        const drained = findCondition(status?.conditions, 'Drained');
        assert.equal(drained?.reason, 'Draining');
        assert.ok(drained.message.includes(lost.replicaName));
      });
      await untilReplaced(fleet, [lost.replicaName]);
      await fleet.until('said to be empty', async () => {
        const { status } = await fleet.client.get('StorageNode', { name: lost.nodeName });
        assert.equal(findCondition(status?.conditions, 'Drained')?.status, 'True');
      });
      await fleet.until('empty', async () => {
        const held = [...lostNode.pools.values()].reduce(
          (sum, pool) => sum + pool.replicas.size,
          0,
        );
        assert.equal(held, 0);
      });
      assert.deepEqual(fleet.copies.violations, []);
    });
  });

  test('without room elsewhere keeps them, says why, and can be taken back', async () => {
    await new Fleet(44, 3).run(async (fleet) => {
      const { lost, volume } = await scene(fleet);
      await drain(fleet, lost.nodeName, true);
      await fleet.until('said', async () => reasonOf(await read(fleet)) === 'CannotMove');
      assert.match(messageOf(await read(fleet)), /1 replicas need 1 nodes and 0 can be used/);
      await drain(fleet, lost.nodeName, false);
      await fleet.until('well', async () => reasonOf(await read(fleet)) === 'AsWanted');
      assert.deepEqual(names(await read(fleet)), names(volume));
    });
  });

  test('of a volume that nobody uses is emptied too', async () => {
    await new Fleet(45, 4).run(async (fleet) => {
      const volume = await makeVolume(fleet);
      const [first] = volume.spec.placement ?? [];
      await drain(fleet, first?.nodeName ?? '', true);
      await untilReplaced(fleet, [first?.replicaName ?? '']);
    });
  });
});
