/**
 * Which faults a seed sees, and when. Each seed draws its own rates (swarm), so that some seeds are
 * nothing but partitions and others nothing but dying disks.
 *
 * What must survive: at any time at most one machine's disk lies (rot, EIO), so that one good copy
 * is left and every loss is a mistake of ours.
 */
import type { SimRng } from '#host/sim/mod.ts';

/** How often each kind is drawn before a seed's own choice; the kinds that are no faults too. */
const WEIGHTS = {
  crash: 6,
  'crash-nexus': 4,
  'crash-in-flight': 4,
  'crash-all': 2,
  'power-loss': 4,
  'power-loss-all': 1.5,
  'power-loss-at-flush': 2,
  partition: 4,
  'partition-one-way': 2,
  'isolate-nexus': 2,
  'take-over': 3,
  'stale-home': 0,
  'control-away': 2,
  reset: 2,
  'half-open': 2,
  clog: 2,
  pause: 3,
  'move-nexus': 3,
  'slow-disk': 1,
  'hang-disk': 1,
  rot: 2,
  'read-error': 1,
  'lost-write': 1.5,
  'misdirected-write': 1.5,
  'write-error': 1,
  'sync-error': 1,
  'disk-full': 1,
  rollback: 3,
  snapshot: 5,
  'snapshot-delete': 3,
  grow: 1.5,
  replace: 2,
  compare: 1.5,
} as const satisfies Record<string, number>;

export type FaultKind = keyof typeof WEIGHTS;

export const FAULT_KINDS = Object.keys(WEIGHTS) as FaultKind[];

/**
 * Faults of the medium. A block that rots in the only copy left, in a segment whose checksums a
 * crash made doubtful, is accepted as it lies (design: reconcile); so seeds with rot kill nobody
 * but the machine with the bad disk, and the others always hold every block.
 */
const MEDIA_KINDS: readonly FaultKind[] = [
  'rot',
  'read-error',
  'lost-write',
  'misdirected-write',
  'slow-disk',
  'reset',
  'clog',
  'crash',
  'pause',
  'snapshot',
  'snapshot-delete',
];
const LIES: readonly FaultKind[] = ['rot', 'read-error', 'lost-write', 'misdirected-write'];

/** Who votes, and where the replicas are. */
export type Layout = 'three' | 'three-and-control' | 'two-and-control';

export interface SeedPlan {
  readonly layout: Layout;
  readonly weights: ReadonlyMap<FaultKind, number>;
  /** All faults strike the machine with the bad disk. */
  readonly onlyLiar: boolean;
}

/** Every kind is left out with some chance, so that the others meet. */
export function drawPlan(rng: SimRng): SeedPlan {
  const dice = rng.float();
  const layout = dice < 0.55 ? 'three' : dice < 0.75 ? 'three-and-control' : 'two-and-control';
  const onlyLiar = rng.chance(0.25);
  const kinds = FAULT_KINDS.filter((kind) =>
    onlyLiar ? MEDIA_KINDS.includes(kind) : !LIES.includes(kind),
  );
  const weights = new Map<FaultKind, number>();
  for (const kind of kinds) {
    if (rng.chance(0.8)) weights.set(kind, WEIGHTS[kind] * (0.2 + rng.float()));
  }
  if (layout === 'three') weights.delete('control-away');
  // Every seed sees a few of what the protocol is for.
  weights.set('crash', Math.max(weights.get('crash') ?? 0, 3));
  if (!onlyLiar) weights.set('partition', Math.max(weights.get('partition') ?? 0, 2));
  return { layout, weights, onlyLiar };
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
