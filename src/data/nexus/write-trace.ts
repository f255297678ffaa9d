/** The life of one write, line by line, for `explain` and ARCHITECTURE.md. */
import type { TraceEvent } from '#api/mod.ts';
import type { RequestTrace } from '#data/block/mod.ts';
import type { Clock } from '#host/mod.ts';

export class WriteTrace implements RequestTrace {
  readonly #clock: Clock;
  readonly #sink: (event: TraceEvent) => void;

  constructor(clock: Clock, sink: (event: TraceEvent) => void) {
    this.#clock = clock;
    this.#sink = sink;
  }

  add(place: string, step: string, fields: TraceEvent['fields'] = {}): void {
    this.#sink({ atMs: this.#clock.monotonicMs(), place, step, fields });
  }
}
