/** Troubles of mounts: where, by whom, and what is on the device. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { flushDevice, writeDevice } from '#data/block/mod.ts';
import { run } from './real-cluster.testkit.ts';
import type { Trouble } from './trouble.testkit.ts';
import type { Subject, TroubleWorld } from './trouble-world.testkit.ts';

function mount(name: string): Subject {
  return { kind: 'Mount', name };
}

function dropsMount(name: string): (world: TroubleWorld) => Promise<void> {
  return (world) => world.drop('Mount', name);
}

const places: readonly Trouble[] = [
  {
    symptom: 'mount waits: something else is mounted at its path',
    subject: mount('occupied'),
    link: 'mount',
    cause: /Something else is mounted there \(path .*\/occupied, device tmpfs\)/,
    remedy: /Unmount it first/,
    end: 'well',
    prepare: async (world) => {
      await world.makeBound('occupied', 'one');
      await mkdir(world.pathOf('occupied'), { recursive: true });
      await run('mount', ['-t', 'tmpfs', 'tmpfs', world.pathOf('occupied')], 20_000);
    },
    plant: (world) => world.makeMount('occupied'),
    heal: async (world) => void (await run('umount', [world.pathOf('occupied')], 20_000)),
  },
  {
    symptom: 'mount waits: its path is a file',
    subject: mount('a-file'),
    link: 'mount',
    cause: /Path is not a directory \(path .*\/a-file\)/,
    remedy: /choose another path/,
    end: 'well',
    prepare: async (world) => {
      await world.makeBound('a-file', 'one');
      await mkdir(join(world.cluster.directory, 'mnt'), { recursive: true });
      await writeFile(world.pathOf('a-file'), 'in the way');
    },
    plant: (world) => world.makeMount('a-file'),
    heal: (world) => rm(world.pathOf('a-file')),
  },
  {
    symptom: 'mount waits: its node does not exist',
    subject: mount('nowhere'),
    link: 'mount',
    cause: /There is no node node-99/,
    remedy: /holdfast get nodes/,
    end: 'gone',
    prepare: (world) => world.makeBound('nowhere', 'one'),
    plant: (world) => world.makeMount('nowhere', { nodeName: 'node-99' }),
    heal: dropsMount('nowhere'),
  },
  {
    symptom: 'mount waits: its claim does not exist',
    subject: mount('no-claim'),
    link: 'mount',
    cause: /There is no claim no-claim in this namespace/,
    remedy: /holdfast get claims/,
    end: 'well',
    plant: (world) => world.makeMount('no-claim'),
    heal: (world) => world.makeClaim('no-claim', 'one'),
  },
  {
    symptom: 'mount waits: its claim is Pending',
    subject: mount('early'),
    link: 'mount',
    cause: /Claim early has no volume yet: There is no StorageClass late/,
    remedy: /holdfast apply -f class\.yaml/,
    end: 'well',
    prepare: (world) => world.makeClaim('early', 'late'),
    plant: (world) => world.makeMount('early'),
    heal: (world) => world.makeClass('late', { replicas: '1' }),
  },
];

const users: readonly Trouble[] = [
  {
    symptom: 'mount waits: the claim is mounted on another node',
    subject: mount('second'),
    link: 'mount',
    cause: /Claim shared is mounted on node-1 at .*\/shared by mount shared/,
    remedy: /holdfast umount/,
    end: 'well',
    prepare: async (world) => {
      await world.makeBound('shared', 'one');
      await world.makeMounted('shared');
    },
    plant: (world) => world.makeMount('second', { claimName: 'shared', nodeName: 'node-2' }),
    heal: dropsMount('shared'),
  },
  {
    symptom: 'mount waits: the claim is ReadWriteOncePod and mounted already',
    subject: mount('also-one'),
    link: 'mount',
    cause: /Claim only-one is mounted on node-1 at .*\/only-one by mount only-one/,
    remedy: /holdfast umount/,
    end: 'well',
    prepare: async (world) => {
      await world.makeBound('only-one', 'one', { accessModes: ['ReadWriteOncePod'] });
      await world.makeMounted('only-one');
    },
    plant: (world) => world.makeMount('also-one', { claimName: 'only-one' }),
    heal: dropsMount('only-one'),
  },
  {
    symptom: 'mount waits: its claim is being deleted',
    subject: mount('too-late'),
    link: 'mount',
    cause: /Claim leaving is being deleted/,
    remedy: /holdfast get claims/,
    end: 'gone',
    prepare: async (world) => {
      await world.makeBound('leaving', 'one');
      await world.makeMounted('leaving');
      await world.drop('PersistentVolumeClaim', 'leaving');
    },
    plant: (world) => world.makeMount('too-late', { claimName: 'leaving' }),
    heal: async (world) => {
      await world.drop('Mount', 'too-late');
      await world.drop('Mount', 'leaving');
    },
  },
  {
    symptom: 'VolumeAttachment waits: the volume is attached to another node',
    subject: { kind: 'VolumeAttachment', name: 'by-hand' },
    link: 'volumeattachment',
    cause: /It is published to node-1/,
    remedy: /holdfast umount/,
    end: 'gone',
    prepare: async (world) => {
      await world.makeBound('taken', 'one');
      await world.makeMounted('taken');
    },
    plant: async (world) => {
      const { spec } = await world.get('PersistentVolumeClaim', 'taken');
      await world.client.create('VolumeAttachment', {
        apiVersion: 'storage.k8s.io/v1',
        kind: 'VolumeAttachment',
        metadata: { name: 'by-hand' },
        spec: {
          attacher: 'csi.holdfast.dev',
          nodeName: 'node-2',
          source: { persistentVolumeName: spec.volumeName ?? '' },
        },
      });
    },
    heal: (world) => world.drop('VolumeAttachment', 'by-hand'),
  },
  busyMount(),
];

/** A program has a file open there. */
function busyMount(): Trouble {
  let user: ChildProcess | undefined;
  return {
    symptom: 'mount Terminating: a program uses it',
    subject: mount('busy'),
    link: 'mount',
    cause: /Volume cannot be unmounted \(path .*\/busy, .*busy/,
    remedy: /End the programs that use it/,
    end: 'gone',
    prepare: async (world) => {
      await world.makeBound('busy', 'one');
      await world.makeMounted('busy');
      user = spawn('sleep', ['600'], { cwd: world.pathOf('busy'), stdio: 'ignore' });
    },
    plant: dropsMount('busy'),
    heal: () => {
      user?.kill('SIGKILL');
      return Promise.resolve();
    },
  };
}

const filesystems: readonly Trouble[] = [
  {
    symptom: 'mount waits: the volume holds data that is no filesystem',
    subject: mount('raw-data'),
    link: 'mount',
    cause: /Volume has no filesystem that we know, and may hold data/,
    remedy: /Use it as a block device/,
    end: 'gone',
    prepare: async (world) => {
      await world.makeBound('raw-data', 'one');
      await world.withDevice('raw-data', async (device) => {
        await writeDevice(device, 0, new Uint8Array(1024 * 1024).fill(7));
        await flushDevice(device);
      });
      await world.cluster.holdfast('umount', 'raw-data');
    },
    plant: (world) => world.makeMount('raw-data'),
    heal: dropsMount('raw-data'),
  },
  {
    symptom: 'mount waits: mkfs refuses what the class tells it',
    subject: mount('mkfs-no'),
    link: 'mount',
    cause: /mkfs\.ext4 .*-I 4096 .*inode size/,
    remedy: /mkfsOptions of its StorageClass/,
    end: 'gone',
    prepare: async (world) => {
      await world.makeClass('mkfs-no', { replicas: '1', mkfsOptions: '-b 1024 -I 4096' });
      await world.makeBound('mkfs-no', 'mkfs-no');
    },
    plant: (world) => world.makeMount('mkfs-no'),
    heal: dropsMount('mkfs-no'),
  },
  {
    symptom: 'mount waits: mount refuses the options of the class',
    subject: mount('options-no'),
    link: 'mount',
    cause: /mount -t ext4 -o rw,nosuchoption .*bad option/,
    remedy: /mountOptions of its StorageClass/,
    end: 'gone',
    prepare: async (world) => {
      await world.makeClass('options-no', { replicas: '1' }, { mountOptions: ['nosuchoption'] });
      await world.makeBound('options-no', 'options-no');
    },
    plant: (world) => world.makeMount('options-no'),
    heal: dropsMount('options-no'),
  },
];

export const MOUNT_TROUBLES: readonly Trouble[] = [...places, ...users, ...filesystems];
