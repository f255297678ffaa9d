/**
 * Every operation on claims for each class that is shipped, in one real cluster: create, mount,
 * write, snapshot, restore, clone, expand, readers on many nodes, one pod only, raw block, and
 * deletion in an order in which sources go before what was made of them.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { open, readFile, statfs, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import {
  API_VERSION,
  findCondition,
  type Condition,
  type KindName,
  type PersistentVolumeClaim,
  type PersistentVolumeClaimSpec,
} from '#api/kinds/mod.ts';
import { hasCode, HoldfastError } from '#api/mod.ts';
import { createApiClient } from '#cmd/cli-context.testkit.ts';
import type { KubeClient } from '#control/kube/mod.ts';
import { createNodeHost } from '#host/node/mod.ts';
import { RealCluster, whyNotHere } from './real-cluster.testkit.ts';

const NAMESPACE = 'default';
const STEP_MS = 30_000;
const KIB = 1_024;
const CLASSES = [
  { className: 'holdfast-local', replicas: 1, first: 'node-2' },
  { className: 'holdfast-simple', replicas: 3, first: 'node-1' },
] as const;
const KINDS: readonly KindName[] = [
  'Mount',
  'PersistentVolumeClaim',
  'PersistentVolume',
  'VolumeAttachment',
  'VolumeSnapshot',
  'VolumeSnapshotContent',
  'Snapshot',
  'Volume',
  'Replica',
];
const skip = whyNotHere(['mkfs.ext4', 'losetup']);

type Spec = Partial<PersistentVolumeClaimSpec>;

describe('Shipped classes', { skip, timeout: 300_000 }, () => {
  let cluster: RealCluster;
  let client: KubeClient;
  const startMs = performance.now();

  before(async () => {
    cluster = await RealCluster.start('operations');
    const socket = path.join(cluster.directory, 'run', 'apiserver.sock');
    client = createApiClient(createNodeHost({ logLevel: 'fatal' }), socket, 'test');
  });
  after(() => cluster.stop());

  const at = (name: string): string => path.join(cluster.directory, 'mnt', name);
  const keyOf = (name: string) => ({ namespace: NAMESPACE, name });

  async function until(what: string, look: () => Promise<string>): Promise<void> {
    const endMs = performance.now() + STEP_MS;
    let said = '';
    for (;;) {
      try {
        said = await look();
        if (said === '') return;
      } catch (error) {
        if (!HoldfastError.is(error)) throw error;
        said = `${error.code}: ${error.message}`;
      }
      if (performance.now() > endMs) throw new Error(`never: ${what}: ${said}`);
      await pause(50);
    }
  }

  async function readyOf(kind: 'Mount' | 'PersistentVolumeClaim', name: string) {
    const { status } = await client.get(kind, keyOf(name));
    return findCondition(status?.conditions as readonly Condition[] | undefined, 'Ready');
  }

  async function createClaim(name: string, className: string, spec: Spec = {}): Promise<void> {
    await client.create('PersistentVolumeClaim', {
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata: keyOf(name),
      spec: {
        storageClassName: className,
        accessModes: ['ReadWriteOnce'],
        resources: { requests: { storage: '64Mi' } },
        ...spec,
      },
    });
  }

  async function createMount(name: string, claimName: string, nodeName: string): Promise<void> {
    await client.create('Mount', {
      apiVersion: API_VERSION,
      kind: 'Mount',
      metadata: keyOf(name),
      spec: { claimName, nodeName, path: at(name) },
    });
  }

  /** Resolves to where it is mounted. */
  async function mount(claimName: string, nodeName: string, name = claimName): Promise<string> {
    await createMount(name, claimName, nodeName);
    await until(`${name} is mounted`, async () => {
      const ready = await readyOf('Mount', name);
      return ready?.status === 'True' ? '' : `${ready?.reason}: ${ready?.message}`;
    });
    return at(name);
  }

  async function untilReason(
    kind: 'Mount' | 'PersistentVolumeClaim',
    name: string,
    reason: string,
  ): Promise<string> {
    await until(`${kind} ${name} says ${reason}`, async () => {
      const ready = await readyOf(kind, name);
      return ready?.reason === reason ? '' : `${ready?.reason}: ${ready?.message}`;
    });
    return (await readyOf(kind, name))?.message ?? '';
  }

  async function isThere(kind: KindName, name: string): Promise<boolean> {
    try {
      await client.get(kind, keyOf(name));
      return true;
    } catch (error) {
      if (hasCode(error, 'not-found')) return false;
      throw error;
    }
  }

  async function unmount(name: string): Promise<void> {
    await client.delete('Mount', keyOf(name));
    await until(`${name} is unmounted`, async () =>
      (await isThere('Mount', name)) ? 'it is there' : '',
    );
  }

  async function snapshot(name: string, claimName: string): Promise<void> {
    await client.create('VolumeSnapshot', {
      apiVersion: 'snapshot.storage.k8s.io/v1',
      kind: 'VolumeSnapshot',
      metadata: keyOf(name),
      spec: { source: { persistentVolumeClaimName: claimName } },
    });
    await until(`snapshot ${name} is taken`, async () => {
      const { status } = await client.get('VolumeSnapshot', keyOf(name));
      return status?.readyToUse === true ? '' : (status?.error?.message ?? 'being taken');
    });
  }

  const fromSnapshot = (name: string): Spec => ({
    dataSourceRef: { apiGroup: 'snapshot.storage.k8s.io', kind: 'VolumeSnapshot', name },
  });
  const fromClaim = (name: string): Spec => ({
    dataSourceRef: { kind: 'PersistentVolumeClaim', name },
  });

  async function replicasOf(claimName: string): Promise<readonly string[]> {
    const claim = await client.get('PersistentVolumeClaim', keyOf(claimName));
    const { spec } = await client.get('PersistentVolume', { name: claim.spec.volumeName ?? '' });
    const volume = await client.get('Volume', { name: spec.csi?.volumeHandle ?? '' });
    return (volume.spec.placement ?? []).map((entry) => entry.nodeName);
  }

  /** What a reader of the device gets, past what the kernel remembers. */
  function readDevice(device: string, lengthBytes: number): Buffer {
    return execFileSync('dd', [`if=${device}`, `bs=${lengthBytes}`, 'count=1', 'iflag=direct'], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
  }

  for (const { className, replicas, first } of CLASSES) {
    const id = className.slice('holdfast-'.length);
    const data = `${id}-data`;

    test(`${className}: a claim is made beside its consumer, mounted, written`, async () => {
      await createClaim(data, className);
      const directory = await mount(data, first);
      const nodes = await replicasOf(data);
      assert.equal(nodes.length, replicas);
      assert.ok(nodes.includes(first), `a replica beside the consumer: ${nodes.join(', ')}`);
      await writeDurably(path.join(directory, 'file'), contentOf(className, 'first'));
    });

    test(`${className}: a snapshot is restored and a claim cloned`, async () => {
      await snapshot(`${id}-snap`, data);
      await writeDurably(path.join(at(data), 'file'), contentOf(className, 'second'));
      await createClaim(`${id}-small`, className, {
        ...fromSnapshot(`${id}-snap`),
        resources: { requests: { storage: '32Mi' } },
      });
      assert.match(await untilReason('PersistentVolumeClaim', `${id}-small`, 'TooSmall'), /64Mi/);
      await client.delete('PersistentVolumeClaim', keyOf(`${id}-small`));
      await createClaim(`${id}-restored`, className, fromSnapshot(`${id}-snap`));
      await createClaim(`${id}-clone`, className, fromClaim(data));
      const [restored, clone] = await Promise.all([
        mount(`${id}-restored`, 'node-3'),
        mount(`${id}-clone`, first),
      ]);
      const read = (directory: string) => readFile(path.join(directory, 'file'));
      assert.ok((await read(restored)).equals(contentOf(className, 'first')), 'restored');
      assert.ok((await read(clone)).equals(contentOf(className, 'second')), 'cloned');
      await until('there are as many replicas as the class says', async () => {
        const nodes = await replicasOf(`${id}-restored`);
        return nodes.length === replicas ? '' : nodes.join(', ');
      });
    });

    test(`${className}: many nodes read at once, and none writes`, async () => {
      await createClaim(`${id}-empty`, className, { accessModes: ['ReadOnlyMany'] });
      const why = await untilReason(
        'PersistentVolumeClaim',
        `${id}-empty`,
        'AccessModeUnsupported',
      );
      assert.match(why, /needs a source/);
      await client.delete('PersistentVolumeClaim', keyOf(`${id}-empty`));
      await createClaim(`${id}-readers`, className, {
        ...fromSnapshot(`${id}-snap`),
        accessModes: ['ReadOnlyMany'],
      });
      const nodes = ['node-1', 'node-2', 'node-3'];
      const directories = await Promise.all(
        nodes.map((node) => mount(`${id}-readers`, node, `${id}-reader-${node}`)),
      );
      for (const directory of directories) {
        const found = await readFile(path.join(directory, 'file'));
        assert.ok(found.equals(contentOf(className, 'first')), directory);
        await assert.rejects(writeFile(path.join(directory, 'x'), 'x'), { code: 'EROFS' });
      }
    });

    test(`${className}: a claim for one pod has one, even on its own node`, async () => {
      await createClaim(`${id}-pod`, className, { accessModes: ['ReadWriteOncePod'] });
      await mount(`${id}-pod`, first);
      await createMount(`${id}-pod-2`, `${id}-pod`, first);
      const why = await untilReason('Mount', `${id}-pod-2`, 'InUse');
      assert.match(why, new RegExp(`mounted on ${first} at .* by mount ${id}-pod$`));
      assert.equal(existsSync(at(`${id}-pod-2`)), false);
      await unmount(`${id}-pod`);
      await until('the second has it', async () => {
        const ready = await readyOf('Mount', `${id}-pod-2`);
        return ready?.status === 'True' ? '' : `${ready?.reason}`;
      });
    });

    test(`${className}: raw block volumes are written, restored, cloned and read`, async () => {
      const content = randomBytes(64 * KIB);
      const block = { volumeMode: 'Block' } as const;
      await createClaim(`${id}-block`, className, block);
      const device = await mount(`${id}-block`, first);
      await writeDurably(device, content, 'r+');
      await snapshot(`${id}-block-snap`, `${id}-block`);
      await writeDurably(device, randomBytes(64 * KIB), 'r+');
      const source = fromSnapshot(`${id}-block-snap`);
      await createClaim(`${id}-block-restored`, className, { ...block, ...source });
      const readers: Spec = { ...block, ...source, accessModes: ['ReadOnlyMany'] };
      await createClaim(`${id}-block-readers`, className, readers);
      const [restored, reader] = await Promise.all([
        mount(`${id}-block-restored`, 'node-3'),
        mount(`${id}-block-readers`, 'node-2'),
      ]);
      for (const each of [restored, reader]) {
        assert.ok(readDevice(each, content.byteLength).equals(content), each);
      }
      await assert.rejects(writeDurably(reader, content, 'r+'), /EPERM|EROFS|EACCES/);
      await writeDurably(restored, content, 'r+');
    });

    test(`${className}: a claim grows while it is mounted`, async (t) => {
      const patch = { spec: { resources: { requests: { storage: '128Mi' } } } };
      await client.patch('PersistentVolumeClaim', keyOf(data), patch);
      await until('it has grown', async () => {
        const { status } = await client.get('PersistentVolumeClaim', keyOf(data));
        return status?.capacity?.storage === '128Mi' ? '' : `${status?.capacity?.storage}`;
      });
      await until('its filesystem knows, or says why not', async () => {
        const { status } = await client.get('Mount', keyOf(data));
        const refusal = findCondition(status?.conditions, 'FilesystemGrown');
        const isTold = (status?.filesystemBytes ?? 0) >= 128 * KIB * KIB;
        if (refusal?.status === 'False') t.diagnostic(refusal.message);
        return isTold || refusal?.status === 'False' ? '' : 'not yet';
      });
      // What the machine does not allow online is done when it is mounted the next time.
      await unmount(data);
      const { blocks, bsize } = await statfs(await mount(data, first));
      assert.ok(blocks * bsize > 100 * KIB * KIB, `${blocks * bsize}`);
    });
  }

  test('All go, sources before what was made of them, and nothing is left', async (t) => {
    assert.ok((await leftovers()).length > 10, 'what is there is found');
    for (const { metadata } of (await client.list('Mount')).items) {
      await client.delete('Mount', keyOf(metadata.name));
    }
    const claims = (await client.list('PersistentVolumeClaim')).items;
    const bySource = [...claims].sort((a, b) => Number(isMade(a)) - Number(isMade(b)));
    for (const { metadata } of bySource) {
      await client.delete('PersistentVolumeClaim', keyOf(metadata.name));
    }
    for (const { metadata } of (await client.list('VolumeSnapshot')).items) {
      await client.delete('VolumeSnapshot', keyOf(metadata.name));
    }
    await until('nothing is left', async () => (await leftovers()).join('; ').slice(0, 500));
    t.diagnostic(
      `${claims.length} claims, ${((performance.now() - startMs) / 1_000).toFixed(0)} s`,
    );
  });

  /** Objects, files, mounts and loop devices. */
  async function leftovers(): Promise<string[]> {
    const left: string[] = [];
    for (const kind of KINDS) {
      const { items } = await client.list(kind);
      left.push(...items.map(({ metadata }) => `${kind} ${metadata.name}`));
    }
    for (const node of readdirSync(path.join(cluster.directory, 'nodes'))) {
      const root = path.join(cluster.directory, 'nodes', node);
      const replicas = readdirSync(path.join(root, 'pool', 'replicas'), { withFileTypes: true });
      const directories = replicas.filter((entry) => entry.isDirectory());
      left.push(
        ...directories
          .filter(({ name }) => /^(?:pvc|view|csi)-/.test(name))
          .map(({ name }) => `replica ${name}`),
        ...readdirSync(path.join(root, 'engine')).filter((name) => name.endsWith('.img')),
      );
    }
    const lines = [
      ...readFileSync('/proc/self/mountinfo', 'utf8').split('\n'),
      ...execFileSync('losetup', ['-l', '-n', '-O', 'NAME,BACK-FILE'], { encoding: 'utf8' }).split(
        '\n',
      ),
    ];
    left.push(...lines.filter((line) => line.includes(cluster.directory)));
    return left;
  }
});

function isMade({ spec }: PersistentVolumeClaim): boolean {
  return (spec.dataSourceRef ?? null) !== null;
}

/** The same at every call. */
function contentOf(className: string, moment: 'first' | 'second'): Buffer {
  return Buffer.alloc(300_000, `${className} ${moment} `);
}

async function writeDurably(file: string, data: Uint8Array, flags = 'w'): Promise<void> {
  const handle = await open(file, flags);
  try {
    await handle.write(data, 0, data.byteLength, 0);
    await handle.sync();
  } finally {
    await handle.close();
  }
}
