/**
 * Which faults a seed sees, and when. Each seed draws its own rates (swarm), so that some seeds are
 * nothing but partitions and others nothing but dying disks.
 *
 * What must survive: at any time at most one machine's disk lies (rot, EIO), so that one good copy
 * is left and every loss is a mistake of ours.
 */
import type { SimRng } from '#host/sim/mod.ts';

export const FAULT_KINDS = [
  'crash',
  'crash-nexus',
  'crash-all',
  'power-loss',
  'power-loss-all',
  'partition',
  'partition-one-way',
  'isolate-nexus',
  'reset',
  'half-open',
  'clog',
  'pause',
  'move-nexus',
  'slow-disk',
  'hang-disk',
  'rot',
  'read-error',
  'write-error',
  'sync-error',
  'disk-full',
] as const;

export type FaultKind = (typeof FAULT_KINDS)[number];

/** How often each kind is drawn before a seed's own choice. */
const WEIGHTS: Readonly<Record<FaultKind, number>> = {
  crash: 8,
  'crash-nexus': 6,
  'crash-all': 2,
  'power-loss': 4,
  'power-loss-all': 2,
  partition: 4,
  'partition-one-way': 2,
  'isolate-nexus': 3,
  reset: 3,
  'half-open': 2,
  clog: 2,
  pause: 3,
  'move-nexus': 4,
  'slow-disk': 1,
  'hang-disk': 1,
  rot: 2,
  'read-error': 1,
  'write-error': 1,
  'sync-error': 1,
  'disk-full': 1,
};

/**
 * Faults of the medium. A block that rots in the only copy left, in a segment whose checksums a
 * crash made doubtful, is accepted as it lies (design: reconcile); so seeds with rot kill nobody
 * but the machine with the bad disk, and the others always hold every block.
 */
const MEDIA_KINDS: readonly FaultKind[] = [
  'rot',
  'read-error',
  'slow-disk',
  'reset',
  'clog',
  'crash',
  'pause',
];
const ROT_KINDS: readonly FaultKind[] = ['rot', 'read-error'];

export interface SeedPlan {
  readonly weights: ReadonlyMap<FaultKind, number>;
  /** All faults strike the machine with the bad disk. */
  readonly onlyLiar: boolean;
}

/** Every kind is left out with some chance, so that the others meet. */
export function drawPlan(rng: SimRng): SeedPlan {
  const onlyLiar = rng.chance(0.25);
  const kinds = FAULT_KINDS.filter((kind) =>
    onlyLiar ? MEDIA_KINDS.includes(kind) : !ROT_KINDS.includes(kind),
  );
  const weights = new Map<FaultKind, number>();
  for (const kind of kinds) {
    if (rng.chance(0.8)) weights.set(kind, WEIGHTS[kind] * (0.2 + rng.float()));
  }
  // Every seed sees a few of what the protocol is for.
  weights.set('crash', Math.max(weights.get('crash') ?? 0, 3));
  if (!onlyLiar) weights.set('partition', Math.max(weights.get('partition') ?? 0, 2));
  return { weights, onlyLiar };
}

export function drawFault(rng: SimRng, weights: ReadonlyMap<FaultKind, number>): FaultKind {
  const total = [...weights.values()].reduce((sum, weight) => sum + weight, 0);
  let point = rng.float() * total;
  for (const [kind, weight] of weights) {
    point -= weight;
    if (point < 0) return kind;
  }
  return 'crash';
}
