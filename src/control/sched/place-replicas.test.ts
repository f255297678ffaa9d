import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { formatRefusal, placeReplicas, refusalError } from './mod.ts';
import type { PoolCandidate } from './mod.ts';

const GIB = 2 ** 30;

function pool(node: number, change: Partial<PoolCandidate> = {}): PoolCandidate {
  return {
    pool: `node-${node}-pool`,
    node: `node-${node}`,
    isNodeReady: true,
    isNodeCordoned: false,
    isPoolCordoned: false,
    error: '',
    freeBytes: 50 * GIB,
    totalBytes: 100 * GIB,
    replicas: 0,
    ...change,
  };
}

const REQUEST = { sizeBytes: GIB, count: 3, takenNodes: [] };

function picks(pools: readonly PoolCandidate[], request = REQUEST): string[] {
  const result = placeReplicas(pools, request);
  assert.ok(result.ok, JSON.stringify(result));
  return result.picks.map((pick) => pick.pool);
}

describe('placeReplicas', () => {
  test('Replicas go to distinct nodes', () => {
    const twin = pool(1, { pool: 'node-1-other' });
    assert.deepEqual(picks([pool(1), twin, pool(2), pool(3)]).sort(), [
      'node-1-other',
      'node-2-pool',
      'node-3-pool',
    ]);
  });

  test('Emptier pools come first, then pools with fewer replicas, then names', () => {
    const pools = [
      pool(1, { freeBytes: 10 * GIB }),
      pool(2, { replicas: 2 }),
      pool(3, { replicas: 1 }),
      pool(4, { freeBytes: 90 * GIB, replicas: 9 }),
    ];
    assert.deepEqual(picks(pools), ['node-4-pool', 'node-3-pool', 'node-2-pool']);
  });

  test('The order in which pools are listed does not matter', () => {
    const pools = [pool(3), pool(1), pool(4), pool(2)];
    assert.deepEqual(picks(pools), picks(pools.toReversed()));
  });

  test('More replicas than nodes is refused and every pool says why', () => {
    const pools = [
      pool(1),
      pool(1, { pool: 'node-1-second' }),
      pool(2, { isNodeCordoned: true }),
      pool(3, { isPoolCordoned: true }),
      pool(4, { error: 'read-only: The filesystem is read-only' }),
      pool(5, { freeBytes: 1024 }),
      pool(6, { isNodeReady: false }),
      pool(7),
    ];
    const result = placeReplicas(pools, { ...REQUEST, takenNodes: ['node-7'] });
    assert.ok(!result.ok);
    assert.equal(result.found, 1);
    assert.equal(result.refusals.length, 7);
    const text = formatRefusal(result);
    for (const [name, reason] of [
      ['node-1-second', 'another pool of its node is used'],
      ['node-2-pool', 'cordoned'],
      ['node-3-pool', 'the pool is cordoned'],
      ['node-4-pool', 'read-only'],
      ['node-5-pool', 'it is full'],
      ['node-6-pool', 'does not answer'],
      ['node-7-pool', 'holds a replica of the volume already'],
    ]) {
      assert.match(text, new RegExp(`${name} on node-\\d: .*${reason}`));
    }
    const error = refusalError(result);
    assert.equal(error.code, 'no-placement');
    assert.match(String(error.details['why']), /3 replicas need 3 nodes and 1 can be used/);
  });

  test('A cluster without pools is refused in words', () => {
    const result = placeReplicas([], REQUEST);
    assert.ok(!result.ok);
    assert.match(formatRefusal(result), /there are no other pools/);
  });

  test('A thin volume larger than the pool is placed while some space is free', () => {
    assert.equal(
      picks([pool(1), pool(2), pool(3)], { ...REQUEST, sizeBytes: 1024 * GIB }).length,
      3,
    );
  });
});
