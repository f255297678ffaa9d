/**
 * The in-memory twin of the Kubernetes API: resourceVersion conflicts, generations, finalizers, the
 * status subresource, watches that can have gaps. With ObjectFiles behind it, it is the truth of an
 * embedded cluster; without, a test's cluster.
 *
 * Invariants
 * - Writes are one after another; a write is on disk before anyone can see it.
 * - A write that changes nothing changes no resourceVersion and wakes nobody.
 */
import type { AnyObject, KindName, ObjectMeta, ObjectOf } from '#api/kinds/mod.ts';
import { formatTime, KIND_NAMES, KINDS, parseObject } from '#api/kinds/mod.ts';
import { HoldfastError } from '#api/mod.ts';
import type { Clock, Rng } from '#host/mod.ts';
import { formatHex, KeyedMutex } from '#lib/mod.ts';
import { isDeepStrictEqual } from 'node:util';
import { checkUpdate } from './admission.ts';
import { formatKey, keyOf } from './client.ts';
import type {
  KubeClient,
  ListOptions,
  ObjectKey,
  ObjectList,
  Watch,
  WatchEventType,
  WatchHandler,
} from './client.ts';
import { mergePatch } from './merge-patch.ts';
import type { ObjectFiles } from './object-files.ts';

export interface MemoryClusterOptions {
  readonly clock: Clock;
  readonly rng: Rng;
  readonly files?: ObjectFiles;
  /** Changes kept for watchers that come late; older ones are a gap. */
  readonly historyMax?: number;
}

interface Change {
  readonly version: number;
  readonly type: WatchEventType;
  readonly object: AnyObject;
}

interface Watcher {
  readonly kind: KindName;
  readonly handler: WatchHandler<KindName>;
  stopped: boolean;
}

/** Events are for people to read: kept in memory, the newest ones. */
const EVENTS_MAX = 1_000;
/** Versions of objects that were deleted before a restart must not come back. */
const VERSION_LEAP = 1_000;

export class MemoryCluster implements KubeClient {
  readonly #clock: Clock;
  readonly #rng: Rng;
  readonly #files: ObjectFiles | undefined;
  readonly #historyMax: number;
  readonly #objects = new Map<KindName, Map<string, AnyObject>>();
  readonly #writing = new KeyedMutex();
  readonly #watchers = new Set<Watcher>();
  #history: Change[] = [];
  #version = 0;

  constructor(options: MemoryClusterOptions) {
    this.#clock = options.clock;
    this.#rng = options.rng;
    this.#files = options.files;
    this.#historyMax = options.historyMax ?? 1_000;
    for (const kind of KIND_NAMES) this.#objects.set(kind, new Map());
  }

  /** Reads what the files hold; once, before anything else. `store-corrupt` names the file. */
  async load(): Promise<void> {
    for (const object of (await this.#files?.load()) ?? []) {
      this.#mapOf(object.kind).set(formatKey(keyOf(object)), object);
      this.#version = Math.max(this.#version, Number(object.metadata.resourceVersion ?? 0));
    }
    this.#version += VERSION_LEAP;
  }

  async get<Kind extends KindName>(kind: Kind, key: ObjectKey): Promise<ObjectOf<Kind>> {
    return this.#mustFind(kind, key) as ObjectOf<Kind>;
  }

  async list<Kind extends KindName>(
    kind: Kind,
    options: ListOptions = {},
  ): Promise<ObjectList<Kind>> {
    const labels = Object.entries(options.labels ?? {});
    const items = [...this.#mapOf(kind).values()].filter(
      (object) =>
        (options.namespace === undefined || object.metadata.namespace === options.namespace) &&
        labels.every(([label, value]) => object.metadata.labels?.[label] === value),
    );
    items.sort((a, b) => (formatKey(keyOf(a)) < formatKey(keyOf(b)) ? -1 : 1));
    return {
      items: items as unknown as ObjectOf<Kind>[],
      resourceVersion: String(this.#version),
    };
  }

  watch<Kind extends KindName>(
    kind: Kind,
    resourceVersion: string,
    handler: WatchHandler<Kind>,
  ): Watch {
    const watcher: Watcher = {
      kind,
      handler: handler as unknown as WatchHandler<KindName>,
      stopped: false,
    };
    const from = Number(resourceVersion);
    const oldest = this.#history[0]?.version ?? this.#version + 1;
    if (from < oldest - 1 && from !== this.#version) {
      this.#clock.defer(() => this.#gap(watcher));
    } else {
      for (const change of this.#history) {
        if (change.version > from) this.#tell(watcher, change);
      }
      this.#watchers.add(watcher);
    }
    return {
      stop: () => {
        watcher.stopped = true;
        this.#watchers.delete(watcher);
      },
    };
  }

  create<Kind extends KindName>(kind: Kind, object: ObjectOf<Kind>): Promise<ObjectOf<Kind>> {
    return this.#write(async () => {
      const parsed = parseObject(dropUndefined({ ...object, status: undefined }));
      const key = formatKey(keyOf(parsed));
      if (this.#mapOf(kind).has(key)) {
        throw new HoldfastError('already-exists', 'Object already exists', {
          details: { kind, name: key, remedy: 'Choose another name, or change the existing one' },
        });
      }
      const metadata: ObjectMeta = {
        ...(dropUndefined({ ...parsed.metadata, deletionTimestamp: undefined }) as ObjectMeta),
        uid: this.#createUid(),
        generation: 1,
        creationTimestamp: this.#now(),
      };
      return this.#store('added', { ...parsed, metadata } as AnyObject);
    }) as Promise<ObjectOf<Kind>>;
  }

  update<Kind extends KindName>(kind: Kind, object: ObjectOf<Kind>): Promise<ObjectOf<Kind>> {
    return this.#write(async () => {
      const before = this.#mustFind(kind, keyOf(object));
      checkVersion(before, object.metadata.resourceVersion);
      return this.#replace(before, object);
    }) as Promise<ObjectOf<Kind>>;
  }

  updateStatus<Kind extends KindName>(kind: Kind, object: ObjectOf<Kind>): Promise<ObjectOf<Kind>> {
    return this.#write(async () => {
      const before = this.#mustFind(kind, keyOf(object));
      checkVersion(before, object.metadata.resourceVersion);
      const status = (object as { status?: unknown }).status;
      const after = dropUndefined({ ...before, status: dropUndefined(status) }) as AnyObject;
      if (isDeepStrictEqual(before, after)) return before;
      return this.#store('modified', after);
    }) as Promise<ObjectOf<Kind>>;
  }

  patch<Kind extends KindName>(
    kind: Kind,
    key: ObjectKey,
    patch: Readonly<Record<string, unknown>>,
  ): Promise<ObjectOf<Kind>> {
    return this.#write(async () => {
      const before = this.#mustFind(kind, key);
      const after = mergePatch(before, { ...patch, status: undefined }) as AnyObject;
      const wanted = (patch['metadata'] as ObjectMeta | undefined)?.resourceVersion;
      checkVersion(before, wanted);
      return this.#replace(before, after);
    }) as Promise<ObjectOf<Kind>>;
  }

  async delete(kind: KindName, key: ObjectKey): Promise<void> {
    await this.#write(async () => {
      const before = this.#mustFind(kind, key);
      if ((before.metadata.finalizers ?? []).length === 0) return this.#drop(before);
      if (before.metadata.deletionTimestamp !== undefined) return before;
      const metadata: ObjectMeta = {
        ...before.metadata,
        generation: (before.metadata.generation ?? 0) + 1,
        deletionTimestamp: this.#now(),
      };
      return this.#store('modified', { ...before, metadata } as AnyObject);
    });
  }

  /**
   * For tests: forgets the history, so that late watchers have a gap; breaks the open watches too.
   */
  breakWatches(): void {
    this.#history = [];
    this.#version += 1;
    for (const watcher of this.#watchers) this.#clock.defer(() => this.#gap(watcher));
    this.#watchers.clear();
  }

  async #replace(before: AnyObject, wanted: AnyObject): Promise<AnyObject> {
    const meta = dropUndefined(wanted.metadata) as ObjectMeta;
    const parsed = parseObject(dropUndefined({ ...wanted, metadata: meta, status: undefined }));
    checkUpdate(before, parsed);
    const status = (before as { status?: unknown }).status;
    const draft = dropUndefined({
      ...parsed,
      metadata: {
        ...parsed.metadata,
        uid: before.metadata.uid,
        resourceVersion: before.metadata.resourceVersion,
        generation: before.metadata.generation,
        creationTimestamp: before.metadata.creationTimestamp,
        deletionTimestamp: before.metadata.deletionTimestamp,
      },
      status,
    }) as AnyObject;
    if (isDeepStrictEqual(before, draft)) return before;
    const isDeleting = before.metadata.deletionTimestamp !== undefined;
    if (isDeleting && (draft.metadata.finalizers ?? []).length === 0) return this.#drop(before);
    const isSpecChanged = !isDeepStrictEqual(bodyOf(before), bodyOf(draft));
    const generation = (before.metadata.generation ?? 0) + (isSpecChanged ? 1 : 0);
    return this.#store('modified', {
      ...draft,
      metadata: { ...draft.metadata, generation },
    } as AnyObject);
  }

  async #store(type: WatchEventType, object: AnyObject): Promise<AnyObject> {
    const version = this.#version + 1;
    const metadata = { ...object.metadata, resourceVersion: String(version) };
    const stored = dropUndefined({ ...object, metadata }) as AnyObject;
    if (object.kind !== 'Event') await this.#files?.save(stored);
    this.#version = version;
    const map = this.#mapOf(object.kind);
    map.set(formatKey(keyOf(stored)), stored);
    this.#publish({ version, type, object: stored });
    if (object.kind === 'Event' && map.size > EVENTS_MAX) {
      const oldest = map.keys().next().value;
      if (oldest !== undefined) map.delete(oldest);
    }
    return stored;
  }

  async #drop(object: AnyObject): Promise<AnyObject> {
    if (object.kind !== 'Event') await this.#files?.remove(object);
    this.#version += 1;
    this.#mapOf(object.kind).delete(formatKey(keyOf(object)));
    this.#publish({ version: this.#version, type: 'deleted', object });
    return object;
  }

  #publish(change: Change): void {
    this.#history.push(change);
    if (this.#history.length > this.#historyMax) this.#history.shift();
    for (const watcher of this.#watchers) this.#tell(watcher, change);
  }

  #tell(watcher: Watcher, change: Change): void {
    if (watcher.kind !== change.object.kind) return;
    this.#clock.defer(() => {
      if (!watcher.stopped) watcher.handler.onEvent(change.type, change.object);
    });
  }

  #gap(watcher: Watcher): void {
    if (watcher.stopped) return;
    watcher.stopped = true;
    watcher.handler.onGap();
  }

  #write(action: () => Promise<AnyObject>): Promise<AnyObject> {
    return this.#writing.run('objects', action);
  }

  #mapOf(kind: KindName): Map<string, AnyObject> {
    return this.#objects.get(kind) as Map<string, AnyObject>;
  }

  #mustFind(kind: KindName, key: ObjectKey): AnyObject {
    const scoped = KINDS[kind].isNamespaced
      ? { name: key.name, namespace: key.namespace ?? 'default' }
      : { name: key.name };
    const found = this.#mapOf(kind).get(formatKey(scoped));
    if (found !== undefined) return found;
    throw new HoldfastError('not-found', 'Object does not exist', {
      details: { kind, name: formatKey(scoped) },
    });
  }

  #now(): string {
    return formatTime(this.#clock.wallMs());
  }

  #createUid(): string {
    const hex = formatHex(this.#rng.bytes(16));
    const variant = ((Number.parseInt(hex[16] ?? '0', 16) & 0x3) | 0x8).toString(16);
    return [
      hex.slice(0, 8),
      hex.slice(8, 12),
      `4${hex.slice(13, 16)}`,
      `${variant}${hex.slice(17, 20)}`,
      hex.slice(20, 32),
    ].join('-');
  }
}

function checkVersion(before: AnyObject, wanted: string | undefined): void {
  if (wanted === undefined || wanted === before.metadata.resourceVersion) return;
  throw new HoldfastError('conflict', 'Object changed since it was read', {
    details: {
      kind: before.kind,
      name: formatKey(keyOf(before)),
      remedy: 'Read it again, then repeat the change',
    },
  });
}

/** Everything but metadata and status: what a generation counts. */
function bodyOf(object: AnyObject): unknown {
  return { ...object, metadata: undefined, status: undefined };
}

/** As JSON would carry it, so that what is compared and what is stored are the same. */
function dropUndefined(value: unknown): unknown {
  return value === undefined ? undefined : (JSON.parse(JSON.stringify(value)) as unknown);
}
