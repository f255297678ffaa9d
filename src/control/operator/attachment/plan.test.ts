import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Volume } from '#api/kinds/mod.ts';
import { API_VERSION } from '#api/kinds/mod.ts';
import type { AttachmentReport, ClusterId, MountReport, NexusStatus } from '#api/mod.ts';
import { GENERATION_ZERO, HoldfastError } from '#api/mod.ts';
import type { NodeView } from '../cluster-observer.ts';
import type { AttachmentObservation } from './observe.ts';
import { planAttachment } from './plan.ts';

const CLUSTER = 'c' as ClusterId;
const READY = {
  type: 'Ready',
  status: 'True',
  reason: 'ReplicasMade',
  message: '',
  lastTransitionTime: '',
} as const;

type Attachment = NonNullable<Volume['spec']['attachment']>;

function volume(attachment: Attachment | null, status: Volume['status'] = {}): Volume {
  return {
    apiVersion: API_VERSION,
    kind: 'Volume',
    metadata: { name: 'v' },
    spec: {
      size: '1Gi',
      replicas: 1,
      placement: [{ replicaName: 'v-1', poolName: 'p1', nodeName: 'n1', founder: true }],
      attachment,
    },
    status: { conditions: [READY], sizeBytes: 2 ** 30, ...status },
  };
}

function report(change: Partial<NexusStatus> = {}, frontends = ['nbd', 'fuse']): AttachmentReport {
  return {
    volume: 'v',
    spec: {
      frontends,
      readOnly: false,
      replicas: [{ replica: 'v-1', node: 'n1', pool: 'p1', engine: 'unix:/n1' }],
    },
    status: {
      phase: 'serving',
      reason: '',
      waitingFor: [],
      epoch: 3,
      generation: GENERATION_ZERO,
      completed: GENERATION_ZERO,
      record: null,
      members: [{ replica: 'v-1', phase: 'in-sync', reason: '', errorCode: '', rebuild: null }],
      sizeBytes: 2 ** 30,
      snapshots: [],
      damagedBlocks: 0,
      longestStallMs: 0,
      counters: {},
      error: null,
      ...change,
    },
    frontends: [
      { kind: 'nbd', url: 'nbd+unix:///v', error: '' },
      { kind: 'fuse', url: '/dev/loop0', error: '' },
    ],
  } as unknown as AttachmentReport;
}

function view(node: string, isEngineUp = true): NodeView {
  return {
    node,
    engine: isEngineUp ? ({ node } as unknown as NodeView['engine']) : null,
    engineError: isEngineUp ? null : new HoldfastError('refused', 'Nothing listens'),
    agent: { missing: [], mounts: [] } as unknown as NodeView['agent'],
    agentError: null,
  };
}

function mount(node: string, path: string): { node: string; mount: MountReport } {
  const facts = { volume: 'v', path, fsType: 'ext4', device: '/dev/loop0', error: '' };
  return { node, mount: facts as unknown as MountReport };
}

function seen(change: Partial<AttachmentObservation>): AttachmentObservation {
  return {
    volume: volume(null),
    replicas: [],
    views: new Map([
      ['n1', view('n1')],
      ['n2', view('n2')],
    ]),
    attachments: [],
    mounts: [],
    errand: '',
    isQuiesced: false,
    now: '2026-01-01T00:00:00.000Z',
    engineAddresses: { n1: 'unix:/n1', n2: 'unix:/n2' },
    ...change,
  };
}

const FENCED = { code: 'fenced', message: 'Another nexus took the volume over' } as const;
const LOST = { phase: 'failed', reason: FENCED.message, error: FENCED } as const;
const BOTH: Attachment = { nodeName: 'n1', frontends: ['nbd', 'fuse'] };

/** One row: what is seen, what is to be done, and what is said. */
const TABLE: readonly [string, Partial<AttachmentObservation>, readonly string[], string][] = [
  ['nobody wants it and nothing is there', {}, [], 'Attached False NotWanted'],
  [
    'it is wanted and nothing is there',
    { volume: volume(BOTH) },
    ['attach n1'],
    'Attached False Opening',
  ],
  [
    'the engine that should serve it is silent',
    { volume: volume(BOTH), views: new Map([['n1', view('n1', false)]]) },
    [],
    'Attached False EngineSilent',
  ],
  [
    'it is opening',
    { volume: volume(BOTH), attachments: [{ node: 'n1', report: report({ phase: 'opening' }) }] },
    [],
    'Attached False Opening',
  ],
  [
    'it waits for a majority',
    { volume: volume(BOTH), attachments: [{ node: 'n1', report: report({ phase: 'suspended' }) }] },
    [],
    'Attached Unknown Suspended',
  ],
  [
    'it serves and is not mounted',
    { volume: volume(BOTH), attachments: [{ node: 'n1', report: report() }] },
    [],
    'Attached True Serving',
  ],
  [
    'all is as wanted',
    {
      volume: volume(BOTH),
      attachments: [{ node: 'n1', report: report() }],
      mounts: [mount('n1', '/m')],
    },
    [],
    'Attached True Serving',
  ],
  [
    'it moved and is still mounted: nothing is detached under a filesystem',
    {
      volume: volume({ ...BOTH, nodeName: 'n2' }),
      attachments: [{ node: 'n1', report: report() }],
      mounts: [mount('n1', '/m')],
    },
    [],
    'Attached False Detaching',
  ],
  [
    'it moved: detach comes before the new attach',
    {
      volume: volume({ ...BOTH, nodeName: 'n2' }),
      attachments: [{ node: 'n1', report: report() }],
    },
    ['detach n1'],
    'Attached False Detaching',
  ],
  [
    'nobody wants it any more',
    { attachments: [{ node: 'n1', report: report() }] },
    ['detach n1'],
    'Attached False Detaching',
  ],
  [
    'the cluster is being stopped',
    {
      volume: volume(BOTH),
      isQuiesced: true,
      attachments: [{ node: 'n1', report: report() }],
    },
    ['detach n1'],
    'Attached False Detaching',
  ],
  [
    'the cluster is being stopped and it cannot be unmounted',
    {
      volume: volume(BOTH),
      isQuiesced: true,
      attachments: [{ node: 'n1', report: report() }],
      mounts: [mount('n1', '/m')],
    },
    [],
    'Attached False Detaching',
  ],
  [
    'other frontends are wanted',
    {
      volume: volume(BOTH),
      attachments: [{ node: 'n1', report: report({}, ['nbd']) }],
    },
    ['detach n1'],
    'Attached False Opening',
  ],
  [
    'other frontends are wanted and it is mounted',
    {
      volume: volume(BOTH),
      attachments: [{ node: 'n1', report: report({}, ['fuse']) }],
      mounts: [mount('n1', '/m')],
    },
    [],
    'Attached False Detaching',
  ],
  [
    'a snapshot needs a nexus and nobody attached it',
    { errand: 'snapshot s' },
    ['attach n1'],
    'Attached False Opening',
  ],
  [
    'a snapshot needs a nexus and one works at it already, beside one that lost the volume to it',
    {
      errand: 'snapshot s',
      attachments: [
        { node: 'n1', report: report(LOST, []) },
        { node: 'n2', report: report({}, []) },
      ],
    },
    ['detach n1'],
    'Attached False Detaching',
  ],
  [
    'the only nexus lost the volume to another that is gone',
    { errand: 'snapshot s', attachments: [{ node: 'n1', report: report(LOST, []) }] },
    ['detach n1'],
    'Attached False Failed',
  ],
  [
    'it lost the volume to another that is gone, and somebody attached it',
    { volume: volume(BOTH), attachments: [{ node: 'n1', report: report(LOST) }] },
    ['detach n1'],
    'Attached False Failed',
  ],
  [
    'it lost the volume to another and is mounted: nothing is detached under a filesystem',
    {
      volume: volume(BOTH),
      attachments: [{ node: 'n1', report: report(LOST) }],
      mounts: [mount('n1', '/m')],
    },
    [],
    'Attached False Failed',
  ],
  [
    'it is to grow',
    {
      volume: { ...volume(BOTH), spec: { ...volume(BOTH).spec, size: '2Gi' } },
      attachments: [{ node: 'n1', report: report() }],
      mounts: [mount('n1', '/m')],
    },
    ['grow n1'],
    'Attached True Serving',
  ],
];

describe('planAttachment', () => {
  for (const [title, change, actions, condition] of TABLE) {
    test(`When ${title}: ${actions.join(', ') || 'nothing'}`, () => {
      const plan = planAttachment(seen(change), CLUSTER);
      assert.deepEqual(
        plan.actions.map((action) => `${action.type} ${action.node}`),
        actions,
      );
      const [first] = plan.conditions;
      assert.equal(`${first?.type} ${first?.status} ${first?.reason}`, condition);
      for (const { reason, message } of plan.conditions) {
        assert.match(reason, /^[A-Z][A-Za-z]*$/);
        assert.notEqual(message, '', `${reason} has no message`);
      }
    });
  }

  test('A volume that nobody mounts is looked at again until its device is there', () => {
    const attachment: Attachment = { nodeName: 'n1', frontends: ['fuse'] };
    const look = (url: string, error: string): number => {
      const served = {
        ...report({}, ['fuse']),
        frontends: [{ kind: 'fuse', url, error }],
      } as const;
      const plan = planAttachment(
        seen({ volume: volume(attachment), attachments: [{ node: 'n1', report: served }] }),
        CLUSTER,
      );
      return plan.requeueAfterMs ?? Infinity;
    };
    assert.ok(look('', '') < 1_000);
    assert.ok(look('/dev/loop0', '') > 10_000);
    assert.ok(look('', 'capability-missing: no /dev/fuse') > 10_000);
  });

  test('A replica in sync that has no vote makes the volume unhealthy, by name', () => {
    const look = (voters: readonly string[], formerVoters: readonly string[] | null) => {
      const record = { voters, formerVoters } as unknown as NexusStatus['record'];
      const members = ['v-1', 'v-2'].map((replica) => ({
        replica,
        phase: 'in-sync',
        sinceMs: 0,
        reason: '',
        errorCode: '',
        rebuild: null,
      }));
      const served = report({ record, members: members as unknown as NexusStatus['members'] });
      const plan = planAttachment(
        seen({ volume: volume(BOTH), attachments: [{ node: 'n1', report: served }] }),
        CLUSTER,
      );
      return plan.conditions.find((condition) => condition.type === 'Healthy');
    };
    const found = look(['v-1'], null);
    assert.equal(found?.reason, 'VoteMissing');
    assert.match(found.message, /v-2 has no vote/);
    assert.equal(look(['v-1', 'v-2', 'control-plane'], null)?.reason, 'AllInSync');
    // On its way: the record still carries both sets.
    assert.equal(look(['v-1'], ['v-1', 'v-2'])?.reason, 'AllInSync');
  });

  test('Damaged blocks and absent members are said with their number and their place', () => {
    const saidOf = (change: Partial<NexusStatus>): string => {
      const attachments = [{ node: 'n1', report: report(change) }];
      const plan = planAttachment(seen({ volume: volume(BOTH), attachments }), CLUSTER);
      const found = plan.conditions.find(({ type }) => type === 'Healthy');
      return `${found?.status} ${found?.reason}: ${found?.message}`;
    };
    assert.match(saidOf({ damagedBlocks: 2 }), /^False BlocksDamaged: 2 blocks have no good copy/);
    const reason = 'Member did not answer in time';
    const absent = { replica: 'v-1', phase: 'absent', reason, rebuild: null, sinceMs: 0 };
    const members = [absent] as unknown as NexusStatus['members'];
    assert.match(
      saidOf({ members }),
      /v-1 is absent from pool p1 on n1 \(Member did not answer in time\)/,
    );
  });
});
