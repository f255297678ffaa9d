import { formatBytes } from '#api/kinds/mod.ts';
import { HoldfastError } from '#api/mod.ts';

/** One pool as the scheduler sees it. */
export interface PoolCandidate {
  readonly pool: string;
  readonly node: string;
  readonly isNodeReady: boolean;
  readonly isNodeCordoned: boolean;
  readonly isPoolCordoned: boolean;
  /** Why the pool cannot be used, in the form `code: message`; empty when it can. */
  readonly error: string;
  readonly freeBytes: number;
  readonly totalBytes: number;
  /** Replicas that are placed here, whether made yet or not. */
  readonly replicas: number;
}

export interface PlacementRequest {
  readonly sizeBytes: number;
  readonly count: number;
  /** Nodes that hold a replica of the volume already. */
  readonly takenNodes: readonly string[];
  /** Best first: where the consumer runs. A wish: another node is better than none. */
  readonly preferredNodes?: readonly string[] | undefined;
}

export interface Refusal {
  readonly pool: string;
  readonly node: string;
  readonly reason: string;
}

export type PlacementResult =
  | { readonly ok: true; readonly picks: readonly PoolCandidate[] }
  | {
      readonly ok: false;
      readonly found: number;
      readonly wanted: number;
      readonly refusals: readonly Refusal[];
    };

/**
 * Volumes are thin: a pool needs this much free (or the volume's size, if less), not the whole
 * size.
 */
export const FREE_BYTES_MIN = 256 * 1024 * 1024;

type Filter = (pool: PoolCandidate, request: PlacementRequest) => string;

/** In the order in which a person would want to hear of them. Empty: passes. */
const FILTERS: readonly Filter[] = [
  (pool) => (pool.isNodeReady ? '' : 'its node does not answer'),
  (pool) => (pool.error === '' ? '' : `the pool has an error: ${pool.error}`),
  (pool) => (pool.isNodeCordoned ? 'its node is cordoned (unschedulable)' : ''),
  (pool) => (pool.isPoolCordoned ? 'the pool is cordoned (unschedulable)' : ''),
  (pool, request) =>
    request.takenNodes.includes(pool.node) ? 'its node holds a replica of the volume already' : '',
  (pool, request) => {
    const wanted = Math.min(request.sizeBytes, FREE_BYTES_MIN);
    if (pool.freeBytes >= wanted) return '';
    return `it is full: ${formatBytes(pool.freeBytes)} free, ${formatBytes(wanted)} wanted`;
  },
];

/**
 * Negative when `a` is the better place. Total, so that the same cluster gives the same placement.
 */
function compare(a: PoolCandidate, b: PoolCandidate, preferred: readonly string[]): number {
  return (
    rankOf(a.node, preferred) - rankOf(b.node, preferred) ||
    Math.round(scoreOf(b) * 20) - Math.round(scoreOf(a) * 20) ||
    a.replicas - b.replicas ||
    (a.pool < b.pool ? -1 : 1)
  );
}

/**
 * Share of the pool that is free; compared in steps of 5 %, so that replica counts decide among
 * equals.
 */
function scoreOf(pool: PoolCandidate): number {
  return pool.totalBytes === 0 ? 0 : pool.freeBytes / pool.totalBytes;
}

/** Place in the list of wishes; all others are equal, behind them. */
function rankOf(node: string, preferred: readonly string[]): number {
  const at = preferred.indexOf(node);
  return at === -1 ? preferred.length : at;
}

/** Chooses `count` pools on distinct nodes, or says of every pool why it was not one of them. */
export function placeReplicas(
  pools: readonly PoolCandidate[],
  request: PlacementRequest,
): PlacementResult {
  const refusals: Refusal[] = [];
  const passing: PoolCandidate[] = [];
  for (const pool of pools) {
    const reason = firstReason(pool, request);
    if (reason === '') passing.push(pool);
    else refusals.push({ pool: pool.pool, node: pool.node, reason });
  }
  const preferred = request.preferredNodes ?? [];
  passing.sort((a, b) => compare(a, b, preferred));
  const picks: PoolCandidate[] = [];
  for (const pool of passing) {
    const twin = picks.find((pick) => pick.node === pool.node);
    if (twin !== undefined) {
      const reason = `another pool of its node is used: ${twin.pool}`;
      refusals.push({ pool: pool.pool, node: pool.node, reason });
    } else if (picks.length < request.count) {
      picks.push(pool);
    }
  }
  if (picks.length >= request.count) return { ok: true, picks };
  refusals.sort((a, b) => (a.pool < b.pool ? -1 : 1));
  return { ok: false, found: picks.length, wanted: request.count, refusals };
}

function firstReason(pool: PoolCandidate, request: PlacementRequest): string {
  for (const filter of FILTERS) {
    const reason = filter(pool, request);
    if (reason !== '') return reason;
  }
  return '';
}

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
