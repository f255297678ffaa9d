import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { API_VERSION } from '#api/kinds/mod.ts';
import type { MembershipRecord, VolumeId } from '#api/mod.ts';
import { HoldfastError } from '#api/mod.ts';
import { createTestApi } from '#control/apiserver/test-api.testkit.ts';
import { SimWorld } from '#host/sim/mod.ts';
import { createVoteHandlers } from './mod.ts';
import { planCommit, planPromise } from './vote.ts';

function record(epoch: number, seq: number, closed = false): MembershipRecord {
  return {
    epoch,
    seq,
    members: [],
    voters: [],
    formerVoters: null,
    closed,
    loss: 0,
    floor: { epoch: 0, seq: 0 },
    held: [],
  };
}

const VOTE = { promised: 5, promisedTo: 'a', record: record(5, 2) };

describe('Vote of the control plane', () => {
  for (const [title, epoch, nexus, isGranted] of [
    ['a higher epoch is promised', 6, 'b', true],
    ['the same epoch is promised again to the same nexus', 5, 'a', true],
    ['the same epoch is not promised to another nexus', 5, 'b', false],
    ['a lower epoch is refused', 4, 'a', false],
  ] as const) {
    test(`Rule 1: ${title}`, () => {
      assert.equal(planPromise(VOTE, epoch, nexus) !== null, isGranted);
    });
  }

  for (const [title, candidate, isGranted] of [
    ['a later record of the promised epoch is accepted', record(5, 3), true],
    ['the same record is accepted again', record(5, 2), true],
    ['another record at the same position is refused', record(5, 2, true), false],
    ['an earlier record that arrives late is refused', record(5, 1), false],
    ['a record of a lower epoch is refused', record(4, 9), false],
    ['a record of an epoch that was not promised is refused', record(6, 1), false],
  ] as const) {
    test(`Rule 10: ${title}`, () => {
      assert.equal(planCommit(VOTE, candidate) !== null, isGranted);
    });
  }

  test('Promises, records and confirmations go through the Volume, one at a time', async () => {
    const world = new SimWorld(1);
    const { client } = createTestApi(world, world.addNode('a'));
    const vote = createVoteHandlers(client);
    const volume = 'v' as VolumeId;
    await world.finish(
      (async () => {
        await client.create('Volume', {
          apiVersion: API_VERSION,
          kind: 'Volume',
          metadata: { name: 'v' },
          spec: { size: '1Gi', replicas: 2 },
        });
        const answers = await Promise.all(
          ['a', 'b', 'c'].map((nexus) => vote['vote.promise']({ volume, epoch: 1, nexus })),
        );
        assert.equal(answers.filter((answer) => answer.granted).length, 1);
        const committed = await vote['vote.commit']({ volume, record: record(1, 1) });
        assert.deepEqual(committed, { granted: true, promised: 1, record: record(1, 1) });
        assert.deepEqual(await vote['vote.confirm']({ volume, epoch: 1 }), { current: true });
        await vote['vote.promise']({ volume, epoch: 2, nexus: 'd' });
        assert.deepEqual(await vote['vote.confirm']({ volume, epoch: 1 }), { current: false });
        const late = await vote['vote.commit']({ volume, record: record(1, 2) });
        assert.equal(late.granted, false);
        assert.equal(late.promised, 2);
        await assert.rejects(
          vote['vote.promise']({ volume: 'none' as VolumeId, epoch: 1, nexus: 'a' }),
          (error) => HoldfastError.is(error) && error.code === 'not-found',
        );
        await assert.rejects(
          vote['vote.promise']({ volume: '../x' as VolumeId, epoch: 1, nexus: 'a' }),
          (error) => HoldfastError.is(error) && error.code === 'invalid-argument',
        );
      })(),
    );
  });
});
