/** Mounts: whom they wait for, and what they say. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type {
  Mount,
  PersistentVolume,
  PersistentVolumeClaim,
  StorageNode,
  Volume,
  VolumeAttachment,
} from '#api/kinds/mod.ts';
import { API_VERSION } from '#api/kinds/mod.ts';
import { PROVISIONER } from '#api/mod.ts';
import { decideStep } from './attachment/apply.ts';
import { attachmentNameOf, MOUNT_FINALIZER, SELECTED_NODE } from './context.ts';
import type { MountObservation } from './mount/observe.ts';
import { planMount } from './mount/plan.ts';

const NOW = Date.parse('2026-01-01T00:10:00Z');

function mount(change: Partial<Mount['metadata']> = {}, spec: Partial<Mount['spec']> = {}): Mount {
  return {
    apiVersion: API_VERSION,
    kind: 'Mount',
    metadata: {
      namespace: 'default',
      name: 'm',
      creationTimestamp: '2026-01-01T00:05:00Z',
      ...change,
    },
    spec: { claimName: 'demo', nodeName: 'n1', path: '/m', ...spec },
  };
}

function claim(
  ready: string,
  phase: 'Bound' | 'Pending' = 'Bound',
  change: Partial<PersistentVolumeClaim['metadata']> = {},
  accessModes: PersistentVolumeClaim['spec']['accessModes'] = ['ReadWriteOnce'],
): PersistentVolumeClaim {
  const lastTransitionTime = '';
  const status = phase === 'Bound' ? ('True' as const) : ('False' as const);
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: { namespace: 'default', name: 'demo', ...change },
    spec: { accessModes, resources: { requests: { storage: '1Gi' } }, volumeName: 'pv' },
    status: {
      phase,
      conditions: [{ type: 'Ready', status, reason: ready, message: 'why', lastTransitionTime }],
    },
  };
}

const PV: PersistentVolume = {
  apiVersion: 'v1',
  kind: 'PersistentVolume',
  metadata: { name: 'pv' },
  spec: {
    capacity: { storage: '1Gi' },
    accessModes: ['ReadWriteOnce'],
    claimRef: { namespace: 'default', name: 'demo', uid: 'u' },
    csi: { driver: PROVISIONER, volumeHandle: 'v' },
  },
};

function node(status: StorageNode['status'] = { missing: [] }): StorageNode {
  return {
    apiVersion: API_VERSION,
    kind: 'StorageNode',
    metadata: { name: 'n1' },
    spec: {},
    status,
  };
}

function silent(sinceTime: string): StorageNode {
  return node({
    conditions: [
      {
        type: 'MountCapable',
        status: 'Unknown',
        reason: 'NodeSilent',
        message: '',
        lastTransitionTime: sinceTime,
      },
    ],
  });
}

function attachment(
  status: VolumeAttachment['status'],
  change: Partial<VolumeAttachment['metadata']> = {},
): VolumeAttachment {
  return {
    apiVersion: 'storage.k8s.io/v1',
    kind: 'VolumeAttachment',
    metadata: { name: attachmentNameOf(PV, 'n1'), ...change },
    spec: { attacher: PROVISIONER, nodeName: 'n1', source: { persistentVolumeName: 'pv' } },
    ...(status === undefined ? {} : { status }),
  };
}

function seen(change: Partial<MountObservation>): MountObservation {
  return {
    mount: mount(),
    node: node(),
    claim: claim('Bound'),
    persistentVolume: PV,
    attachment: undefined,
    others: [],
    nowMs: NOW,
    ...change,
  };
}

const GOING = { deletionTimestamp: '2026-01-01T00:09:00Z' };
const HELD = { finalizers: [MOUNT_FINALIZER] };
const EARLIER = { name: 'other', creationTimestamp: '2026-01-01T00:04:00Z' };
const ON_2 = { nodeName: 'n2', path: '/there' };

/** One row: what is seen, what is done, and the reason that is said. */
const TABLE: readonly [string, Partial<MountObservation>, string, string][] = [
  ['its node does not exist', { node: undefined }, '', 'NodeUnknown'],
  ['its claim does not exist', { claim: undefined }, '', 'ClaimMissing'],
  ['its claim is going', { claim: claim('Bound', 'Bound', GOING) }, '', 'ClaimTerminating'],
  [
    'its claim has no volume yet',
    { claim: claim('NoPlacement', 'Pending'), persistentVolume: undefined },
    '',
    'NoPlacement',
  ],
  [
    'its claim waits for it',
    { claim: claim('WaitForFirstConsumer', 'Pending'), persistentVolume: undefined },
    'select-node',
    'WaitForFirstConsumer',
  ],
  [
    'its claim was told of the node already',
    {
      claim: claim('WaitForFirstConsumer', 'Pending', { annotations: { [SELECTED_NODE]: 'n1' } }),
      persistentVolume: undefined,
    },
    '',
    'WaitForFirstConsumer',
  ],
  ['its node cannot mount', { node: node({ missing: ['root'] }) }, '', 'CapabilityMissing'],
  ['nothing is in the way', {}, 'attach', 'Attaching'],
  ['the volume is being opened', { attachment: attachment({ attached: false }) }, '', 'Attaching'],
  ['it is attached', { attachment: attachment({ attached: true }) }, '', ''],
  [
    'it is attached and its node is silent',
    { attachment: attachment({ attached: true }), node: silent('2026-01-01T00:09:50Z') },
    '',
    'NodeSilent',
  ],
  [
    'the attachment before is going',
    { attachment: attachment({ attached: true }, GOING) },
    '',
    'Attaching',
  ],
  ['an older one has it elsewhere', { others: [mount(EARLIER, ON_2)] }, '', 'InUse'],
  [
    'a younger one wants it elsewhere',
    { others: [mount({ name: 'z' }, ON_2)] },
    'attach',
    'Attaching',
  ],
  [
    'a younger one has it elsewhere',
    { others: [mount({ name: 'z', ...HELD }, ON_2)] },
    '',
    'InUse',
  ],
  [
    'an older one is going and holds it still',
    { others: [mount({ ...EARLIER, ...HELD, ...GOING }, ON_2)] },
    '',
    'InUse',
  ],
  [
    'an older one is gone from its node',
    { others: [mount({ ...EARLIER, ...GOING }, ON_2)] },
    'attach',
    'Attaching',
  ],
  ['an older one has it on this node', { others: [mount(EARLIER)] }, 'attach', 'Attaching'],
  [
    'an older one has it on this node, alone',
    { claim: claim('Bound', 'Bound', {}, ['ReadWriteOncePod']), others: [mount(EARLIER)] },
    '',
    'InUse',
  ],
  [
    'others read it, here and elsewhere',
    {
      claim: claim('Bound', 'Bound', {}, ['ReadOnlyMany']),
      others: [mount(EARLIER), mount(EARLIER, ON_2)],
    },
    'attach',
    'Attaching',
  ],
  ['it goes and nothing was mounted', { mount: mount(GOING) }, '', ''],
  ['it goes and its node works', { mount: mount({ ...GOING, ...HELD }) }, '', ''],
  [
    'it goes and its node is silent for a moment',
    { mount: mount({ ...GOING, ...HELD }), node: silent('2026-01-01T00:09:50Z') },
    '',
    'NodeSilent',
  ],
  [
    'it goes and its node is silent for long',
    { mount: mount({ ...GOING, ...HELD }), node: silent('2026-01-01T00:09:00Z') },
    'give-up',
    '',
  ],
  [
    'it goes and its node does not exist any more',
    { mount: mount({ ...GOING, ...HELD }), node: undefined },
    'give-up',
    '',
  ],
];

describe('planMount', () => {
  for (const [title, change, action, reason] of TABLE) {
    test(`When ${title}: ${action || 'nothing'}`, () => {
      const plan = planMount(seen(change));
      assert.deepEqual(plan.actions.map((entry) => entry.type).join(' '), action);
      assert.equal(plan.conditions[0]?.reason ?? '', reason);
      assert.notEqual(plan.conditions[0]?.message, '');
    });
  }
});

describe('decideStep', () => {
  const at = (nodeName: string) => ({ spec: { attachment: { nodeName } } }) as unknown as Volume;
  const user = mount(HELD);
  const all = { persistentVolume: PV, volume: at('n1'), users: [user] };
  for (const [title, change, step] of [
    ['it is new', { attachment: attachment(undefined), volume: undefined }, 'publish'],
    ['it is attached', { attachment: attachment({ attached: true }) }, 'nothing'],
    [
      'it says that it is attached and the volume is elsewhere',
      { attachment: attachment({ attached: true }), volume: at('n2') },
      'publish',
    ],
    ['nobody uses it', { attachment: attachment({ attached: true }), users: [] }, 'delete'],
    [
      'nobody uses it and somebody else made it',
      { attachment: attachment({ attached: true }, { name: 'theirs' }), users: [] },
      'nothing',
    ],
    ['it goes', { attachment: attachment({ attached: true }, GOING) }, 'unpublish'],
    [
      'its volume does not exist any more',
      { attachment: attachment({ attached: true }), persistentVolume: undefined },
      'delete',
    ],
  ] as const) {
    test(`When ${title}: ${step}`, () => {
      assert.equal(decideStep({ ...all, ...change }), step);
    });
  }
});
