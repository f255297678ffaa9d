import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Volume } from '#api/kinds/mod.ts';
import { findCondition, isConditionTrue } from '#api/kinds/mod.ts';
import { changeStatus, keyOf } from '#control/kube/mod.ts';
import { HoldfastError } from '#api/mod.ts';
import { Fleet } from './fleet.testkit.ts';
import { explain } from './graph/explain.ts';
import { findWhere } from './graph/where.ts';

const SNAPSHOT = { apiGroup: 'holdfast.dev', kind: 'Snapshot', name: 'before' } as const;
const DEMO = { namespace: 'default', name: 'demo' };

async function volumeOf(fleet: Fleet, name = 'demo'): Promise<Volume> {
  const claim = await fleet.client.get('PersistentVolumeClaim', { namespace: 'default', name });
  assert.ok(claim.spec.volumeName !== undefined, 'the claim is bound');
  const { spec } = await fleet.client.get('PersistentVolume', { name: claim.spec.volumeName });
  return fleet.client.get('Volume', { name: spec.csi?.volumeHandle ?? '' });
}

async function bind(fleet: Fleet, name = 'demo', change: object = {}): Promise<Volume> {
  await fleet.createClaim(name, change);
  await fleet.until('bound', async () => {
    const key = { namespace: 'default', name };
    const claim = await fleet.client.get('PersistentVolumeClaim', key);
    assert.equal(claim.status?.phase, 'Bound');
  });
  return volumeOf(fleet, name);
}

async function attach(fleet: Fleet, volume: Volume, change: object = {}): Promise<void> {
  const { name } = volume.metadata;
  const nodeName = volume.spec.placement?.[0]?.nodeName;
  const attachment = { nodeName, frontends: ['nbd', 'fuse'], ...change };
  await fleet.client.patch('Volume', { name }, { spec: { attachment } });
  await fleet.until('attached', async () => {
    const { status } = await fleet.client.get('Volume', { name });
    assert.ok(isConditionTrue(status?.conditions, 'Attached'));
  });
}

async function gone(fleet: Fleet, kind: 'Volume' | 'Replica' | 'Snapshot'): Promise<void> {
  await fleet.until(`no ${kind}`, async () => {
    assert.equal((await fleet.client.list(kind)).items.length, 0);
  });
}

describe('Operator', () => {
  test('A claim becomes a volume with a replica on each of three nodes, made once', async () => {
    await new Fleet(1, 3).run(async (fleet) => {
      const volume = await bind(fleet);
      assert.match(volume.metadata.name, /^pvc-[0-9a-f]{12}$/);
      const nodes = volume.spec.placement?.map((entry) => entry.nodeName).sort();
      assert.deepEqual(nodes, ['node-1', 'node-2', 'node-3']);
      assert.equal(fleet.calls('replica.create'), 3);
      const { items } = await fleet.client.list('Replica');
      const founders = items.map((replica) => replica.spec.founders?.length);
      assert.deepEqual(founders, [3, 3, 3]);
    });
  });

  test('A cluster at rest asks the API server nothing, and notices a silent node', async () => {
    await new Fleet(1, 3).run(async (fleet) => {
      await bind(fleet);
      await fleet.createMount('demo', '/mnt/demo');
      await fleet.host.clock.sleep(30_000);
      fleet.requests.length = 0;
      await fleet.host.clock.sleep(120_000);
      assert.deepEqual(fleet.requests, []);

      fleet.node('node-2').isSilent = true;
      await fleet.host.clock.sleep(11_000);
      const { status } = await fleet.client.get('StorageNode', { name: 'node-2' });
      assert.equal(findCondition(status?.conditions, 'Ready')?.reason, 'EngineSilent');
    });
  });

  for (const isApplied of [false, true]) {
    const title = isApplied ? 'after the act' : 'before the act';
    test(`Engines that fail ${title} are asked again and nothing is made twice`, async () => {
      const fleet = new Fleet(isApplied ? 2 : 3, 3);
      for (const node of fleet.nodes.values()) {
        node.failNext('pool.ensure', 'timed-out', isApplied);
        node.failNext('replica.create', 'io-error', isApplied, 2);
        node.failNext('volume.attach', 'disconnected', isApplied);
        for (const call of ['NodeStageVolume', 'NodePublishVolume']) {
          node.failNext(call, 'timed-out', isApplied);
        }
      }
      await fleet.run(async () => {
        await bind(fleet);
        await fleet.createMount('demo', '/mnt/demo');
        const made = [...fleet.nodes.values()].flatMap((node) =>
          [...node.pools.values()].map((pool) => pool.replicas.size),
        );
        assert.deepEqual(made, [1, 1, 1]);
        assert.equal(fleet.node('node-1').mounts.length, 1);
      });
    });
  }

  test('More replicas than nodes is refused with every pool and why', async () => {
    await new Fleet(4, 2).run(async (fleet) => {
      await fleet.createClaim('demo');
      await fleet.until('refused', async () => {
        const claim = await fleet.client.get('PersistentVolumeClaim', DEMO);
        assert.equal(claim.status?.phase, 'Pending');
        const ready = findCondition(claim.status?.conditions, 'Ready');
        assert.equal(ready?.reason, 'NoPlacement');
        assert.match(ready.message, /3 replicas need 3 nodes and 2 can be used/);
      });
      assert.equal(fleet.calls('replica.create'), 0);
      const explanation = await explain(fleet.operator.context, {
        kind: 'PersistentVolumeClaim',
        ...DEMO,
      });
      assert.match(explanation.summary, /NoPlacement/);
      assert.ok(explanation.remedies.length > 0);
    });
  });

  test('An external action is written to the status before it is tried', async () => {
    const fleet = new Fleet(5, 3);
    await fleet.run(async () => {
      const volume = await bind(fleet);
      const node = fleet.node(volume.spec.placement?.[0]?.nodeName ?? '');
      node.failNext('volume.attach', 'io-error', false, 1_000);
      const { name } = volume.metadata;
      const attachment = { nodeName: node.name, frontends: ['nbd'] };
      await fleet.client.patch('Volume', { name }, { spec: { attachment } });
      await fleet.until('pending', async () => {
        const { status } = await fleet.client.get('Volume', { name });
        assert.equal(status?.pendingAction?.action, 'attach');
        assert.equal(status.pendingAction.target, node.name);
        const attached = findCondition(status.conditions, 'Attached');
        assert.equal(attached?.reason, 'IoError');
      });
      const { items } = await fleet.client.list('Event');
      const told = items.filter((event) => event.reason === 'IoError');
      assert.equal(told.length, 1, 'one Event for the change, not one for each try');
    });
  });

  test('Deleting a mounted volume waits, says so, and goes on after the unmount', async () => {
    await new Fleet(9, 3).run(async (fleet) => {
      const volume = await bind(fleet);
      await fleet.createMount('demo', '/mnt/demo');
      await fleet.client.delete('PersistentVolumeClaim', DEMO);
      await fleet.client.delete('Volume', { name: volume.metadata.name });
      await fleet.until('said', async () => {
        const claim = await fleet.client.get('PersistentVolumeClaim', DEMO);
        const { status } = await fleet.client.get('Volume', { name: volume.metadata.name });
        for (const conditions of [claim.status?.conditions, status?.conditions]) {
          assert.equal(findCondition(conditions, 'Terminating')?.reason, 'InUse');
        }
      });
      assert.equal(fleet.calls('replica.delete'), 0);
      assert.equal(fleet.node('node-1').mounts.length, 1);
      await fleet.client.delete('Mount', { namespace: 'default', name: 'demo-mount' });
      await gone(fleet, 'Volume');
      await gone(fleet, 'Replica');
      assert.equal(fleet.calls('replica.delete'), 3);
      assert.equal(fleet.node('node-1').attachments.size, 0);
    });
  });

  test('A snapshot of a volume that nobody serves borrows an attachment and gives it back', async () => {
    await new Fleet(10, 3).run(async (fleet) => {
      const volume = await bind(fleet);
      await createSnapshot(fleet, volume, 'before');
      await fleet.until('taken', async () => {
        const snapshot = await fleet.client.get('Snapshot', { name: 'before' });
        assert.equal(snapshot.status?.readyToUse, true);
        assert.equal(snapshot.status.replicas?.length, 3);
      });
      assert.equal(fleet.calls('volume.createSnapshot'), 1);
      await fleet.until('given back', async () => {
        assert.equal(
          [...fleet.nodes.values()].reduce((sum, node) => sum + node.attachments.size, 0),
          0,
        );
      });
    });
  });

  test('A snapshot whose answer was lost is found again; one of somebody else is not', async () => {
    const fleet = new Fleet(61, 3);
    for (const node of fleet.nodes.values()) {
      node.failNext('volume.createSnapshot', 'disconnected', true);
    }
    await fleet.run(async () => {
      const volume = await bind(fleet);
      await createSnapshot(fleet, volume, 'before');
      await fleet.until('taken', async () => {
        const { status } = await fleet.client.get('Snapshot', { name: 'before' });
        return status?.readyToUse === true;
      });
      assert.equal(fleet.calls('volume.createSnapshot'), 2);
      // As after a loss of the objects: the replicas hold one that no object tells of.
      fleet.addSnapshot(volume.metadata.name, 'older');
      await fleet.client.create('Snapshot', {
        apiVersion: volume.apiVersion,
        kind: 'Snapshot',
        metadata: { name: 'older' },
        spec: { volumeName: volume.metadata.name },
      });
      await fleet.host.clock.sleep(30_000);
      const { status } = await fleet.client.get('Snapshot', { name: 'older' });
      assert.equal(findCondition(status?.conditions, 'Ready')?.reason, 'AlreadyExists');
      assert.notEqual(status?.readyToUse, true);
    });
  });

  test('A restore is placed in the pools of its source, born from the snapshot', async () => {
    await new Fleet(11, 5).run(async (fleet) => {
      const volume = await bind(fleet);
      await createSnapshot(fleet, volume, 'before');
      const copy = await bind(fleet, 'copy', { dataSourceRef: SNAPSHOT });
      const poolsOf = (object: Volume) => object.spec.placement?.map((entry) => entry.poolName);
      assert.deepEqual(poolsOf(copy), poolsOf(volume));
      const sources = volume.spec.placement?.map((entry) => entry.replicaName);
      assert.deepEqual(
        copy.spec.placement?.map((entry) => entry.cloneOf?.replicaName),
        sources,
      );
      await fleet.createMount('copy', '/mnt/copy');
      assert.equal(fleet.calls('mayFormat true'), 0);
    });
  });

  test('A clone of a claim takes a snapshot for itself, and both go with it', async () => {
    await new Fleet(12, 3).run(async (fleet) => {
      await bind(fleet);
      await bind(fleet, 'copy', { dataSource: { kind: 'PersistentVolumeClaim', name: 'demo' } });
      assert.equal((await fleet.client.list('Snapshot')).items.length, 1);
      const key = { namespace: 'default', name: 'copy' };
      await fleet.client.delete('PersistentVolumeClaim', key);
      await gone(fleet, 'Snapshot');
      assert.equal((await fleet.client.list('Volume')).items.length, 1);
    });
  });

  test('A snapshot of another namespace is not there for a claim', async () => {
    await new Fleet(13, 3).run(async (fleet) => {
      const volume = await bind(fleet);
      await createSnapshot(fleet, volume, 'before');
      await fleet.client.create('PersistentVolumeClaim', {
        apiVersion: 'v1',
        kind: 'PersistentVolumeClaim',
        metadata: { namespace: 'kube-public', name: 'thief' },
        spec: {
          accessModes: ['ReadWriteOnce'],
          resources: { requests: { storage: '1Gi' } },
          dataSourceRef: SNAPSHOT,
        },
      });
      await fleet.until('refused', async () => {
        const key = { namespace: 'kube-public', name: 'thief' };
        const claim = await fleet.client.get('PersistentVolumeClaim', key);
        assert.equal(findCondition(claim.status?.conditions, 'Ready')?.reason, 'SourceMissing');
      });
    });
  });

  test('A volume with snapshots is not deleted', async () => {
    await new Fleet(14, 3).run(async (fleet) => {
      const volume = await bind(fleet);
      await createSnapshot(fleet, volume, 'before');
      await fleet.client.delete('PersistentVolumeClaim', DEMO);
      await fleet.until('said', async () => {
        const [kept] = (await fleet.client.list('PersistentVolume')).items;
        assert.equal(kept?.status?.phase, 'Released');
        assert.match(kept.status.message ?? '', /before/);
      });
      assert.equal(fleet.calls('replica.delete'), 0);
      await fleet.client.delete('Snapshot', { name: 'before' });
      await gone(fleet, 'Volume');
    });
  });

  test('Growing a claim grows the volume and then its filesystem, each once', async () => {
    await new Fleet(15, 3).run(async (fleet) => {
      await bind(fleet);
      await fleet.createMount('demo', '/mnt/demo');
      await fleet.client.patch('PersistentVolumeClaim', DEMO, {
        spec: { resources: { requests: { storage: '2Gi' } } },
      });
      await fleet.until('grown', async () => {
        const claim = await fleet.client.get('PersistentVolumeClaim', DEMO);
        assert.equal(claim.status?.capacity?.storage, '2Gi');
        const key = { namespace: 'default', name: 'demo-mount' };
        const { status } = await fleet.client.get('Mount', key);
        assert.equal(status?.filesystemBytes, 2 * 2 ** 30);
      });
      await fleet.host.clock.sleep(20_000);
      assert.equal(fleet.calls('volume.grow'), 1);
      // Once for the size that it was mounted with, once for the new one.
      assert.equal(fleet.calls('NodeExpandVolume'), 2);
    });
  });

  test('A deleted replica is replaced only while others are in sync', async () => {
    await new Fleet(16, 4).run(async (fleet) => {
      const volume = await bind(fleet);
      await attach(fleet, volume);
      const [first, second, third] = volume.spec.placement ?? [];
      assert.ok(first !== undefined && second !== undefined && third !== undefined);
      const serving = fleet.node(first.nodeName);
      serving.absent.add(second.replicaName).add(third.replicaName);
      await fleet.client.delete('Replica', { name: first.replicaName });
      await fleet.until('kept', async () => {
        const { status } = await volumeOf(fleet);
        assert.equal(findCondition(status?.conditions, 'Redundant')?.reason, 'LastCopy');
      });
      await fleet.host.clock.sleep(5_000);
      assert.equal(fleet.calls('replica.delete'), 0, 'the last copy in sync is never deleted');
      serving.absent.clear();
      await fleet.until('replaced', async () => {
        const { spec, status } = await volumeOf(fleet);
        assert.equal(spec.placement?.length, 3);
        assert.ok(spec.placement.every((entry) => entry.replicaName !== first.replicaName));
        assert.equal(findCondition(status?.conditions, 'Redundant')?.status, 'True');
      });
      const { spec } = await volumeOf(fleet);
      const added = spec.placement?.find((entry) => !entry.founder);
      assert.equal(added?.nodeName, 'node-4');
      const replica = await fleet.client.get('Replica', { name: added.replicaName });
      assert.equal(replica.spec.founders, undefined, 'it joins, it does not found');
      const before = fleet.calls('volume.setReplicas');
      await fleet.host.clock.sleep(20_000);
      assert.equal(fleet.calls('volume.setReplicas'), before, 'the operator comes to rest');
    });
  });

  test('An open pool without a replica that it held is a fault, not a fresh start', async () => {
    await new Fleet(17, 3).run(async (fleet) => {
      const volume = await bind(fleet);
      const entry = volume.spec.placement?.[0];
      assert.ok(entry !== undefined);
      fleet.node(entry.nodeName).pools.get(entry.poolName)?.replicas.clear();
      await fleet.until('said', async () => {
        const replica = await fleet.client.get('Replica', { name: entry.replicaName });
        assert.equal(findCondition(replica.status?.conditions, 'Ready')?.reason, 'ReplicaMissing');
      });
      await fleet.host.clock.sleep(20_000);
      assert.equal(fleet.calls('replica.create'), 3);
    });
  });

  test('With every status gone the same state is found again from the replicas', async () => {
    await new Fleet(18, 3).run(async (fleet) => {
      await bind(fleet);
      await fleet.createMount('demo', '/mnt/demo');
      // What CSI is asked may be asked again.
      const count = (): number =>
        [...fleet.nodes.values()]
          .flatMap((node) => node.calls)
          .filter((call) => !call.startsWith('Node')).length;
      const callsBefore = count();
      for (const kind of ['Volume', 'Replica', 'DiskPool', 'StorageNode'] as const) {
        for (const object of (await fleet.client.list(kind)).items) {
          await changeStatus(fleet.client, kind, keyOf(object), () => ({}));
        }
      }
      await fleet.until('found again', async () => {
        const { status } = await volumeOf(fleet);
        for (const type of ['Ready', 'Attached', 'Healthy']) {
          assert.ok(isConditionTrue(status?.conditions, type), type);
        }
        assert.equal(status?.members?.length, 3);
        const claim = await fleet.client.get('PersistentVolumeClaim', DEMO);
        assert.equal(claim.status?.phase, 'Bound');
      });
      assert.equal(count(), callsBefore, 'nothing was done again');
    });
  });

  test('A claim whose volume is gone is Lost, never served by a fresh one', async () => {
    await new Fleet(19, 3).run(async (fleet) => {
      const volume = await bind(fleet);
      const { name } = volume.metadata;
      await fleet.client.patch('Volume', { name }, { metadata: { finalizers: [] } });
      await fleet.operator.stop();
      await fleet.client.delete('Volume', { name }).catch(() => {});
      await fleet.client
        .patch('Volume', { name }, { metadata: { finalizers: [] } })
        .catch(() => {});
      const operator = fleet.createOperator();
      await operator.start();
      await fleet.until('lost', async () => {
        const claim = await fleet.client.get('PersistentVolumeClaim', DEMO);
        assert.equal(claim.status?.phase, 'Lost');
      });
      assert.equal((await fleet.client.list('Volume')).items.length, 0);
      await operator.stop();
    });
  });

  test('An engine of another cluster is not believed', async () => {
    const fleet = new Fleet(20, 3);
    const foreign = fleet.node('node-2');
    const call = foreign.call.bind(foreign);
    foreign.call = async (method, params) => {
      const result = await call(method, params);
      if (!method.startsWith('engine.describe')) return result;
      return { ...(result as object), cluster: 'somebody-else' };
    };
    await fleet.run(async () => {
      await fleet.until('said', async () => {
        const node = await fleet.client.get('StorageNode', { name: 'node-2' });
        assert.equal(findCondition(node.status?.conditions, 'Ready')?.reason, 'WrongIdentity');
      });
      assert.equal(foreign.calls.length, 0);
    });
  });

  test('A node that is silent at first is used when it comes', async () => {
    const fleet = new Fleet(21, 3);
    fleet.node('node-3').isSilent = true;
    await fleet.run(async () => {
      await fleet.createClaim('demo');
      await fleet.until('waits', async () => {
        const claim = await fleet.client.get('PersistentVolumeClaim', DEMO);
        const ready = findCondition(claim.status?.conditions, 'Ready');
        assert.match(ready?.message ?? '', /node-3-pool on node-3: its node does not answer/);
      });
      fleet.node('node-3').isSilent = false;
      await fleet.until('bound', async () => {
        const claim = await fleet.client.get('PersistentVolumeClaim', DEMO);
        assert.equal(claim.status?.phase, 'Bound');
      });
    });
  });

  test('Quiescing unmounts and detaches everything and keeps the specs', async () => {
    await new Fleet(22, 3).run(async (fleet) => {
      await bind(fleet);
      await fleet.createMount('demo', '/mnt/demo');
      assert.deepEqual(await fleet.operator.quiesce(10_000), []);
      const node = fleet.node('node-1');
      assert.equal(node.mounts.length + node.attachments.size, 0);
      const last = node.calls.filter((call) => /Unstage|Unpublish|detach/.test(call));
      assert.deepEqual(last, ['NodeUnpublishVolume', 'NodeUnstageVolume', 'volume.detach']);
      assert.equal((await volumeOf(fleet)).spec.attachment?.nodeName, 'node-1');
      assert.equal((await fleet.client.list('Mount')).items.length, 1);
    });
  });
});

describe('where and explain', () => {
  test('where finds the way from a claim to the disks and from a disk to its claims', async () => {
    await new Fleet(23, 3).run(async (fleet) => {
      await bind(fleet);
      const { context } = fleet.operator;
      await fleet.until('reported', async () => {
        const { items } = await fleet.client.list('Replica');
        assert.ok(items.every((replica) => replica.status?.directory !== undefined));
        const pools = await fleet.client.list('DiskPool');
        assert.ok(pools.items.every((pool) => pool.status?.deviceSerial !== undefined));
      });
      const paths = await findWhere(context, { kind: 'claim', ...DEMO });
      assert.equal(paths.length, 3);
      assert.deepEqual(
        paths[0]?.links.map((link) => link.kind),
        ['claim', 'volume', 'member', 'replica', 'node', 'pool', 'directory', 'device'],
      );
      const back = await findWhere(context, { kind: 'disk', name: 'serial-node-2' });
      assert.equal(back.length, 1);
      assert.equal(back[0]?.links[0]?.name, 'default/demo');
      for (const [kind, name] of [
        ['volume', (await volumeOf(fleet)).metadata.name],
        ['node', 'node-1'],
        ['pool', 'node-1-pool'],
        ['replica', (await volumeOf(fleet)).spec.placement?.[0]?.replicaName ?? ''],
      ] as const) {
        assert.ok((await findWhere(context, { kind, name })).length > 0, kind);
      }
      await assert.rejects(
        findWhere(context, { kind: 'disk', name: '/dev/nothing' }),
        (error) => HoldfastError.is(error) && error.code === 'not-found',
      );
    });
  });

  test('explain says why a claim is not mounted, and what a person can do', async () => {
    await new Fleet(62, 3).run(async (fleet) => {
      await bind(fleet);
      fleet.node('node-1').missing = ['/dev/fuse'];
      const key = { namespace: 'default', name: 'm' };
      const create = (name: string, nodeName: string) =>
        fleet.client.create('Mount', {
          apiVersion: 'holdfast.dev/v1alpha1',
          kind: 'Mount',
          metadata: { namespace: 'default', name },
          spec: { claimName: 'demo', nodeName, path: `/mnt/${name}` },
        });
      const asked = { kind: 'Mount', ...key } as const;
      await fleet.until('seen', async () => {
        const { status } = await fleet.client.get('StorageNode', { name: 'node-1' });
        return (status?.missing ?? []).length > 0;
      });
      await create('m', 'node-1');
      await fleet.until('said', async () => {
        const said = await explain(fleet.operator.context, asked);
        assert.match(said.summary, /mount default\/m: CapabilityMissing: .*\/dev\/fuse/);
        assert.match(said.remedies.join(), /holdfast doctor/);
      });
      await create('z', 'node-2');
      await fleet.until('said of the other', async () => {
        const said = await explain(fleet.operator.context, { ...asked, name: 'z' });
        assert.match(said.summary, /InUse: Claim demo is mounted on node-1/);
        assert.match(said.remedies.join(), /holdfast umount/);
      });
    });
  });

  test('explain names the node that is silent, and then what its silence does', async () => {
    await new Fleet(25, 3).run(async (fleet) => {
      const volume = await bind(fleet);
      await attach(fleet, volume);
      const [, second] = volume.spec.placement ?? [];
      fleet.node(second?.nodeName ?? '').isSilent = true;
      const serving = fleet.node(volume.spec.placement?.[0]?.nodeName ?? '');
      serving.absent.add(second?.replicaName ?? '');
      const { context } = fleet.operator;
      await fleet.until('named', async () => {
        const said = await explain(context, { kind: 'PersistentVolumeClaim', ...DEMO });
        assert.equal(said.firstFailing?.kind, 'node');
        assert.equal(said.firstFailing.name, second?.nodeName);
        assert.match(said.summary, /EngineSilent: .*; so (volume|member) /);
      });
    });
  });

  test('explain says of a VolumeAttachment why it is not attached', async () => {
    await new Fleet(26, 3).run(async (fleet) => {
      const { spec } = await fleet.client.create('VolumeAttachment', {
        apiVersion: 'storage.k8s.io/v1',
        kind: 'VolumeAttachment',
        metadata: { name: 'by-hand' },
        spec: {
          attacher: 'other.example.com',
          nodeName: 'node-1',
          source: { persistentVolumeName: 'pv-1' },
        },
      });
      assert.equal(spec.nodeName, 'node-1');
      const asked = { kind: 'VolumeAttachment', name: 'by-hand' } as const;
      const { context } = fleet.operator;
      assert.match((await explain(context, asked)).summary, /Attaching: on node-1/);
      await changeStatus(fleet.client, 'VolumeAttachment', { name: 'by-hand' }, () => ({
        attached: false,
        attachError: { time: '2026-01-01T00:00:00.000Z', message: 'It is published to node-2' },
      }));
      const said = await explain(context, asked);
      assert.match(said.summary, /volumeattachment by-hand: Attaching: It is published to node-2/);
      assert.match(said.remedies.join(), /holdfast umount/);
    });
  });

  test('explain names the absent member first, since when, what happens next', async () => {
    await new Fleet(24, 3).run(async (fleet) => {
      const volume = await bind(fleet);
      await attach(fleet, volume);
      const serving = fleet.node(volume.spec.placement?.[0]?.nodeName ?? '');
      const lost = volume.spec.placement?.[1]?.replicaName ?? '';
      serving.absent.add(lost);
      const { context } = fleet.operator;
      const subject = { kind: 'PersistentVolumeClaim', ...DEMO } as const;
      await fleet.until('degraded', async () => {
        const { status } = await volumeOf(fleet);
        assert.equal(findCondition(status?.conditions, 'Healthy')?.reason, 'Degraded');
      });
      const explanation = await explain(context, subject);
      assert.equal(explanation.firstFailing?.kind, 'member');
      assert.equal(explanation.firstFailing.name, lost);
      assert.notEqual(explanation.firstFailing.since, '');
      assert.match(explanation.next, /looks for it/);
      serving.absent.clear();
      await fleet.until('well', async () => {
        assert.equal((await explain(context, subject)).firstFailing, null);
      });
    });
  });
});

async function createSnapshot(fleet: Fleet, volume: Volume, name: string): Promise<void> {
  await fleet.client.create('Snapshot', {
    apiVersion: 'holdfast.dev/v1alpha1',
    kind: 'Snapshot',
    metadata: { name },
    spec: {
      volumeName: volume.metadata.name,
      claimRef: { namespace: 'default', name: volume.spec.claimRef?.name ?? '' },
    },
  });
}
