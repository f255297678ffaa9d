/** How far a rebuild is: counted by the job, shown by status. */
import type { MemberStatus } from '#api/mod.ts';
import type { Clock } from '#host/mod.ts';
import type { Counters } from '../counters.ts';

export class RebuildProgress {
  readonly kind: 'delta' | 'full';
  segmentsTotal = 0;
  segmentsDone = 0;
  copiedBytes = 0;
  comparedBytes = 0;
  readonly #clock: Clock;
  readonly #counters: Counters;
  readonly #startedMs: number;

  constructor(kind: 'delta' | 'full', clock: Clock, counters: Counters) {
    this.kind = kind;
    this.#clock = clock;
    this.#counters = counters;
    this.#startedMs = clock.monotonicMs();
  }

  /** What was sent counts for the volume too, also when the rebuild comes to nothing. */
  countCopied(bytes: number): void {
    this.copiedBytes += bytes;
    this.#counters.add('rebuildCopiedBytes', bytes);
  }

  countCompared(bytes: number): void {
    this.comparedBytes += bytes;
    this.#counters.add('rebuildComparedBytes', bytes);
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
