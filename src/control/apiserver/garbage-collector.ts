/**
 * Deletes what lost its last owner, holds owners back that are deleted in the foreground, frees the
 * dependents of those deleted with `Orphan`, and empties namespaces that are being deleted.
 *
 * Level-based: what it does follows from what is in the store, never from the event that woke it,
 * so it begins with a look at everything and may be ended at any point.
 */
import type { JsonObject } from '#api/resources/mod.ts';
import type { Clock, Log } from '#host/mod.ts';
import { HoldfastError } from '#api/mod.ts';
import type { Catalog, OwnerFields } from './catalog.ts';
import { keyOfObject, metaOf, withMeta } from './catalog.ts';
import { deleteObject, FOREGROUND_FINALIZER, ORPHAN_FINALIZER } from './deletion.ts';
import type { Propagation } from './deletion.ts';
import { formatTime } from '#api/kinds/mod.ts';
import type { Change, ObjectStore, StoreTransaction } from './object-store.ts';
import { groupVersion } from './names.ts';
import { OwnerIndex } from './owner-index.ts';
import { trackUpdate } from './patch/mod.ts';

export interface GarbageCollectorOptions {
  readonly store: ObjectStore;
  readonly catalog: Catalog;
  readonly clock: Clock;
  readonly log: Log;
}

/** Objects looked at before others get their turn. */
const STEPS_MAX = 100;
/** After the disk refused. */
const RETRY_MS = 1_000;
/** As who it writes. */
const MANAGER = 'garbage-collector';

export class GarbageCollector {
  readonly #options: GarbageCollectorOptions;
  readonly #index: OwnerIndex;
  /** Uids of objects to look at. */
  readonly #due = new Set<string>();
  readonly #stopFollowing: () => void;
  #isScheduled = false;
  #isStopped = false;

  constructor(options: GarbageCollectorOptions) {
    this.#options = options;
    this.#index = new OwnerIndex(options.store, options.catalog);
    this.#stopFollowing = options.store.onCommit((changes) => this.#follow(changes));
    for (const uid of this.#index.uids()) this.#due.add(uid);
    this.#schedule();
  }

  stop(): void {
    this.#isStopped = true;
    this.#stopFollowing();
  }

  #follow(changes: readonly Change[]): void {
    for (const change of changes) {
      this.#index.follow(change);
      for (const object of [change.before, change.after]) {
        if (object !== undefined) this.#touch(change, object);
      }
    }
    if (this.#due.size > 0) this.#schedule();
  }

  /** Whom a change of `object` may concern. */
  #touch({ after, namespace, resource }: Change, object: JsonObject): void {
    const { uid = '', ownerReferences = [], deletionTimestamp } = metaOf(object);
    const isOwned = ownerReferences.length > 0;
    if (after !== undefined && (isOwned || deletionTimestamp !== undefined)) this.#due.add(uid);
    for (const owner of ownerReferences) this.#due.add(owner.uid);
    if (after === undefined) for (const one of this.#index.dependentsOf(uid)) this.#due.add(one);
    if (namespace === '' || resource === '/namespaces') return;
    // The namespace may wait for the end of what it held.
    const holder = this.#options.store.find({
      resource: '/namespaces',
      namespace: '',
      name: namespace,
    });
    const holderMeta = holder === undefined ? undefined : metaOf(holder);
    if (holderMeta?.deletionTimestamp !== undefined) this.#due.add(holderMeta.uid ?? '');
  }

  #schedule(): void {
    if (this.#isScheduled || this.#isStopped) return;
    this.#isScheduled = true;
    this.#options.clock.defer(() => {
      this.#isScheduled = false;
      this.#work();
    });
  }

  #work(): void {
    if (this.#isStopped) return;
    let steps = 0;
    for (const uid of [...this.#due]) {
      if (steps >= STEPS_MAX) break;
      steps += 1;
      this.#due.delete(uid);
      try {
        this.#options.store.transact((transaction) => this.#look(transaction, uid));
      } catch (error) {
        if (!HoldfastError.is(error)) throw error;
        this.#options.log.warn('garbage was not collected, will retry', { code: error.code });
        this.#due.add(uid);
        this.#options.clock.after(RETRY_MS, () => this.#schedule());
        return;
      }
    }
    if (this.#due.size > 0) this.#schedule();
  }

  #look(transaction: StoreTransaction, uid: string): void {
    const key = this.#index.keyOf(uid);
    const object = key === undefined ? undefined : transaction.find(key);
    if (object === undefined) return;
    const { deletionTimestamp, finalizers = [], ownerReferences = [] } = metaOf(object);
    if (deletionTimestamp !== undefined) {
      if (finalizers.includes(ORPHAN_FINALIZER)) this.#orphan(transaction, object);
      else if (finalizers.includes(FOREGROUND_FINALIZER)) this.#deleteBefore(transaction, object);
      if (key?.resource === '/namespaces') this.#empty(transaction, object);
      return;
    }
    if (ownerReferences.length > 0) this.#checkOwners(transaction, object, ownerReferences);
  }

  #checkOwners(
    transaction: StoreTransaction,
    object: JsonObject,
    owners: readonly OwnerFields[],
  ): void {
    // An owner of a kind that we do not have may exist elsewhere.
    const isKnown = (one: OwnerFields): boolean =>
      this.#options.catalog.findKind(one.apiVersion, one.kind) !== undefined;
    const dangling = owners.filter((one) => isKnown(one) && !this.#isOwner(one, object));
    if (dangling.length === 0) return;
    const solid = owners.filter((one) => !dangling.includes(one));
    if (solid.length === 0) this.#delete(transaction, object, 'Background');
    else this.#setOwners(transaction, object, solid);
  }

  /** The owner exists, in the same namespace or in none. */
  #isOwner(owner: OwnerFields, object: JsonObject): boolean {
    const key = this.#index.keyOf(owner.uid);
    if (key === undefined) return false;
    return key.namespace === '' || key.namespace === metaOf(object).namespace;
  }

  #orphan(transaction: StoreTransaction, owner: JsonObject): void {
    const { uid = '' } = metaOf(owner);
    for (const dependent of this.#dependentsOf(transaction, uid)) {
      const kept = (metaOf(dependent).ownerReferences ?? []).filter((one) => one.uid !== uid);
      this.#setOwners(transaction, dependent, kept);
    }
    this.#removeFinalizer(transaction, owner, ORPHAN_FINALIZER);
  }

  #deleteBefore(transaction: StoreTransaction, owner: JsonObject): void {
    const { uid = '' } = metaOf(owner);
    for (const dependent of this.#dependentsOf(transaction, uid)) {
      const owners = metaOf(dependent).ownerReferences ?? [];
      const hasOther = owners.some((one) => one.uid !== uid && this.#isOwner(one, dependent));
      if (hasOther) {
        const others = owners.filter((one) => one.uid !== uid);
        this.#setOwners(transaction, dependent, others);
      } else if (metaOf(dependent).deletionTimestamp === undefined) {
        this.#delete(transaction, dependent, 'Foreground');
      }
    }
    const blocking = this.#dependentsOf(transaction, uid).some((dependent) =>
      (metaOf(dependent).ownerReferences ?? []).some(
        (one) => one.uid === uid && one.blockOwnerDeletion === true,
      ),
    );
    if (!blocking) this.#removeFinalizer(transaction, owner, FOREGROUND_FINALIZER);
  }

  #empty(transaction: StoreTransaction, namespace: JsonObject): void {
    const { name = '' } = metaOf(namespace);
    let left = 0;
    for (const [table, resource] of this.#options.catalog.stored) {
      if (!resource.isNamespaced) continue;
      for (const object of transaction.list(table, name)) {
        this.#delete(transaction, object, 'Background');
      }
      left += transaction.list(table, name).length;
    }
    const now = transaction.find({ resource: '/namespaces', namespace: '', name });
    if (left > 0 || now === undefined) return;
    const { finalizers: _done, ...spec } = (now['spec'] ?? {}) as JsonObject;
    this.#finish(transaction, { ...now, spec });
  }

  #dependentsOf(transaction: StoreTransaction, uid: string): readonly JsonObject[] {
    return this.#index.dependentsOf(uid).flatMap((dependent) => {
      const key = this.#index.keyOf(dependent);
      const object = key === undefined ? undefined : transaction.find(key);
      return object === undefined ? [] : [object];
    });
  }

  #removeFinalizer(transaction: StoreTransaction, object: JsonObject, finalizer: string): void {
    const left = (metaOf(object).finalizers ?? []).filter((one) => one !== finalizer);
    this.#finish(
      transaction,
      withMeta(object, { finalizers: left.length === 0 ? undefined : left }),
    );
  }

  /** Gone when nothing holds it any more. */
  #finish(transaction: StoreTransaction, object: JsonObject): void {
    const spec = (object['spec'] ?? {}) as { readonly finalizers?: readonly string[] };
    const isNamespace = object['kind'] === 'Namespace' && object['apiVersion'] === 'v1';
    const isHeld = isNamespace && (spec.finalizers ?? []).length > 0;
    const isFree = (metaOf(object).finalizers ?? []).length === 0 && !isHeld;
    if (isFree) transaction.delete(this.#keyOf(object));
    else this.#put(transaction, object);
  }

  #delete(transaction: StoreTransaction, object: JsonObject, propagation: Propagation): void {
    const resource = this.#resourceOf(object);
    const options = {
      isDryRun: false,
      // What is deleted with a policy of its own keeps it.
      propagation: metaOf(object).deletionTimestamp === undefined ? propagation : undefined,
      uid: metaOf(object).uid,
      resourceVersion: undefined,
    };
    const now = formatTime(this.#options.clock.wallMs());
    deleteObject(transaction, resource, object, options, now);
  }

  /** A write like others: nobody owns a reference any more that is gone. */
  #setOwners(
    transaction: StoreTransaction,
    before: JsonObject,
    owners: readonly OwnerFields[],
  ): void {
    const resource = this.#resourceOf(before);
    const ownerReferences = owners.length === 0 ? undefined : owners;
    const after = trackUpdate({
      before,
      after: withMeta(before, { ownerReferences }),
      manager: MANAGER,
      schema: resource.schema,
      apiVersion: groupVersion(resource),
      subresource: '',
      now: formatTime(this.#options.clock.wallMs()),
    });
    this.#put(transaction, after);
  }

  #put(transaction: StoreTransaction, object: JsonObject): void {
    transaction.put(this.#keyOf(object), object);
  }

  #keyOf(object: JsonObject) {
    return keyOfObject(this.#resourceOf(object), object);
  }

  #resourceOf(object: JsonObject) {
    const { apiVersion, kind } = object as { readonly apiVersion: string; readonly kind: string };
    const resource = this.#options.catalog.findKind(apiVersion, kind);
    if (resource === undefined) {
      throw new HoldfastError('store-corrupt', 'Object is of no known kind', {
        details: { apiVersion, kind },
      });
    }
    return resource;
  }
}
