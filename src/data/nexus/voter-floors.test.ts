import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CONTROL_PLANE, type VoterFloor, type VoterId } from '#api/mod.ts';
import { isBelowFloor, raiseFloors } from './voter-floors.ts';

const X = 'x' as VoterId;
const Y = 'y' as VoterId;
const floor = (voter: VoterId, epoch: number, seq: number): VoterFloor => ({ voter, epoch, seq });

test('raiseFloors never lowers what a voter is known to hold', () => {
  const last = { held: [floor(X, 3, 4)] };
  const next = { voters: [X, Y], formerVoters: null };
  const holds = (voter: VoterId): VoterFloor => floor(voter, 3, voter === X ? 2 : 5);
  assert.deepEqual(raiseFloors(last, next, holds).slice(0, 2), [floor(X, 3, 4), floor(Y, 3, 5)]);
});

test('raiseFloors drops a replica without a vote and keeps the control plane', () => {
  const last = { held: [floor(X, 3, 4), floor(CONTROL_PLANE, 3, 1)] };
  const next = { voters: [Y], formerVoters: null };
  assert.deepEqual(
    raiseFloors(last, next, () => null),
    [floor(CONTROL_PLANE, 3, 1)],
  );
});

test('isBelowFloor tells who holds less than is known of it', () => {
  const record = { held: [floor(X, 3, 4)] };
  assert.equal(isBelowFloor(record, X, { epoch: 3, seq: 3 }), true);
  assert.equal(isBelowFloor(record, X, null), true);
  assert.equal(isBelowFloor(record, X, { epoch: 3, seq: 4 }), false);
  assert.equal(isBelowFloor(record, Y, null), false);
});
