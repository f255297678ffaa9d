import { HoldfastError } from '#api/mod.ts';
import { FILTERS } from './filters.ts';
import type { Filter, PlacementRequest, PoolCandidate } from './filters.ts';

export interface Refusal {
  readonly pool: string;
  readonly node: string;
  readonly reason: string;
}

export type PlacementResult =
  | {
      readonly ok: true;
      readonly picks: readonly PoolCandidate[];
      /** What is less than one would wish: too few zones. Empty when nothing is. */
      readonly note: string;
    }
  | {
      readonly ok: false;
      readonly found: number;
      readonly wanted: number;
      readonly refusals: readonly Refusal[];
    };

/**
 * Chooses `count` pools on distinct nodes, or says of every pool why it was not one of them.
 * Replicas lie in distinct zones where there are enough of them; else they are spread as evenly as
 * can be, and the note says so.
 */
export function placeReplicas(
  pools: readonly PoolCandidate[],
  request: PlacementRequest,
  filters: readonly Filter[] = Object.values(FILTERS),
): PlacementResult {
  const refusals: (Refusal & { readonly passed: number })[] = [];
  let open: PoolCandidate[] = [];
  for (const pool of pools) {
    const { reason, passed } = firstReason(pool, request, filters);
    if (reason === '') open.push(pool);
    else refusals.push({ pool: pool.pool, node: pool.node, reason, passed });
  }
  const picks: PoolCandidate[] = [];
  while (picks.length < request.count) {
    const pick = bestOf(open, request, picks);
    if (pick === undefined) break;
    picks.push(pick);
    for (const twin of open) {
      if (twin === pick || twin.node !== pick.node) continue;
      const reason = `another pool of its node is used: ${pick.pool}`;
      refusals.push({ pool: twin.pool, node: twin.node, reason, passed: filters.length });
    }
    open = open.filter((pool) => pool.node !== pick.node);
  }
  if (picks.length >= request.count) {
    return { ok: true, picks, note: describeSpread([...request.taken, ...picks]) };
  }
  // What nearly fitted is what a person can change: a pool of another kind says nothing.
  refusals.sort((a, b) => b.passed - a.passed || (a.pool < b.pool ? -1 : 1));
  return {
    ok: false,
    found: picks.length,
    wanted: request.count,
    refusals: refusals.map(({ pool, node, reason }) => ({ pool, node, reason })),
  };
}

function firstReason(
  pool: PoolCandidate,
  request: PlacementRequest,
  filters: readonly Filter[],
): { readonly reason: string; readonly passed: number } {
  for (const [passed, filter] of filters.entries()) {
    const reason = filter(pool, request);
    if (reason !== '') return { reason, passed };
  }
  return { reason: '', passed: filters.length };
}

// --- scores --------------------------------------------------------------------------------------

/** The lower the better, the first that differs decides. */
type Score = readonly number[];

/**
 * A zone that has fewer replicas of the volume goes first: with enough zones each gets one, since
 * the next one is always empty.
 */
function scoreOf(
  pool: PoolCandidate,
  request: PlacementRequest,
  picks: readonly PoolCandidate[],
): Score {
  const { taken, preferredNodes = [], avoidPools = [] } = request;
  const inZone = [...taken, ...picks].filter((place) => place.zone === pool.zone).length;
  const wish = preferredNodes.indexOf(pool.node);
  const freeShare = pool.totalBytes === 0 ? 0 : pool.freeBytes / pool.totalBytes;
  return [
    inZone,
    avoidPools.includes(pool.pool) ? 1 : 0,
    wish === -1 ? preferredNodes.length : wish,
    // In steps of 5 %, so that the number of replicas decides among equals.
    -Math.round(freeShare * 20),
    pool.replicas,
  ];
}

/** Total, so that the same cluster gives the same placement. */
function bestOf(
  open: readonly PoolCandidate[],
  request: PlacementRequest,
  picks: readonly PoolCandidate[],
): PoolCandidate | undefined {
  let best: PoolCandidate | undefined;
  let bestScore: Score = [];
  for (const pool of open) {
    const score = scoreOf(pool, request, picks);
    const order = compare(score, bestScore);
    if (best === undefined || order < 0 || (order === 0 && pool.pool < best.pool)) {
      best = pool;
      bestScore = score;
    }
  }
  return best;
}

function compare(a: Score, b: Score): number {
  for (const [at, value] of a.entries()) {
    const difference = value - (b[at] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** How many lie in which zone; empty where nobody said a zone, and where each has its own. */
export function describeSpread(places: readonly { readonly zone: string }[]): string {
  const zones = [...new Set(places.map((place) => place.zone))].sort();
  if (zones.length === places.length || zones.join('') === '') return '';
  const counts = zones.map((zone) => {
    const count = places.filter((place) => place.zone === zone).length;
    return `${count} in ${zone === '' ? 'no zone' : zone}`;
  });
  return `${places.length} replicas in ${zones.length} zones (${counts.join(', ')})`;
}

// --- refusals ------------------------------------------------------------------------------------

/** The refusal as people read it: what was found, and why each other pool was not used. */
export function formatRefusal(result: PlacementResult & { readonly ok: false }): string {
  const reasons = result.refusals.map((entry) => `${entry.pool} on ${entry.node}: ${entry.reason}`);
  const why = reasons.length === 0 ? 'there are no other pools' : reasons.join('; ');
  const { wanted, found } = result;
  return `${wanted} replicas need ${wanted} nodes and ${found} can be used: ${why}`;
}

export function refusalError(result: PlacementResult & { readonly ok: false }): HoldfastError {
  return new HoldfastError('no-placement', 'No set of pools satisfies the request', {
    details: {
      wanted: result.wanted,
      found: result.found,
      why: formatRefusal(result),
      remedy: 'Add nodes or pools, free some space, or ask for fewer replicas',
    },
  });
}
