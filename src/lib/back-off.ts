export interface BackOffLimits {
  readonly firstMs: number;
  readonly maxMs: number;
}

/**
 * How long to wait before try number `attempt` (1 for the first retry): doubling, capped, and
 * spread over the upper half so that peers that failed together do not return together.
 * `chance` is 0 ≤ x < 1, from the Rng.
 */
export function backOffMs(attempt: number, limits: BackOffLimits, chance: number): number {
  const doublings = Math.min(Math.max(attempt, 1) - 1, 40);
  const full = Math.min(limits.maxMs, limits.firstMs * 2 ** doublings);
  return full / 2 + (full / 2) * chance;
}
