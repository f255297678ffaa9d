/** Volumes that many nodes read: as CSI has them, and as claims and Mounts do. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { API_VERSION, findCondition, isConditionTrue } from '#api/kinds/mod.ts';
import { type ErrorCode, HoldfastError } from '#api/mod.ts';
import { Fleet } from '#control/operator/fleet.testkit.ts';
import type { VolumeCapability } from '../mod.ts';
import { viewIdOf } from '../view-id.ts';
import { ControllerService } from './mod.ts';

const GIB = 2 ** 30;
const MOUNT = { fsType: '', mountFlags: [], volumeMountGroup: '' };
const WRITER: VolumeCapability = { accessMode: { mode: 'SINGLE_NODE_WRITER' }, mount: MOUNT };
const READER: VolumeCapability = { accessMode: { mode: 'MULTI_NODE_READER_ONLY' }, mount: MOUNT };

type Calls = ControllerService['calls'];

function creation(name: string, capability: VolumeCapability, volumeId?: string) {
  return {
    name,
    capacityRange: { requiredBytes: GIB, limitBytes: 0 },
    volumeCapabilities: [capability],
    parameters: {},
    volumeContentSource: volumeId === undefined ? null : { volume: { volumeId } },
    accessibilityRequirements: null,
    mutableParameters: {},
  };
}

async function withService(action: (calls: Calls, fleet: Fleet) => Promise<void>): Promise<void> {
  const fleet = new Fleet(77, 3);
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

async function refuses(call: Promise<unknown>, code: ErrorCode, text: RegExp): Promise<void> {
  await assert.rejects(call, (error) => {
    assert.ok(HoldfastError.is(error), String(error));
    assert.equal(error.code, code, `${error.message} ${JSON.stringify(error.details)}`);
    assert.match(`${error.message} ${JSON.stringify(error.details)}`, text);
    return true;
  });
}

describe('Volumes for many readers', () => {
  test('Every node reads a view of its own, and nobody has the volume itself', async () => {
    await withService(async (calls, fleet) => {
      const { volume: source } = await calls.CreateVolume(creation('source', WRITER));
      const wish = creation('readers', READER, source.volumeId);
      const { volume } = await calls.CreateVolume(wish);
      assert.deepEqual(await calls.CreateVolume(wish), { volume }, 'asked again');
      const { volumeId } = volume;
      const publish = (nodeId: string, volumeCapability = READER) =>
        calls.ControllerPublishVolume({ volumeId, nodeId, volumeCapability, readonly: true });
      const { publishContext } = await publish('node-1');
      assert.deepEqual(await publish('node-1'), { publishContext });
      await publish('node-2');
      for (const node of ['node-1', 'node-2']) {
        const view = viewIdOf(volumeId, node);
        const spec = fleet.node(node).attachments.get(view)?.spec;
        assert.equal(spec?.readOnly, true);
        const { placement } = (await fleet.client.get('Volume', { name: view })).spec;
        const below = placement?.map((entry) => entry.cloneOf?.snapshotName);
        assert.deepEqual(
          below,
          Array.from({ length: 3 }, () => `${volumeId}-frozen`),
        );
      }
      assert.equal(
        (await fleet.client.get('Volume', { name: volumeId })).spec.attachment,
        undefined,
      );
      const { entries } = await calls.ListVolumes({ maxEntries: 0, startingToken: '' });
      assert.deepEqual(
        entries.map((entry) => [entry.volume.volumeId, [...entry.status.publishedNodeIds].sort()]),
        [source.volumeId, volumeId]
          .sort()
          .map((id) => [id, id === volumeId ? ['node-1', 'node-2'] : []]),
      );
      await refuses(
        calls.DeleteVolume({ volumeId }),
        'in-use',
        /published to node-[12], node-[12]/,
      );
      await calls.ControllerUnpublishVolume({ volumeId, nodeId: 'node-1' });
      assert.equal(fleet.node('node-1').attachments.size, 0);
      assert.equal(fleet.node('node-2').attachments.size, 1);
      await calls.ControllerUnpublishVolume({ volumeId, nodeId: '' });
      await fleet.until('the views are gone', async () => {
        assert.equal((await fleet.client.list('Volume')).items.length, 2);
      });
      await calls.DeleteVolume({ volumeId });
      await calls.DeleteVolume({ volumeId: source.volumeId });
      assert.deepEqual((await fleet.client.list('Snapshot')).items, []);
    });
  });

  test('What is not for readers, or only for them, is not used in another way', async () => {
    await withService(async (calls, fleet) => {
      await refuses(
        calls.CreateVolume(creation('empty', READER)),
        'invalid-argument',
        /volume_content_source/,
      );
      const { volume: source } = await calls.CreateVolume(creation('source', WRITER));
      const both = { volumeCapabilities: [WRITER, READER] };
      const wish = creation('readers', READER, source.volumeId);
      await refuses(
        calls.CreateVolume({ ...wish, ...both }),
        'invalid-argument',
        /volume_capabilities/,
      );
      const { volume } = await calls.CreateVolume(wish);
      const publish = (volumeId: string, volumeCapability: VolumeCapability) =>
        calls.ControllerPublishVolume({
          volumeId,
          nodeId: 'node-1',
          volumeCapability,
          readonly: false,
        });
      await refuses(publish(volume.volumeId, WRITER), 'invalid-argument', /access_mode/);
      await refuses(publish(source.volumeId, READER), 'invalid-argument', /access_mode/);
      const validate = (volumeId: string, capability: VolumeCapability) =>
        calls.ValidateVolumeCapabilities({
          volumeId,
          volumeContext: {},
          volumeCapabilities: [capability],
          parameters: {},
          mutableParameters: {},
        });
      assert.ok((await validate(volume.volumeId, READER)).confirmed !== undefined);
      assert.match((await validate(volume.volumeId, WRITER)).message, /Nobody writes/);
      assert.match((await validate(source.volumeId, READER)).message, /One node has/);
      const expansion = {
        volumeId: volume.volumeId,
        capacityRange: { requiredBytes: 2 * GIB, limitBytes: 0 },
        volumeCapability: READER,
      };
      await refuses(calls.ControllerExpandVolume(expansion), 'unsupported', /larger claim/);
      const attachment = { nodeName: 'node-1', frontends: ['nbd'] };
      await refuses(
        fleet.client.patch('Volume', { name: volume.volumeId }, { spec: { attachment } }),
        'invalid-object',
        /a frozen volume is not attached itself/,
      );
    });
  });

  test('A claim for many readers is mounted on every node at once', async () => {
    await withService(async (_calls, fleet) => {
      const { client } = fleet;
      await fleet.createClaim('demo');
      await fleet.createClaim('readers', {
        accessModes: ['ReadOnlyMany'],
        dataSourceRef: { kind: 'PersistentVolumeClaim', name: 'demo' },
      });
      const nodes = ['node-1', 'node-2', 'node-3'];
      for (const node of nodes) {
        await client.create('Mount', {
          apiVersion: API_VERSION,
          kind: 'Mount',
          metadata: { namespace: 'default', name: `at-${node}` },
          spec: { claimName: 'readers', nodeName: node, path: `/at/${node}` },
        });
      }
      await fleet.until('all are mounted', async () => {
        const { items } = await client.list('Mount');
        const states = items.map(
          ({ status }) => findCondition(status?.conditions, 'Ready')?.status,
        );
        assert.deepEqual(states, ['True', 'True', 'True']);
      });
      for (const node of nodes) assert.deepEqual([...fleet.node(node).published], [`/at/${node}`]);
      for (const { metadata } of (await client.list('Mount')).items) {
        await client.delete('Mount', { namespace: 'default', name: metadata.name });
      }
      await client.delete('PersistentVolumeClaim', { namespace: 'default', name: 'demo' });
      await client.delete('PersistentVolumeClaim', { namespace: 'default', name: 'readers' });
      await fleet.until('nothing is left', async () => {
        for (const kind of ['Volume', 'PersistentVolume', 'Snapshot', 'Replica'] as const) {
          assert.deepEqual((await client.list(kind)).items, [], kind);
        }
      });
      for (const node of nodes) assert.equal(fleet.node(node).mounts.length, 0);
    });
  });
});
