/**
 * Create, replace, patch and delete. Each is one transaction: what it read cannot have changed when
 * it writes, so only a client's own resourceVersion makes a conflict.
 */
import { formatTime } from '#api/kinds/mod.ts';
import type { JsonObject, Resource } from '#api/resources/mod.ts';
import type { Clock, Rng } from '#host/mod.ts';
import { isDeepStrictEqual } from 'node:util';
import {
  bodyOf,
  checkObject,
  chooseParts,
  decodeObject,
  fillDefaults,
  keepIdentity,
  withStatus,
} from './admission.ts';
import type { BodyOrigin } from './admission.ts';
import { inOrder, keyOfObject, metaOf, withMeta } from './catalog.ts';
import { checkResize } from './claim-resize.ts';
import { defaultClassOf } from './default-class.ts';
import { deleteObject, holdsContent, parseDeleteOptions } from './deletion.ts';
import type { DeleteOptions, Deleted } from './deletion.ts';
import { fromStoredForm, toStoredForm } from './event-form.ts';
import {
  alreadyExists,
  badRequest,
  conflict,
  forbidden,
  invalid,
  notFound,
  tooLarge,
  ApiFailure,
} from './failure.ts';
import { requiredValue, invalidValue } from './check-meta.ts';
import { emptyOf, saidBy } from './first-owner.ts';
import { groupVersion, storeName } from './names.ts';
import type { ObjectStore, StoreKey, StoreTransaction } from './object-store.ts';
import { trackUpdate } from './patch/mod.ts';
import type { ResourceRequest, WriteOptions } from './request.ts';
import { withPhaseTime, withProtection } from './storage-protection.ts';
import { createUid, nameSuffix } from './uid.ts';

export interface WriterOptions {
  readonly store: ObjectStore;
  readonly clock: Clock;
  readonly rng: Rng;
}

/** What etcd refuses. */
export const OBJECT_BYTES_MAX = 1_572_864;
/** A generated name and its suffix fit a label. */
const GENERATED_BASE_MAX = 58;
const GENERATE_TRIES = 8;

export interface Written {
  readonly object: JsonObject;
  readonly isCreated: boolean;
}

export class Writer {
  readonly #store: ObjectStore;
  readonly #clock: Clock;
  readonly #rng: Rng;

  constructor(options: WriterOptions) {
    this.#store = options.store;
    this.#clock = options.clock;
    this.#rng = options.rng;
  }

  now(): string {
    return formatTime(this.#clock.wallMs());
  }

  create(to: ResourceRequest, value: unknown, options: WriteOptions): JsonObject {
    const { resource } = to;
    const body = this.#decode(to, value, options, { kind: 'body' });
    const object = placeIn(to, body);
    if (metaOf(object).resourceVersion !== undefined) {
      const message = 'resourceVersion should not be set on objects to be created';
      throw new ApiFailure(500, '', message, undefined);
    }
    return this.#store.transact((transaction) => {
      this.#checkNamespace(transaction, resource, object);
      const named = this.#named(transaction, resource, object);
      const tracked = (draft: JsonObject): JsonObject =>
        this.#track(to, emptyOf(resource), draft, options);
      return this.#insert(transaction, resource, named, tracked, options.isDryRun);
    });
  }

  update(to: ResourceRequest, value: unknown, options: WriteOptions): JsonObject {
    const { resource, name } = to;
    const wanted = placeIn(to, this.#decode(to, value, options, { kind: 'body' }));
    const said = metaOf(wanted).name ?? '';
    if (said !== name) {
      throw badRequest(
        said === ''
          ? 'name must be provided'
          : `the name of the object (${said}) does not match the name on the URL (${name})`,
      );
    }
    return this.#store.transact((transaction) => {
      const before = this.#mustFind(transaction, to);
      if (metaOf(wanted).resourceVersion === undefined && resource.isCustom) {
        const why = 'must be specified for an update';
        throw invalid(resource, name, [
          {
            ...invalidValue('metadata.resourceVersion', 0, why),
            message: `Invalid value: 0x0: ${why}`,
          },
        ]);
      }
      const tracked = (draft: JsonObject): JsonObject => this.#track(to, before, draft, options);
      return this.#replace(transaction, to, before, wanted, tracked, options.isDryRun);
    });
  }

  /**
   * `change` turns what is there into what shall be there; it sees undefined when nothing is, and
   * returns undefined for 404.
   */
  patch(
    to: ResourceRequest,
    options: WriteOptions,
    change: (
      before: JsonObject | undefined,
    ) => { readonly object: unknown; readonly isTracked: boolean } | undefined,
    origin: BodyOrigin,
  ): Written {
    const { resource, name } = to;
    return this.#store.transact((transaction) => {
      const before = this.#find(transaction, to);
      const changed = change(before);
      if (changed === undefined) throw notFound(resource, name);
      const wanted = placeIn(to, this.#decode(to, changed.object, options, origin));
      const said = metaOf(wanted).name ?? '';
      if (before !== undefined && said !== name) {
        throw badRequest(
          `the name of the object (${said}) does not match the name on the URL (${name})`,
        );
      }
      const tracked = (draft: JsonObject): JsonObject =>
        changed.isTracked ? draft : this.#track(to, before, draft, options);
      if (before !== undefined) {
        const object = this.#replace(transaction, to, before, wanted, tracked, options.isDryRun);
        return { object, isCreated: false };
      }
      this.#checkNamespace(transaction, resource, wanted);
      const named = withMeta(wanted, { name });
      const object = this.#insert(transaction, resource, named, tracked, options.isDryRun);
      return { object, isCreated: true };
    });
  }

  delete(to: ResourceRequest, body: unknown): Deleted {
    const options = parseDeleteOptions(body, to.request.query);
    return this.#store.transact((transaction) => {
      const before = transaction.find(keyOf(to));
      if (before === undefined) throw notFound(to.resource, to.name);
      const deleted = deleteObject(transaction, to.resource, before, options, this.now());
      return { ...deleted, object: fromStoredForm(to.resource, deleted.object) };
    });
  }

  /** Each by itself, as the real server does it. */
  deleteAll(resource: Resource, objects: readonly JsonObject[], options: DeleteOptions): void {
    const now = this.now();
    for (const object of objects) {
      this.#store.transact((transaction) => {
        const stored = transaction.find(keyOfObject(resource, object));
        if (stored !== undefined) deleteObject(transaction, resource, stored, options, now);
      });
    }
  }

  #decode(
    to: ResourceRequest,
    value: unknown,
    options: WriteOptions,
    origin: BodyOrigin,
  ): JsonObject {
    const { fieldValidation } = options;
    return decodeObject(to.resource, value, { fieldValidation, origin, warnings: to.warnings });
  }

  #find(transaction: StoreTransaction, to: ResourceRequest): JsonObject | undefined {
    const stored = transaction.find(keyOf(to));
    return stored === undefined ? undefined : fromStoredForm(to.resource, stored);
  }

  #mustFind(transaction: StoreTransaction, to: ResourceRequest): JsonObject {
    const found = this.#find(transaction, to);
    if (found === undefined) throw notFound(to.resource, to.name);
    return found;
  }

  #track(
    to: ResourceRequest,
    before: JsonObject | undefined,
    after: JsonObject,
    options: WriteOptions,
  ): JsonObject {
    const { resource, subresource } = to;
    return trackUpdate({
      before,
      after,
      manager: options.fieldManager,
      schema: resource.schema,
      apiVersion: groupVersion(resource),
      subresource,
      now: this.now(),
    });
  }

  #checkNamespace(transaction: StoreTransaction, resource: Resource, object: JsonObject): void {
    const { namespace, name = '' } = metaOf(object);
    if (!resource.isNamespaced || namespace === undefined) return;
    const found = transaction.find({ resource: '/namespaces', namespace: '', name: namespace });
    if (found === undefined)
      throw notFound({ ...resource, group: '', plural: 'namespaces' }, namespace);
    if (metaOf(found).deletionTimestamp === undefined) return;
    throw forbidden(
      resource,
      name,
      `unable to create new content in namespace ${namespace} because it is being terminated`,
      [
        {
          reason: 'NamespaceTerminating',
          message: `namespace ${namespace} is being terminated`,
          field: 'metadata.namespace',
        },
      ],
    );
  }

  #named(transaction: StoreTransaction, resource: Resource, object: JsonObject): JsonObject {
    const { name, generateName } = metaOf(object);
    if (name !== undefined || generateName === undefined) return object;
    const base = generateName.slice(0, GENERATED_BASE_MAX);
    for (let attempt = 0; ; attempt += 1) {
      const named = withMeta(object, { name: base + nameSuffix(this.#rng) });
      const isFree = transaction.find(keyOfObject(resource, named)) === undefined;
      if (isFree || attempt >= GENERATE_TRIES) return named;
    }
  }

  #insert(
    transaction: StoreTransaction,
    resource: Resource,
    wanted: JsonObject,
    track: (object: JsonObject) => JsonObject,
    isDryRun: boolean,
  ): JsonObject {
    const fresh = withMeta(resource.hasStatus ? withStatus(wanted, undefined) : wanted, {
      uid: createUid(this.#rng),
      creationTimestamp: this.now(),
      generation: resource.hasGeneration ? 1 : undefined,
      resourceVersion: undefined,
      deletionTimestamp: undefined,
      deletionGracePeriodSeconds: undefined,
    });
    const object = fillDefaults(resource, defaultClassOf(transaction, resource, fresh));
    const { name = '' } = metaOf(object);
    const key = keyOfObject(resource, object);
    checkObject(resource, object, undefined);
    const other = transaction.find(key);
    if (other !== undefined) throw alreadyExists(resource, name, isDeleting(other));
    const { managedFields } = metaOf(track(saidBy(wanted, object, resource)));
    const admitted = withPhaseTime(
      resource,
      undefined,
      withProtection(resource, withMeta(object, { managedFields })),
      this.now(),
    );
    const stored = toStoredForm(resource, sized(admitted));
    const answer = isDryRun ? stored : transaction.put(key, inOrder(stored));
    return fromStoredForm(resource, answer);
  }

  #replace(
    transaction: StoreTransaction,
    to: ResourceRequest,
    before: JsonObject,
    wanted: JsonObject,
    track: (object: JsonObject) => JsonObject,
    isDryRun: boolean,
  ): JsonObject {
    const { resource, subresource } = to;
    checkVersion(resource, before, wanted);
    const parts = chooseParts(resource, subresource, before, keepIdentity(before, wanted));
    const filled = fillDefaults(resource, parts);
    const isBodyChanged = !isDeepStrictEqual(bodyOf(before), bodyOf(filled));
    const generation = (metaOf(before).generation ?? 0) + (isBodyChanged ? 1 : 0);
    const counted = resource.hasGeneration ? withMeta(filled, { generation }) : filled;
    checkObject(resource, counted, before, subresource);
    checkResize(transaction, resource, before, counted);
    const after = sized(withPhaseTime(resource, before, track(counted), this.now()));
    if (isSame(before, after)) return before;
    const { deletionTimestamp, finalizers = [] } = metaOf(after);
    const key = keyOfObject(resource, after);
    const isOver =
      deletionTimestamp !== undefined && finalizers.length === 0 && !holdsContent(resource, after);
    if (isDryRun) return after;
    if (isOver) {
      transaction.delete(key);
      return after;
    }
    return fromStoredForm(resource, transaction.put(key, inOrder(toStoredForm(resource, after))));
  }
}

function keyOf(to: ResourceRequest): StoreKey {
  return { resource: storeName(to.resource), namespace: to.namespace, name: to.name };
}

/** The namespace of the path is the object's, or they contradict each other. */
function placeIn(to: ResourceRequest, object: JsonObject): JsonObject {
  const { resource, namespace } = to;
  if (!resource.isNamespaced) return withMeta(object, { namespace: metaOf(object).namespace });
  const said = metaOf(object).namespace;
  if (said !== undefined && said !== namespace) {
    throw badRequest(
      'the namespace of the provided object does not match the namespace sent on the request',
    );
  }
  return withMeta(object, { namespace });
}

function checkVersion(resource: Resource, before: JsonObject, wanted: JsonObject): void {
  const was = metaOf(before);
  const { resourceVersion, uid } = metaOf(wanted);
  const name = was.name ?? '';
  if (uid !== undefined && uid !== was.uid) {
    throw invalid(resource, name, [invalidValue('metadata.uid', uid, 'field is immutable')]);
  }
  if (resourceVersion !== undefined && resourceVersion !== was.resourceVersion) {
    throw conflict(resource, name);
  }
}

function sized(object: JsonObject): JsonObject {
  // A character is at most three bytes, and most objects are small.
  const text = JSON.stringify(object);
  const isSmall = text.length * 3 <= OBJECT_BYTES_MAX;
  if (isSmall || Buffer.byteLength(text) <= OBJECT_BYTES_MAX) return object;
  throw tooLarge(OBJECT_BYTES_MAX);
}

function isDeleting(object: JsonObject): boolean {
  return metaOf(object).deletionTimestamp !== undefined;
}

/** But for the times at which managers wrote. */
function isSame(before: JsonObject, after: JsonObject): boolean {
  return isDeepStrictEqual(untimed(before), untimed(after));
}

function untimed(object: JsonObject): JsonObject {
  const { managedFields } = metaOf(object);
  if (managedFields === undefined) return object;
  return withMeta(object, {
    managedFields: managedFields.map(({ time: _time, ...entry }) => entry),
  });
}

/** For server-side apply: its manager must be named. */
export function demandManager(query: URLSearchParams): void {
  if ((query.get('fieldManager') ?? '') !== '') return;
  throw invalid({ group: 'meta.k8s.io', kind: 'PatchOptions' }, '', [
    requiredValue('fieldManager', 'is required for apply patch'),
  ]);
}
