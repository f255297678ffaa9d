/** Claims and volumes: the loops over a driver that misbehaves as real ones do. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { PersistentVolumeClaim } from '#api/kinds/mod.ts';
import { findCondition } from '#api/kinds/mod.ts';
import { PROVISIONER } from '#api/mod.ts';
import { CLAIM_PROTECTION, SELECTED_NODE } from './context.ts';
import type { Scene } from './loops.testkit.ts';
import { withLoops } from './loops.testkit.ts';

const DEMO = { namespace: 'default', name: 'demo' };
const MIB = 2 ** 20;

function claim(change: Partial<PersistentVolumeClaim['spec']> = {}): PersistentVolumeClaim {
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: DEMO,
    spec: {
      accessModes: ['ReadWriteOnce'],
      storageClassName: 'simple',
      resources: { requests: { storage: '64Mi' } },
      ...change,
    },
  };
}

async function bound({ client, until }: Scene): Promise<string> {
  let name = '';
  await until('bound', async () => {
    const { spec, status } = await client.get('PersistentVolumeClaim', DEMO);
    assert.equal(status?.phase, 'Bound');
    name = spec.volumeName ?? '';
  });
  return name;
}

async function readyOf({ client }: Scene): Promise<{ reason: string; message: string }> {
  const { status } = await client.get('PersistentVolumeClaim', DEMO);
  const found = findCondition(status?.conditions, 'Ready');
  return { reason: found?.reason ?? '', message: found?.message ?? '' };
}

describe('Embedded loops', () => {
  test('A claim is bound to a volume, and both say so as in a cluster', async () => {
    await withLoops(async (scene) => {
      const { client, until, driver } = scene;
      await client.create('PersistentVolumeClaim', claim());
      const name = await bound(scene);
      const { metadata } = await client.get('PersistentVolumeClaim', DEMO);
      assert.equal(name, `pvc-${metadata.uid}`);
      assert.equal(metadata.annotations?.['pv.kubernetes.io/bind-completed'], 'yes');
      assert.ok(metadata.finalizers?.includes(CLAIM_PROTECTION));
      await until('its phase', async () => {
        const { spec, status } = await client.get('PersistentVolume', { name });
        assert.equal(status?.phase, 'Bound');
        assert.equal(spec.claimRef?.uid, metadata.uid);
        assert.equal(spec.capacity.storage, '64Mi');
        assert.equal(spec.persistentVolumeReclaimPolicy, 'Delete');
      });
      assert.equal(driver.count('CreateVolume'), 1);
      assert.deepEqual(driver.requests[0]?.['parameters'], {
        replicas: '1',
        'csi.storage.k8s.io/pv/name': name,
        'csi.storage.k8s.io/pvc/name': 'demo',
        'csi.storage.k8s.io/pvc/namespace': 'default',
      });
    });
  });

  for (const isApplied of [true, false]) {
    const title = isApplied ? 'answers are lost' : 'calls fail';
    test(`When ${title} at every step one volume is made, and it goes again`, async () => {
      await withLoops(async (scene) => {
        const { client, driver, until } = scene;
        const codes = ['timed-out', 'disconnected', 'operation-pending'] as const;
        for (const call of ['CreateVolume', 'DeleteVolume', 'ControllerExpandVolume']) {
          driver.failNext(call, ...codes.map((code) => ({ code, isApplied })));
        }
        await client.create('PersistentVolumeClaim', claim());
        const name = await bound(scene);
        assert.equal((await client.list('Volume')).items.length, 1);
        assert.equal(driver.count('CreateVolume'), 4);
        await client.patch('PersistentVolumeClaim', DEMO, {
          spec: { resources: { requests: { storage: '128Mi' } } },
        });
        await until('grown', async () => {
          const { status } = await client.get('PersistentVolumeClaim', DEMO);
          assert.equal(status?.capacity?.storage, '128Mi');
          assert.equal(findCondition(status.conditions, 'Resizing'), undefined);
        });
        await client.delete('PersistentVolumeClaim', DEMO);
        await until('gone', async () => {
          for (const kind of ['PersistentVolumeClaim', 'PersistentVolume', 'Volume'] as const) {
            assert.deepEqual((await client.list(kind)).items, [], `${kind} of ${name}`);
          }
        });
      });
    });
  }

  test('What a claim waits for is said in the words of what it waits for', async () => {
    await withLoops(async (scene) => {
      const { client, driver, until } = scene;
      await client.create('PersistentVolumeClaim', claim({ storageClassName: 'nowhere' }));
      await until('said', async () => {
        assert.deepEqual(await readyOf(scene), {
          reason: 'ClassMissing',
          message: 'There is no StorageClass nowhere',
        });
      });
      const why = 'a is full, b is cordoned';
      const refusal = { code: 'no-placement', isApplied: false, details: { why } } as const;
      driver.failNext('CreateVolume', ...Array.from({ length: 4 }, () => refusal));
      await client.create('StorageClass', {
        apiVersion: 'storage.k8s.io/v1',
        kind: 'StorageClass',
        metadata: { name: 'nowhere' },
        provisioner: PROVISIONER,
      });
      await until('said', async () => {
        assert.deepEqual(await readyOf(scene), { reason: 'NoPlacement', message: why });
      });
      await until('told', async () => {
        const { items } = await client.list('Event', { namespace: 'default' });
        assert.ok(items.some((event) => event.type === 'Warning' && event.note.includes(why)));
      });
      await bound(scene);
    });
  });

  test('A class that waits for the consumer makes the volume beside it, not before', async () => {
    await withLoops(
      async (scene) => {
        const { client, driver, host } = scene;
        await client.create('PersistentVolumeClaim', claim());
        await host.clock.sleep(5_000);
        assert.equal((await readyOf(scene)).reason, 'WaitForFirstConsumer');
        assert.equal(driver.count('CreateVolume'), 0);
        const annotations = { [SELECTED_NODE]: 'node-2' };
        await client.patch('PersistentVolumeClaim', DEMO, { metadata: { annotations } });
        await bound(scene);
        assert.deepEqual(driver.requests[0]?.['accessibilityRequirements'], {
          requisite: [],
          preferred: [{ segments: { 'topology.csi.holdfast.dev/node': 'node-2' } }],
        });
      },
      { volumeBindingMode: 'WaitForFirstConsumer' },
    );
  });

  test('A volume that is to be kept stays when its claim goes, and another takes it', async () => {
    await withLoops(
      async (scene) => {
        const { client, driver, until } = scene;
        await client.create('PersistentVolumeClaim', claim());
        const name = await bound(scene);
        await client.delete('PersistentVolumeClaim', DEMO);
        await until('released', async () => {
          const { status } = await client.get('PersistentVolume', { name });
          assert.equal(status?.phase, 'Released');
          assert.match(status.message ?? '', /it is kept/);
        });
        // Of the same name, but not the one it was made for: it gets a volume of its own.
        await client.create('PersistentVolumeClaim', claim());
        assert.notEqual(await bound(scene), name);
        await client.patch('PersistentVolume', { name }, { spec: { claimRef: null } });
        await until('free', async () => {
          const { status } = await client.get('PersistentVolume', { name });
          assert.equal(status?.phase, 'Available');
        });
        const other = { ...claim({ volumeName: name }), metadata: { ...DEMO, name: 'other' } };
        await client.create('PersistentVolumeClaim', other);
        await until('taken', async () => {
          const { spec } = await client.get('PersistentVolume', { name });
          assert.equal(spec.claimRef?.name, 'other');
          assert.ok(spec.claimRef.uid !== undefined);
        });
        assert.equal(driver.count('DeleteVolume'), 0);
      },
      { reclaimPolicy: 'Retain' },
    );
  });

  test('A volume that cannot be deleted yet says why, and goes later', async () => {
    await withLoops(async (scene) => {
      const { client, driver, until } = scene;
      await client.create('PersistentVolumeClaim', claim());
      const name = await bound(scene);
      const why = 'It has snapshots: before';
      const refusal = { code: 'in-use', isApplied: false, details: { why } } as const;
      driver.failNext('DeleteVolume', ...Array.from({ length: 4 }, () => refusal));
      await client.delete('PersistentVolumeClaim', DEMO);
      await until('said', async () => {
        const { status } = await client.get('PersistentVolume', { name });
        assert.deepEqual([status?.phase, status?.message], ['Released', why]);
      });
      await until('gone', async () => {
        assert.deepEqual((await client.list('PersistentVolume')).items, []);
      });
    });
  });

  test('A claim whose volume is gone is lost, and gets no fresh one', async () => {
    await withLoops(async (scene) => {
      const { client, driver, until } = scene;
      await client.create('PersistentVolumeClaim', claim({ volumeName: 'pv-that-was' }));
      await until('lost', async () => {
        const { status } = await client.get('PersistentVolumeClaim', DEMO);
        assert.equal(status?.phase, 'Lost');
      });
      assert.equal(driver.count('CreateVolume'), 0);
    });
  });

  test('A request is whole bytes and names the mode of the claim', async () => {
    await withLoops(async (scene) => {
      const spec = { accessModes: ['ReadWriteOncePod' as const], volumeMode: 'Block' as const };
      await scene.client.create('PersistentVolumeClaim', claim(spec));
      await bound(scene);
      const request = scene.driver.requests[0];
      assert.deepEqual(request?.['volumeCapabilities'], [
        { accessMode: { mode: 'SINGLE_NODE_SINGLE_WRITER' }, block: {} },
      ]);
      assert.deepEqual(request['capacityRange'], { requiredBytes: 64 * MIB, limitBytes: 0 });
    });
  });
});
