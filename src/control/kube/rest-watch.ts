/**
 * One watch that lasts: a stream that breaks or ends is asked for again from where it was, with
 * back-off and jitter, so that clients do not come back all at once. Only a history that is gone is
 * told to the owner.
 */
import type { KindName, ObjectOf } from '#api/kinds/mod.ts';
import { HoldfastError } from '#api/mod.ts';
import type { Clock, Log, Rng } from '#host/mod.ts';
import { backOffMs } from '#lib/mod.ts';
import type { Watch, WatchEventType, WatchHandler } from './client.ts';

export interface RestWatchOptions<Kind extends KindName> {
  readonly kind: Kind;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Log;
  readonly handler: WatchHandler<Kind>;
  /** From this version on. Rejects with `conflict` when the history does not reach back to it. */
  readonly open: (resourceVersion: string, signal: AbortSignal) => Promise<AsyncIterable<string>>;
  /** An object as the owner shall see it. */
  readonly accept: (object: unknown) => ObjectOf<Kind>;
}

interface WatchLine {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR';
  readonly object: {
    readonly metadata?: { readonly resourceVersion?: string };
    readonly code?: number;
  };
}

const TYPES: Readonly<Record<string, WatchEventType>> = {
  ADDED: 'added',
  MODIFIED: 'modified',
  DELETED: 'deleted',
};
const BACK_OFF = { firstMs: 100, maxMs: 10_000 };
const GONE = 410;

export class RestWatch<Kind extends KindName> implements Watch {
  readonly #options: RestWatchOptions<Kind>;
  readonly #stopping = new AbortController();
  #version: string;
  #attempt = 0;

  constructor(options: RestWatchOptions<Kind>, resourceVersion: string) {
    this.#options = options;
    this.#version = resourceVersion;
    void this.#run();
  }

  stop(): void {
    this.#stopping.abort();
  }

  get #isStopped(): boolean {
    return this.#stopping.signal.aborted;
  }

  async #run(): Promise<void> {
    const { clock, rng, handler } = this.#options;
    while (!this.#isStopped) {
      if (await this.#isGone()) {
        if (!this.#isStopped) handler.onGap();
        return;
      }
      if (this.#isStopped) return;
      this.#attempt += 1;
      await clock.sleep(backOffMs(this.#attempt, BACK_OFF, rng.float()));
    }
  }

  /** Follows one stream to its end. */
  async #isGone(): Promise<boolean> {
    const { open, log, kind } = this.#options;
    try {
      const lines = await open(this.#version, this.#stopping.signal);
      for await (const line of lines) {
        if (this.#isStopped) return false;
        if (this.#take(JSON.parse(line) as WatchLine)) return true;
      }
      return false;
    } catch (error) {
      if (!HoldfastError.is(error)) throw error;
      if (error.code === 'conflict') return true;
      if (!this.#isStopped) log.debug('watch broke, will go on', { kind, code: error.code });
      return false;
    }
  }

  /** True when there is no going on from here. */
  #take({ type, object }: WatchLine): boolean {
    if (type === 'ERROR') return object.code === GONE;
    this.#attempt = 0;
    this.#version = object.metadata?.resourceVersion ?? this.#version;
    const told = TYPES[type];
    if (told !== undefined) {
      this.#options.handler.onEvent(told, this.#options.accept(object));
    }
    return false;
  }
}

/** Lines of a stream of bytes, whole ones. */
export async function* linesOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of chunks) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) if (line !== '') yield line;
  }
}
