/**
 * What must hold of every placement, checked on random clusters by an oracle that shares no code
 * with the filters. Each planted mistake must be caught by it.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { FILTERS, placeReplicas } from './mod.ts';
import type { Filter, PlacementRequest, PoolCandidate } from './mod.ts';

const GIB = 2 ** 30;

const node = fc.record({
  zone: fc.constantFrom('', 'a', 'b', 'c'),
  isNodeReady: fc.boolean(),
  isNodeCordoned: fc.boolean(),
  pools: fc.array(
    fc.record({
      isPoolCordoned: fc.boolean(),
      error: fc.constantFrom('', '', '', 'io-error: broken'),
      tags: fc.subarray(['ssd', 'big']),
      freeBytes: fc.constantFrom(0, GIB / 8, GIB, 60 * GIB),
      promisedBytes: fc.constantFrom(0, 50 * GIB, 100 * GIB),
      overProvisioningPercent: fc.constantFrom(50, 100, 1_000),
      replicas: fc.nat({ max: 5 }),
    }),
    { minLength: 1, maxLength: 2 },
  ),
});

const scene = fc.record({
  // Mostly healthy ones, else every placement is a refusal.
  nodes: fc.array(
    fc.oneof(
      node,
      node.map((each) => ({ ...each, isNodeReady: true, isNodeCordoned: false })),
    ),
    { maxLength: 7 },
  ),
  request: fc.record({
    sizeBytes: fc.constantFrom(GIB / 16, GIB, 80 * GIB),
    count: fc.integer({ min: 1, max: 4 }),
    taken: fc.subarray([1, 2]),
    poolSelector: fc.constantFrom('', '', 'ssd', '!big'),
    preferred: fc.subarray([1, 2, 3]),
  }),
});

type Scene = typeof scene extends fc.Arbitrary<infer T> ? T : never;

function build({ nodes, request }: Scene) {
  const pools: PoolCandidate[] = nodes.flatMap(({ pools: own, ...about }, at) =>
    own.map((each, index) => ({
      ...about,
      ...each,
      pool: `pool-${at + 1}-${index}`,
      node: `node-${at + 1}`,
      labels: {},
      totalBytes: 100 * GIB,
    })),
  );
  const taken = request.taken.map((at) => ({
    node: `node-${at}`,
    zone: nodes[at - 1]?.zone ?? '',
  }));
  const { sizeBytes, count, poolSelector } = request;
  const preferredNodes = request.preferred.map((at) => `node-${at}`);
  return { pools, request: { sizeBytes, count, poolSelector, taken, preferredNodes } };
}

function isUsable(pool: PoolCandidate, request: PlacementRequest): boolean {
  const isSelected =
    request.poolSelector === 'ssd'
      ? pool.tags.includes('ssd')
      : request.poolSelector !== '!big' || !pool.tags.includes('big');
  const room = Math.min(request.sizeBytes, 256 * 2 ** 20);
  return (
    pool.isNodeReady &&
    !pool.isNodeCordoned &&
    !pool.isPoolCordoned &&
    pool.error === '' &&
    isSelected &&
    !request.taken.some((place) => place.node === pool.node) &&
    pool.freeBytes >= room &&
    (pool.promisedBytes + request.sizeBytes) * 100 <= 100 * GIB * pool.overProvisioningPercent
  );
}

type Placer = typeof placeReplicas;

/** The first law that a placement breaks; empty when none. */
function findBroken(input: Scene, placer: Placer): string {
  const { pools, request } = build(input);
  const result = placer(pools, request);
  const again = placer(pools.toReversed(), request);
  if (JSON.stringify(result) !== JSON.stringify(again)) return 'depends on the order of the list';
  const usable = pools.filter((pool) => isUsable(pool, request));
  const nodes = new Set(usable.map((pool) => pool.node));
  if (!result.ok) {
    if (nodes.size >= request.count) return 'refused although there is room';
    const named = new Set(result.refusals.map((entry) => entry.pool));
    if (named.size + result.found !== pools.length) return 'a pool is not named';
    return result.refusals.some((entry) => entry.reason === '') ? 'a pool has no reason' : '';
  }
  const { picks } = result;
  if (picks.length !== request.count) return 'another number than was asked for';
  if (picks.some((pick) => !usable.includes(pick))) return 'a pool that cannot be used';
  if (new Set(picks.map((pick) => pick.node)).size !== picks.length) return 'one node twice';
  return findBrokenSpread(input, picks, usable, result.note);
}

function findBrokenSpread(
  input: Scene,
  picks: readonly PoolCandidate[],
  usable: readonly PoolCandidate[],
  note: string,
): string {
  const { request } = build(input);
  const places = [...request.taken, ...picks];
  const used = new Set(places.map((place) => place.zone));
  const open = [...usable, ...request.taken].map((place) => place.zone);
  const before = new Set(request.taken.map((place) => place.zone));
  const possible = Math.min(new Set(open).size, before.size + picks.length);
  if (used.size < possible) return 'fewer zones than there could be';
  const isNamed = open.some((zone) => zone !== '');
  if (isNamed && used.size < places.length && note === '') return 'too few zones, and not said';
  const wish = request.preferredNodes[0];
  const atWish = usable.filter((pool) => pool.node === wish);
  const isOpen = atWish.some((pool) => request.taken.every((place) => place.zone !== pool.zone));
  if (isOpen && picks.every((pick) => pick.node !== wish)) return 'the wish is not heard';
  return '';
}

const RUNS = { seed: 5, numRuns: 3_000 };

function firstBroken(placer: Placer): string {
  let broken = '';
  fc.check(
    fc.property(scene, (input) => {
      const found = findBroken(input, placer);
      if (found !== '') broken = found;
      return found === '';
    }),
    RUNS,
  );
  return broken;
}

function without(name: keyof typeof FILTERS): Placer {
  const rest = Object.entries(FILTERS).filter(([each]) => each !== name);
  return (pools, request) =>
    placeReplicas(
      pools,
      request,
      rest.map(([, filter]) => filter),
    );
}

describe('Laws of placement', () => {
  test('hold on random clusters', () => {
    assert.equal(firstBroken(placeReplicas), '');
  });

  for (const name of Object.keys(FILTERS) as (keyof typeof FILTERS)[]) {
    test(`are broken without the filter ${name}`, () => {
      assert.equal(firstBroken(without(name)), 'a pool that cannot be used');
    });
  }

  const strict: Filter = (pool) => (pool.replicas > 4 ? 'it has many replicas' : '');
  const mistakes: Readonly<Record<string, readonly [string, Placer]>> = {
    'a filter that refuses what could be used': [
      'refused although there is room',
      (pools, request) => placeReplicas(pools, request, [...Object.values(FILTERS), strict]),
    ],
    'a placement that forgets the zones': [
      'fewer zones than there could be',
      (pools, request) =>
        placeReplicas(
          pools.map((pool) => ({ ...pool, zone: 'z' })),
          { ...request, taken: request.taken.map((each) => ({ ...each, zone: 'z' })) },
        ),
    ],
    'a placement without the wish': [
      'the wish is not heard',
      (pools, request) => placeReplicas(pools, { ...request, preferredNodes: [] }),
    ],
    'a refusal that names only the first pool': [
      'a pool is not named',
      (pools, request) => {
        const result = placeReplicas(pools, request);
        return result.ok ? result : { ...result, refusals: result.refusals.slice(0, 1) };
      },
    ],
    'a silent lack of zones': [
      'too few zones, and not said',
      (pools, request) => {
        const result = placeReplicas(pools, request);
        return result.ok ? { ...result, note: '' } : result;
      },
    ],
  };
  for (const [title, [law, placer]] of Object.entries(mistakes)) {
    test(`catch ${title}`, () => {
      // Pools that were changed on the way are told by name.
      const named: Placer = (pools, request) => {
        const result = placer(pools, request);
        if (!result.ok) return result;
        const picks = result.picks.flatMap(
          (pick) => pools.find((each) => each.pool === pick.pool) ?? [],
        );
        return { ...result, picks };
      };
      const broken = firstBroken(named);
      assert.ok(broken === law, broken);
    });
  }
});
