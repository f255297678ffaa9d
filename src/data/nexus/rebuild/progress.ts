/** How far a rebuild is: counted by the job, shown by status. */
import type { MemberStatus } from '#api/mod.ts';
import type { Clock } from '#host/mod.ts';

export class RebuildProgress {
  readonly kind: 'delta' | 'full';
  segmentsTotal = 0;
  segmentsDone = 0;
  copiedBytes = 0;
  comparedBytes = 0;
  readonly #clock: Clock;
  readonly #startedMs: number;

  constructor(kind: 'delta' | 'full', clock: Clock) {
    this.kind = kind;
    this.#clock = clock;
    this.#startedMs = clock.monotonicMs();
  }

  status(): NonNullable<MemberStatus['rebuild']> {
    const { kind, segmentsTotal, segmentsDone, copiedBytes, comparedBytes } = this;
    return {
      kind,
      segmentsTotal,
      segmentsDone,
      copiedBytes,
      comparedBytes,
      etaMs: this.#etaMs(),
    };
  }

  #etaMs(): number | null {
    if (this.segmentsDone === 0) return null;
    const elapsedMs = this.#clock.monotonicMs() - this.#startedMs;
    return Math.round((elapsedMs / this.segmentsDone) * (this.segmentsTotal - this.segmentsDone));
  }
}
