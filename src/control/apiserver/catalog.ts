/** The resources that the server has, by what requests and objects call them. */
import type { JsonObject, Resource } from '#api/resources/mod.ts';
import { groupVersion, storeName } from './names.ts';
import type { StoreKey } from './object-store.ts';

export class Catalog {
  readonly all: readonly Resource[];
  /** One for each table of the store: the version that objects are stored in. */
  readonly stored: ReadonlyMap<string, Resource>;
  readonly #byPlural = new Map<string, Resource>();
  readonly #byKind = new Map<string, Resource>();

  constructor(resources: readonly Resource[]) {
    this.all = resources;
    const stored = new Map<string, Resource>();
    for (const resource of resources) {
      this.#byPlural.set(`${groupVersion(resource)}/${resource.plural}`, resource);
      this.#byKind.set(`${groupVersion(resource)}/${resource.kind}`, resource);
      const name = storeName(resource);
      if (!stored.has(name) || resource.group === '') stored.set(name, resource);
    }
    this.stored = stored;
  }

  find(group: string, version: string, plural: string): Resource | undefined {
    return this.#byPlural.get(`${groupVersion({ group, version })}/${plural}`);
  }

  findKind(apiVersion: string, kind: string): Resource | undefined {
    return this.#byKind.get(`${apiVersion}/${kind}`);
  }

  hasGroupVersion(group: string, version: string): boolean {
    return this.all.some((one) => one.group === group && one.version === version);
  }
}

/** As the server keeps and changes it. */
export interface MetaFields {
  readonly name?: string;
  readonly generateName?: string;
  readonly namespace?: string;
  readonly uid?: string;
  readonly resourceVersion?: string;
  readonly generation?: number;
  readonly creationTimestamp?: string;
  readonly deletionTimestamp?: string;
  readonly deletionGracePeriodSeconds?: number;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly finalizers?: readonly string[];
  readonly ownerReferences?: readonly OwnerFields[];
  readonly managedFields?: readonly JsonObject[];
}

export interface OwnerFields {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
  readonly controller?: boolean;
  readonly blockOwnerDeletion?: boolean;
}

export function metaOf(object: JsonObject): MetaFields {
  return (object['metadata'] ?? {}) as MetaFields;
}

/** Undefined values take the field away. */
export function withMeta(
  object: JsonObject,
  change: { readonly [Field in keyof MetaFields]?: MetaFields[Field] | undefined },
): JsonObject {
  const metadata: Record<string, unknown> = { ...metaOf(object) };
  for (const [field, value] of Object.entries(change)) {
    if (value === undefined) delete metadata[field];
    else metadata[field] = value;
  }
  return { ...object, metadata };
}

/** As Go's struct of them is written. */
const META_ORDER: readonly (keyof MetaFields)[] = [
  'name',
  'generateName',
  'namespace',
  'uid',
  'resourceVersion',
  'generation',
  'creationTimestamp',
  'deletionTimestamp',
  'deletionGracePeriodSeconds',
  'labels',
  'annotations',
  'ownerReferences',
  'finalizers',
  'managedFields',
];

/**
 * Kind, version and metadata first, in the order of the real server: who prints what was sent sees
 * it. The version is not known before the write, and has its place kept.
 */
export function inOrder(object: JsonObject): JsonObject {
  const { kind, apiVersion, metadata: _metadata, ...rest } = object;
  const meta = { ...metaOf(object) };
  const metadata: Record<string, unknown> = {};
  for (const field of META_ORDER) {
    if (meta[field] !== undefined) metadata[field] = meta[field];
    else if (field === 'resourceVersion') metadata[field] = '';
  }
  return { kind, apiVersion, metadata: { ...metadata, ...meta }, ...rest };
}

export function keyOfObject(resource: Resource, object: JsonObject): StoreKey {
  const { namespace = '', name = '' } = metaOf(object);
  return { resource: storeName(resource), namespace, name };
}
