import { HoldfastError } from '#api/mod.ts';
import type { Clock, Log, Rng, Timer } from '#host/mod.ts';
import { backOffMs } from '#lib/mod.ts';

export interface ReconcileResult {
  /** Look again after this time even if nothing changes. */
  readonly requeueAfterMs?: number | undefined;
}

export interface WorkQueueOptions {
  readonly name: string;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Log;
  /** Keys worked on at once; the same key never twice. */
  readonly concurrency?: number;
  readonly backOffFirstMs?: number;
  readonly backOffMaxMs?: number;
  readonly reconcile: (key: string) => Promise<ReconcileResult>;
  /** Told of every failed attempt; never throws. */
  readonly onFailure?: (key: string, error: HoldfastError, attempt: number) => void;
}

/**
 * Keys to look at. A key added many times is looked at once; one added while it is worked on is
 * looked at again. A HoldfastError is retried with back-off; anything else is a mistake of ours and
 * ends the process.
 */
export class WorkQueue {
  readonly #options: WorkQueueOptions;
  readonly #waiting = new Set<string>();
  readonly #working = new Set<string>();
  readonly #again = new Set<string>();
  readonly #attempts = new Map<string, number>();
  readonly #timers = new Map<string, { readonly timer: Timer; readonly atMs: number }>();
  #stopped = false;
  #idle: (() => void)[] = [];

  constructor(options: WorkQueueOptions) {
    this.#options = options;
  }

  add(key: string): void {
    if (this.#stopped) return;
    this.#dropTimer(key);
    if (this.#working.has(key)) this.#again.add(key);
    else this.#waiting.add(key);
    this.#options.clock.defer(() => this.#pump());
  }

  /** An earlier time wins over a later one. */
  addAfter(key: string, ms: number): void {
    if (this.#stopped) return;
    const atMs = this.#options.clock.monotonicMs() + ms;
    const before = this.#timers.get(key);
    if (before !== undefined && before.atMs <= atMs) return;
    this.#dropTimer(key);
    const timer = this.#options.clock.after(ms, () => this.add(key));
    this.#timers.set(key, { timer, atMs });
  }

  /** Takes no new work and resolves when what runs has ended. */
  async stop(): Promise<void> {
    this.#stopped = true;
    for (const key of [...this.#timers.keys()]) this.#dropTimer(key);
    this.#waiting.clear();
    this.#again.clear();
    if (this.#working.size === 0) return;
    await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  #dropTimer(key: string): void {
    this.#timers.get(key)?.timer.cancel();
    this.#timers.delete(key);
  }

  #pump(): void {
    for (const key of this.#waiting) {
      if (this.#working.size >= (this.#options.concurrency ?? 4)) return;
      this.#waiting.delete(key);
      this.#working.add(key);
      void this.#work(key);
    }
  }

  async #work(key: string): Promise<void> {
    try {
      const result = await this.#options.reconcile(key);
      this.#attempts.delete(key);
      if (result.requeueAfterMs !== undefined) this.addAfter(key, result.requeueAfterMs);
    } catch (error) {
      if (!HoldfastError.is(error)) throw error;
      this.#retry(key, error);
    }
    this.#working.delete(key);
    if (this.#again.delete(key)) this.#waiting.add(key);
    if (this.#stopped && this.#working.size === 0) {
      for (const tell of this.#idle.splice(0)) tell();
    }
    this.#pump();
  }

  #retry(key: string, error: HoldfastError): void {
    const attempt = (this.#attempts.get(key) ?? 0) + 1;
    this.#attempts.set(key, attempt);
    const limits = {
      firstMs: this.#options.backOffFirstMs ?? 50,
      maxMs: this.#options.backOffMaxMs ?? 10_000,
    };
    const waitMs = backOffMs(attempt, limits, this.#options.rng.float());
    this.addAfter(key, waitMs);
    // A conflict is the ordinary way to learn that the object moved on.
    if (error.code === 'conflict') return;
    this.#options.log.warn('reconcile failed, will retry', {
      queue: this.#options.name,
      key,
      attempt,
      waitMs: Math.round(waitMs),
      code: error.code,
      reason: error.message,
      ...error.details,
    });
    this.#options.onFailure?.(key, error, attempt);
  }
}
