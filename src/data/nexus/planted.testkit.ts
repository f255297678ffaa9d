/**
 * Broken classes for the simulator: each leaves out one rule of the protocol, and the simulator has
 * to notice (test/sim/planted.test.ts).
 */
import type { MemberRoster } from './member-roster.ts';
import { ReadPath, type ReadPathOptions } from './read-path.ts';
import { RebuildJob } from './rebuild/rebuild-job.ts';
import { Bitmap } from '#lib/mod.ts';

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
