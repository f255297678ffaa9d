/** VolumeSnapshots: taken, waited for, restored from, deleted; over a driver that misbehaves. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { PersistentVolumeClaim, VolumeSnapshot, VolumeSnapshotClass } from '#api/kinds/mod.ts';
import { findCondition } from '#api/kinds/mod.ts';
import { PROVISIONER } from '#api/mod.ts';
import { setFinalizer } from '#control/kube/mod.ts';
import type { Scene } from './loops.testkit.ts';
import { withLoops } from './loops.testkit.ts';
import {
  BEING_CREATED,
  CLAIM_AS_SOURCE,
  CONTENT_BOUND,
  DEFAULT_SNAPSHOT_CLASS,
  SNAPSHOT_AS_SOURCE,
  SNAPSHOT_BOUND,
} from './snapshot-names.ts';

const NAMESPACE = 'default';
const SNAP = { namespace: NAMESPACE, name: 'before' };
const API = 'snapshot.storage.k8s.io/v1';

function claim(
  name: string,
  change: Partial<PersistentVolumeClaim['spec']> = {},
): PersistentVolumeClaim {
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: { namespace: NAMESPACE, name },
    spec: {
      accessModes: ['ReadWriteOnce'],
      storageClassName: 'simple',
      resources: { requests: { storage: '64Mi' } },
      ...change,
    },
  };
}

function snapshotClass(
  change: Partial<VolumeSnapshotClass> = {},
  name = 'snaps',
): VolumeSnapshotClass {
  return {
    apiVersion: API,
    kind: 'VolumeSnapshotClass',
    metadata: { name, annotations: { [DEFAULT_SNAPSHOT_CLASS]: 'true' } },
    driver: PROVISIONER,
    deletionPolicy: 'Delete',
    ...change,
  };
}

function snapshot(change: Partial<VolumeSnapshot['spec']> = {}): VolumeSnapshot {
  const spec = { source: { persistentVolumeClaimName: 'demo' }, ...change };
  return { apiVersion: API, kind: 'VolumeSnapshot', metadata: SNAP, spec };
}

const FROM_SNAP: Partial<PersistentVolumeClaim['spec']> = {
  dataSourceRef: { apiGroup: 'snapshot.storage.k8s.io', kind: 'VolumeSnapshot', name: SNAP.name },
};

async function bound({ client, until }: Scene, name: string): Promise<string> {
  let persistentVolume = '';
  await until(`${name} is bound`, async () => {
    const { spec, status } = await client.get('PersistentVolumeClaim', {
      namespace: NAMESPACE,
      name,
    });
    assert.equal(status?.phase, 'Bound');
    persistentVolume = spec.volumeName ?? '';
  });
  return persistentVolume;
}

async function taken({ client, until }: Scene): Promise<VolumeSnapshot> {
  await until('the snapshot is ready', async () => {
    const { status } = await client.get('VolumeSnapshot', SNAP);
    assert.equal(status?.readyToUse, true);
    assert.equal(status.error, undefined);
  });
  return client.get('VolumeSnapshot', SNAP);
}

async function gone({ client, until }: Scene, ...kinds: Parameters<Scene['client']['list']>[0][]) {
  for (const kind of kinds) {
    await until(`no ${kind} is left`, async () => {
      assert.deepEqual((await client.list(kind)).items, []);
    });
  }
}

/** In the status of the snapshot, with an Event of the reason. */
async function says({ client, until }: Scene, reason: string, message: string): Promise<void> {
  await until(`it says ${reason}`, async () => {
    const { status } = await client.get('VolumeSnapshot', SNAP);
    assert.equal(status?.error?.message, message);
    const { items } = await client.list('Event', { namespace: NAMESPACE });
    const about = items.filter((event) => event.regarding.kind === 'VolumeSnapshot');
    const found = about.filter((event) => event.reason === reason && event.note === message);
    assert.equal(found.length, 1);
  });
}

/** A claim, its class, and what is wanted, all there. */
async function prepare(scene: Scene, change?: Partial<VolumeSnapshotClass>): Promise<void> {
  await scene.client.create('PersistentVolumeClaim', claim('demo'));
  await scene.client.create('VolumeSnapshotClass', snapshotClass(change));
  await bound(scene, 'demo');
}

async function reasonOf({ client }: Scene, name: string): Promise<string> {
  const { status } = await client.get('PersistentVolumeClaim', { namespace: NAMESPACE, name });
  return findCondition(status?.conditions, 'Ready')?.reason ?? '';
}

describe('VolumeSnapshots', () => {
  test('A snapshot of a claim is taken, by the default class, and says so as in a cluster', async () => {
    await withLoops(async (scene) => {
      const { client, driver, until } = scene;
      await prepare(scene);
      await client.create('VolumeSnapshot', snapshot());
      const { metadata, spec, status } = await taken(scene);
      assert.equal(spec.volumeSnapshotClassName, 'snaps');
      assert.deepEqual(metadata.finalizers, [SNAPSHOT_AS_SOURCE, SNAPSHOT_BOUND]);
      assert.equal(status?.boundVolumeSnapshotContentName, `snapcontent-${metadata.uid}`);
      assert.equal(status.restoreSize, '64Mi');
      assert.equal(status.creationTime, '2027-01-15T08:00:00.250Z');
      const name = status.boundVolumeSnapshotContentName;
      const content = await client.get('VolumeSnapshotContent', { name });
      assert.equal(content.spec.volumeSnapshotRef.uid, metadata.uid);
      assert.equal(content.status?.creationTime, 1_800_000_000_250_000_000);
      assert.deepEqual(content.metadata.finalizers, [CONTENT_BOUND]);
      await until('what was taken is known', async () => {
        const { annotations } = (await client.get('VolumeSnapshotContent', { name })).metadata;
        assert.equal(annotations?.[BEING_CREATED], undefined);
      });
      const request = driver.requests.find(({ call }) => call === 'CreateSnapshot');
      assert.equal(request?.['name'], `snapshot-${metadata.uid}`);
      await until('the claim is free', async () => {
        const key = { namespace: NAMESPACE, name: 'demo' };
        const { finalizers } = (await client.get('PersistentVolumeClaim', key)).metadata;
        assert.ok(!finalizers?.includes(CLAIM_AS_SOURCE));
      });
      const { items } = await client.list('Event', { namespace: NAMESPACE });
      const reasons = items.filter((event) => event.regarding.kind === 'VolumeSnapshot');
      assert.deepEqual(reasons.map((event) => event.reason).sort(), [
        'CreatingSnapshot',
        'SnapshotReady',
      ]);
    });
  });

  test('What a snapshot waits for is said once, and it goes on when that is there', async () => {
    await withLoops(async (scene) => {
      const { client } = scene;
      await client.create('VolumeSnapshot', snapshot());
      const noDefault = 'It names no VolumeSnapshotClass and none is the default one';
      await says(scene, 'SetDefaultSnapshotClassFailed', noDefault);
      await client.create('VolumeSnapshotClass', snapshotClass());
      await says(scene, 'ClaimMissing', 'There is no claim demo in this namespace');
      await client.create('PersistentVolumeClaim', claim('demo', { storageClassName: 'later' }));
      const why = 'Claim demo has no volume yet: There is no StorageClass later';
      await says(scene, 'ClaimNotBound', why);
      assert.equal(scene.driver.count('CreateSnapshot'), 0);
      await client.create('StorageClass', {
        apiVersion: 'storage.k8s.io/v1',
        kind: 'StorageClass',
        metadata: { name: 'later' },
        provisioner: PROVISIONER,
      });
      await taken(scene);
    });
  });

  test('A class that is absent, not unique, or of another driver is refused by name', async () => {
    await withLoops(async (scene) => {
      const { client, until } = scene;
      await prepare(scene);
      await client.create('VolumeSnapshot', snapshot({ volumeSnapshotClassName: 'nowhere' }));
      await says(scene, 'GetSnapshotClassFailed', 'There is no VolumeSnapshotClass nowhere');
      await client.create(
        'VolumeSnapshotClass',
        snapshotClass({ driver: 'other.example' }, 'nowhere'),
      );
      const why = 'Class nowhere is served by other.example, not by Holdfast';
      await says(scene, 'OtherDriver', why);
      await client.delete('VolumeSnapshot', SNAP);
      await gone(scene, 'VolumeSnapshot');
      await client.create('VolumeSnapshotClass', snapshotClass({}, 'also'));
      await client.create('VolumeSnapshot', snapshot());
      const several = 'It names no VolumeSnapshotClass and several are the default: also, snaps';
      await says(scene, 'SetDefaultSnapshotClassFailed', several);
      assert.equal(scene.driver.count('CreateSnapshot'), 0);
      await client.delete('VolumeSnapshotClass', { name: 'also' });
      await until('one is left', async () => void (await taken(scene)));
    });
  });

  test('A claim stays while a snapshot of it is being taken, and says so', async () => {
    await withLoops(async (scene) => {
      const { client, driver, until } = scene;
      await prepare(scene);
      driver.isSnapshotReady = false;
      await client.create('VolumeSnapshot', snapshot());
      await says(scene, 'SnapshotCreationFailed', 'Waiting for the volume to be served');
      const key = { namespace: NAMESPACE, name: 'demo' };
      await client.delete('PersistentVolumeClaim', key);
      await until('it says why', async () => {
        const { status, metadata } = await client.get('PersistentVolumeClaim', key);
        assert.ok(metadata.finalizers?.includes(CLAIM_AS_SOURCE));
        const found = findCondition(status?.conditions, 'Terminating');
        assert.equal(found?.reason, 'SnapshotPending');
        assert.equal(found.message, 'Snapshots of it are being taken: before');
      });
      driver.isSnapshotReady = true;
      await taken(scene);
      await gone(scene, 'PersistentVolumeClaim');
      assert.equal(driver.snapshots.size, 1);
    });
  });

  test('A claim waits for a snapshot that is absent, and is made when it appears', async () => {
    await withLoops(async (scene) => {
      const { client, driver, until } = scene;
      await client.create('PersistentVolumeClaim', claim('copy', FROM_SNAP));
      await until('it says so', async () => {
        assert.equal(await reasonOf(scene, 'copy'), 'SourceMissing');
      });
      await prepare(scene);
      await client.create('VolumeSnapshot', snapshot());
      await bound(scene, 'copy');
      const request = driver.requests.findLast(({ call }) => call === 'CreateVolume');
      const [{ snapshotId } = { snapshotId: '' }] = driver.snapshots.values();
      assert.deepEqual(request?.['volumeContentSource'], { snapshot: { snapshotId } });
      const { items } = await client.list('Event', { namespace: NAMESPACE });
      const about = items.filter((event) => event.reason === 'SourceMissing');
      assert.deepEqual(
        about.map(({ type, note }) => [type, note]),
        [['Warning', 'Ready is False: There is no VolumeSnapshot before in this namespace']],
      );
    });
  });

  const refusals: readonly [string, string, Partial<PersistentVolumeClaim['spec']>][] = [
    ['of a smaller size', 'TooSmall', { resources: { requests: { storage: '32Mi' } } }],
    ['in another mode', 'ModeDiffers', { volumeMode: 'Block' }],
    [
      'from another namespace',
      'SourceElsewhere',
      { dataSourceRef: { kind: 'PersistentVolumeClaim', name: 'demo', namespace: 'other' } },
    ],
    [
      'of a kind that is no source',
      'SourceUnsupported',
      { dataSourceRef: { apiGroup: 'example.dev', kind: 'Snapshot', name: 'x' } },
    ],
    ['that many may write', 'AccessModeUnsupported', { accessModes: ['ReadWriteMany' as never] }],
    [
      'that many may read and one may write',
      'AccessModeUnsupported',
      { accessModes: ['ReadWriteOnce', 'ReadOnlyMany'] },
    ],
  ];
  for (const [what, reason, change] of refusals) {
    test(`A claim ${what} is refused with ${reason}`, async () => {
      await withLoops(async (scene) => {
        await prepare(scene);
        await scene.client.create('VolumeSnapshot', snapshot());
        await taken(scene);
        await scene.client.create(
          'PersistentVolumeClaim',
          claim('copy', { ...FROM_SNAP, ...change }),
        );
        await scene.until('it says so', async () => {
          assert.equal(await reasonOf(scene, 'copy'), reason);
        });
        await scene.host.clock.sleep(3_000);
        assert.equal(scene.driver.count('CreateVolume'), 1);
      });
    });
  }

  test('A snapshot that is being restored from waits, and says for whom', async () => {
    await withLoops(async (scene) => {
      const { client, driver } = scene;
      await prepare(scene);
      await client.create('VolumeSnapshot', snapshot());
      await taken(scene);
      const busy = { code: 'timed-out', isApplied: false } as const;
      driver.failNext('CreateVolume', busy, busy, busy, busy, busy);
      await client.create('PersistentVolumeClaim', claim('copy', FROM_SNAP));
      await client.delete('VolumeSnapshot', SNAP);
      const why = 'Claims are being made from it: copy. It goes when they are bound or deleted';
      await says(scene, 'SnapshotDeletePending', why);
      assert.equal(driver.snapshots.size, 1);
      await bound(scene, 'copy');
      await gone(scene, 'VolumeSnapshot', 'VolumeSnapshotContent');
      assert.equal(driver.snapshots.size, 0);
    });
  });

  test('With policy Retain the content stays, and another snapshot is bound to it', async () => {
    await withLoops(async (scene) => {
      const { client, driver } = scene;
      await prepare(scene, { deletionPolicy: 'Retain' });
      await client.create('VolumeSnapshot', snapshot());
      await taken(scene);
      await client.delete('VolumeSnapshot', SNAP);
      await gone(scene, 'VolumeSnapshot');
      const [kept] = (await client.list('VolumeSnapshotContent')).items;
      assert.equal(driver.snapshots.size, 1);
      const snapshotHandle = kept?.status?.snapshotHandle ?? '';
      await client.delete('VolumeSnapshotContent', { name: kept?.metadata.name ?? '' });
      await gone(scene, 'VolumeSnapshotContent');
      assert.equal(driver.snapshots.size, 1, 'what it stood for is kept');
      const volumeSnapshotContentName = 'found';
      await client.create('VolumeSnapshot', snapshot({ source: { volumeSnapshotContentName } }));
      await says(scene, 'SnapshotContentMissing', 'There is no VolumeSnapshotContent found');
      await client.create('VolumeSnapshotContent', {
        apiVersion: API,
        kind: 'VolumeSnapshotContent',
        metadata: { name: 'found' },
        spec: {
          driver: PROVISIONER,
          deletionPolicy: 'Delete',
          source: { snapshotHandle },
          volumeSnapshotRef: { namespace: NAMESPACE, name: SNAP.name },
        },
      });
      const { status } = await taken(scene);
      assert.equal(status?.restoreSize, '64Mi');
      await client.delete('VolumeSnapshot', SNAP);
      await gone(scene, 'VolumeSnapshot', 'VolumeSnapshotContent');
      assert.equal(driver.snapshots.size, 0);
    });
  });

  test('A content for another snapshot is not taken, nor deleted', async () => {
    await withLoops(async (scene) => {
      const { client, driver } = scene;
      await prepare(scene);
      await client.create('VolumeSnapshot', snapshot());
      const { status } = await taken(scene);
      const name = status?.boundVolumeSnapshotContentName ?? '';
      const thief = { ...snapshot({ source: { volumeSnapshotContentName: name } }) };
      await client.create('VolumeSnapshot', { ...thief, metadata: { ...SNAP, name: 'thief' } });
      const key = { namespace: NAMESPACE, name: 'thief' };
      await scene.until('it is refused', async () => {
        const found = await client.get('VolumeSnapshot', key);
        assert.match(found.status?.error?.message ?? '', /is for VolumeSnapshot default\/before/);
      });
      await client.delete('VolumeSnapshot', key);
      await scene.until('it is gone', async () => {
        assert.equal((await client.list('VolumeSnapshot')).items.length, 1);
      });
      await client.get('VolumeSnapshotContent', { name });
      assert.equal(driver.snapshots.size, 1);
    });
  });

  test('A content is kept while its snapshot is there, and says so', async () => {
    await withLoops(async (scene) => {
      const { client, until } = scene;
      await prepare(scene);
      await client.create('VolumeSnapshot', snapshot());
      const name = (await taken(scene)).status?.boundVolumeSnapshotContentName ?? '';
      await client.delete('VolumeSnapshotContent', { name });
      await until('it says so', async () => {
        const { status } = await client.get('VolumeSnapshotContent', { name });
        const why = 'It goes when VolumeSnapshot default/before is deleted';
        assert.equal(status?.error?.message, why);
        assert.equal(status.readyToUse, true);
      });
    });
  });

  test('A content whose snapshot is not there keeps its data, and says so', async () => {
    await withLoops(async (scene) => {
      const { client, driver, host, until } = scene;
      await prepare(scene);
      await client.create('VolumeSnapshot', snapshot());
      const name = (await taken(scene)).status?.boundVolumeSnapshotContentName ?? '';
      // By force: nobody could see it go.
      await client.patch('VolumeSnapshot', SNAP, { metadata: { finalizers: null } });
      await client.delete('VolumeSnapshot', SNAP);
      await until('it says so', async () => {
        const { status } = await client.get('VolumeSnapshotContent', { name });
        assert.match(status?.error?.message ?? '', /default\/before does not exist: .* is kept/);
      });
      await host.clock.sleep(10_000);
      assert.equal(driver.snapshots.size, 1);
      await client.delete('VolumeSnapshotContent', { name });
      await gone(scene, 'VolumeSnapshotContent');
      assert.equal(driver.snapshots.size, 0);
    });
  });

  test('A claim that nobody takes a snapshot of any more goes, whatever was left on it', async () => {
    await withLoops(async (scene) => {
      const { client } = scene;
      await prepare(scene);
      const key = { namespace: NAMESPACE, name: 'demo' };
      await setFinalizer(client, 'PersistentVolumeClaim', key, CLAIM_AS_SOURCE, true);
      await client.delete('PersistentVolumeClaim', key);
      await gone(scene, 'PersistentVolumeClaim', 'PersistentVolume');
    });
  });

  for (const isApplied of [true, false]) {
    const title = isApplied ? 'answers are lost' : 'calls fail';
    test(`When ${title} at every call one snapshot is taken, and it goes again`, async () => {
      await withLoops(async (scene) => {
        const { client, driver } = scene;
        const codes = ['timed-out', 'disconnected', 'operation-pending'] as const;
        for (const call of ['CreateSnapshot', 'DeleteSnapshot']) {
          driver.failNext(call, ...codes.map((code) => ({ code, isApplied })));
        }
        await prepare(scene);
        await client.create('VolumeSnapshot', snapshot());
        await taken(scene);
        assert.equal(driver.snapshots.size, 1);
        await client.delete('VolumeSnapshot', SNAP);
        await gone(scene, 'VolumeSnapshot', 'VolumeSnapshotContent');
        assert.equal(driver.snapshots.size, 0);
      });
    });

    test(`Killed at any step where ${title}, everything reaches its end`, async () => {
      let isOver = false;
      let steps = 0;
      for (let step = 1; !isOver; step += 1) {
        await withLoops(async (scene) => {
          const { client, driver, killSwitch } = scene;
          await prepare(scene);
          killSwitch.isApplied = isApplied;
          killSwitch.stepsLeft = step;
          await client.create('VolumeSnapshot', snapshot());
          await taken(scene);
          await client.create('PersistentVolumeClaim', claim('copy', FROM_SNAP));
          await client.delete('VolumeSnapshot', SNAP);
          await bound(scene, 'copy');
          await gone(scene, 'VolumeSnapshot', 'VolumeSnapshotContent');
          for (const name of ['demo', 'copy']) {
            await client.delete('PersistentVolumeClaim', { namespace: NAMESPACE, name });
          }
          await gone(scene, 'PersistentVolumeClaim', 'PersistentVolume', 'Volume');
          assert.equal(driver.snapshots.size, 0, `killed at step ${step}`);
          isOver = killSwitch.stepsLeft !== undefined;
          steps = step;
        });
      }
      assert.ok(steps > 30, `${steps} steps`);
    });
  }

  test('A snapshot deleted before its answer came is looked for, and deleted', async () => {
    await withLoops(async (scene) => {
      const { client, driver } = scene;
      await prepare(scene);
      driver.isSnapshotReady = false;
      await client.create('VolumeSnapshot', snapshot());
      await says(scene, 'SnapshotCreationFailed', 'Waiting for the volume to be served');
      await client.delete('VolumeSnapshot', SNAP);
      const { items } = await client.list('VolumeSnapshotContent');
      const going = `VolumeSnapshotContent ${items[0]?.metadata.name} is being deleted`;
      await says(scene, 'SnapshotDeletePending', `${going}: Waiting for the volume to be served`);
      assert.equal(driver.snapshots.size, 1);
      driver.isSnapshotReady = true;
      await gone(scene, 'VolumeSnapshot', 'VolumeSnapshotContent');
      assert.equal(driver.snapshots.size, 0);
    });
  });
});
