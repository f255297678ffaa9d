import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CONTROL_PLANE, type ReplicaId, type VoterId } from '#api/mod.ts';
import { wantedVoters } from './vote-handover.ts';

interface Case {
  readonly replicas?: string;
  readonly voteless?: string;
  readonly present: string;
  readonly gone?: string;
  readonly current: string;
  readonly controlPlane?: boolean;
}

function wanted(each: Case): string {
  const ids = (text = ''): ReplicaId[] => text.split('').map((letter) => letter as ReplicaId);
  const voters = wantedVoters({
    replicas: ids(each.replicas ?? 'xyz'),
    voteless: new Set(ids(each.voteless)),
    present: new Set(ids(each.present)),
    gone: new Set(ids(each.gone)),
    current: ids(each.current).map((id): VoterId => ((id as string) === 'k' ? CONTROL_PLANE : id)),
    controlPlane: each.controlPlane ?? true,
  });
  return voters.map((voter) => (voter === CONTROL_PLANE ? 'k' : voter)).join('');
}

test('wantedVoters lets an odd number of replicas decide alone', () => {
  assert.equal(wanted({ present: 'xyz', current: 'xyz' }), 'xyz');
  assert.equal(wanted({ replicas: 'x', present: 'x', current: 'x' }), 'x');
});

test('wantedVoters adds the control plane to an even number', () => {
  assert.equal(wanted({ replicas: 'xy', present: 'xy', current: 'xyk' }), 'xyk');
  assert.equal(wanted({ replicas: 'xy', present: 'xy', current: 'xy', controlPlane: false }), 'xy');
});

test('wantedVoters lends the vote of a replica that is gone for long, one at a time', () => {
  assert.equal(wanted({ present: 'xy', current: 'xyz' }), 'xyz');
  assert.equal(wanted({ present: 'xy', gone: 'z', current: 'xyz' }), 'xyk');
  assert.equal(wanted({ present: 'x', gone: 'yz', current: 'xyk' }), 'xyk');
  assert.equal(wanted({ present: 'xy', gone: 'z', current: 'xyz', controlPlane: false }), 'xyz');
});

test('wantedVoters takes a lent vote back when its replica is in sync again', () => {
  assert.equal(wanted({ present: 'xyz', current: 'xyk' }), 'xyz');
});

test('wantedVoters gives a new replica its vote when it is in sync', () => {
  assert.equal(wanted({ replicas: 'xyzw', present: 'xyz', current: 'xyz' }), 'xyz');
  assert.equal(wanted({ replicas: 'xyzw', present: 'xyzw', current: 'xyz' }), 'xyzwk');
});

test('wantedVoters never lets a replica vote that forgot a promise (R16)', () => {
  assert.equal(wanted({ present: 'xyz', voteless: 'y', current: 'xyz' }), 'xzk');
  assert.equal(wanted({ present: 'xyz', voteless: 'y', current: 'xzk' }), 'xzk');
  assert.equal(
    wanted({ present: 'xyz', voteless: 'y', current: 'xyz', controlPlane: false }),
    'xz',
  );
});
