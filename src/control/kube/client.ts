import type { AnyObject, KindName, ObjectOf } from '#api/kinds/mod.ts';

export interface ObjectKey {
  readonly name: string;
  /** Absent for cluster-scoped kinds. */
  readonly namespace?: string | undefined;
}

export interface ListOptions {
  readonly namespace?: string | undefined;
  /** Every label must have this value. */
  readonly labels?: Readonly<Record<string, string>> | undefined;
}

export interface ObjectList<Kind extends KindName> {
  readonly items: readonly ObjectOf<Kind>[];
  /** Watch from here to miss nothing. */
  readonly resourceVersion: string;
}

export type WatchEventType = 'added' | 'modified' | 'deleted';

export interface WatchHandler<Kind extends KindName> {
  onEvent(type: WatchEventType, object: ObjectOf<Kind>): void;
  /**
   * The history from the asked version is gone (HTTP 410), or the stream broke: list again. Last
   * call.
   */
  onGap(): void;
}

/** A JSON merge patch (RFC 7396), or the list of operations of a JSON patch (RFC 6902). */
export type ObjectPatch =
  | Readonly<Record<string, unknown>>
  | readonly Readonly<Record<string, unknown>>[];

export interface Watch {
  stop(): void;
}

/**
 * The narrow part of the Kubernetes API that we use. Objects are values: never changed in place.
 *
 * Errors: `not-found`; `already-exists` (create); `conflict` when `metadata.resourceVersion` is
 * given and not the stored one; `invalid-object`; `refused`, `disconnected` and `timed-out` when
 * the server cannot be reached, the last two with an effect that is unknown. What resolved is
 * durable.
 */
export interface KubeClient {
  get<Kind extends KindName>(kind: Kind, key: ObjectKey): Promise<ObjectOf<Kind>>;
  list<Kind extends KindName>(kind: Kind, options?: ListOptions): Promise<ObjectList<Kind>>;
  watch<Kind extends KindName>(
    kind: Kind,
    resourceVersion: string,
    handler: WatchHandler<Kind>,
  ): Watch;
  /** Status is ignored, uid, generation 1 and creationTimestamp are given. */
  create<Kind extends KindName>(kind: Kind, object: ObjectOf<Kind>): Promise<ObjectOf<Kind>>;
  /** Status is ignored. The generation rises when anything but metadata changed. */
  update<Kind extends KindName>(kind: Kind, object: ObjectOf<Kind>): Promise<ObjectOf<Kind>>;
  /** Only the status is taken. */
  updateStatus<Kind extends KindName>(kind: Kind, object: ObjectOf<Kind>): Promise<ObjectOf<Kind>>;
  /** Of everything but the status. */
  patch<Kind extends KindName>(
    kind: Kind,
    key: ObjectKey,
    patch: ObjectPatch,
  ): Promise<ObjectOf<Kind>>;
  /** With finalizers it only gets a deletionTimestamp and goes when the last of them is removed. */
  delete(kind: KindName, key: ObjectKey): Promise<void>;
}

export function keyOf(object: AnyObject): ObjectKey {
  const { name, namespace } = object.metadata;
  return namespace === undefined ? { name } : { name, namespace };
}

/** `namespace/name`, or the name alone. */
export function formatKey(key: ObjectKey): string {
  return key.namespace === undefined ? key.name : `${key.namespace}/${key.name}`;
}

export function parseKey(text: string): ObjectKey {
  const slash = text.indexOf('/');
  if (slash < 0) return { name: text };
  return { namespace: text.slice(0, slash), name: text.slice(slash + 1) };
}
