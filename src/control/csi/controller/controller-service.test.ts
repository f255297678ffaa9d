/** The controller service over the real reconcilers and scripted engines. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { isConditionTrue } from '#api/kinds/mod.ts';
import { HoldfastError } from '#api/mod.ts';
import type { ErrorCode } from '#api/mod.ts';
import { Fleet } from '#control/operator/fleet.testkit.ts';
import type { AnswerOf, ControllerCalls, RequestOf, VolumeCapability } from '../messages.ts';
import { ControllerService } from './mod.ts';

const GIB = 2 ** 30;
const WRITER: VolumeCapability = {
  accessMode: { mode: 'SINGLE_NODE_WRITER' },
  mount: { fsType: '', mountFlags: [], volumeMountGroup: '' },
};

type Create = RequestOf<ControllerCalls, 'CreateVolume'>;

function creation(name: string, change: Partial<Create> = {}): Create {
  return {
    name,
    capacityRange: { requiredBytes: GIB, limitBytes: 0 },
    volumeCapabilities: [WRITER],
    parameters: {},
    volumeContentSource: null,
    accessibilityRequirements: null,
    mutableParameters: {},
    ...change,
  };
}

type Calls = ControllerService['calls'];

async function withService(
  nodes: number,
  action: (calls: Calls, fleet: Fleet) => Promise<void>,
): Promise<void> {
  const fleet = new Fleet(300 + nodes, nodes);
  await fleet.run(async () => {
    const { client, host } = fleet;
    const service = new ControllerService({ client, clock: host.clock, log: host.log });
    await service.start();
    await fleet.until('pools are open', async () => {
      const { items } = await client.list('DiskPool');
      assert.ok(items.every((pool) => isConditionTrue(pool.status?.conditions, 'Ready')));
    });
    await action(service.calls, fleet);
    service.stop();
  });
}

function publication(volumeId: string, nodeId: string, readonly = false) {
  return { volumeId, nodeId, volumeCapability: WRITER, readonly };
}

async function refuses(call: Promise<unknown>, code: ErrorCode, text = /./): Promise<void> {
  await assert.rejects(call, (error) => {
    assert.ok(HoldfastError.is(error), String(error));
    assert.equal(error.code, code, `${error.message} ${JSON.stringify(error.details)}`);
    assert.match(`${error.message} ${JSON.stringify(error.details)}`, text);
    return true;
  });
}

describe('Volumes', () => {
  test('A volume is made with its replicas, once, and deleted with them', async () => {
    await withService(3, async (calls, fleet) => {
      const uid = '8f14e45f-ceea-467f-9575-6e1f0d4e5c2b';
      const parameters = {
        'csi.storage.k8s.io/pvc/name': 'data',
        'csi.storage.k8s.io/pvc/namespace': 'shop',
        'csi.storage.k8s.io/pv/name': `pvc-${uid}`,
      };
      const request = creation(`pvc-${uid}`, { parameters });
      const { volume } = await calls.CreateVolume(request);
      assert.equal(volume.volumeId, 'pvc-8f14e45fceea');
      assert.equal(volume.capacityBytes, GIB);
      assert.deepEqual(await calls.CreateVolume(request), { volume });
      assert.equal(fleet.calls('replica.create'), 3);
      const object = await fleet.client.get('Volume', { name: volume.volumeId });
      assert.deepEqual(object.spec.claimRef, { namespace: 'shop', name: 'data' });

      assert.deepEqual(await calls.DeleteVolume({ volumeId: volume.volumeId }), {});
      assert.deepEqual((await fleet.client.list('Replica')).items, []);
      assert.deepEqual(await calls.DeleteVolume({ volumeId: volume.volumeId }), {});
    });
  });

  test('A name that another volume has is refused, with the field that differs', async () => {
    await withService(3, async (calls) => {
      await calls.CreateVolume(creation('one'));
      const range = { requiredBytes: 2 * GIB, limitBytes: 0 };
      const larger = creation('one', { capacityRange: range });
      await refuses(calls.CreateVolume(larger), 'already-exists', /capacity_range/);
      const other = creation('one', { parameters: { replicas: '1' } });
      await refuses(calls.CreateVolume(other), 'already-exists', /parameters\.replicas/);
    });
  });

  test('What cannot be made leaves nothing', async () => {
    await withService(2, async (calls, fleet) => {
      await refuses(calls.CreateVolume(creation('three')), 'no-placement', /2 can be used/);
      await fleet.until('taken back', async () => {
        assert.deepEqual((await fleet.client.list('Volume')).items, []);
      });
    });
  });

  test('A second call for a volume is refused while the first is under way', async () => {
    await withService(3, async (calls) => {
      const first = calls.CreateVolume(creation('one'));
      await refuses(calls.CreateVolume(creation('one')), 'operation-pending', /CreateVolume/);
      await first;
      await calls.CreateVolume(creation('one'));
    });
  });

  test('A call that waits too long says for what, and the next one goes on', async () => {
    await withService(3, async (calls, fleet) => {
      for (const node of fleet.nodes.values()) {
        node.failNext('replica.create', 'no-space', false, 100);
      }
      await refuses(calls.CreateVolume(creation('one')), 'timed-out', /Waiting for replicas/);
      for (const node of fleet.nodes.values()) node.faults.length = 0;
      // What failed is tried again with back-off: that may be longer than a call.
      await fleet.until('made', async () => {
        await calls.CreateVolume(creation('one'));
      });
    });
  });

  test('Bad requests name the field', async () => {
    await withService(1, async (calls) => {
      const cases: readonly [Partial<Create>, ErrorCode, RegExp][] = [
        [{ name: '' }, 'invalid-argument', /name/],
        [{ name: 'x'.repeat(129) }, 'invalid-argument', /128 bytes/],
        [{ name: 'a\nb' }, 'invalid-argument', /control/],
        [{ volumeCapabilities: [] }, 'invalid-argument', /volume_capabilities/],
        [
          { volumeCapabilities: [{ ...WRITER, accessMode: { mode: 'MULTI_NODE_MULTI_WRITER' } }] },
          'invalid-argument',
          /MULTI_NODE_MULTI_WRITER/,
        ],
        [{ volumeCapabilities: [{ ...WRITER, block: {} }] }, 'invalid-argument', /block and mount/],
        [{ parameters: { color: 'red' } }, 'invalid-object', /parameters\.color/],
        [{ parameters: { replicas: '99' } }, 'invalid-object', /replicas/],
        [
          { capacityRange: { requiredBytes: 1, limitBytes: 100 } },
          'out-of-range',
          /capacity_range/,
        ],
        [{ capacityRange: { requiredBytes: -1, limitBytes: 0 } }, 'invalid-argument', /negative/],
        [{ mutableParameters: { speed: '9' } }, 'invalid-argument', /mutable_parameters/],
        [
          { volumeContentSource: { snapshot: { snapshotId: '../../etc' } } },
          'not-found',
          /snapshot_id/,
        ],
        [{ volumeContentSource: { volume: { volumeId: 'none' } } }, 'not-found', /volume_id/],
        [{ volumeContentSource: {} }, 'invalid-argument', /volume_content_source/],
      ];
      for (const [change, code, text] of cases) {
        await refuses(calls.CreateVolume(creation('x', change)), code, text);
      }
    });
  });
});

describe('Publishing', () => {
  test('A volume is served by one node; another one is refused until it was left', async () => {
    await withService(3, async (calls, fleet) => {
      const { volume } = await calls.CreateVolume(creation('one'));
      const here = publication(volume.volumeId, 'node-1');
      const { publishContext } = await calls.ControllerPublishVolume(here);
      assert.match(publishContext['devicePath'] ?? '', /^\/dev\//);
      assert.deepEqual(await calls.ControllerPublishVolume(here), { publishContext });
      const there = publication(volume.volumeId, 'node-2');
      await refuses(calls.ControllerPublishVolume(there), 'in-use', /published to node-1/);
      await refuses(calls.DeleteVolume(volume), 'in-use', /published to node-1/);
      await refuses(
        calls.ControllerPublishVolume({ ...here, readonly: true }),
        'already-exists',
        /readonly/,
      );
      // Of a node that does not have it: nothing is to be done.
      await calls.ControllerUnpublishVolume({ volumeId: volume.volumeId, nodeId: 'node-2' });
      assert.equal(fleet.nodes.get('node-1')?.attachments.size, 1);
      await calls.ControllerUnpublishVolume({ volumeId: volume.volumeId, nodeId: 'node-1' });
      assert.equal(fleet.nodes.get('node-1')?.attachments.size, 0);
      await calls.ControllerPublishVolume(there);
      assert.equal(fleet.nodes.get('node-2')?.attachments.size, 1);
    });
  });

  test('Unknown volumes and nodes are not found; an unpublish of nothing is done', async () => {
    await withService(1, async (calls) => {
      const parameters = { replicas: '1' };
      const { volume } = await calls.CreateVolume(creation('one', { parameters }));
      const cases = [publication('none', 'node-1'), publication(volume.volumeId, 'node-9')];
      for (const request of cases) {
        await refuses(calls.ControllerPublishVolume(request), 'not-found');
      }
      await refuses(
        calls.ControllerPublishVolume(publication('', 'node-1')),
        'invalid-argument',
        /volume_id/,
      );
      await calls.ControllerUnpublishVolume({ volumeId: 'none', nodeId: 'node-1' });
      await calls.ControllerUnpublishVolume({ volumeId: volume.volumeId, nodeId: '' });
    });
  });

  test('A volume that is served over NBD gets a device beside it, and keeps NBD', async () => {
    await withService(1, async (calls, fleet) => {
      const parameters = { replicas: '1' };
      const { volume } = await calls.CreateVolume(creation('one', { parameters }));
      const name = volume.volumeId;
      const attachment = { nodeName: 'node-1', frontends: ['nbd'] };
      await fleet.client.patch('Volume', { name }, { spec: { attachment } });
      const frontends = async (): Promise<readonly string[] | undefined> =>
        (await fleet.client.get('Volume', { name })).spec.attachment?.frontends;
      await calls.ControllerPublishVolume(publication(name, 'node-1'));
      assert.deepEqual(await frontends(), ['nbd', 'fuse']);
      await calls.ControllerUnpublishVolume({ volumeId: name, nodeId: 'node-1' });
      assert.deepEqual(await frontends(), ['nbd']);
    });
  });
});

describe('Snapshots and growth', () => {
  test('A snapshot is taken once, restored, listed and deleted', async () => {
    await withService(3, async (calls) => {
      const { volume } = await calls.CreateVolume(creation('one'));
      const request = { name: 'first', sourceVolumeId: volume.volumeId, parameters: {} };
      const { snapshot } = await calls.CreateSnapshot(request);
      assert.ok(snapshot.readyToUse && snapshot.creationTime.seconds > 0);
      assert.deepEqual((await calls.CreateSnapshot(request)).snapshot, snapshot);
      await refuses(calls.DeleteVolume(volume), 'in-use', /snapshots/);

      const other = await calls.CreateVolume(creation('two'));
      const taken = { ...request, sourceVolumeId: other.volume.volumeId };
      await refuses(calls.CreateSnapshot(taken), 'already-exists', /source_volume_id/);

      const source = { snapshot: { snapshotId: snapshot.snapshotId } };
      const restored = await calls.CreateVolume(creation('three', { volumeContentSource: source }));
      assert.deepEqual(restored.volume.contentSource, source);
      const small = { requiredBytes: 4096, limitBytes: 0 };
      const shrunk = creation('four', { volumeContentSource: source, capacityRange: small });
      await refuses(calls.CreateVolume(shrunk), 'out-of-range', /smaller than its source/);

      const all = { maxEntries: 0, startingToken: '', sourceVolumeId: '', snapshotId: '' };
      assert.deepEqual((await calls.ListSnapshots(all)).entries, [{ snapshot }]);
      const ofNone = await calls.ListSnapshots({ ...all, sourceVolumeId: 'none' });
      assert.deepEqual(ofNone.entries, []);
      await calls.DeleteSnapshot({ snapshotId: snapshot.snapshotId });
      await calls.DeleteSnapshot({ snapshotId: snapshot.snapshotId });
      await calls.DeleteVolume(volume);
    });
  });

  test('A clone of a volume takes its snapshot by itself', async () => {
    await withService(3, async (calls, fleet) => {
      const { volume } = await calls.CreateVolume(creation('one'));
      const source = { volume: { volumeId: volume.volumeId } };
      await calls.CreateVolume(creation('two', { volumeContentSource: source }));
      assert.equal(fleet.calls('volume.createSnapshot'), 1);
    });
  });

  test('A volume grows to what was asked for, and never shrinks', async () => {
    await withService(3, async (calls, fleet) => {
      const { volume } = await calls.CreateVolume(creation('one'));
      const { volumeId } = volume;
      await calls.ControllerPublishVolume(publication(volumeId, 'node-1'));
      const ask = (requiredBytes: number, limitBytes = 0) =>
        calls.ControllerExpandVolume({
          volumeId,
          capacityRange: { requiredBytes, limitBytes },
          volumeCapability: WRITER,
        });
      const grown = { capacityBytes: 2 * GIB, nodeExpansionRequired: true };
      assert.deepEqual(await ask(2 * GIB), grown);
      assert.deepEqual(await ask(GIB), grown);
      await refuses(ask(GIB, GIB), 'out-of-range', /smaller/);
      assert.equal(fleet.calls('volume.grow'), 1);
    });
  });
});

describe('Lists', () => {
  test('Volumes are listed page by page, with where they are published', async () => {
    await withService(3, async (calls) => {
      const ids: string[] = [];
      for (const name of ['one', 'two', 'three']) {
        ids.push((await calls.CreateVolume(creation(name))).volume.volumeId);
      }
      ids.sort();
      await calls.ControllerPublishVolume(publication(ids[0] ?? '', 'node-1'));
      const first = await calls.ListVolumes({ maxEntries: 2, startingToken: '' });
      const rest = await calls.ListVolumes({ maxEntries: 2, startingToken: first.nextToken });
      assert.equal(rest.nextToken, '');
      const found = [...first.entries, ...rest.entries];
      assert.deepEqual(
        found.map(({ volume }) => volume.volumeId),
        ids,
      );
      assert.deepEqual(
        found.map(({ status }) => status.publishedNodeIds),
        [['node-1'], [], []],
      );
      for (const startingToken of ['x', '-1', '99']) {
        await refuses(calls.ListVolumes({ maxEntries: 0, startingToken }), 'conflict', /token/);
      }
    });
  });

  test('A volume that lost a replica is abnormal, in the words of its condition', async () => {
    await withService(3, async (calls, fleet) => {
      const { volume } = await calls.CreateVolume(creation('one'));
      await calls.ControllerPublishVolume(publication(volume.volumeId, 'node-1'));
      const get = () => calls.ControllerGetVolume({ volumeId: volume.volumeId });
      assert.equal((await get()).status.volumeCondition.abnormal, false);
      const object = await fleet.client.get('Volume', { name: volume.volumeId });
      const lost = object.spec.placement?.[2]?.replicaName ?? '';
      fleet.nodes.get('node-1')?.absent.add(lost);
      await fleet.until('noticed', async () => {
        const { abnormal, message } = (await get()).status.volumeCondition;
        assert.ok(abnormal && message.includes(lost), message);
      });
    });
  });

  test('Capacity is that of the pool that limits, on nodes that can be used', async () => {
    await withService(3, async (calls, fleet) => {
      const ask = (replicas: string, change: object = {}) =>
        calls.GetCapacity({
          volumeCapabilities: [],
          parameters: { replicas },
          accessibleTopology: null,
          ...change,
        });
      assert.ok((await ask('3')).availableCapacity > 0);
      assert.equal((await ask('4')).availableCapacity, 0);
      await fleet.client.patch(
        'DiskPool',
        { name: 'node-2-pool' },
        { spec: { unschedulable: true } },
      );
      assert.equal((await ask('3')).availableCapacity, 0);
      assert.ok((await ask('2')).availableCapacity > 0);
      const here = (node: string) => ({
        accessibleTopology: { segments: { 'topology.csi.holdfast.dev/node': node } },
      });
      assert.equal((await ask('1', here('node-2'))).availableCapacity, 0);
      assert.ok((await ask('1', here('node-1'))).availableCapacity > 0);
    });
  });

  test('Capabilities that are not served are not confirmed', async () => {
    await withService(3, async (calls) => {
      const { volume } = await calls.CreateVolume(creation('one'));
      const ask = (capability: VolumeCapability) =>
        calls.ValidateVolumeCapabilities({
          volumeId: volume.volumeId,
          volumeContext: {},
          volumeCapabilities: [capability],
          parameters: {},
          mutableParameters: {},
        });
      const confirmed = (answer: AnswerOf<ControllerCalls, 'ValidateVolumeCapabilities'>) =>
        answer.confirmed !== undefined;
      assert.ok(confirmed(await ask(WRITER)));
      const shared = await ask({ ...WRITER, accessMode: { mode: 'MULTI_NODE_MULTI_WRITER' } });
      assert.ok(!confirmed(shared) && /MULTI_NODE_MULTI_WRITER/.test(shared.message));
    });
  });
});
