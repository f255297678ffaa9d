import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { formatRefusal, placeReplicas, refusalError } from './mod.ts';
import type { PlacementRequest, PoolCandidate } from './mod.ts';

const GIB = 2 ** 30;

function pool(node: number, change: Partial<PoolCandidate> = {}): PoolCandidate {
  return {
    pool: `node-${node}-pool`,
    node: `node-${node}`,
    zone: '',
    tags: [],
    labels: {},
    isNodeReady: true,
    isNodeCordoned: false,
    isPoolCordoned: false,
    error: '',
    freeBytes: 50 * GIB,
    totalBytes: 100 * GIB,
    promisedBytes: 0,
    overProvisioningPercent: 1_000,
    replicas: 0,
    ...change,
  };
}

const REQUEST: PlacementRequest = { sizeBytes: GIB, count: 3, taken: [] };

function place(pools: readonly PoolCandidate[], change: Partial<PlacementRequest> = {}) {
  const result = placeReplicas(pools, { ...REQUEST, ...change });
  assert.ok(result.ok, JSON.stringify(result));
  return { pools: result.picks.map((pick) => pick.pool), note: result.note };
}

function refusal(pools: readonly PoolCandidate[], change: Partial<PlacementRequest> = {}): string {
  const result = placeReplicas(pools, { ...REQUEST, ...change });
  assert.ok(!result.ok);
  return formatRefusal(result);
}

describe('placeReplicas', () => {
  test('Replicas go to distinct nodes', () => {
    const twin = pool(1, { pool: 'node-1-other' });
    assert.deepEqual(place([pool(1), twin, pool(2), pool(3)]).pools.sort(), [
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
    assert.deepEqual(place(pools).pools, ['node-4-pool', 'node-3-pool', 'node-2-pool']);
  });

  test('The order in which pools are listed does not matter', () => {
    const pools = [pool(3), pool(1), pool(4), pool(2)];
    assert.deepEqual(place(pools), place(pools.toReversed()));
  });

  test('What nearly fitted is told before pools of another kind', () => {
    const pools = [pool(1), pool(2), pool(3, { tags: ['ssd'], isPoolCordoned: true })];
    assert.match(
      refusal(pools, { count: 1, poolSelector: 'ssd' }),
      /^1 replicas need 1 nodes and 0 can be used: node-3-pool on node-3: the pool is cordoned/,
    );
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
    const taken = [{ node: 'node-7', zone: '' }];
    const result = placeReplicas(pools, { ...REQUEST, taken });
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
    assert.match(refusal([]), /there are no other pools/);
  });

  test('A thin volume larger than the pool is placed while some space is free', () => {
    const sizeBytes = 900 * GIB;
    assert.equal(place([pool(1), pool(2), pool(3)], { sizeBytes }).pools.length, 3);
  });

  for (const [percent, promisedBytes, sizeBytes, isPlaced] of [
    [100, 0, 100 * GIB, true],
    [100, 0, 100 * GIB + 4096, false],
    [100, 99 * GIB, GIB, true],
    [100, 99 * GIB, GIB + 4096, false],
    [250, 200 * GIB, 50 * GIB, true],
    [250, 200 * GIB, 51 * GIB, false],
    [1, 0, GIB, true],
  ] as const) {
    const title = `${percent} % of 100 GiB, ${promisedBytes / GIB} promised, ${sizeBytes} asked for`;
    test(`${title}: ${isPlaced ? 'placed' : 'refused'}`, () => {
      const pools = [pool(1, { overProvisioningPercent: percent, promisedBytes })];
      if (isPlaced) assert.equal(place(pools, { sizeBytes, count: 1 }).pools.length, 1);
      else assert.match(refusal(pools, { sizeBytes, count: 1 }), /too much is promised/);
    });
  }

  test('A poolSelector is a condition, and the refusal names the term', () => {
    const pools = [
      pool(1, { tags: ['ssd'], labels: { tier: 'slow' } }),
      pool(2, { tags: ['ssd'] }),
      pool(3),
    ];
    const chosen = place(pools, { count: 1, poolSelector: 'ssd,tier!=slow' });
    assert.deepEqual(chosen.pools, ['node-2-pool']);
    const said = refusal(pools, { poolSelector: 'ssd,tier!=slow' });
    assert.match(said, /node-1-pool on node-1: the poolSelector wants tier!=slow/);
    assert.match(said, /node-3-pool on node-3: the poolSelector wants ssd/);
  });

  test('The wished node is used, however full, and another one where it cannot be', () => {
    const pools = [pool(1), pool(2), pool(3), pool(4, { freeBytes: GIB, replicas: 9 })];
    const preferredNodes = ['node-4'];
    assert.equal(place(pools, { preferredNodes }).pools[0], 'node-4-pool');
    const without = pools.map((entry) => ({ ...entry, isNodeCordoned: entry.node === 'node-4' }));
    assert.equal(place(without, { preferredNodes }).pools[0], 'node-1-pool');
  });

  test('A pool in which a replica was lost is used only when there is nothing else', () => {
    const avoidPools = ['node-1-pool'];
    const request = { count: 1, avoidPools };
    assert.deepEqual(place([pool(1), pool(2, { replicas: 50 })], request).pools, ['node-2-pool']);
    assert.deepEqual(place([pool(1)], request).pools, ['node-1-pool']);
  });
});

describe('Zones', () => {
  const zoned = (node: number, zone: string, change: Partial<PoolCandidate> = {}) =>
    pool(node, { zone, ...change });

  test('With enough zones every replica gets its own, however full the pools there are', () => {
    const pools = [
      zoned(1, 'a'),
      zoned(2, 'a'),
      zoned(3, 'b', { freeBytes: GIB, replicas: 40 }),
      zoned(4, 'c', { freeBytes: GIB, replicas: 40 }),
    ];
    const { pools: picks, note } = place(pools);
    assert.deepEqual(picks.sort(), ['node-1-pool', 'node-3-pool', 'node-4-pool']);
    assert.equal(note, '');
  });

  test('With too few zones they are spread evenly, and it is said', () => {
    const pools = [zoned(1, 'a'), zoned(2, 'a'), zoned(3, 'a'), zoned(4, 'b'), zoned(5, 'b')];
    const { pools: picks, note } = place(pools, { count: 4 });
    assert.deepEqual(picks.sort(), ['node-1-pool', 'node-2-pool', 'node-4-pool', 'node-5-pool']);
    assert.match(note, /4 replicas in 2 zones \(2 in a, 2 in b\)/);
  });

  test('A replica that stays counts: the new one goes to another zone', () => {
    const taken = [{ node: 'node-1', zone: 'a' }];
    const pools = [zoned(1, 'a'), zoned(2, 'a'), zoned(3, 'b', { replicas: 9 })];
    assert.deepEqual(place(pools, { taken, count: 1 }).pools, ['node-3-pool']);
  });

  test('The wish for a node is heard within the spread over zones', () => {
    const pools = [zoned(1, 'a'), zoned(2, 'b'), zoned(3, 'b'), zoned(4, 'c')];
    const { pools: picks } = place(pools, { preferredNodes: ['node-3', 'node-2'] });
    assert.deepEqual(picks, ['node-3-pool', 'node-1-pool', 'node-4-pool']);
  });

  test('A cluster in which nobody said a zone has nothing to say of zones', () => {
    assert.equal(place([pool(1), pool(2), pool(3)]).note, '');
  });
});
