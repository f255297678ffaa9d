import { hasCode } from '#api/mod.ts';
import type { Clock, Timer } from '#host/mod.ts';

export interface HangWatchOptions {
  readonly clock: Clock;
  /** Rejects with `timed-out` when nothing was answered in `timeoutMs`. */
  readonly ask: (timeoutMs: number) => Promise<unknown>;
  readonly onHang: (silentMs: number) => void;
}

/** Rare, because every question wakes two processes that would sleep. */
const PERIOD_MS = 15_000;
const TIMEOUT_MS = 15_000;
const MISSES_MAX = 2;

/**
 * Notices a process that lives and does not answer: stopped, or caught in a loop. Twice in a row
 * counts, so that a machine that is merely busy loses nothing. Any other failure is an answer: who
 * refuses has ended, and its end is told by the kernel.
 */
export class HangWatch {
  readonly #options: HangWatchOptions;
  #timer: Timer | null = null;
  #misses = 0;
  #stopped = false;

  constructor(options: HangWatchOptions) {
    this.#options = options;
    this.#next();
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  #next(): void {
    if (this.#stopped) return;
    this.#timer = this.#options.clock.after(PERIOD_MS, () => void this.#look());
  }

  async #look(): Promise<void> {
    try {
      await this.#options.ask(TIMEOUT_MS);
      this.#misses = 0;
    } catch (error) {
      this.#misses = hasCode(error, 'timed-out') ? this.#misses + 1 : 0;
    }
    if (this.#misses >= MISSES_MAX && !this.#stopped) {
      this.#misses = 0;
      this.#options.onHang(MISSES_MAX * TIMEOUT_MS);
    }
    this.#next();
  }
}
