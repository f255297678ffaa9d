/** Troubles of pools, disks and copies of data; each has pools of its own. */
import { cp, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { flushDevice, writeDevice } from '#data/block/mod.ts';
import { run } from './real-cluster.testkit.ts';
import { SlowDisk } from './slow-disk.testkit.ts';
import type { Trouble, TroubleGroup } from './trouble.testkit.ts';
import type { Subject, TroubleWorld } from './trouble-world.testkit.ts';

const MIB = 1024 * 1024;

function claim(name: string): Subject {
  return { kind: 'PersistentVolumeClaim', name };
}

function pool(name: string): Subject {
  return { kind: 'DiskPool', name };
}

function removesPool(name: string): (world: TroubleWorld) => Promise<void> {
  return (world) => world.drop('DiskPool', name);
}

/** A claim of one replica in a pool of its own, all of one name. */
async function makeAlone(
  world: TroubleWorld,
  name: string,
  node: string,
  directory = join(world.scratch, name),
): Promise<void> {
  await world.makeOpenPool(name, node, directory, name);
  await world.makeClass(name, { replicas: '1', poolSelector: name });
  await world.makeBound(name, name);
}

async function write(world: TroubleWorld, name: string): Promise<void> {
  await world.withDevice(name, async (device) => {
    await writeDevice(device, 0, new Uint8Array(MIB).fill(5));
    await flushDevice(device);
  });
}

/** Of the only replica in a pool: the files with such an ending. */
async function filesOf(directory: string, ending: string): Promise<string[]> {
  const replicas = join(directory, 'replicas');
  const [replica = ''] = (await readdir(replicas)).filter((name) => name.startsWith('pvc-'));
  const names = await readdir(join(replicas, replica));
  return names.filter((name) => name.endsWith(ending)).map((name) => join(replicas, replica, name));
}

async function flipBytes(file: string): Promise<void> {
  const handle = await open(file, 'r+');
  try {
    const { size } = await stat(file);
    const bytes = Buffer.alloc(Math.min(size, MIB));
    await handle.read(bytes, 0, bytes.length, 0);
    await handle.write(
      bytes.map((byte) => byte ^ 0xff),
      0,
      bytes.length,
      0,
    );
    await handle.sync();
  } finally {
    await handle.close();
  }
}

const pools: readonly Trouble[] = [
  {
    symptom: 'pool not Ready: its directory cannot be written',
    subject: pool('sealed'),
    link: 'pool',
    cause: /Pool directory cannot be written \(field directory, value .*\/sealed\)/,
    remedy: /correct permissions|read-write/,
    end: 'well',
    plant: async (world) => {
      const directory = await world.memory('sealed', 'size=320m');
      await run('mount', ['-o', 'remount,ro', directory], 20_000);
      await world.makePool('sealed', 'node-1', directory, 'sealed');
    },
    heal: async (world) => {
      await run('mount', ['-o', 'remount,rw', join(world.scratch, 'sealed')], 20_000);
    },
  },
  {
    symptom: 'pool not Ready: another pool has its directory',
    subject: pool('usurper'),
    link: 'pool',
    cause: /Store belongs to someone else \(path .*\/owner\//,
    remedy: /directory of its own|Stop the other/,
    end: 'gone',
    prepare: (world) =>
      world.makeOpenPool('owner', 'node-2', join(world.scratch, 'owner'), 'owner'),
    plant: (world) => world.makePool('usurper', 'node-3', join(world.scratch, 'owner'), 'usurper'),
    heal: removesPool('usurper'),
  },
  {
    symptom: 'pool not Ready: its directory holds the pool of another cluster',
    subject: pool('foreign'),
    link: 'pool',
    cause: /Store belongs to someone else \(path .*\/foreign\//,
    remedy: /directory of its own/,
    end: 'gone',
    prepare: async (world) => {
      await world.makeOpenPool('origin', 'node-2', join(world.scratch, 'origin'), 'origin');
      await cp(join(world.scratch, 'origin'), join(world.scratch, 'foreign'), { recursive: true });
    },
    plant: (world) =>
      world.makePool('foreign', 'node-3', join(world.scratch, 'foreign'), 'foreign'),
    heal: removesPool('foreign'),
  },
  {
    symptom: 'pool not Ready: its node does not exist',
    subject: pool('homeless'),
    link: 'pool',
    cause: /There is no node node-77/,
    remedy: /holdfast get nodes/,
    end: 'gone',
    plant: (world) =>
      world.makePool('homeless', 'node-77', join(world.scratch, 'homeless'), 'homeless'),
    heal: removesPool('homeless'),
  },
  {
    symptom: 'pool Terminating: it holds replicas',
    subject: pool('inhabited'),
    link: 'pool',
    cause: /The pool holds replicas: pvc-.*Delete or move them first/,
    remedy: /holdfast drain pool/,
    end: 'gone',
    prepare: (world) => makeAlone(world, 'inhabited', 'node-1'),
    plant: removesPool('inhabited'),
    heal: (world) => world.drop('PersistentVolumeClaim', 'inhabited'),
  },
  {
    symptom: 'node Terminating: it has pools',
    subject: { kind: 'StorageNode', name: 'node-50' },
    link: 'node',
    cause: /The node has pools: of-node-50\. Delete them first/,
    remedy: /holdfast delete pool/,
    end: 'gone',
    prepare: async (world) => {
      await world.client.create('StorageNode', {
        apiVersion: 'holdfast.dev/v1alpha1',
        kind: 'StorageNode',
        metadata: { name: 'node-50' },
        spec: {},
      });
      await world.makePool('of-node-50', 'node-50', join(world.scratch, 'of-node-50'), 'none');
      await world.until('the node is known', async () => {
        const { metadata } = await world.get('StorageNode', 'node-50');
        return (metadata.finalizers ?? []).length > 0;
      });
    },
    plant: (world) => world.drop('StorageNode', 'node-50'),
    heal: removesPool('of-node-50'),
  },
  {
    symptom: 'writes fail with ENOSPC: the pool is full',
    subject: claim('full'),
    link: 'pool',
    cause: /Writes that need new blocks fail with ENOSPC until there is room/,
    remedy: /holdfast space pool full/,
    end: 'well',
    prepare: async (world) => {
      const disk = await world.memory('full-disk', 'size=320m');
      await makeAlone(world, 'full', 'node-1', join(disk, 'pool'));
    },
    plant: async (world) => {
      const film = join(world.scratch, 'full-disk', 'film');
      const args = ['if=/dev/zero', `of=${film}`, 'bs=64k', 'status=none'];
      await run('dd', args, 60_000).catch(() => undefined);
    },
    heal: (world) => rm(join(world.scratch, 'full-disk', 'film')),
  },
  {
    symptom: 'reads fail: no copy of some blocks is good',
    subject: claim('rotten'),
    link: 'nexus',
    cause: /no good copy left: reading there fails, everything else is good/,
    remedy: /holdfast volume scrub default\/rotten/,
    end: 'well',
    prepare: async (world) => {
      await makeAlone(world, 'rotten', 'node-2');
      await write(world, 'rotten');
      const [file = ''] = await filesOf(join(world.scratch, 'rotten'), '.data');
      await flipBytes(file);
    },
    plant: scrubRotten,
    heal: async (world) => {
      await write(world, 'rotten');
      await scrubRotten(world);
    },
  },
];

async function scrubRotten(world: TroubleWorld): Promise<void> {
  const { metadata } = await world.volumeOf('rotten');
  await world.call('volume.scrub', { volume: metadata.name }, { timeoutMs: 60_000 });
}

/** Found when the engine of the node starts: what was done to its disks while it was away. */
const afterRestart: readonly Trouble[] = [
  {
    symptom: 'volume waits: the directory of its pool is gone',
    subject: claim('unmounted'),
    link: 'pool',
    cause: /\/unmounted/,
    remedy: /Mount the disk/,
    end: 'well',
    prepare: (world) => makeAlone(world, 'unmounted', 'node-2'),
    plant: () => Promise.resolve(),
    heal: (world) =>
      rename(join(world.scratch, 'unmounted.away'), join(world.scratch, 'unmounted')),
  },
  {
    symptom: 'volume waits: the files of its replica are gone',
    subject: claim('emptied'),
    link: 'replica',
    cause: /Pool emptied is open and does not hold the replica\. Bring its files back/,
    remedy: /Bring its files back/,
    end: 'gone',
    prepare: (world) => makeAlone(world, 'emptied', 'node-2'),
    plant: () => Promise.resolve(),
    heal: (world) => world.drop('PersistentVolumeClaim', 'emptied'),
  },
  {
    symptom: 'volume waits: the files of its replica are damaged',
    subject: claim('damaged'),
    link: 'replica',
    cause: /store-corrupt: /,
    remedy: /holdfast store check/,
    end: 'gone',
    prepare: async (world) => {
      await makeAlone(world, 'damaged', 'node-2');
      await write(world, 'damaged');
      await world.cluster.holdfast('umount', 'damaged');
    },
    plant: () => Promise.resolve(),
    heal: (world) => world.drop('PersistentVolumeClaim', 'damaged'),
  },
];

/** One of three copies lies on a disk that takes seconds for what the other does at once. */
export function slowDisk(): TroubleGroup {
  let disk: SlowDisk | undefined;
  let writing: Promise<void> = Promise.resolve();
  const isOver = { current: false };
  const trouble: Trouble = {
    symptom: 'volume Degraded: the disk of a copy is slow',
    subject: claim('mixed'),
    link: 'member',
    cause:
      /from pool slow on node-3.*Member (is much slower than the others|did not answer in time)/,
    remedy: /holdfast where replica/,
    end: 'well',
    withinMs: 60_000,
    prepare: async (world) => {
      const directory = join(world.scratch, 'slow');
      await mkdir(directory);
      const mounted = await SlowDisk.mount(directory, 'ext4');
      disk = mounted;
      world.atEnd(() => mounted.destroy());
      await world.makeOpenPool('slow', 'node-3', join(directory, 'pool'), 'mixed');
      for (const node of ['node-1', 'node-2']) {
        await world.makeOpenPool(
          `fast-${node}`,
          node,
          join(world.scratch, `fast-${node}`),
          'mixed',
        );
      }
      await world.makeClass('mixed', { replicas: '3', poolSelector: 'mixed' });
      await world.makeBound('mixed', 'mixed');
      const { metadata } = await world.volumeOf('mixed');
      const attachment = { nodeName: 'node-1', frontends: ['nbd'] };
      await world.client.patch('Volume', { name: metadata.name }, { spec: { attachment } });
    },
    plant: async (world) => {
      writing = world.withDevice('mixed', async (device) => {
        for (let at = 0; !isOver.current; at = (at + 1) % 8) {
          await writeDevice(device, at * MIB, new Uint8Array(MIB).fill(at));
          await flushDevice(device);
          await pause(100);
        }
      });
      await pause(1_000);
      await disk?.slow(2_000);
    },
    heal: async () => {
      await disk?.release();
      isOver.current = true;
      await writing;
    },
  };
  return { name: 'a disk is slow', troubles: [trouble] };
}

export const DISK_TROUBLES: readonly Trouble[] = pools;
export const RESTART_TROUBLES: readonly Trouble[] = afterRestart;

/** While the engine is away its node starts no other; then it may. */
export async function restartWithDamage(world: TroubleWorld): Promise<void> {
  world.takeDown('node-2');
  const { scratch } = world;
  await rename(join(scratch, 'unmounted'), join(scratch, 'unmounted.away'));
  const emptied = join(scratch, 'emptied', 'replicas');
  for (const name of await readdir(emptied)) {
    if (name.startsWith('pvc-')) await rm(join(emptied, name), { recursive: true });
  }
  const damaged = await filesOf(join(scratch, 'damaged'), '');
  const maps = damaged.filter((name) => !name.endsWith('.data'));
  if (maps.length === 0) throw new Error('nothing to damage');
  for (const file of maps) await flipBytes(file);
  world.bringBack('node-2');
}
