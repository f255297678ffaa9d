/**
 * Objects and changes in memory. With a journal behind it, it is the cache that every reader reads;
 * without, a test's store.
 */
import type { JsonObject } from '#api/resources/mod.ts';
import { assert } from '#lib/mod.ts';
import type {
  Change,
  HistoryLimits,
  ObjectStore,
  StoreKey,
  StoreTransaction,
} from './object-store.ts';
import { HISTORY_LIMITS, orderOf, withVersion } from './object-store.ts';
import { SortedShelf } from './sorted-shelf.ts';

export interface Journal {
  /** Durable when it returns. Changes up to `compactedVersion` may be forgotten. */
  append(changes: readonly Change[], compactedVersion: number): void;
  close(): void;
}

export interface StoreContents {
  readonly version: number;
  readonly compactedVersion: number;
  readonly objects: Iterable<StoreKey & { readonly object: JsonObject }>;
  readonly changes: Iterable<Change>;
}

export interface MemoryStoreOptions {
  /** Milliseconds since 1970. */
  readonly wallMs: () => number;
  readonly history?: HistoryLimits;
  readonly journal?: Journal;
  readonly contents?: StoreContents;
}

export class MemoryStore implements ObjectStore {
  readonly #wallMs: () => number;
  readonly #history: HistoryLimits;
  readonly #journal: Journal | undefined;
  readonly #shelves = new Map<string, SortedShelf>();
  readonly #listeners = new Map<string, Set<() => void>>();
  readonly #commitListeners = new Set<(changes: readonly Change[]) => void>();
  #changes: Change[] = [];
  #version = 0;
  #compactedVersion = 0;
  #isWriting = false;

  constructor(options: MemoryStoreOptions) {
    this.#wallMs = options.wallMs;
    this.#history = options.history ?? HISTORY_LIMITS;
    this.#journal = options.journal;
    const { contents } = options;
    if (contents === undefined) return;
    this.#version = contents.version;
    this.#compactedVersion = contents.compactedVersion;
    for (const entry of contents.objects) this.#set(entry, entry.object);
    this.#changes = [...contents.changes];
  }

  get version(): number {
    return this.#version;
  }

  get compactedVersion(): number {
    return this.#compactedVersion;
  }

  find(key: StoreKey): JsonObject | undefined {
    return this.#shelves.get(key.resource)?.find(orderOf(key.namespace, key.name));
  }

  list(resource: string, namespace?: string): readonly JsonObject[] {
    const shelf = this.#shelves.get(resource);
    if (shelf === undefined) return [];
    const sorted = shelf.all();
    if (namespace === undefined) return sorted;
    return sorted.filter((object) => namespaceOf(object) === namespace);
  }

  count(resource: string): number {
    return this.#shelves.get(resource)?.count ?? 0;
  }

  transact<Result>(action: (transaction: StoreTransaction) => Result): Result {
    assert(!this.#isWriting, 'transactions are not nested');
    this.#isWriting = true;
    const changes: Change[] = [];
    let result: Result;
    try {
      result = action(this.#begin(changes));
      if (changes.length > 0) this.#journal?.append(changes, this.#nextCompaction(changes));
    } catch (error) {
      this.#undo(changes);
      throw error;
    } finally {
      this.#isWriting = false;
    }
    if (changes.length > 0) this.#publish(changes);
    return result;
  }

  changeAfter(version: number): Change | undefined {
    assert(version >= this.#compactedVersion, 'the change is in the history');
    return this.#changes[lowerBound(this.#changes, version + 1)];
  }

  onChange(resource: string, listener: () => void): () => void {
    let listeners = this.#listeners.get(resource);
    if (listeners === undefined) this.#listeners.set(resource, (listeners = new Set()));
    listeners.add(listener);
    return () => listeners.delete(listener);
  }

  onCommit(listener: (changes: readonly Change[]) => void): () => void {
    this.#commitListeners.add(listener);
    return () => this.#commitListeners.delete(listener);
  }

  close(): void {
    this.#journal?.close();
  }

  #begin(changes: Change[]): StoreTransaction {
    const record = (key: StoreKey, after: JsonObject | undefined, version: number): void => {
      const { resource, namespace, name } = key;
      const before = this.find(key);
      changes.push({ resource, namespace, name, version, atMs: this.#wallMs(), before, after });
      this.#version = version;
      this.#set(key, after);
    };
    const versionNow = (): number => this.#version;
    return {
      get version() {
        return versionNow();
      },
      find: (key) => this.find(key),
      list: (resource, namespace) => this.list(resource, namespace),
      put: (key, object) => {
        const version = this.#version + 1;
        const stored = withVersion(object, version);
        record(key, stored, version);
        return stored;
      },
      delete: (key) => {
        const before = this.find(key);
        assert(before !== undefined, 'only what exists is deleted');
        const version = this.#version + 1;
        record(key, undefined, version);
        return withVersion(before, version);
      },
    };
  }

  #undo(changes: readonly Change[]): void {
    for (const change of changes.toReversed()) this.#set(change, change.before);
    this.#version -= changes.length;
  }

  #set(key: StoreKey, object: JsonObject | undefined): void {
    let shelf = this.#shelves.get(key.resource);
    if (shelf === undefined) {
      shelf = new SortedShelf();
      this.#shelves.set(key.resource, shelf);
    }
    shelf.set(orderOf(key.namespace, key.name), object);
  }

  /** Up to which version changes go when these ones have come. */
  #nextCompaction(coming: readonly Change[]): number {
    const { changesMax, ageMsMax } = this.#history;
    const count = this.#changes.length + coming.length;
    const aged = this.#wallMs() - ageMsMax;
    const oldest = this.#changes[0];
    // In steps, so that not every transaction cuts.
    const isOld = oldest !== undefined && oldest.atMs < aged - ageMsMax / 10;
    if (count <= changesMax * 1.1 && !isOld) return this.#compactedVersion;
    let keep = Math.max(0, Math.min(this.#changes.length, count - changesMax));
    while ((this.#changes[keep]?.atMs ?? aged) < aged) keep += 1;
    return this.#changes[keep - 1]?.version ?? this.#compactedVersion;
  }

  #publish(changes: readonly Change[]): void {
    const compacted = this.#nextCompaction(changes);
    this.#changes.push(...changes);
    if (compacted > this.#compactedVersion) {
      this.#compactedVersion = compacted;
      this.#changes = this.#changes.slice(lowerBound(this.#changes, compacted + 1));
    }
    for (const resource of new Set(changes.map((change) => change.resource))) {
      for (const listener of [...(this.#listeners.get(resource) ?? [])]) listener();
    }
    for (const listener of [...this.#commitListeners]) listener(changes);
  }
}

function namespaceOf(object: JsonObject): unknown {
  return (object['metadata'] as JsonObject)['namespace'];
}

/** The index of the first change with at least this version. */
function lowerBound(changes: readonly Change[], version: number): number {
  let low = 0;
  let high = changes.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((changes[middle] as Change).version < version) low = middle + 1;
    else high = middle;
  }
  return low;
}
