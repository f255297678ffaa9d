import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { DiskPool, Replica, Volume } from '#api/kinds/mod.ts';
import { API_VERSION } from '#api/kinds/mod.ts';
import type { PoolReport, ReplicaReport } from '#api/mod.ts';
import { ANNOTATION_INITIALISED, FINALIZER_DATA } from '../reconcile.ts';
import type { ReplicaObservation } from './observe.ts';
import { planReplica } from './plan.ts';

const METADATA: Replica['metadata'] = {
  name: 'v-1',
  finalizers: [FINALIZER_DATA],
  annotations: { [ANNOTATION_INITIALISED]: 'true' },
};
const GOING = { ...METADATA, deletionTimestamp: '2026-01-01T00:00:00Z' };

function replica(metadata = METADATA): Replica {
  return {
    apiVersion: API_VERSION,
    kind: 'Replica',
    metadata,
    spec: { volumeName: 'v', nodeName: 'n1', poolName: 'p1', size: '1Gi', segmentSize: '1Mi' },
  };
}

function report(volume: string, error = '', errorCode = ''): ReplicaReport {
  const identity = { replica: 'v-1', volume };
  const facts = { directory: '/p1/v-1', sizeBytes: 0, usage: null, state: null };
  return { identity, error, errorCode, ...facts } as unknown as ReplicaReport;
}

function seen(change: Partial<ReplicaObservation>): ReplicaObservation {
  const placement = [{ replicaName: 'v-1', poolName: 'p1', nodeName: 'n1', founder: true }];
  return {
    replica: replica(),
    volume: { metadata: { name: 'v' }, spec: { placement } } as unknown as Volume,
    pool: { metadata: { name: 'p1' } } as unknown as DiskPool,
    node: { engine: {}, engineError: null } as unknown as ReplicaObservation['node'],
    poolReport: { error: '' } as unknown as PoolReport,
    report: undefined,
    members: null,
    inSync: [],
    ...change,
  };
}

function said(change: Partial<ReplicaObservation>): string {
  const { actions, conditions } = planReplica(seen(change));
  const told = conditions.map(({ reason, message }) => `${reason}: ${message}`);
  return [...actions.map(({ type }) => type), ...told].join(' ');
}

describe('planReplica', () => {
  test('Files that cannot be read are damaged, not somebody else’s', () => {
    const damaged = report('', 'Header cannot be read', 'store-corrupt');
    assert.match(said({ report: damaged }), /^ReplicaFailed: store-corrupt: Header cannot be read/);
    assert.match(
      said({ report: report('other') }),
      /^StoreForeign: The files belong to volume other/,
    );
  });

  test('With its volume go damaged files, and never those of another', () => {
    const gone = { replica: replica(GOING), volume: undefined };
    const damaged = report('', 'Header cannot be read', 'store-corrupt');
    assert.equal(said({ ...gone, report: damaged }), 'delete-data remove-finalizer');
    assert.equal(said({ ...gone, report: report('other') }), 'remove-finalizer');
  });

  test('A copy that is to go says whether it is the last one', () => {
    const going = { replica: replica(GOING), report: report('v') };
    const alone = { ...going, members: ['v-1'], inSync: ['v-1'] };
    assert.match(said(alone), /^LastCopy: .*no other replica of the volume/);
    const both = { ...going, members: ['v-1', 'v-2'], inSync: ['v-1', 'v-2'] };
    assert.match(said(both), /^StillMember: The volume still counts on this replica/);
  });
});
