import type { KindName, ObjectOf } from '#api/kinds/mod.ts';
import { HoldfastError } from '#api/mod.ts';
import type { Clock, Log } from '#host/mod.ts';
import { formatKey, keyOf } from './client.ts';
import type { KubeClient, ObjectKey, Watch } from './client.ts';

export interface InformerOptions<Kind extends KindName> {
  readonly kind: Kind;
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Log;
  /** After the cache has changed. `before` or `after` is absent when it came or went. */
  readonly onChange: (
    key: string,
    before: ObjectOf<Kind> | undefined,
    after: ObjectOf<Kind> | undefined,
  ) => void;
}

const RELIST_MS = 500;

/**
 * A cache of all objects of a kind, kept by list and watch; a gap lists again and tells the
 * difference.
 */
export class Informer<Kind extends KindName> {
  readonly #options: InformerOptions<Kind>;
  readonly #cache = new Map<string, ObjectOf<Kind>>();
  #watch: Watch | null = null;
  #stopped = false;

  constructor(options: InformerOptions<Kind>) {
    this.#options = options;
  }

  /** Resolves when the cache is filled: a server that does not answer yet is waited for. */
  async start(): Promise<void> {
    await this.#relistUntilDone();
  }

  stop(): void {
    this.#stopped = true;
    this.#watch?.stop();
  }

  find(key: ObjectKey): ObjectOf<Kind> | undefined {
    return this.#cache.get(formatKey(key));
  }

  all(): ObjectOf<Kind>[] {
    return [...this.#cache.values()];
  }

  async #relist(): Promise<void> {
    const { client, kind, onChange } = this.#options;
    const list = await client.list(kind);
    if (this.#stopped) return;
    const seen = new Set<string>();
    for (const object of list.items) {
      const key = formatKey(keyOf(object));
      seen.add(key);
      const before = this.#cache.get(key);
      if (before?.metadata.resourceVersion === object.metadata.resourceVersion) continue;
      this.#cache.set(key, object);
      onChange(key, before, object);
    }
    for (const [key, before] of [...this.#cache]) {
      if (seen.has(key)) continue;
      this.#cache.delete(key);
      onChange(key, before, undefined);
    }
    this.#watch = client.watch(kind, list.resourceVersion, {
      onEvent: (type, object) => {
        const key = formatKey(keyOf(object));
        const before = this.#cache.get(key);
        if (type === 'deleted') this.#cache.delete(key);
        else this.#cache.set(key, object);
        onChange(key, before, type === 'deleted' ? undefined : object);
      },
      onGap: () => void this.#relistUntilDone(),
    });
  }

  async #relistUntilDone(): Promise<void> {
    while (!this.#stopped) {
      try {
        await this.#relist();
        return;
      } catch (error) {
        if (!HoldfastError.is(error)) throw error;
        this.#options.log.warn('listing failed, will retry', {
          kind: this.#options.kind,
          code: error.code,
        });
        await this.#options.clock.sleep(RELIST_MS);
      }
    }
  }
}
