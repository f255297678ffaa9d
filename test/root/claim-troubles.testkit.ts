/** Troubles of claims, classes, sources and placement: nothing is broken, something is missing. */
import type { StorageClass } from '#api/kinds/mod.ts';
import { API_VERSION } from '#api/kinds/mod.ts';
import { join } from 'node:path';
import type { Trouble } from './trouble.testkit.ts';
import { DEFAULT_CLASS, type Subject, type TroubleWorld } from './trouble-world.testkit.ts';

function claim(name: string): Subject {
  return { kind: 'PersistentVolumeClaim', name };
}

function snapshotSource(name: string) {
  return { dataSource: { apiGroup: 'holdfast.dev', kind: 'Snapshot', name } as const };
}

function claimSource(name: string) {
  return { dataSource: { kind: 'PersistentVolumeClaim', name } as const };
}

function removes(name: string): (world: TroubleWorld) => Promise<void> {
  return (world) => world.drop('PersistentVolumeClaim', name);
}

async function makeTakenSnapshot(world: TroubleWorld, name: string, of: string): Promise<void> {
  await world.makeSnapshot(name, of);
  await world.until(`snapshot ${name} is taken`, async () => {
    return (await world.get('Snapshot', name)).status?.readyToUse === true;
  });
}

const classes: readonly Trouble[] = [
  {
    symptom: 'claim Pending: its class does not exist',
    subject: claim('no-class'),
    link: 'claim',
    cause: /There is no StorageClass missing/,
    remedy: /holdfast apply -f class\.yaml/,
    end: 'well',
    plant: (world) => world.makeClaim('no-class', 'missing'),
    heal: (world) => world.makeClass('missing', { replicas: '1' }),
  },
  {
    symptom: 'claim Pending: it names no class and there is no default',
    subject: claim('no-default'),
    link: 'claim',
    cause: /It names no storage class and none is the default one/,
    remedy: /holdfast get classes/,
    end: 'well',
    plant: async (world) => {
      await world.setDefault('holdfast-simple', false);
      await world.makeClaim('no-default', undefined);
    },
    heal: async (world) => {
      const metadata = { name: 'usual', annotations: { [DEFAULT_CLASS]: 'true' } };
      await world.makeClass('usual', { replicas: '1' }, { metadata });
    },
  },
  {
    symptom: 'claim Pending: its class is of another provisioner',
    subject: claim('other-driver'),
    link: 'claim',
    cause: /Class theirs is served by disk\.example\.com, not by Holdfast/,
    remedy: /holdfast get classes/,
    end: 'gone',
    plant: async (world) => {
      const theirs: Partial<StorageClass> = { provisioner: 'disk.example.com', parameters: {} };
      await world.makeClass('theirs', {}, theirs);
      await world.makeClaim('other-driver', 'theirs');
    },
    heal: removes('other-driver'),
  },
  {
    symptom: 'claim Pending: nobody mounts it yet',
    subject: claim('waits'),
    link: 'claim',
    cause: /It is made beside its first consumer: nobody mounts it yet/,
    remedy: /holdfast mount default\/waits/,
    end: 'well',
    plant: async (world) => {
      await world.makeClass(
        'beside',
        { replicas: '1' },
        { volumeBindingMode: 'WaitForFirstConsumer' },
      );
      await world.makeClaim('waits', 'beside');
    },
    heal: (world) => world.makeMount('waits'),
  },
  {
    symptom: 'claim Lost: its PersistentVolume is gone',
    subject: claim('lost'),
    link: 'claim',
    cause: /PersistentVolume pv-of-yesterday does not exist: bring its object back/,
    remedy: /kubectl apply/,
    end: 'gone',
    plant: (world) => world.makeClaim('lost', 'one', { volumeName: 'pv-of-yesterday' }),
    heal: removes('lost'),
  },
];

const sources: readonly Trouble[] = [
  {
    symptom: 'claim Pending: the snapshot to restore does not exist',
    subject: claim('restored'),
    link: 'claim',
    cause: /There is no Snapshot of-last-year in this namespace/,
    remedy: /holdfast get snapshots/,
    end: 'gone',
    plant: (world) => world.makeClaim('restored', 'one', snapshotSource('of-last-year')),
    heal: removes('restored'),
  },
  {
    symptom: 'claim Pending: the claim to clone has no volume itself',
    subject: claim('twin'),
    link: 'claim',
    cause: /Claim elder has no volume yet: There is no StorageClass to-come/,
    remedy: /holdfast apply -f class\.yaml/,
    end: 'well',
    prepare: (world) => world.makeClaim('elder', 'to-come'),
    plant: (world) => world.makeClaim('twin', 'one', claimSource('elder')),
    heal: (world) => world.makeClass('to-come', { replicas: '1' }),
  },
  {
    symptom: 'claim Pending: it is smaller than its source',
    subject: claim('small-twin'),
    link: 'claim',
    cause: /large has 32Mi: ask for that or more/,
    remedy: /at least the size of the source/,
    end: 'gone',
    prepare: (world) => world.makeBound('large', 'one'),
    plant: (world) =>
      world.makeClaim('small-twin', 'one', {
        ...claimSource('large'),
        resources: { requests: { storage: '16Mi' } },
      }),
    heal: removes('small-twin'),
  },
  {
    symptom: 'snapshot not ready: its volume does not exist',
    subject: { kind: 'Snapshot', name: 'of-nothing' },
    link: 'snapshot',
    cause: /There is no volume pvc-of-nobody/,
    remedy: /holdfast get volumes/,
    end: 'gone',
    plant: async ({ client }) => {
      await client.create('Snapshot', {
        apiVersion: API_VERSION,
        kind: 'Snapshot',
        metadata: { name: 'of-nothing' },
        spec: { volumeName: 'pvc-of-nobody' },
      });
    },
    heal: (world) => world.drop('Snapshot', 'of-nothing'),
  },
];

const placement: readonly Trouble[] = [
  {
    symptom: 'claim Pending: more replicas than nodes',
    subject: claim('five'),
    link: 'claim',
    cause: /5 replicas need 5 nodes and 3 can be used/,
    remedy: /fewer replicas/,
    end: 'gone',
    plant: async (world) => {
      await world.makeClass('five', { replicas: '5' });
      await world.makeClaim('five', 'five');
    },
    heal: removes('five'),
  },
  {
    symptom: 'claim Pending: no pool has what poolSelector wants',
    subject: claim('selective'),
    link: 'claim',
    cause: /1 replicas need 1 nodes and 0 can be used: .*the poolSelector wants nvme/,
    remedy: /holdfast get pools/,
    end: 'well',
    plant: async (world) => {
      await world.makeClass('nvme', { replicas: '1', poolSelector: 'nvme' });
      await world.makeClaim('selective', 'nvme');
    },
    heal: (world) => world.makePool('nvme', 'node-1', join(world.scratch, 'nvme'), 'nvme'),
  },
  {
    symptom: 'claim Pending: its pools are cordoned',
    subject: claim('cordoned'),
    link: 'claim',
    cause: /reserved on node-2: the pool is cordoned \(unschedulable\)/,
    remedy: /holdfast uncordon pool/,
    end: 'well',
    prepare: async (world) => {
      await world.makeOpenPool('reserved', 'node-2', join(world.scratch, 'reserved'), 'reserved');
      await world.makeClass('reserved', { replicas: '1', poolSelector: 'reserved' });
      await world.cluster.holdfast('cordon', 'pool', 'reserved');
    },
    plant: (world) => world.makeClaim('cordoned', 'reserved'),
    heal: async (world) => void (await world.cluster.holdfast('uncordon', 'pool', 'reserved')),
  },
  {
    symptom: 'claim Pending: more is promised than the pool may promise',
    subject: claim('promised'),
    link: 'claim',
    cause: /strict on node-3: too much is promised: 2 GiB with this volume, and 1% of/,
    remedy: /Add a node or a pool/,
    end: 'well',
    prepare: async (world) => {
      const directory = join(await world.memory('strict', 'size=512m'), 'pool');
      await world.makeOpenPool('strict', 'node-3', directory, 'strict');
      const spec = { overProvisioningPercent: 1 };
      await world.client.patch('DiskPool', { name: 'strict' }, { spec });
      await world.makeClass('strict', { replicas: '1', poolSelector: 'strict' });
    },
    plant: (world) =>
      world.makeClaim('promised', 'strict', { resources: { requests: { storage: '2Gi' } } }),
    heal: async ({ client }) => {
      const spec = { overProvisioningPercent: 10_000 };
      await client.patch('DiskPool', { name: 'strict' }, { spec });
    },
  },
  {
    symptom: 'claim Pending: its pools have no room',
    subject: claim('crowded'),
    link: 'claim',
    cause: /tiny on node-1: it is full: .* free, 32 MiB wanted/,
    remedy: /free space in one/,
    end: 'gone',
    prepare: async (world) => {
      const directory = join(await world.memory('tiny', 'size=16m'), 'pool');
      await world.makeOpenPool('tiny', 'node-1', directory, 'tiny');
      await world.makeClass('tiny', { replicas: '1', poolSelector: 'tiny' });
    },
    plant: (world) => world.makeClaim('crowded', 'tiny'),
    heal: removes('crowded'),
  },
];

const endings: readonly Trouble[] = [
  {
    symptom: 'claim Terminating: it is mounted',
    subject: claim('in-use'),
    link: 'claim',
    cause: /Mounted at .*\/in-use on node-1: unmount it first/,
    remedy: /holdfast umount default\/in-use/,
    end: 'gone',
    prepare: async (world) => {
      await world.makeBound('in-use', 'one');
      await world.makeMounted('in-use');
    },
    plant: (world) => world.drop('PersistentVolumeClaim', 'in-use'),
    heal: (world) => world.drop('Mount', 'in-use'),
  },
  {
    symptom: 'PersistentVolume Released: its claim went and it is kept',
    subject: async (world) => ({ kind: 'PersistentVolume', name: await keptOf(world) }),
    link: 'persistentvolume',
    cause: /Its claim is gone; it is kept \(Retain\)/,
    remedy: /kubectl delete pv/,
    end: 'gone',
    prepare: async (world) => {
      await world.makeClass('kept', { replicas: '1' }, { reclaimPolicy: 'Retain' });
      await world.makeBound('kept', 'kept');
    },
    plant: (world) => world.remove('PersistentVolumeClaim', 'kept'),
    heal: async (world) => {
      const name = await keptOf(world);
      const { spec } = await world.get('PersistentVolume', name);
      await world.drop('PersistentVolume', name);
      await world.remove('Volume', spec.csi?.volumeHandle ?? '');
    },
  },
  {
    symptom: 'PersistentVolume stays: its volume has snapshots',
    subject: async (world) => ({ kind: 'PersistentVolume', name: await nameOfSnapped(world) }),
    link: 'persistentvolume',
    cause: /It has snapshots: before-the-end/,
    remedy: /holdfast delete snapshot/,
    end: 'gone',
    prepare: async (world) => {
      await world.makeBound('snapped', 'one');
      await makeTakenSnapshot(world, 'before-the-end', 'snapped');
    },
    plant: (world) => world.remove('PersistentVolumeClaim', 'snapped'),
    heal: (world) => world.drop('Snapshot', 'before-the-end'),
  },
  {
    symptom: 'replica Terminating: it is the last copy',
    subject: (world) => replicaOf(world, 'lonely'),
    link: 'replica',
    cause: /It may be the last copy: no other replica of the volume is known to be in sync/,
    remedy: /delete its claim/,
    end: 'gone',
    prepare: async (world) => {
      const directory = join(world.scratch, 'lonely');
      await world.makeOpenPool('lonely', 'node-2', directory, 'lonely');
      await world.makeClass('lonely', { replicas: '1', poolSelector: 'lonely' });
      await world.makeBound('lonely', 'lonely');
    },
    plant: async (world) => world.drop('Replica', (await replicaOf(world, 'lonely')).name),
    heal: removes('lonely'),
  },
];

async function keptOf(world: TroubleWorld): Promise<string> {
  return nameOfVolumeFor(world, 'kept');
}

async function nameOfSnapped(world: TroubleWorld): Promise<string> {
  return nameOfVolumeFor(world, 'snapped');
}

/** Of a claim that may be gone. */
async function nameOfVolumeFor({ client }: TroubleWorld, name: string): Promise<string> {
  const { items } = await client.list('PersistentVolume');
  const found = items.find(({ spec }) => spec.claimRef?.name === name);
  if (found === undefined) throw new Error(`no PersistentVolume was for ${name}`);
  return found.metadata.name;
}

async function replicaOf(world: TroubleWorld, claimName: string): Promise<Subject> {
  const { spec } = await world.volumeOf(claimName);
  return { kind: 'Replica', name: spec.placement?.[0]?.replicaName ?? '' };
}

export const CLAIM_TROUBLES: readonly Trouble[] = [
  ...classes,
  ...sources,
  ...placement,
  ...endings,
];
