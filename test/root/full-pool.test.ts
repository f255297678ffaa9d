/**
 * Pools on small disks of their own, an ext4 on a loop device each: the space ledger says what the
 * filesystems have allocated, and a volume at a full pool gets ENOSPC, says why, and goes on when
 * there is room again.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, rmSync, statfsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { ClusterSpace } from '#api/mod.ts';
import { hasCode } from '#api/mod.ts';
import { flushDevice, readDevice, writeDevice } from '#data/block/mod.ts';
import { NbdClientDevice } from '#data/frontend/mod.ts';
import { createNodeHost } from '#host/node/mod.ts';
import { RealCluster, run, waitFor, whyNotHere } from './real-cluster.testkit.ts';

const MIB = 1024 * 1024;
const skip = whyNotHere(['mkfs.ext4', 'losetup', 'mount', 'umount', 'fstrim']);
const NODES = [1, 2, 3];

let cluster: RealCluster;
let root = '';
let emptyBytes = 0;

function diskOf(n: number): string {
  return join(root, `disk-${n}`);
}

/** Of all disks. */
function usedBytes(): number {
  return NODES.reduce((sum, n) => {
    const { blocks, bfree, bsize } = statfsSync(diskOf(n));
    return sum + (blocks - bfree) * bsize;
  }, 0);
}

function removeFilms(): void {
  for (const n of NODES) rmSync(`${diskOf(n)}/film`, { force: true });
}

async function space(...words: string[]): Promise<ClusterSpace> {
  return JSON.parse(await cluster.holdfast('space', ...words, '-o', 'json')) as ClusterSpace;
}

/** What the ledger of the small pools knows of. */
function oursOf({ pools }: ClusterSpace): number {
  return pools
    .filter(({ pool }) => pool.startsWith('small-'))
    .reduce(
      (sum, { volumes, orphanBytes, poolBytes, leftoverBytes }) =>
        volumes.reduce((all, { bytes }) => all + bytes, sum) +
        orphanBytes +
        poolBytes +
        leftoverBytes,
      0,
    );
}

function manifest(): string {
  const pools = NODES.map(
    (n) => `
apiVersion: holdfast.dev/v1alpha1
kind: DiskPool
metadata: { name: small-${n} }
spec: { nodeName: node-${n}, directory: ${diskOf(n)}/pool }
---
apiVersion: holdfast.dev/v1alpha1
kind: DiskPool
metadata: { name: node-${n}-pool }
spec: { nodeName: node-${n}, directory: ${cluster.poolOf(`node-${n}`)}, unschedulable: true }
---`,
  );
  const claims = ['files', 'blocks'].map(
    (name) => `
apiVersion: v1
kind: PersistentVolumeClaim
metadata: { name: ${name} }
spec:
  storageClassName: three
  accessModes: [ReadWriteOnce]
  resources: { requests: { storage: 64Mi } }
---`,
  );
  return `${pools.join('')}
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: { name: three }
provisioner: csi.holdfast.dev
parameters: { replicas: "3" }
---${claims.join('')}`;
}

/** Somebody else takes what is left of the disks, but what each pool keeps for its metadata. */
async function fillUp(): Promise<void> {
  await waitFor('the pools to keep room', 20_000, () =>
    NODES.every((n) => existsSync(`${diskOf(n)}/pool/holdfast-pool.reserve`)),
  );
  for (const n of NODES) {
    const film = `${diskOf(n)}/film`;
    await run('dd', ['if=/dev/zero', `of=${film}`, 'bs=64k', 'status=none'], 60_000).catch(
      (error: Error) => assert.match(error.message, /No space left/),
    );
  }
}

async function connect(claim: string): Promise<NbdClientDevice> {
  const url = new URL(await cluster.attach(claim));
  const address = { kind: 'unix' as const, path: url.searchParams.get('socket') ?? '' };
  const host = createNodeHost({ logLevel: 'silent' });
  return NbdClientDevice.connect(host, address, url.pathname.replace(/^\/+/, ''));
}

describe('A small pool', { skip }, () => {
  before(async () => {
    root = await mkdtemp(join(tmpdir(), 'hf-full-'));
    for (const n of NODES) {
      const image = join(root, `image-${n}`);
      await mkdir(diskOf(n));
      await writeFile(image, '');
      await truncate(image, 112 * MIB);
      await run('mkfs.ext4', ['-q', '-m', '0', image], 60_000);
      await run('mount', ['-o', 'loop', image, diskOf(n)], 60_000);
    }
    emptyBytes = usedBytes();
    for (const n of NODES) await mkdir(join(diskOf(n), 'pool'));
    cluster = await RealCluster.start('full');
    const file = join(root, 'objects.yaml');
    await writeFile(file, manifest());
    await cluster.holdfast('apply', '-f', file, '--wait');
  });

  after(async () => {
    try {
      // What waits for room, if something does, goes on.
      if (root !== '') removeFilms();
      await cluster?.stop();
    } finally {
      if (root !== '') {
        for (const n of NODES) {
          const at = diskOf(n);
          await run('umount', [at], 60_000).catch(() => run('umount', ['-l', at], 60_000));
        }
        await rm(root, { recursive: true, force: true });
      }
    }
  });

  test('The ledger of three pools is what their disks have allocated', async () => {
    const path = await cluster.mount('files');
    await writeFile(join(path, 'a'), randomBytes(12 * MIB));
    await run('sync', ['-f', path], 60_000);
    await cluster.holdfast('volume', 'snapshot', 'files', '--name', 'first');
    await run(
      'dd',
      ['if=/dev/urandom', `of=${path}/a`, 'bs=1M', 'count=4', 'conv=notrunc,fsync'],
      60_000,
    );
    for (const n of NODES) await run('sync', ['-f', diskOf(n)], 60_000);
    // Whole blocks: nothing else is on the disks. Looked at while nothing is written.
    let seen = await space();
    await waitFor('a quiet moment', 20_000, async () => {
      const beforeBytes = usedBytes();
      seen = await space();
      return usedBytes() === beforeBytes && oursOf(seen) === beforeBytes - emptyBytes;
    });
    const { pools, volumes, missing } = seen;
    assert.deepEqual(missing, []);
    const small = pools.filter(({ pool }) => pool.startsWith('small-'));
    const files = volumes.find(({ claim }) => claim === 'default/files');
    assert.ok(files !== undefined);
    const held = files.snapshots.find(({ owner }) => /first/.test(owner))?.bytes ?? 0;
    // What was overwritten since, on three replicas, and some of the filesystem's own.
    assert.ok(held >= 3 * 4 * MIB && held < 3 * 6 * MIB, `${held}`);
    assert.ok(files.liveBytes >= 3 * 12 * MIB && files.liveBytes < 3 * 20 * MIB);
    for (const each of small) {
      const { capacityBytes, freeBytes, reservedBytes, otherBytes, orphanBytes } = each;
      const parts = each.volumes.reduce((sum, { bytes }) => sum + bytes, orphanBytes);
      const rest = each.poolBytes + each.leftoverBytes + otherBytes + freeBytes + reservedBytes;
      assert.equal(parts + rest, capacityBytes, 'all of the pool is somebody’s');
    }
  });

  test('A full pool fails writes with ENOSPC, is named as the cause, and takes them later', async () => {
    const device = await connect('blocks');
    const first = randomBytes(MIB);
    try {
      await writeDevice(device, 0, first);
      await flushDevice(device);
      await fillUp();
      const startMs = performance.now();
      await assert.rejects(
        async () => {
          for (let n = 1; n < 48; n += 1) {
            await writeDevice(device, n * MIB, randomBytes(MIB));
            await flushDevice(device);
          }
        },
        (error) => hasCode(error, 'no-space'),
      );
      assert.ok(performance.now() - startMs < 30_000, 'an error, not a wait');
      assert.equal(Buffer.compare(await readDevice(device, 0, MIB), first), 0, 'reads go on');
      const again = randomBytes(MIB);
      await writeDevice(device, 0, again);
      await flushDevice(device);
      await waitFor('the cause to be named', 20_000, async () => {
        const said = await cluster.holdfast('explain', 'blocks').catch((e: Error) => e.message);
        return /pool small-\d: Full: .* are free. Writes that need new blocks fail/.test(said);
      });
      removeFilms();
      await waitFor('writes to be taken again', 20_000, async () => {
        try {
          await writeDevice(device, 50 * MIB, first);
          await flushDevice(device);
          return true;
        } catch (error) {
          assert.ok(hasCode(error, 'no-space'));
          return false;
        }
      });
      await waitFor('all replicas', 60_000, () => cluster.isWhole('blocks'));
      assert.equal(Buffer.compare(await readDevice(device, 0, MIB), again), 0);
      assert.equal(Buffer.compare(await readDevice(device, 50 * MIB, MIB), first), 0);
    } finally {
      await device.close();
      removeFilms();
    }
  });

  test('Files on a volume at a full pool are there, and more are written later', async () => {
    const path = join(cluster.directory, 'mnt', 'files');
    const kept = readFileSync(join(path, 'a'));
    await fillUp();
    const more = join(path, 'more');
    await assert.rejects(
      run('dd', ['if=/dev/urandom', `of=${more}`, 'bs=1M', 'count=36', 'conv=fsync'], 30_000),
      /No space left|Input\/output error|Read-only/,
    );
    assert.equal(Buffer.compare(readFileSync(join(path, 'a')), kept), 0);
    removeFilms();
    // An ext4 that could not write its journal is read-only until it is mounted again.
    await cluster.holdfast('umount', 'files');
    await cluster.holdfast('mount', 'files');
    assert.equal(Buffer.compare(readFileSync(join(path, 'a')), kept), 0);
    await waitFor('room', 20_000, async () => {
      const done = run(
        'dd',
        ['if=/dev/urandom', `of=${more}`, 'bs=1M', 'count=2', 'conv=fsync'],
        30_000,
      );
      return done.then(
        () => true,
        () => false,
      );
    });
    await waitFor('all replicas', 60_000, () => cluster.isWhole('files'));
    assert.ok(existsSync(more));
  });
});
