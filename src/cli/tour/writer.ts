/** Writes without a break and measures, as an application would, how long it had to wait. */
import { HoldfastError } from '#api/mod.ts';
import type { Clock } from '#host/mod.ts';

/** Writes one piece; resolves when it is durable. */
export type WriteOne = () => Promise<void>;

/** Enough writes to lose some; a journal that takes long to replay would only cost time. */
const REST_MS = 20;
const LOOK_MS = 25;
const GO_ON_MS_MAX = 60_000;

interface Stream {
  readonly writeOne: WriteOne;
  /** When the last piece that became durable was begun. */
  begunMs: number;
  longestMs: number;
}

export class Writer {
  readonly #clock: Clock;
  readonly #streams: readonly Stream[];
  #runs: Promise<void>[] = [];
  #isStopping = false;
  #error: Error | undefined;

  constructor(clock: Clock, writes: readonly WriteOne[]) {
    this.#clock = clock;
    this.#streams = writes.map((writeOne) => ({ writeOne, begunMs: 0, longestMs: 0 }));
  }

  start(): void {
    this.#isStopping = false;
    this.#runs = this.#streams.map((stream) => this.#run(stream));
  }

  /** Throws what a write met: the application would have seen it. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    await Promise.all(this.#runs);
    this.#runs = [];
    if (this.#error !== undefined) throw this.#error as Error;
  }

  /**
   * The longest wait for one write since `sinceMs`, once every stream goes on: a write that was
   * begun after `sinceMs` is durable.
   */
  async longestPauseMs(sinceMs: number): Promise<number> {
    while (this.#streams.some((stream) => stream.begunMs <= sinceMs)) {
      if (this.#error !== undefined) throw this.#error as Error;
      if (this.#clock.monotonicMs() - sinceMs > GO_ON_MS_MAX) {
        throw new HoldfastError('timed-out', 'The writer does not go on');
      }
      await this.#clock.sleep(LOOK_MS);
    }
    return Math.max(...this.#streams.map((stream) => stream.longestMs));
  }

  forgetPauses(): void {
    for (const stream of this.#streams) stream.longestMs = 0;
  }

  async #run(stream: Stream): Promise<void> {
    try {
      while (!this.#isStopping) {
        const begunMs = this.#clock.monotonicMs();
        await stream.writeOne();
        const tookMs = this.#clock.monotonicMs() - begunMs;
        stream.longestMs = Math.max(stream.longestMs, tookMs);
        stream.begunMs = begunMs;
        await this.#clock.sleep(REST_MS);
      }
    } catch (error) {
      this.#error ??= error as Error;
    }
  }
}
