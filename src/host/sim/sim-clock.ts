import { HoldfastError } from '#api/mod.ts';
import type { Clock, Timer } from '../mod.ts';
import type { SimProcess } from './sim-process.ts';

/** 2026-01-01: an arbitrary but fixed start of wall time. */
const WALL_START_MS = 1_767_225_600_000;
/** Below this a timer is due: what rounding may leave. */
const DUE_MS = 1e-6;

/**
 * The clocks of one machine: they survive its processes and stop with its power only in so far as
 * nobody looks.
 */
export class MachineClock {
  #rate: number;
  #baseMs: number;
  #baseWorldMs: number;
  #wallOffsetMs: number;
  #highestMs = 0;

  /** `rate` 1.05: this machine's seconds are 5 % short. */
  constructor(rate: number, startMs: number, wallOffsetMs: number) {
    this.#rate = rate;
    this.#baseMs = startMs;
    this.#baseWorldMs = 0;
    this.#wallOffsetMs = wallOffsetMs;
  }

  get rate(): number {
    return this.#rate;
  }

  monotonicMs(worldMs: number): number {
    const computed = this.#baseMs + (worldMs - this.#baseWorldMs) * this.#rate;
    this.#highestMs = Math.max(this.#highestMs, computed);
    return this.#highestMs;
  }

  wallMs(worldMs: number): number {
    return Math.floor(WALL_START_MS + worldMs + this.#wallOffsetMs);
  }

  setRate(rate: number, worldMs: number): void {
    this.#baseMs = this.monotonicMs(worldMs);
    this.#baseWorldMs = worldMs;
    this.#rate = rate;
  }

  jumpWall(ms: number): void {
    this.#wallOffsetMs += ms;
  }
}

export class SimClock implements Clock {
  readonly #process: SimProcess;
  readonly #machine: MachineClock;
  #timers = 0;

  constructor(process: SimProcess, machine: MachineClock) {
    this.#process = process;
    this.#machine = machine;
  }

  monotonicMs(): number {
    return this.#machine.monotonicMs(this.#process.loop.nowMs);
  }

  wallMs(): number {
    return this.#machine.wallMs(this.#process.loop.nowMs);
  }

  after(ms: number, fn: () => void): Timer {
    const dueMs = this.monotonicMs() + Math.max(0, ms);
    const key = this.#timers++;
    let active = true;
    const { loop } = this.#process;
    const arm = (): void => {
      const leftMs = Math.max(0, dueMs - this.monotonicMs());
      loop.schedule(this.#process, 'timer', key, leftMs / this.#machine.rate, () => {
        if (!active) return;
        // The machine's clock may have been slowed down in the meantime.
        if (dueMs - this.monotonicMs() > DUE_MS) {
          arm();
          return;
        }
        active = false;
        fn();
      });
    };
    arm();
    return {
      cancel: () => {
        active = false;
      },
    };
  }

  defer(fn: () => void): void {
    this.#process.loop.schedule(this.#process, 'defer', 0, 0, fn);
  }

  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const abort = (): void => reject(new HoldfastError('aborted', 'Sleep was aborted'));
    if (signal?.aborted === true) abort();
    const timer = this.after(ms, resolve);
    signal?.addEventListener('abort', abort, { once: true });
    try {
      await promise;
    } finally {
      timer.cancel();
      signal?.removeEventListener('abort', abort);
    }
  }
}
