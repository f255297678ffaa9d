/**
 * A watch: a cursor in the history of changes, moved as fast as the client reads. Nothing is queued
 * for a slow client; when the history no longer reaches back to its cursor, it is told to list
 * again.
 */
import type { JsonObject } from '#api/resources/mod.ts';
import type { Clock, Timer } from '#host/mod.ts';
import { encodeText } from '#lib/mod.ts';
import { fromStoredForm } from './event-form.ts';
import { groupVersion, storeName } from './names.ts';
import type { Change, ObjectStore } from './object-store.ts';
import { withVersion } from './object-store.ts';
import { objectsAt, tooOld } from './reads.ts';
import { emptyOf } from './first-owner.ts';
import type { ResourceRequest } from './request.ts';
import type { Selector } from './selectors.ts';

export type WatchType = 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR';

export interface WatchPlan {
  /** Tell what is there as ADDED, before what comes. */
  readonly isInitial: boolean;
  /** And say with a bookmark that this was all. */
  readonly marksInitialEnd: boolean;
  readonly fromVersion: number;
  readonly allowsBookmarks: boolean;
  readonly timeoutMs: number;
  readonly selector: Selector | undefined;
  /** Turns an object into what goes out. */
  readonly show: (type: WatchType, object: JsonObject, isFirst: boolean) => JsonObject;
}

export interface WatchContext {
  readonly store: ObjectStore;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Once. */
  readonly onEnd: () => void;
}

const BOOKMARK_MS = 60_000;
/** Events of one write go out together, up to about this much. */
const BATCH_CHARS = 64 * 1024;
const INITIAL_END = 'k8s.io/initial-events-end';

/** From the moment of the call: what changes before the first read is not missed. */
export function streamWatch(
  context: WatchContext,
  to: ResourceRequest,
  plan: WatchPlan,
): AsyncIterable<Uint8Array> {
  return readCursor(new WatchCursor(context, to, plan));
}

async function* readCursor(watch: WatchCursor): AsyncGenerator<Uint8Array> {
  try {
    for (;;) {
      const text = watch.take();
      if (text !== '') yield encodeText(text);
      else if (watch.isOver) return;
      else await watch.sleep();
    }
  } finally {
    watch.end();
  }
}

class WatchCursor {
  readonly #context: WatchContext;
  readonly #to: ResourceRequest;
  readonly #plan: WatchPlan;
  readonly #table: string;
  readonly #stops: (() => void)[] = [];
  #initial: readonly JsonObject[];
  #initialAt = 0;
  #version: number;
  #saidVersion: number;
  #isFirst = true;
  #owesInitialEnd: boolean;
  #owesBookmark = false;
  #bookmarkTimer: Timer | undefined;
  #wake = Promise.withResolvers<void>();
  isOver = false;

  constructor(context: WatchContext, to: ResourceRequest, plan: WatchPlan) {
    this.#context = context;
    this.#to = to;
    this.#plan = plan;
    this.#table = storeName(to.resource);
    this.#version = plan.fromVersion;
    this.#saidVersion = plan.fromVersion;
    this.#owesInitialEnd = plan.marksInitialEnd;
    const { store, clock, signal } = context;
    const present = plan.isInitial ? objectsAt(store, to, store.version) : [];
    this.#initial = plan.selector === undefined ? present : present.filter(plan.selector);
    const wake = (): void => this.#wake.resolve();
    const end = (): void => this.end();
    signal.addEventListener('abort', end, { once: true });
    const timer = clock.after(plan.timeoutMs, end);
    this.#stops.push(
      store.onChange(this.#table, wake),
      () => signal.removeEventListener('abort', end),
      () => timer.cancel(),
      () => context.onEnd(),
    );
    this.#armBookmark();
    if (signal.aborted) this.end();
  }

  /** Idempotent. */
  end(): void {
    this.isOver = true;
    for (const stop of this.#stops.splice(0)) stop();
    this.#bookmarkTimer?.cancel();
    this.#wake.resolve();
  }

  async sleep(): Promise<void> {
    await this.#wake.promise;
    this.#wake = Promise.withResolvers<void>();
  }

  /** The lines that are due; empty when nothing is. */
  take(): string {
    if (this.isOver) return '';
    let text = '';
    while (text.length < BATCH_CHARS) {
      const line = this.#takeInitial() ?? this.#takeChange();
      if (line === undefined) break;
      text += line;
    }
    return text === '' ? this.#takeBookmark() : text;
  }

  #takeInitial(): string | undefined {
    const object = this.#initial[this.#initialAt];
    if (object !== undefined) {
      this.#initialAt += 1;
      return this.#line('ADDED', object);
    }
    this.#initial = [];
    if (!this.#owesInitialEnd) return undefined;
    this.#owesInitialEnd = false;
    return this.#bookmark({ [INITIAL_END]: 'true' });
  }

  #takeChange(): string | undefined {
    const { store } = this.#context;
    if (this.#version < store.compactedVersion) {
      if (this.isOver) return undefined;
      this.isOver = true;
      return `${JSON.stringify({ type: 'ERROR', object: tooOld(this.#version, store).body })}\n`;
    }
    for (;;) {
      const change = store.changeAfter(this.#version);
      if (change === undefined) return undefined;
      this.#version = change.version;
      const line = this.#isOurs(change) ? this.#changeLine(change) : undefined;
      if (line !== undefined) return line;
    }
  }

  #isOurs(change: Change): boolean {
    const { namespace, name } = this.#to;
    return (
      change.resource === this.#table &&
      (namespace === '' || change.namespace === namespace) &&
      (name === '' || change.name === name)
    );
  }

  /** An object that a selector begins or ceases to select comes and goes for this watcher. */
  #changeLine(change: Change): string | undefined {
    const { resource } = this.#to;
    const { before, after, version } = change;
    const was = before === undefined ? undefined : fromStoredForm(resource, before);
    const is = after === undefined ? undefined : fromStoredForm(resource, after);
    const selects = this.#plan.selector ?? (() => true);
    const wasOurs = was !== undefined && selects(was);
    if (is !== undefined && selects(is)) return this.#line(wasOurs ? 'MODIFIED' : 'ADDED', is);
    if (was === undefined || !wasOurs) return undefined;
    return this.#line('DELETED', withVersion(was, version));
  }

  #line(type: WatchType, object: JsonObject): string {
    const shown = this.#plan.show(type, object, this.#isFirst);
    this.#isFirst = false;
    this.#saidVersion = this.#version;
    return `${JSON.stringify({ type, object: shown })}\n`;
  }

  #armBookmark(): void {
    if (!this.#plan.allowsBookmarks) return;
    this.#bookmarkTimer = this.#context.clock.after(BOOKMARK_MS, () => {
      this.#owesBookmark = true;
      this.#wake.resolve();
      this.#armBookmark();
    });
  }

  /** Only when it says something new. */
  #takeBookmark(): string {
    if (!this.#owesBookmark) return '';
    this.#owesBookmark = false;
    return this.#version > this.#saidVersion ? this.#bookmark() : '';
  }

  #bookmark(annotations?: Readonly<Record<string, string>>): string {
    const { resource } = this.#to;
    const metadata = {
      resourceVersion: String(this.#version),
      ...(annotations === undefined ? {} : { annotations }),
    };
    const { kind } = resource;
    const empty = { ...emptyOf(resource), kind, apiVersion: groupVersion(resource), metadata };
    return this.#line('BOOKMARK', empty);
  }
}
