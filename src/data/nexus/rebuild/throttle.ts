/** Throttle: a rebuild pauses while the foreground is slower than the policy allows. */
import type { Clock } from '#host/mod.ts';
import { Ewma } from '#lib/mod.ts';

const WEIGHT = 1 / 8;
/** Older samples say nothing of the present. */
const STALE_MS = 1_000;
const PAUSE_MS = 50;
/** However slow the foreground: a rebuild that never ends leaves the volume in danger. */
const PAUSES_MAX = 20;

export class Throttle {
  readonly #clock: Clock;
  readonly #limitMs: number;
  readonly #latencyMs = new Ewma(WEIGHT);
  #sampledMs = Number.NEGATIVE_INFINITY;

  constructor(clock: Clock, limitMs: number) {
    this.#clock = clock;
    this.#limitMs = limitMs;
  }

  /** A foreground request took this long. */
  sample(nowMs: number, ms: number): void {
    this.#latencyMs.add(ms);
    this.#sampledMs = nowMs;
  }

  get slow(): boolean {
    const stale = this.#clock.monotonicMs() - this.#sampledMs > STALE_MS;
    return !stale && this.#latencyMs.value > this.#limitMs;
  }

  /** Before each segment. */
  async pass(): Promise<void> {
    for (let pause = 0; pause < PAUSES_MAX && this.slow; pause++) {
      await this.#clock.sleep(PAUSE_MS);
    }
  }
}
