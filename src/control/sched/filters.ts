/** Whether a pool can take a replica at all. Each filter says why not, in words for people. */
import { findUnmetTerm, formatBytes, readPoolSelector } from '#api/kinds/mod.ts';

/** One pool as the scheduler sees it. */
export interface PoolCandidate {
  readonly pool: string;
  readonly node: string;
  /** What fails together with the node; empty when nobody said. */
  readonly zone: string;
  readonly tags: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly isNodeReady: boolean;
  readonly isNodeCordoned: boolean;
  readonly isPoolCordoned: boolean;
  /** Why the pool cannot be used, in the form `code: message`; empty when it can. */
  readonly error: string;
  readonly freeBytes: number;
  readonly totalBytes: number;
  /** Sizes of the volumes that have a replica here, made or not. */
  readonly promisedBytes: number;
  readonly overProvisioningPercent: number;
  /** Replicas that are placed here, whether made yet or not. */
  readonly replicas: number;
}

/** A replica of the volume that stays where it is. */
export interface TakenPlace {
  readonly node: string;
  readonly zone: string;
}

export interface PlacementRequest {
  readonly sizeBytes: number;
  readonly count: number;
  readonly taken: readonly TakenPlace[];
  /** As `readPoolSelector` reads it; empty: every pool. */
  readonly poolSelector?: string | undefined;
  /** Best first: where the consumer runs. A wish: another node is better than none. */
  readonly preferredNodes?: readonly string[] | undefined;
  /** Used when there is nothing else: a replica was lost there. */
  readonly avoidPools?: readonly string[] | undefined;
}

/** Empty: the pool passes. */
export type Filter = (pool: PoolCandidate, request: PlacementRequest) => string;

/**
 * Volumes are thin: a pool needs this much free (or the volume's size, if less), not the whole
 * size.
 */
export const FREE_BYTES_MIN = 256 * 1024 * 1024;

/** In the order in which a person would want to hear of them. */
export const FILTERS = {
  selector: whyNotSelected,
  node: (pool) => (pool.isNodeReady ? '' : 'its node does not answer'),
  error: (pool) => (pool.error === '' ? '' : `the pool has an error: ${pool.error}`),
  nodeCordon: (pool) => (pool.isNodeCordoned ? 'its node is cordoned (unschedulable)' : ''),
  poolCordon: (pool) => (pool.isPoolCordoned ? 'the pool is cordoned (unschedulable)' : ''),
  distinct: (pool, { taken }) =>
    taken.some((place) => place.node === pool.node)
      ? 'its node holds a replica of the volume already'
      : '',
  space: (pool, { sizeBytes }) => {
    const wanted = Math.min(sizeBytes, FREE_BYTES_MIN);
    if (pool.freeBytes >= wanted) return '';
    return `it is full: ${formatBytes(pool.freeBytes)} free, ${formatBytes(wanted)} wanted`;
  },
  promises: (pool, { sizeBytes }) => {
    const limitBytes = (pool.totalBytes * pool.overProvisioningPercent) / 100;
    if (pool.promisedBytes + sizeBytes <= limitBytes) return '';
    const may = `${pool.overProvisioningPercent}% of ${formatBytes(pool.totalBytes)}`;
    const after = formatBytes(pool.promisedBytes + sizeBytes);
    return `too much is promised: ${after} with this volume, and ${may} may be`;
  },
} as const satisfies Readonly<Record<string, Filter>>;

function whyNotSelected(pool: PoolCandidate, { poolSelector = '' }: PlacementRequest): string {
  if (poolSelector === '') return '';
  const selector = readPoolSelector(poolSelector);
  if (!selector.ok) return `the poolSelector cannot be read: ${selector.problem}`;
  const unmet = findUnmetTerm(selector.terms, pool);
  return unmet === undefined ? '' : `the poolSelector wants ${unmet.text}`;
}
