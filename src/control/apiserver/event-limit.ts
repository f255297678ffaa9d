/** Events are for people to read: the newest thousand, for an hour. No polling: one timer. */
import { parseTime } from '#api/kinds/mod.ts';
import { HoldfastError } from '#api/mod.ts';
import type { JsonObject } from '#api/resources/mod.ts';
import type { Clock, Log, Timer } from '#host/mod.ts';
import { metaOf } from './catalog.ts';
import type { ObjectStore } from './object-store.ts';

export interface EventLimitOptions {
  readonly store: ObjectStore;
  readonly clock: Clock;
  readonly log: Log;
}

const TABLE = '/events';
const EVENTS_MAX = 1_000;
/** Cut in steps, so that a burst is not sorted again for each. */
const EVENTS_SLACK = 50;
const AGE_MS_MAX = 3_600_000;
const RETRY_MS = 60_000;

export class EventLimit {
  readonly #options: EventLimitOptions;
  readonly #stopFollowing: () => void;
  #timer: Timer | undefined;
  #isDue = false;

  constructor(options: EventLimitOptions) {
    this.#options = options;
    this.#stopFollowing = options.store.onChange(TABLE, () => this.#onChange());
    this.#cut();
  }

  stop(): void {
    this.#stopFollowing();
    this.#timer?.cancel();
  }

  #onChange(): void {
    const isMany = this.#options.store.count(TABLE) > EVENTS_MAX + EVENTS_SLACK;
    if (this.#isDue || (!isMany && this.#timer !== undefined)) return;
    this.#isDue = true;
    this.#options.clock.defer(() => {
      this.#isDue = false;
      this.#cut();
    });
  }

  #cut(): void {
    const { store, clock, log } = this.#options;
    const nowMs = clock.wallMs();
    const events = [...store.list(TABLE)].sort((a, b) => seenMs(a) - seenMs(b));
    const old = events.filter(
      (event, index) => index < events.length - EVENTS_MAX || seenMs(event) < nowMs - AGE_MS_MAX,
    );
    try {
      if (old.length > 0)
        store.transact((transaction) =>
          old.forEach((one) => {
            const { namespace = '', name = '' } = metaOf(one);
            transaction.delete({ resource: TABLE, namespace, name });
          }),
        );
      const oldest = events[old.length];
      const waitMs = oldest === undefined ? undefined : seenMs(oldest) + AGE_MS_MAX - nowMs;
      this.#arm(waitMs === undefined ? undefined : Math.max(waitMs, 1_000));
    } catch (error) {
      if (!HoldfastError.is(error)) throw error;
      log.warn('old events were not deleted, will retry', { code: error.code });
      this.#arm(RETRY_MS);
    }
  }

  #arm(waitMs: number | undefined): void {
    this.#timer?.cancel();
    this.#timer =
      waitMs === undefined ? undefined : this.#options.clock.after(waitMs, () => this.#cut());
  }
}

/** When it was seen last; not before somebody told us of it. */
function seenMs(event: JsonObject): number {
  const series = event['series'] as { readonly lastObservedTime?: string } | undefined;
  const texts = [
    series?.lastObservedTime ?? event['lastTimestamp'],
    metaOf(event).creationTimestamp,
  ];
  return Math.max(...texts.map((text) => (typeof text === 'string' ? parseTime(text) : 0)));
}
