/**
 * Where the API server keeps objects: one table of objects, one of changes.
 *
 * Invariants
 * - Versions count every change, are never given twice, not even after a crash, and are what
 *   `metadata.resourceVersion` holds.
 * - What `transact` returned is durable where the store keeps anything at all; nobody sees a change
 *   before that.
 * - Objects are values: never changed in place, by nobody.
 *
 * Everything is synchronous: between reading and writing in a transaction nothing else runs.
 */
import type { JsonObject } from '#api/resources/mod.ts';

export interface StoreKey {
  /** `group/plural`; the group is empty for core. All versions of a resource are one. */
  readonly resource: string;
  /** Empty for cluster-scoped resources. */
  readonly namespace: string;
  readonly name: string;
}

export interface Change extends StoreKey {
  readonly version: number;
  readonly atMs: number;
  /** Absent when the object was created. */
  readonly before: JsonObject | undefined;
  /** Absent when the object was deleted. */
  readonly after: JsonObject | undefined;
}

export interface StoreReader {
  /** Of the last change. */
  readonly version: number;
  find(key: StoreKey): JsonObject | undefined;
  /** In the order of namespace and name; all namespaces when none is given. */
  list(resource: string, namespace?: string): readonly JsonObject[];
}

export interface StoreTransaction extends StoreReader {
  /** Creates or replaces; answers the object with its new `metadata.resourceVersion`. */
  put(key: StoreKey, object: JsonObject): JsonObject;
  /** Answers the last state, with the version of the deletion. The object must exist. */
  delete(key: StoreKey): JsonObject;
}

export interface ObjectStore extends StoreReader {
  /** How many objects of the resource there are. */
  count(resource: string): number;
  /** Changes with a higher version than this are kept. */
  readonly compactedVersion: number;
  /**
   * All or nothing; not nested. Errors of the disk (`no-space`, `io-error`, …) leave the objects as
   * they were.
   */
  transact<Result>(action: (transaction: StoreTransaction) => Result): Result;
  /**
   * The first change after `version`, in order. `version` must not be below `compactedVersion`.
   */
  changeAfter(version: number): Change | undefined;
  /** Called once after each transaction that changed the resource. Answers how to stop. */
  onChange(resource: string, listener: () => void): () => void;
  /** Called after each transaction that changed anything, with its changes. */
  onCommit(listener: (changes: readonly Change[]) => void): () => void;
  close(): void;
}

export interface HistoryLimits {
  /** At most this many changes, and a tenth more before they are cut. */
  readonly changesMax: number;
  /** Older ones go with the next transaction. */
  readonly ageMsMax: number;
}

/** kube-apiserver compacts every five minutes. */
export const HISTORY_LIMITS: HistoryLimits = { changesMax: 4_000, ageMsMax: 300_000 };

/** Orders as etcd does: by the bytes of `namespace/name`. */
export function orderOf(namespace: string, name: string): string {
  return `${namespace}/${name}`;
}

export function orderOfObject(object: JsonObject): string {
  const { namespace = '', name = '' } = object['metadata'] as Record<string, string>;
  return orderOf(namespace, name);
}

export function withVersion(object: JsonObject, version: number): JsonObject {
  const metadata = object['metadata'] as JsonObject;
  return { ...object, metadata: { ...metadata, resourceVersion: String(version) } };
}
