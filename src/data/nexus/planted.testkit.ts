/**
 * Broken classes for the simulator: each leaves out one rule of the protocol, and the simulator has
 * to notice (test/sim/planted.test.ts).
 */
import { Bitmap } from '#lib/mod.ts';
import { FlushRounds } from './flush-rounds.ts';
import type { MemberRoster } from './member-roster.ts';
import { Opening } from './opening.ts';
import { ReadPath, type ReadPathOptions } from './read-path.ts';
import { RebuildJob } from './rebuild/rebuild-job.ts';
import { Reconcile, type ReconcileReport } from './reconcile.ts';
import { WritePath, type WritePathOptions } from './write-path.ts';

/** R13 left out: a joiner is read before it is level. */
export class ReadsJoiner extends ReadPath {
  readonly #roster: MemberRoster;

  constructor(options: ReadPathOptions) {
    super(options);
    this.#roster = options.roster;
  }

  override candidates(): number {
    const joining = this.#roster.inPhase('joining');
    return joining.reduce((bits, slot) => bits | slot.bit, this.#roster.readable);
  }
}

/** R13 left out: nothing is copied to a joiner. */
export class CopiesNothing extends RebuildJob {
  protected override findSet(): Promise<Bitmap> {
    return Promise.resolve(new Bitmap(this.core.segmentsTotal()));
  }
}

/** R6 left out: what some members have of the last writes stays on some members. */
export class ReconcilesNothing extends Reconcile {
  override run(): Promise<ReconcileReport> {
    return Promise.resolve({ segments: 0, rewrittenBlocks: 0, doubtfulBlocks: 0 });
  }
}

/** R10 left out: a write is acknowledged before the removal of who lacks it is committed. */
export class AcknowledgesEarly extends WritePath {
  readonly #roster: MemberRoster;

  constructor(options: WritePathOptions) {
    super(options);
    this.#roster = options.roster;
  }

  override owed(): number {
    return this.#roster.receiving;
  }
}

/** R8 left out: a flush is acknowledged at once, before anybody has synced. */
export class FlushesUnasked extends FlushRounds {
  override owed(): number {
    return 0;
  }
}

/** R8 left out: a flush is acknowledged when one member has synced. */
export class FlushesOne extends FlushRounds {
  override owed(): number {
    const bits = super.owed();
    return bits & -bits;
  }
}

/** R3 left out: sessions go on after a loss of writes. */
export class ForgivesLoss extends Opening {
  override lossFor(): number {
    return 0;
  }
}
