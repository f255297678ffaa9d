/** How large a world is explored. */
export interface Bounds {
  readonly name: string;
  readonly replicas: 2 | 3;
  /** The control plane is a voter from the start. */
  readonly controlPlane: boolean;
  /** Openings, the first included; all of them may be alive at once. */
  readonly nexuses: number;
  /** Writes of distinct values. */
  readonly writes: number;
  /** Writes that one nexus has in flight at a time. */
  readonly inFlight: number;
  readonly flushes: number;
  /** Process crashes of replicas. A nexus may stop for ever at any point, for nothing. */
  readonly crashes: number;
  /** Power losses of each replica, at different moments or the same. */
  readonly powerLosses: number;
  /** Records that one nexus proposes. */
  readonly seqMax: number;
  /** A voter promises and its answer is lost. */
  readonly lostAnswers: boolean;
  /** A replica may answer a flush before earlier writes of the same session. */
  readonly overtaking: boolean;
  readonly closes: boolean;
  readonly snapshots: number;
  readonly rollbacks: number;
  /** Votes move between replicas and the control plane. */
  readonly handOver: boolean;
  /** The control plane may be restored from an older copy. */
  readonly controlPlaneRestores: boolean;
}

/** The sizes every release is checked with, of three replicas. */
export const THREE: Bounds = {
  name: 'three-replicas',
  replicas: 3,
  controlPlane: false,
  nexuses: 3,
  writes: 3,
  inFlight: 3,
  flushes: 1,
  crashes: 2,
  powerLosses: 1,
  seqMax: 4,
  lostAnswers: true,
  overtaking: false,
  closes: true,
  snapshots: 0,
  rollbacks: 0,
  handOver: false,
  controlPlaneRestores: false,
};

export const TWO: Bounds = {
  ...THREE,
  name: 'two-and-control-plane',
  replicas: 2,
  controlPlane: true,
};

/** A world small enough to be explored whole: one write, two openings, one kind of fault. */
export function shrink(bounds: Bounds, faults: Partial<Bounds> = {}): Bounds {
  return {
    ...bounds,
    name: `${bounds.name}-whole`,
    nexuses: 2,
    writes: 1,
    flushes: 0,
    crashes: 0,
    powerLosses: 0,
    seqMax: 2,
    lostAnswers: false,
    closes: false,
    ...faults,
  };
}

/** Larger bounds, for random walks. */
export function enlarge(bounds: Bounds): Bounds {
  return {
    ...bounds,
    name: `${bounds.name}-large`,
    nexuses: 5,
    writes: 9,
    flushes: 6,
    crashes: 4,
    powerLosses: 2,
    seqMax: 7,
  };
}
