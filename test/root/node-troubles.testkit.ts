/** Troubles of nodes: one is off, the process of another hangs; later a majority is off. */
import { join } from 'node:path';
import { API_VERSION, findCondition } from '#api/kinds/mod.ts';
import type { Trouble, TroubleGroup } from './trouble.testkit.ts';
import type { Subject, TroubleWorld } from './trouble-world.testkit.ts';

function claim(name: string): Subject {
  return { kind: 'PersistentVolumeClaim', name };
}

function mount(name: string): Subject {
  return { kind: 'Mount', name };
}

const NOTHING = (): Promise<void> => Promise.resolve();
const SILENT = /The engine does not answer: .*Its node process restarts it/;
const WITHIN_MS = 30_000;

/** node-3 is off. */
const oneOff: readonly Trouble[] = [
  {
    symptom: 'node not Ready: it is off',
    subject: { kind: 'StorageNode', name: 'node-3' },
    link: 'node',
    cause: SILENT,
    remedy: /NODE\.node\.log/,
    end: 'well',
    plant: NOTHING,
    heal: NOTHING,
  },
  {
    symptom: 'pool not Ready: its node is off',
    subject: { kind: 'DiskPool', name: 'node-3-pool' },
    link: 'node',
    cause: SILENT,
    remedy: /NODE\.node\.log/,
    end: 'well',
    plant: NOTHING,
    heal: NOTHING,
  },
  {
    symptom: 'volume Degraded: the node of a copy is off',
    subject: claim('degraded'),
    link: 'node',
    cause: SILENT,
    remedy: /NODE\.node\.log/,
    end: 'well',
    prepare: async (world) => {
      await world.makeBound('degraded', 'three');
      await world.makeMounted('degraded');
    },
    plant: NOTHING,
    heal: NOTHING,
  },
  {
    symptom: 'a mounted volume hangs: its node is off',
    subject: claim('there'),
    link: 'node',
    cause: SILENT,
    remedy: /NODE\.node\.log/,
    end: 'well',
    prepare: async (world) => {
      await world.makeBound('there', 'three');
      await world.makeMounted('there', { nodeName: 'node-3' });
    },
    plant: NOTHING,
    heal: NOTHING,
  },
  {
    symptom: 'mount waits: its node is off',
    subject: mount('to-there'),
    link: 'node',
    cause: SILENT,
    remedy: /NODE\.node\.log/,
    end: 'well',
    prepare: (world) => world.makeBound('to-there', 'three'),
    plant: (world) => world.makeMount('to-there', { nodeName: 'node-3' }),
    heal: NOTHING,
  },
  {
    symptom: 'claim Pending: a node that it needs is off',
    subject: claim('needs-three'),
    link: 'claim',
    cause: /3 replicas need 3 nodes and 2 can be used: .*on node-3: its node does not answer/,
    remedy: /Add a node or a pool/,
    end: 'well',
    plant: async (world) => {
      await untilOff(world, 'node-3');
      await world.makeClaim('needs-three', 'three');
    },
    heal: NOTHING,
  },
  {
    symptom: 'clone waits: a copy of its source is on a node that is off',
    subject: claim('clone'),
    link: 'node',
    cause: SILENT,
    remedy: /NODE\.node\.log/,
    end: 'well',
    prepare: async (world) => {
      await world.makeOpenPool('third', 'node-3', join(world.scratch, 'third'), 'third');
      await world.makeClass('third', { replicas: '1', poolSelector: 'third' });
      await world.makeBound('original', 'third');
      await world.makeMounted('original', { nodeName: 'node-3' });
      await world.makeSnapshot('of-original', 'original');
      await world.until('the snapshot is taken', async () => {
        return (await world.get('Snapshot', 'of-original')).status?.readyToUse === true;
      });
    },
    plant: (world) => makeClone(world),
    heal: NOTHING,
  },
  {
    symptom: 'snapshot Terminating: a volume is being made from it',
    subject: { kind: 'Snapshot', name: 'of-original' },
    link: 'snapshot',
    cause: /Volumes are being made from it: pvc-/,
    remedy: /holdfast/,
    end: 'gone',
    plant: async (world) => {
      await world.until('the clone has begun', async () => {
        const { items } = await world.client.list('Volume');
        return items.some(({ spec }) => spec.claimRef?.name === 'clone');
      });
      await world.drop('Snapshot', 'of-original');
    },
    heal: NOTHING,
  },
  {
    symptom: 'PersistentVolume stays: a node that holds a copy is off',
    subject: async ({ client }) => {
      const { items } = await client.list('PersistentVolume');
      const found = items.find(({ spec }) => spec.claimRef?.name === 'deleted');
      return { kind: 'PersistentVolume', name: found?.metadata.name ?? '' };
    },
    link: 'persistentvolume',
    cause: /Its data cannot be deleted yet: The engine of node node-3 does not answer/,
    remedy: /holdfast get nodes/,
    end: 'gone',
    prepare: (world) => world.makeBound('deleted', 'three'),
    plant: (world) => world.remove('PersistentVolumeClaim', 'deleted'),
    heal: NOTHING,
  },
  {
    symptom: 'mount Terminating: its node does not answer',
    subject: mount('left'),
    link: 'mount',
    cause: /node-3 does not answer: it unmounts when it does/,
    remedy: /holdfast get nodes/,
    end: 'gone',
    prepare: async (world) => {
      await world.makeBound('left', 'one');
      await world.makeMounted('left', { nodeName: 'node-3' });
    },
    plant: (world) => world.drop('Mount', 'left'),
    heal: NOTHING,
  },
  {
    symptom: 'mount waits: the process of its node hangs',
    subject: mount('unheard'),
    link: 'mount',
    cause: /The process of node-2 does not answer: it mounts when it does/,
    remedy: /holdfast get nodes/,
    end: 'well',
    prepare: (world) => world.makeBound('unheard', 'first'),
    plant: (world) => world.makeMount('unheard', { nodeName: 'node-2' }),
    heal: NOTHING,
  },
];

/** Before that it may be chosen for a copy. */
async function untilOff(world: TroubleWorld, node: string): Promise<void> {
  await world.until(`${node} is known to be off`, async () => {
    const { status } = await world.get('StorageNode', node);
    return findCondition(status?.conditions, 'Ready')?.status === 'False';
  });
}

async function makeClone(world: TroubleWorld): Promise<void> {
  await world.makeClaim('clone', 'third', {
    dataSource: { apiGroup: 'holdfast.dev', kind: 'Snapshot', name: 'of-original' },
  });
}

/** node-2 and node-3 are off. */
const twoOff: readonly Trouble[] = [
  {
    symptom: 'I/O waits: no majority of the copies answers',
    subject: claim('alone'),
    link: 'node',
    cause: SILENT,
    remedy: /NODE\.node\.log/,
    end: 'well',
    prepare: async (world) => {
      await world.makeBound('alone', 'three');
      await world.makeMounted('alone');
    },
    plant: NOTHING,
    heal: NOTHING,
  },
  {
    symptom: 'claim Pending: the node that is left is cordoned',
    subject: claim('last-node'),
    link: 'claim',
    cause: /node-1-pool on node-1: its node is cordoned \(unschedulable\)/,
    remedy: /holdfast uncordon node/,
    end: 'well',
    plant: async (world) => {
      for (const node of ['node-2', 'node-3']) await untilOff(world, node);
      await world.cluster.holdfast('cordon', 'node', 'node-1');
      await world.makeClaim('last-node', 'one');
    },
    heal: async (world) => void (await world.cluster.holdfast('uncordon', 'node', 'node-1')),
  },
  {
    symptom: 'snapshot waits: its volume has no majority',
    subject: { kind: 'Snapshot', name: 'of-alone' },
    link: 'node',
    cause: SILENT,
    remedy: /NODE\.node\.log/,
    end: 'well',
    plant: async (world) => {
      const { metadata } = await world.volumeOf('alone');
      await world.client.create('Snapshot', {
        apiVersion: API_VERSION,
        kind: 'Snapshot',
        metadata: { name: 'of-alone' },
        spec: { volumeName: metadata.name },
      });
    },
    heal: NOTHING,
  },
  {
    symptom: 'mount waits: the volume cannot open without its other copies',
    subject: mount('closed'),
    link: 'node',
    cause: SILENT,
    remedy: /NODE\.node\.log/,
    end: 'well',
    prepare: (world) => world.makeBound('closed', 'three'),
    plant: (world) => world.makeMount('closed'),
    heal: NOTHING,
  },
];

export const NODE_GROUPS: readonly TroubleGroup[] = [
  {
    name: 'one node is off, another hangs',
    troubles: oneOff.map((trouble) => ({ withinMs: WITHIN_MS, ...trouble })),
    begin: (world) => {
      world.freeze('node-2');
      world.takeDown('node-3');
      return Promise.resolve();
    },
    end: (world) => {
      world.thaw('node-2');
      world.bringBack('node-3');
      return Promise.resolve();
    },
  },
  {
    name: 'two nodes are off',
    troubles: twoOff.map((trouble) => ({ withinMs: WITHIN_MS, ...trouble })),
    begin: (world) => {
      world.takeDown('node-2');
      world.takeDown('node-3');
      return Promise.resolve();
    },
    end: (world) => {
      world.bringBack('node-2');
      world.bringBack('node-3');
      return Promise.resolve();
    },
  },
];
