/**
 * Claims are made, written to, snapshot, cloned, grown and deleted while the API server, the
 * controller and the nodes are killed at random moments: every object reaches its end, nothing that
 * was written is lost, and nothing is left of any of them. HOLDFAST_CYCLES and HOLDFAST_KILLS_EACH
 * give other sizes.
 */
import assert from 'node:assert/strict';
import { randomBytes, randomInt } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { open, readFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { API_VERSION, findCondition, type KindName } from '#api/kinds/mod.ts';
import { hasCode, HoldfastError } from '#api/mod.ts';
import { createApiClient } from '#cmd/cli-context.testkit.ts';
import type { KubeClient } from '#control/kube/mod.ts';
import { createNodeHost } from '#host/node/mod.ts';
import { RealCluster } from './real-cluster.testkit.ts';

const CYCLES = Number(process.env['HOLDFAST_CYCLES'] ?? 8);
const KILLS_EACH = Number(process.env['HOLDFAST_KILLS_EACH'] ?? 3);
/** At once. */
const WORKERS = 4;
const STEP_MS = 120_000;
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
const CLASS = 'lifecycle';

const isRoot = process.getuid?.() === 0;
const skip = isRoot ? false : 'needs root: mounts';

describe('Claims whose control plane is killed', { skip }, () => {
  let cluster: RealCluster;
  let client: KubeClient;

  before(async () => {
    cluster = await RealCluster.start('lifecycles');
    const socket = path.join(cluster.directory, 'run', 'apiserver.sock');
    client = createApiClient(createNodeHost({ logLevel: 'fatal' }), socket, 'test');
    await client.create('StorageClass', {
      apiVersion: 'storage.k8s.io/v1',
      kind: 'StorageClass',
      metadata: { name: CLASS },
      provisioner: 'csi.holdfast.dev',
      parameters: { replicas: '2' },
      allowVolumeExpansion: true,
    });
  });
  after(() => cluster.stop());

  /** Through the times in which nobody answers; what was done already is as good as done. */
  async function insist<T>(
    act: () => Promise<T>,
    done: 'already-exists' | 'not-found',
  ): Promise<void> {
    for (let tries = 0; ; tries += 1) {
      try {
        await act();
        return;
      } catch (error) {
        if (!HoldfastError.is(error)) throw error;
        if (error.code === done) return;
        const isAway = ['refused', 'disconnected', 'timed-out', 'conflict'].includes(error.code);
        if (!isAway || tries > 600) throw error;
        await pause(100);
      }
    }
  }

  async function until(what: string, check: () => Promise<boolean>): Promise<void> {
    const untilMs = performance.now() + STEP_MS;
    for (;;) {
      let said = '';
      try {
        if (await check()) return;
      } catch (error) {
        if (!HoldfastError.is(error)) throw error;
        said = ` (${error.code})`;
      }
      if (performance.now() > untilMs)
        throw new Error(`never: ${what}${said}\n${await everything()}`);
      await pause(100);
    }
  }

  /** Of what has conditions: for a person who reads why something never happened. */
  async function everything(): Promise<string> {
    const lines: string[] = [];
    for (const kind of [...KINDS, 'StorageNode'] as const) {
      for (const object of (await client.list(kind)).items) {
        const status = JSON.stringify((object as { status?: unknown }).status ?? {});
        lines.push(`${kind} ${object.metadata.name} ${status.slice(0, 700)}`);
      }
    }
    return lines.join('\n');
  }

  const isGone = async (kind: KindName, name: string): Promise<boolean> => {
    try {
      await client.get(kind, { name, namespace: 'default' });
      return false;
    } catch (error) {
      if (hasCode(error, 'not-found')) return true;
      throw error;
    }
  };

  async function makeClaim(name: string, source?: string): Promise<void> {
    const dataSource = { kind: 'PersistentVolumeClaim', name: source ?? '' } as const;
    await insist(
      () =>
        client.create('PersistentVolumeClaim', {
          apiVersion: 'v1',
          kind: 'PersistentVolumeClaim',
          metadata: { namespace: 'default', name },
          spec: {
            storageClassName: CLASS,
            accessModes: ['ReadWriteOnce'],
            resources: { requests: { storage: '64Mi' } },
            ...(source === undefined ? {} : { dataSource }),
          },
        }),
      'already-exists',
    );
    await until(`claim ${name} is bound`, async () => {
      const { status } = await client.get('PersistentVolumeClaim', { namespace: 'default', name });
      return status?.phase === 'Bound';
    });
  }

  async function mountClaim(name: string, directory: string): Promise<void> {
    const nodeName = `node-${randomInt(1, 4)}`;
    await insist(
      () =>
        client.create('Mount', {
          apiVersion: API_VERSION,
          kind: 'Mount',
          metadata: { namespace: 'default', name },
          spec: { claimName: name, nodeName, path: directory },
        }),
      'already-exists',
    );
    await until(`${name} is mounted`, async () => {
      const { status } = await client.get('Mount', { namespace: 'default', name });
      return findCondition(status?.conditions, 'Ready')?.status === 'True';
    });
  }

  async function snapshotOf(claimName: string): Promise<string> {
    const name = `${claimName}-snap`;
    await insist(
      () =>
        client.create('VolumeSnapshot', {
          apiVersion: 'snapshot.storage.k8s.io/v1',
          kind: 'VolumeSnapshot',
          metadata: { namespace: 'default', name },
          spec: { source: { persistentVolumeClaimName: claimName } },
        }),
      'already-exists',
    );
    await until(`snapshot ${name} is taken`, async () => {
      const { status } = await client.get('VolumeSnapshot', { namespace: 'default', name });
      return status?.readyToUse === true;
    });
    return name;
  }

  async function remove(kind: KindName, name: string): Promise<void> {
    await insist(() => client.delete(kind, { name, namespace: 'default' }), 'not-found');
    await until(`${kind} ${name} is gone`, () => isGone(kind, name));
  }

  async function live(name: string): Promise<void> {
    const directory = path.join(cluster.directory, 'mnt', name);
    const file = path.join(directory, 'data');
    const data = randomBytes(300_000);
    await makeClaim(name);
    await mountClaim(name, directory);
    await writeDurably(file, data);
    const snapshot = await snapshotOf(name);
    await makeClaim(`${name}-twin`, name);
    await grow(name);
    assert.ok((await readFile(file)).equals(data), `${name}: what was written is there`);
    await remove('Mount', name);
    assert.equal(existsSync(file), false, `${name} is unmounted`);
    const twin = path.join(cluster.directory, 'mnt', `${name}-twin`);
    await mountClaim(`${name}-twin`, twin);
    const copy = await readFile(path.join(twin, 'data'));
    assert.ok(copy.equals(data), `${name}: the clone has it too`);
    await remove('Mount', `${name}-twin`);
    await remove('VolumeSnapshot', snapshot);
    await remove('PersistentVolumeClaim', name);
    await remove('PersistentVolumeClaim', `${name}-twin`);
  }

  async function grow(name: string): Promise<void> {
    const key = { namespace: 'default', name };
    const patch = { spec: { resources: { requests: { storage: '128Mi' } } } };
    await insist(() => client.patch('PersistentVolumeClaim', key, patch), 'already-exists');
    await until(`${name} has grown`, async () => {
      const { status } = await client.get('PersistentVolumeClaim', key);
      return status?.capacity?.storage === '128Mi';
    });
  }

  /** Objects, files, mounts and loop devices that a claim left; empty when nothing is left. */
  async function leftovers(): Promise<string[]> {
    const left: string[] = [];
    for (const kind of KINDS) {
      for (const { metadata } of (await client.list(kind)).items)
        left.push(`${kind} ${metadata.name}`);
    }
    for (const node of readdirSync(path.join(cluster.directory, 'nodes'))) {
      const root = path.join(cluster.directory, 'nodes', node);
      for (const entry of readdirSync(path.join(root, 'pool', 'replicas'), {
        withFileTypes: true,
      })) {
        if (entry.isDirectory() && entry.name.startsWith('pvc-'))
          left.push(`replica ${entry.name}`);
      }
      for (const name of readdirSync(path.join(root, 'engine'))) {
        if (/\.(?:img|fuse\.json)$/.test(name)) left.push(`file ${name}`);
      }
    }
    const table = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
    left.push(
      ...table.filter((line) => line.includes(cluster.directory)).map((line) => `mount ${line}`),
    );
    const loops = execFileSync('losetup', ['-l', '-n', '-O', 'NAME,BACK-FILE'], {
      encoding: 'utf8',
    });
    left.push(...loops.split('\n').filter((line) => line.includes(cluster.directory)));
    return left;
  }

  /** Node says so of a number that it would close again at the end of a thread. */
  function doubleOwners(): string[] {
    const logs = path.join(cluster.directory, 'logs');
    return readdirSync(logs)
      .filter((name) => name.endsWith('.out'))
      .filter((name) =>
        /opened in unmanaged mode/.test(readFileSync(path.join(logs, name), 'utf8')),
      );
  }

  const pidOf = (role: string): number | undefined => {
    try {
      const text = readFileSync(path.join(cluster.directory, 'run', `${role}.pid`), 'utf8');
      return (JSON.parse(text) as { readonly pid: number }).pid;
    } catch {
      // Between its end and its next start.
      return undefined;
    }
  };

  test('What is there is found: the check can fail', async () => {
    await makeClaim('witness');
    const left = await leftovers();
    for (const what of [
      'PersistentVolumeClaim witness',
      'PersistentVolume',
      'Volume',
      'replica pvc-',
    ]) {
      assert.ok(
        left.some((entry) => entry.startsWith(what)),
        `${what} in ${left.join(', ')}`,
      );
    }
    // With the reconcilers stopped nothing reaches its end.
    const controller = pidOf('controller') ?? 0;
    process.kill(controller, 'SIGSTOP');
    try {
      await client.delete('PersistentVolumeClaim', { namespace: 'default', name: 'witness' });
      await pause(2_000);
      assert.notDeepEqual(await leftovers(), []);
    } finally {
      process.kill(controller, 'SIGCONT');
    }
    await until('nothing is left', async () => (await leftovers()).length === 0);
  });

  test('All reach their end, nothing is lost and nothing is left', async (t) => {
    const isOver = { current: false };
    const killed = { apiserver: 0, controller: 0, node: 0 };
    const startMs = performance.now();
    const killing = killAtRandom(killed, isOver);
    const names = Array.from({ length: CYCLES }, (_, index) => `c${index}`);
    const work = async (): Promise<void> => {
      for (let name = names.shift(); name !== undefined; name = names.shift()) await live(name);
    };
    try {
      await Promise.all(Array.from({ length: WORKERS }, work));
    } finally {
      isOver.current = true;
      await killing;
    }
    const seconds = ((performance.now() - startMs) / 1_000).toFixed(0);
    t.diagnostic(`${CYCLES} life cycles in ${seconds} s, killed ${JSON.stringify(killed)}`);
    await until('nothing is left', async () => {
      const left = await leftovers();
      if (left.length > 0) t.diagnostic(left.join('; ').slice(0, 500));
      return left.length === 0;
    });
    for (const [role, times] of Object.entries(killed)) assert.ok(times >= KILLS_EACH, role);
    assert.deepEqual(doubleOwners(), [], 'each descriptor has one owner');
  });

  async function killAtRandom(
    killed: { apiserver: number; controller: number; node: number },
    isOver: { readonly current: boolean },
  ): Promise<void> {
    const all = (): boolean => Object.values(killed).every((times) => times >= KILLS_EACH);
    while (!isOver.current || !all()) {
      await pause(randomInt(300, 2_500));
      const role = (['apiserver', 'controller', 'node'] as const)[randomInt(3)] ?? 'node';
      if (killed[role] >= KILLS_EACH) continue;
      const pid = pidOf(role === 'node' ? `node-${randomInt(1, 4)}` : role);
      if (pid === undefined) continue;
      process.kill(pid, 'SIGKILL');
      killed[role] += 1;
    }
  }
});

async function writeDurably(file: string, data: Uint8Array): Promise<void> {
  const handle = await open(file, 'w');
  try {
    await handle.writeFile(data);
    await handle.sync();
  } finally {
    await handle.close();
  }
}
