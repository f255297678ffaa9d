import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { API_VERSION, findCondition } from '#api/kinds/mod.ts';
import type { MembershipRecord, NexusStatus, ReplicaReport } from '#api/mod.ts';
import { CONTROL_PLANE } from '#api/mod.ts';
import { CLUSTER, Fleet } from '../fleet.testkit.ts';
import { explain } from '../graph/explain.ts';
import { ORPHAN_AGE_MS, planOrphans } from './orphans.ts';
import type { OrphanObservation } from './orphans.ts';

const SINCE = '2026-01-01T00:00:00.000Z';
const NOW_MS = Date.parse(SINCE) + ORPHAN_AGE_MS;

function record(epoch: number, names: readonly string[]): MembershipRecord {
  const members = names.map((replica) => ({ replica, incarnation: 'i' }));
  const voters = [...names, CONTROL_PLANE];
  return { epoch, seq: 1, members, voters, formerVoters: null, closed: false } as never;
}

interface Shape {
  readonly orphan?: object;
  readonly identity?: object;
  readonly nexus?: object | null;
  readonly volume?: object | null;
  readonly replicas?: readonly object[];
  readonly condition?: 'True' | 'False';
  readonly ageMs?: number;
}

/** An orphan that is surely not needed, changed in one point. */
function observe(shape: Shape): OrphanObservation {
  const member = (replica: string) => ({ replica, phase: 'in-sync' });
  const nexus = {
    phase: 'serving',
    epoch: 7,
    record: record(7, ['a', 'c']),
    members: [member('a'), member('c')],
    ...shape.nexus,
  };
  const identity = { replica: 'b', volume: 'vol', cluster: CLUSTER, claim: 'default/demo' };
  const report = {
    identity: { ...identity, ...shape.identity },
    usage: { headBytes: 5 * 2 ** 20, snapshotBytes: 0, metadataBytes: 0 },
    state: { record: record(3, ['a', 'b']), promised: 3, ...shape.orphan },
  };
  const conditions = [{ type: 'Redundant', status: shape.condition ?? 'True' }];
  const placement = [{ replicaName: 'a', poolName: 'p-a' }];
  const volume = {
    metadata: { name: 'vol' },
    spec: { replicas: 2, placement },
    status: { conditions },
    ...shape.volume,
  };
  return {
    cluster: CLUSTER,
    nowMs: NOW_MS - (ORPHAN_AGE_MS - (shape.ageMs ?? ORPHAN_AGE_MS)),
    reports: [report as unknown as ReplicaReport],
    replicas: (shape.replicas ?? []) as never,
    volumes: shape.volume === null ? [] : [volume as never],
    nexuses: new Map(shape.nexus === null ? [] : [['vol', nexus as unknown as NexusStatus]]),
    before: [{ replicaName: 'b', sinceTime: SINCE } as never],
    pool: 'p-b',
  };
}

describe('An orphaned replica', () => {
  test('that is surely not needed goes after a day, and not before', () => {
    const young = planOrphans(observe({ ageMs: ORPHAN_AGE_MS - 1 }));
    assert.deepEqual(young.removals, []);
    assert.match(young.orphans[0]?.reason ?? '', /Not needed: it goes at 2026-01-02T00:00:00/);
    assert.equal(young.orphans[0]?.dataBytes, 5 * 2 ** 20);
    assert.deepEqual(planOrphans(observe({})).removals, ['b']);
  });

  const leftOut = { phase: 'absent', replica: 'c' };
  const doubts: readonly (readonly [string, Shape, RegExp])[] = [
    ['of another cluster', { identity: { cluster: 'other' } }, /another cluster/],
    ['of a volume that is not known', { volume: null }, /may be the last copy/],
    [
      'of a volume that goes',
      { volume: { metadata: { name: 'vol', deletionTimestamp: SINCE } } },
      /being deleted/,
    ],
    ['of a volume that is not served', { nexus: null }, /not served/],
    ['of a volume that is suspended', { nexus: { phase: 'suspended' } }, /not served/],
    [
      'of a volume that is degraded',
      { nexus: { members: [{ phase: 'in-sync', replica: 'a' }, leftOut] } },
      /not whole/,
    ],
    [
      'of a volume with too few copies',
      { nexus: { members: [{ phase: 'in-sync', replica: 'a' }] } },
      /not whole/,
    ],
    ['of a volume that is not as wanted', { condition: 'False' }, /not whole/],
    ['whose volume has no record', { nexus: { record: null } }, /being changed/],
    [
      'while voters change',
      { nexus: { record: { ...record(7, ['a', 'c']), formerVoters: ['a'] } } },
      /being changed/,
    ],
    ['that the record names', { nexus: { record: record(7, ['a', 'b']) } }, /still names it/],
    ['that cannot be opened', { orphan: { record: null } }, /cannot say/],
    ['from a later epoch', { orphan: { record: record(8, ['a', 'b']) } }, /later time/],
    ['that promised a later epoch', { orphan: { promised: 8 } }, /later time/],
    ['of another history', { orphan: { record: record(3, ['x', 'b']) } }, /same history/],
    [
      'whose name is in another pool',
      { replicas: [{ metadata: { name: 'b' }, spec: { poolName: 'p-z' } }] },
      /copy of a disk/,
    ],
  ];
  for (const [title, shape, why] of doubts) {
    test(`${title} is kept, whatever its age, and it is said why`, () => {
      const { orphans, removals } = planOrphans(observe(shape));
      assert.deepEqual(removals, []);
      assert.match(orphans[0]?.reason ?? '', why);
    });
  }

  test('is none while an object or a placement wants it', () => {
    const replicas = [{ metadata: { name: 'b' }, spec: { poolName: 'p-b' } }];
    assert.deepEqual(planOrphans(observe({ replicas })).orphans, []);
    const placement = [{ replicaName: 'b', poolName: 'p-b' }];
    const volume = { spec: { replicas: 2, placement } };
    assert.deepEqual(planOrphans(observe({ volume })).orphans, []);
  });

  test('is found, told in status and explain, and kept when nobody knows its volume', async () => {
    await new Fleet(51, 3).run(async (fleet) => {
      await fleet.client.create('Volume', {
        apiVersion: API_VERSION,
        kind: 'Volume',
        metadata: { name: 'vol' },
        spec: { size: '1Gi', replicas: 1 },
      });
      const name = 'node-1-pool';
      await fleet.until('made', async () => fleet.calls('replica.create') === 1);
      const [node] = [...fleet.nodes.values()].filter((each) =>
        each.calls.includes('replica.create'),
      );
      const held = node?.pools.get(`${node.name}-pool`)?.replicas;
      const [first] = held?.values() ?? [];
      assert.ok(first !== undefined);
      const identity = { ...first.identity, replica: 'stray', volume: 'forgotten' } as never;
      fleet
        .node('node-1')
        .pools.get(name)
        ?.replicas.set('stray', { ...first, identity });
      await fleet.until(
        'told',
        async () => {
          const { status } = await fleet.client.get('DiskPool', { name });
          assert.equal(status?.orphans?.[0]?.replicaName, 'stray');
          assert.match(status.orphans[0].reason, /last copy/);
          assert.equal(findCondition(status.conditions, 'Orphaned')?.reason, 'OrphansFound');
        },
        90_000,
      );
      const said = await explain(fleet.operator.context, { kind: 'DiskPool', name });
      assert.ok(said.chain.some((link) => link.kind === 'orphan' && link.name === 'stray'));
      await fleet.host.clock.sleep(600_000);
      assert.ok(fleet.node('node-1').pools.get(name)?.replicas.has('stray'));
      fleet.node('node-1').pools.get(name)?.replicas.delete('stray');
      await fleet.until(
        'forgotten',
        async () => {
          const { status } = await fleet.client.get('DiskPool', { name });
          assert.deepEqual(status?.orphans, []);
          assert.equal(findCondition(status.conditions, 'Orphaned'), undefined);
        },
        90_000,
      );
    }, 3_600_000);
  });
});
