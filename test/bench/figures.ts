/**
 * What the bench measures and how it is judged: workloads, floors, and the arithmetic from single
 * runs to medians, ratios and misses. Pure, so that it can be tried on figures that are made up.
 */
export const WORKLOADS = {
  '4k randread qd32': { rw: 'randread', blockBytes: 4096, depth: 32 },
  '4k randwrite qd32': { rw: 'randwrite', blockBytes: 4096, depth: 32 },
  '128k read qd8': { rw: 'read', blockBytes: 128 * 1024, depth: 8 },
  '128k write qd8': { rw: 'write', blockBytes: 128 * 1024, depth: 8 },
} as const;

export type WorkloadName = keyof typeof WORKLOADS;
export type Workload = (typeof WORKLOADS)[WorkloadName];

export const CONTENDERS = [
  'nbdkit-file',
  'holdfast x1',
  'holdfast x3',
  'qemu quorum 3xNBD',
  'qemu quorum 3 files',
] as const;
export type ContenderName = (typeof CONTENDERS)[number];

export interface Sample {
  readonly contender: ContenderName;
  readonly workload: WorkloadName;
  readonly iops: number;
}

export interface Cell {
  readonly contender: ContenderName;
  readonly workload: WorkloadName;
  readonly medianIops: number;
  /** (highest - lowest) / median. */
  readonly spread: number;
  /** To the median of nbdkit-file at the same workload; NaN without it. */
  readonly toNbdkit: number;
  readonly samples: readonly number[];
}

export interface Floor {
  readonly contender: ContenderName;
  readonly workload: WorkloadName;
  readonly against: ContenderName;
  readonly ratio: number;
}

/**
 * The quorum is held against its form with a server for each child: as with our replicas, every
 * write crosses to other processes. With three files in one process nothing is sent anywhere; its
 * figures are shown, and no floor is set by them (docs/design/0009-performance.md).
 */
export const FLOORS: readonly Floor[] = [
  floor('holdfast x1', '4k randread qd32', 'nbdkit-file', 0.6),
  floor('holdfast x1', '4k randwrite qd32', 'nbdkit-file', 0.6),
  floor('holdfast x1', '128k read qd8', 'nbdkit-file', 0.5),
  floor('holdfast x1', '128k write qd8', 'nbdkit-file', 0.5),
  floor('holdfast x3', '4k randread qd32', 'nbdkit-file', 0.3),
  floor('holdfast x3', '4k randwrite qd32', 'qemu quorum 3xNBD', 1.5),
];

export interface Verdict extends Floor {
  /** NaN when one of the two was not measured. */
  readonly measured: number;
  readonly met: boolean;
}

function floor(
  contender: ContenderName,
  workload: WorkloadName,
  against: ContenderName,
  ratio: number,
): Floor {
  return { contender, workload, against, ratio };
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const half = sorted.length / 2;
  if (sorted.length === 0) return Number.NaN;
  if (sorted.length % 2 === 1) return sorted[Math.floor(half)]!;
  return (sorted[half - 1]! + sorted[half]!) / 2;
}

export function summarise(samples: readonly Sample[]): Cell[] {
  const cells: Cell[] = [];
  for (const workload of Object.keys(WORKLOADS) as WorkloadName[]) {
    const base = median(iopsOf(samples, 'nbdkit-file', workload));
    for (const contender of CONTENDERS) {
      const own = iopsOf(samples, contender, workload);
      if (own.length === 0) continue;
      const medianIops = median(own);
      const spread = (Math.max(...own) - Math.min(...own)) / medianIops;
      const toNbdkit = medianIops / base;
      cells.push({ contender, workload, medianIops, spread, toNbdkit, samples: own });
    }
  }
  return cells;
}

/** A floor whose figures are missing is a miss. */
export function judge(cells: readonly Cell[], floors: readonly Floor[] = FLOORS): Verdict[] {
  return floors.map((each) => {
    const own = findMedian(cells, each.contender, each.workload);
    const other = findMedian(cells, each.against, each.workload);
    const measured = own / other;
    return { ...each, measured, met: measured >= each.ratio };
  });
}

function iopsOf(
  samples: readonly Sample[],
  contender: ContenderName,
  workload: WorkloadName,
): number[] {
  return samples
    .filter((sample) => sample.contender === contender && sample.workload === workload)
    .map(({ iops }) => iops);
}

function findMedian(
  cells: readonly Cell[],
  contender: ContenderName,
  workload: WorkloadName,
): number {
  const cell = cells.find((each) => each.contender === contender && each.workload === workload);
  return cell?.medianIops ?? Number.NaN;
}
