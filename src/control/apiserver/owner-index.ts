/** Who owns whom, by uid; kept level with the store. */
import type { JsonObject } from '#api/resources/mod.ts';
import type { Catalog } from './catalog.ts';
import { keyOfObject, metaOf } from './catalog.ts';
import type { Change, ObjectStore, StoreKey } from './object-store.ts';

export class OwnerIndex {
  readonly #keys = new Map<string, StoreKey>();
  readonly #dependents = new Map<string, Set<string>>();

  constructor(store: ObjectStore, catalog: Catalog) {
    for (const [table, resource] of catalog.stored) {
      for (const object of store.list(table)) this.#add(keyOfObject(resource, object), object);
    }
  }

  has(uid: string): boolean {
    return this.#keys.has(uid);
  }

  keyOf(uid: string): StoreKey | undefined {
    return this.#keys.get(uid);
  }

  dependentsOf(uid: string): readonly string[] {
    return [...(this.#dependents.get(uid) ?? [])];
  }

  uids(): readonly string[] {
    return [...this.#keys.keys()];
  }

  follow({ resource, namespace, name, before, after }: Change): void {
    if (before !== undefined) this.#remove(before);
    if (after !== undefined) this.#add({ resource, namespace, name }, after);
  }

  #add(key: StoreKey, object: JsonObject): void {
    const { uid, ownerReferences = [] } = metaOf(object);
    if (uid === undefined) return;
    this.#keys.set(uid, key);
    for (const owner of ownerReferences) {
      let dependents = this.#dependents.get(owner.uid);
      if (dependents === undefined) this.#dependents.set(owner.uid, (dependents = new Set()));
      dependents.add(uid);
    }
  }

  #remove(object: JsonObject): void {
    const { uid, ownerReferences = [] } = metaOf(object);
    if (uid === undefined) return;
    this.#keys.delete(uid);
    for (const owner of ownerReferences) {
      const dependents = this.#dependents.get(owner.uid);
      dependents?.delete(uid);
      if (dependents?.size === 0) this.#dependents.delete(owner.uid);
    }
  }
}
