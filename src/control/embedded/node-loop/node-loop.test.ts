/** The node loop over the twin of the API and a node service that misbehaves as real ones do. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Mount, PersistentVolume } from '#api/kinds/mod.ts';
import { API_VERSION, findCondition } from '#api/kinds/mod.ts';
import { type ErrorCode, HoldfastError, type NodeId, PROVISIONER } from '#api/mod.ts';
import { createTestApi } from '#control/apiserver/test-api.testkit.ts';
import type { NodeCalls, Service } from '#control/csi/mod.ts';
import { changeStatus, type KubeClient } from '#control/kube/mod.ts';
import type { Host } from '#host/mod.ts';
import { SimWorld } from '#host/sim/mod.ts';
import { attachmentNameOf, MOUNT_FINALIZER } from '../context.ts';
import { until } from '../until.testkit.ts';
import { NodeLoop } from './node-loop.ts';

const STAGING = '/staging/v-demo';

/** What a kernel would show, and what was asked. */
class FakeMachine {
  readonly calls: string[] = [];
  readonly staged = new Set<string>();
  readonly targets = new Set<string>();
  readonly failures: { call: string; code: ErrorCode; isApplied: boolean }[] = [];

  get service(): Service<NodeCalls> {
    const answer = async (call: string, act: () => void): Promise<Record<string, never>> => {
      this.calls.push(call);
      const at = this.failures.findIndex((failure) => failure.call === call);
      const [failure] = at < 0 ? [] : this.failures.splice(at, 1);
      if (failure?.isApplied !== false) act();
      if (failure === undefined) return {};
      throw new HoldfastError(failure.code, 'It was planted');
    };
    const service = {
      NodeStageVolume: ({ stagingTargetPath }: { stagingTargetPath: string }) =>
        answer('stage', () => void this.staged.add(stagingTargetPath)),
      NodeUnstageVolume: ({ stagingTargetPath }: { stagingTargetPath: string }) =>
        answer('unstage', () => {
          assert.equal(this.targets.size, 0, 'published while it is unstaged');
          this.staged.delete(stagingTargetPath);
        }),
      NodePublishVolume: ({ targetPath }: { targetPath: string }) =>
        answer('publish', () => {
          assert.equal(this.staged.size, 1, 'staged before it is published');
          this.targets.add(targetPath);
        }),
      NodeUnpublishVolume: ({ targetPath }: { targetPath: string }) =>
        answer('unpublish', () => void this.targets.delete(targetPath)),
      NodeExpandVolume: () => answer('expand', () => {}),
    };
    return service as unknown as Service<NodeCalls>;
  }

  count(call: string): number {
    return this.calls.filter((name) => name === call).length;
  }
}

interface Scene {
  readonly client: KubeClient;
  readonly machine: FakeMachine;
  readonly host: Host;
  readonly createLoop: () => NodeLoop;
  readonly until: (what: string, check: () => Promise<void>) => Promise<void>;
}

const PV: PersistentVolume = {
  apiVersion: 'v1',
  kind: 'PersistentVolume',
  metadata: { name: 'pv-demo' },
  spec: {
    capacity: { storage: '1Gi' },
    accessModes: ['ReadWriteOnce'],
    claimRef: { namespace: 'default', name: 'demo' },
    csi: { driver: PROVISIONER, volumeHandle: 'v-demo', fsType: 'ext4' },
  },
};

function mountOf(name: string, path: string, nodeName = 'n1'): Mount {
  return {
    apiVersion: API_VERSION,
    kind: 'Mount',
    metadata: { namespace: 'default', name },
    spec: { claimName: 'demo', nodeName, path },
  };
}

async function withNode(
  action: (scene: Scene) => Promise<void>,
  accessMode: 'ReadWriteOnce' | 'ReadWriteOncePod' = 'ReadWriteOnce',
): Promise<void> {
  const world = new SimWorld(1);
  const host = world.addNode('n1');
  const { client } = createTestApi(world, host);
  const machine = new FakeMachine();
  const createLoop = (): NodeLoop =>
    new NodeLoop({
      ...host,
      client,
      node: machine.service,
      nodeName: 'n1' as NodeId,
      stagingDirectory: '/staging',
      staged: () =>
        [...machine.staged].map((path) => ({
          volume: path.slice('/staging/'.length),
          path,
          fsType: 'ext4',
          device: '/dev/loop0',
        })),
      targetsOf: async () => [...machine.targets],
    });
  await world.finish(
    (async () => {
      await client.create('PersistentVolumeClaim', {
        apiVersion: 'v1',
        kind: 'PersistentVolumeClaim',
        metadata: { namespace: 'default', name: 'demo' },
        spec: {
          accessModes: [accessMode],
          resources: { requests: { storage: '1Gi' } },
          volumeName: 'pv-demo',
        },
      });
      await client.create('PersistentVolume', PV);
      await action({ client, machine, host, createLoop, until: until.bind(null, host.clock) });
    })(),
  );
}

async function attachVolume({ client }: Scene): Promise<void> {
  const name = attachmentNameOf(PV, 'n1');
  await client.create('VolumeAttachment', {
    apiVersion: 'storage.k8s.io/v1',
    kind: 'VolumeAttachment',
    metadata: { name },
    spec: { attacher: PROVISIONER, nodeName: 'n1', source: { persistentVolumeName: 'pv-demo' } },
  });
  await changeStatus(client, 'VolumeAttachment', { name }, () => ({ attached: true }));
}

async function untilReady({ client, until }: Scene, name: string): Promise<void> {
  await until(`${name} is mounted`, async () => {
    const { status } = await client.get('Mount', { namespace: 'default', name });
    assert.equal(findCondition(status?.conditions, 'Ready')?.status, 'True');
  });
}

async function untilGone({ client, until }: Scene): Promise<void> {
  await until('no mount is left', async () => {
    assert.deepEqual((await client.list('Mount')).items, []);
  });
}

describe('NodeLoop', () => {
  test('Nothing is mounted before the volume is attached', async () => {
    await withNode(async (scene) => {
      const { client, machine, host, createLoop } = scene;
      const loop = createLoop();
      await loop.start();
      await client.create('Mount', mountOf('m', '/m'));
      await host.clock.sleep(5_000);
      assert.deepEqual(machine.calls, []);
      await attachVolume(scene);
      await untilReady(scene, 'm');
      assert.deepEqual(machine.calls.slice(0, 3), ['stage', 'publish', 'expand']);
      const { metadata, status } = await client.get('Mount', { namespace: 'default', name: 'm' });
      assert.ok(metadata.finalizers?.includes(MOUNT_FINALIZER));
      assert.equal(status?.volumeName, 'v-demo');
      assert.equal(status.filesystemBytes, 2 ** 30);
      await loop.stop();
    });
  });

  test('The staging is shared, and goes with the last mount', async () => {
    await withNode(async (scene) => {
      const { client, machine, createLoop, until } = scene;
      await attachVolume(scene);
      const loop = createLoop();
      await loop.start();
      for (const name of ['a', 'b']) {
        await client.create('Mount', mountOf(name, `/${name}`));
        await untilReady(scene, name);
      }
      assert.deepEqual([...machine.targets], ['/a', '/b']);
      await client.delete('Mount', { namespace: 'default', name: 'a' });
      await until('one is left', async () => {
        assert.equal((await client.list('Mount')).items.length, 1);
      });
      assert.deepEqual([machine.count('unstage'), [...machine.targets]], [0, ['/b']]);
      await client.delete('Mount', { namespace: 'default', name: 'b' });
      await untilGone(scene);
      assert.deepEqual([machine.staged.size, machine.targets.size], [0, 0]);
      await loop.stop();
    });
  });

  test('A claim for one pod is mounted once, by the next when the first is gone', async () => {
    await withNode(async (scene) => {
      const { client, machine, host, createLoop } = scene;
      const loop = createLoop();
      await loop.start();
      await attachVolume(scene);
      await client.create('Mount', mountOf('a', '/a'));
      await untilReady(scene, 'a');
      await client.create('Mount', mountOf('b', '/b'));
      await host.clock.sleep(5_000);
      assert.deepEqual([...machine.targets], ['/a']);
      const second = await client.get('Mount', { namespace: 'default', name: 'b' });
      assert.equal(second.metadata.finalizers, undefined);
      await client.delete('Mount', { namespace: 'default', name: 'a' });
      await untilReady(scene, 'b');
      assert.deepEqual([...machine.targets], ['/b']);
      await loop.stop();
    }, 'ReadWriteOncePod');
  });

  test('A mount for another node is left alone', async () => {
    await withNode(async (scene) => {
      await attachVolume(scene);
      const loop = scene.createLoop();
      await loop.start();
      await scene.client.create('Mount', mountOf('m', '/m', 'n2'));
      await scene.host.clock.sleep(5_000);
      assert.deepEqual(scene.machine.calls, []);
      await loop.stop();
    });
  });

  for (const isApplied of [true, false]) {
    const title = isApplied ? 'answers are lost' : 'calls fail';
    test(`When ${title} at every step it is mounted, says why not yet, and goes`, async () => {
      await withNode(async (scene) => {
        const { client, machine, createLoop, until } = scene;
        for (const call of ['stage', 'publish', 'expand', 'unpublish', 'unstage']) {
          for (const code of ['timed-out', 'operation-pending', 'io-error'] as const) {
            machine.failures.push({ call, code, isApplied });
          }
        }
        await attachVolume(scene);
        const loop = createLoop();
        await loop.start();
        await client.create('Mount', mountOf('m', '/m'));
        await untilReady(scene, 'm');
        const { items } = await client.list('Event', { namespace: 'default' });
        if (!isApplied) assert.ok(items.some((event) => event.note.includes('planted')));
        await client.delete('Mount', { namespace: 'default', name: 'm' });
        await until('it says why it is not gone', async () => {
          const left = await client.list('Mount');
          if (left.items.length === 0) return;
          const { status } = await client.get('Mount', { namespace: 'default', name: 'm' });
          assert.ok(findCondition(status?.conditions, 'Terminating'));
        });
        await untilGone(scene);
        assert.deepEqual([machine.staged.size, machine.targets.size], [0, 0]);
        await loop.stop();
      });
    });
  }

  for (const killedAfter of ['stage', 'publish', 'expand'] as const) {
    test(`A node that dies after ${killedAfter} goes on where it was`, async () => {
      await withNode(async (scene) => {
        const { client, machine, createLoop, host } = scene;
        await attachVolume(scene);
        // As killed: what follows fails, and the loop is never heard of again.
        const next = { stage: 'publish', publish: 'expand', expand: 'none' }[killedAfter];
        for (let n = 0; n < 50; n += 1) {
          machine.failures.push({ call: next, code: 'aborted', isApplied: false });
        }
        const first = createLoop();
        await first.start();
        await client.create('Mount', mountOf('m', '/m'));
        await host.clock.sleep(1_000);
        await first.stop();
        machine.failures.splice(0);
        const second = createLoop();
        await second.start();
        await untilReady(scene, 'm');
        assert.deepEqual([[...machine.staged], [...machine.targets]], [[STAGING], ['/m']]);
        await client.delete('Mount', { namespace: 'default', name: 'm' });
        await untilGone(scene);
        await second.stop();
      });
    });
  }

  test('What nobody wants any more is taken down when the node comes back', async () => {
    await withNode(async ({ machine, createLoop }) => {
      machine.staged.add(STAGING);
      machine.targets.add('/m');
      // Staged by somebody else, as the sidecars of a cluster do: not ours to judge.
      machine.staged.add('/elsewhere/v-other');
      const loop = createLoop();
      await loop.start();
      assert.deepEqual([[...machine.staged], machine.targets.size], [['/elsewhere/v-other'], 0]);
      await loop.stop();
    });
  });

  test('What cannot be taken down at first is taken down later', async () => {
    await withNode(async ({ machine, createLoop, host }) => {
      machine.staged.add(STAGING);
      machine.targets.add('/m');
      machine.failures.push({ call: 'unpublish', code: 'in-use', isApplied: false });
      machine.failures.push({ call: 'unstage', code: 'io-error', isApplied: false });
      const loop = createLoop();
      await loop.start();
      assert.equal(machine.staged.size, 1);
      await host.clock.sleep(15_000);
      assert.deepEqual([machine.staged.size, machine.targets.size], [0, 0]);
      await loop.stop();
    });
  });

  test('A second mount of a claim for one waits, says nothing itself, and follows', async () => {
    await withNode(async (scene) => {
      const { client, machine, createLoop, host } = scene;
      await attachVolume(scene);
      const loop = createLoop();
      await loop.start();
      await client.create('Mount', mountOf('a', '/a'));
      await untilReady(scene, 'a');
      await client.create('Mount', mountOf('b', '/b'));
      await host.clock.sleep(5_000);
      assert.deepEqual([...machine.targets], ['/a']);
      const { status } = await client.get('Mount', { namespace: 'default', name: 'b' });
      assert.equal(findCondition(status?.conditions, 'Ready'), undefined);
      await client.delete('Mount', { namespace: 'default', name: 'a' });
      await untilReady(scene, 'b');
      assert.deepEqual([...machine.targets], ['/b']);
      await loop.stop();
    }, 'ReadWriteOncePod');
  });

  test('A filesystem that cannot grow stays mounted and says so', async () => {
    await withNode(async (scene) => {
      const { client, machine, createLoop, until } = scene;
      await attachVolume(scene);
      const loop = createLoop();
      await loop.start();
      await client.create('Mount', mountOf('m', '/m'));
      await untilReady(scene, 'm');
      for (let n = 0; n < 3; n += 1) {
        machine.failures.push({ call: 'expand', code: 'permission-denied', isApplied: false });
      }
      const patch = { spec: { capacity: { storage: '2Gi' } } };
      await client.patch('PersistentVolume', { name: 'pv-demo' }, patch);
      await until('it is said', async () => {
        const { status } = await client.get('Mount', { namespace: 'default', name: 'm' });
        const grown = findCondition(status?.conditions, 'FilesystemGrown');
        assert.equal(grown?.reason, 'PermissionDenied');
        assert.equal(findCondition(status?.conditions, 'Ready')?.status, 'True');
      });
      await loop.stop();
    });
  });

  test('Quiescing takes everything down, keeps the mounts, and names what is busy', async () => {
    await withNode(async (scene) => {
      const { client, machine, createLoop, host } = scene;
      await attachVolume(scene);
      const loop = createLoop();
      await loop.start();
      await client.create('Mount', mountOf('m', '/m'));
      await untilReady(scene, 'm');
      machine.failures.push({ call: 'unpublish', code: 'in-use', isApplied: false });
      assert.match((await loop.quiesce()).join(), /planted/);
      assert.deepEqual(await loop.quiesce(), []);
      await client.create('Mount', mountOf('late', '/late'));
      await host.clock.sleep(5_000);
      assert.deepEqual([machine.staged.size, machine.targets.size], [0, 0]);
      assert.equal((await client.list('Mount')).items.length, 2);
      await loop.stop();
      const next = createLoop();
      await next.start();
      await untilReady(scene, 'm');
      await next.stop();
    });
  });
});
