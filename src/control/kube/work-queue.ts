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

const RESTLESS_WINDOW_MS = 2_000;
const RESTLESS_COUNT = 20;
const RESTLESS_PAUSE_MS = 500;
const RESTLESS_KEYS_MAX = 10_000;

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
  readonly #recent = new Map<string, { sinceMs: number; count: number }>();
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

  /** As `add`, but a key that failed waits for its back-off: for news that we may have made. */
  addGently(key: string): void {
    if (this.#attempts.has(key) && (this.#timers.has(key) || this.#working.has(key))) return;
    this.add(key);
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

  /** Nothing is being looked at; what waits for its time does not count. */
  isIdle(): boolean {
    return this.#working.size === 0;
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
    if (this.#again.delete(key)) this.#addAgain(key);
    if (this.#stopped && this.#working.size === 0) {
      for (const tell of this.#idle.splice(0)) tell();
    }
    this.#pump();
  }

  /**
   * News that came while the key was worked on is mostly of our own making. A reconciler that never
   * comes to rest is a mistake of ours: it must not cost a processor as well.
   */
  #addAgain(key: string): void {
    const nowMs = this.#options.clock.monotonicMs();
    let recent = this.#recent.get(key);
    if (recent === undefined || nowMs - recent.sinceMs > RESTLESS_WINDOW_MS) {
      recent = { sinceMs: nowMs, count: 0 };
      if (this.#recent.size > RESTLESS_KEYS_MAX) this.#recent.clear();
      this.#recent.set(key, recent);
    }
    recent.count += 1;
    if (recent.count <= RESTLESS_COUNT) this.#waiting.add(key);
    else this.addAfter(key, RESTLESS_PAUSE_MS);
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
