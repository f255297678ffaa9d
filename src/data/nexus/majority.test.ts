import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CONTROL_PLANE, type VoterId } from '#api/mod.ts';
import { isMajority, votersOf } from './majority.ts';

const V = (text: string): VoterId[] =>
  text.split('').map((letter) => (letter === 'k' ? CONTROL_PLANE : (letter as VoterId)));

function decided(voters: string, former: string | null, granted: string): boolean {
  const names = V(granted);
  const formerVoters = former === null ? null : V(former);
  return isMajority({ voters: V(voters), formerVoters }, (voter) => names.includes(voter));
}

test('isMajority needs more than half of the voters', () => {
  assert.equal(decided('x', null, 'x'), true);
  assert.equal(decided('xy', null, 'x'), false);
  assert.equal(decided('xyk', null, 'xk'), true);
  assert.equal(decided('xyz', null, 'y'), false);
  assert.equal(decided('xyz', null, 'yab'), false);
});

test('isMajority needs both majorities while voters change (R17)', () => {
  // {X,Y} of X,Y,Z and {K,Z} of K,Y,Z do not meet: neither decides alone.
  assert.equal(decided('kyz', 'xyz', 'kz'), false);
  assert.equal(decided('kyz', 'xyz', 'xy'), false);
  assert.equal(decided('kyz', 'xyz', 'yz'), true);
});

test('votersOf names everybody once', () => {
  assert.deepEqual(votersOf({ voters: V('kyz'), formerVoters: V('xyz') }), V('kyzx'));
});
