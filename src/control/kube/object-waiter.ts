import type { KindName, ObjectOf } from '#api/kinds/mod.ts';
import { HoldfastError } from '#api/mod.ts';
import type { Clock, Log } from '#host/mod.ts';
import { formatKey } from './client.ts';
import type { KubeClient, ObjectKey } from './client.ts';
import { Informer } from './informer.ts';

export interface ObjectWaiterOptions<Kind extends KindName> {
  readonly kind: Kind;
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Log;
}

/** Says what is waited for, or undefined to wait on. May throw: the wait ends with it. */
type Judge<Kind extends KindName, Result> = (
  object: ObjectOf<Kind> | undefined,
) => Result | undefined;

/** Waits for objects of one kind to become what somebody wants, with one watch for all waits. */
export class ObjectWaiter<Kind extends KindName> {
  readonly #informer: Informer<Kind>;
  readonly #clock: Clock;
  readonly #waiting = new Map<string, Set<() => void>>();

  constructor(options: ObjectWaiterOptions<Kind>) {
    this.#clock = options.clock;
    this.#informer = new Informer({
      ...options,
      onChange: (key) => {
        for (const look of this.#waiting.get(key) ?? []) look();
      },
    });
  }

  start(): Promise<void> {
    return this.#informer.start();
  }

  stop(): void {
    this.#informer.stop();
  }

  /** All objects as last heard of: may be behind the API by a moment. */
  all(): ObjectOf<Kind>[] {
    return this.#informer.all();
  }

  /**
   * The first answer of `judge`, which is asked at once and after every change. Rejects with
   * `timed-out` after `timeoutMs`; `describe` then says what is still waited for.
   */
  until<Result>(
    key: ObjectKey,
    timeoutMs: number,
    judge: Judge<Kind, Result>,
    describe: (object: ObjectOf<Kind> | undefined) => string,
  ): Promise<Result> {
    const text = formatKey(key);
    const { promise, resolve, reject } = Promise.withResolvers<Result>();
    const look = (): void => {
      try {
        const result = judge(this.#informer.find(key));
        if (result !== undefined) resolve(result);
      } catch (error) {
        reject(error as Error);
      }
    };
    const timer = this.#clock.after(timeoutMs, () => {
      const waitsFor = describe(this.#informer.find(key));
      const details = { name: text, waitsFor, remedy: 'It goes on: ask again' };
      reject(new HoldfastError('timed-out', 'Object is not so yet', { details }));
    });
    const looks = this.#waiting.get(text) ?? new Set();
    looks.add(look);
    this.#waiting.set(text, looks);
    look();
    return promise.finally(() => {
      timer.cancel();
      looks.delete(look);
      if (looks.size === 0) this.#waiting.delete(text);
    });
  }
}
