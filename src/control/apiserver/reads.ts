/** Get and list: pages, selectors, and lists as they were at a version. */
import type { JsonObject, Resource } from '#api/resources/mod.ts';
import { Buffer } from 'node:buffer';
import { metaOf } from './catalog.ts';
import { fromStoredForm } from './event-form.ts';
import type { ApiFailure } from './failure.ts';
import { badRequest, expired, notFound, versionTooHigh } from './failure.ts';
import { groupVersion, storeName } from './names.ts';
import type { Change, ObjectStore } from './object-store.ts';
import { orderOf, orderOfObject } from './object-store.ts';
import { flagOf, invalidOptions, numberOf } from './request.ts';
import type { ResourceRequest } from './request.ts';
import { parseFieldSelector, parseLabelSelector } from './selectors.ts';
import type { Selector } from './selectors.ts';

export interface ListMeta {
  readonly resourceVersion: string;
  readonly continue?: string;
  readonly remainingItemCount?: number;
}

export interface ListAnswer {
  readonly metadata: ListMeta;
  readonly items: readonly JsonObject[];
}

export function getObject(store: ObjectStore, to: ResourceRequest): JsonObject {
  const asked = versionOf(to.request.query);
  if (asked !== undefined && asked > store.version) throw versionTooHigh(asked, store.version);
  const { resource, namespace, name } = to;
  const found = store.find({ resource: storeName(resource), namespace, name });
  if (found === undefined) throw notFound(resource, name);
  return fromStoredForm(resource, found);
}

/** Undefined when absent; 0 is "any". */
export function versionOf(query: URLSearchParams): number | undefined {
  const text = query.get('resourceVersion') ?? '';
  if (text === '') return undefined;
  if (/^\d{1,15}$/.test(text)) return Number(text);
  const message =
    `Invalid value: ${JSON.stringify(text)}: strconv.ParseUint: parsing ` +
    `${JSON.stringify(text)}: invalid syntax`;
  throw badRequest(`invalid resource version: resourceVersion: ${message}`);
}

/** By labels, fields and, for a watch of one object, its name. */
export function selectorOf(to: ResourceRequest): Selector | undefined {
  const { query } = to.request;
  const labels = parseLabelSelector(query.get('labelSelector'));
  const fields = parseFieldSelector(query.get('fieldSelector'), to.resource);
  if (labels === undefined) return fields;
  if (fields === undefined) return labels;
  return (object) => labels(object) && fields(object);
}

export function listObjects(store: ObjectStore, to: ResourceRequest): ListAnswer {
  const { query } = to.request;
  if (flagOf(query, 'sendInitialEvents') !== undefined) {
    const message = 'Forbidden: sendInitialEvents is forbidden for list';
    throw invalidOptions('ListOptions', 'FieldValueForbidden', 'sendInitialEvents', message);
  }
  const limit = numberOf(query, 'limit') ?? 0;
  const from = startOf(store, query);
  const selector = selectorOf(to);
  const all = objectsAt(store, to, from.version);
  const rest = from.after === '' ? all : all.filter((one) => orderOfObject(one) > from.after);
  const chosen = selector === undefined ? rest : rest.filter(selector);
  const isLast = limit <= 0 || chosen.length <= limit;
  const items = isLast ? chosen : chosen.slice(0, limit);
  const last = items.at(-1);
  return {
    items,
    metadata: {
      resourceVersion: String(from.version),
      ...(isLast || last === undefined
        ? {}
        : { continue: encodeToken({ version: from.version, after: orderOfObject(last) }) }),
      // As there: what a selector will leave out of the rest is not counted beforehand.
      ...(isLast || selector !== undefined
        ? {}
        : { remainingItemCount: chosen.length - items.length }),
    },
  };
}

interface PageStart {
  /** The list is as of this version. */
  readonly version: number;
  /** `namespace/name` of the last object of the page before. */
  readonly after: string;
}

function startOf(store: ObjectStore, query: URLSearchParams): PageStart {
  const match = query.get('resourceVersionMatch') ?? '';
  const asked = versionOf(query);
  const token = query.get('continue') ?? '';
  if (token !== '') return continueFrom(store, token, asked);
  checkMatch(match, asked);
  if (asked === undefined || asked === 0) return { version: store.version, after: '' };
  if (asked > store.version) throw versionTooHigh(asked, store.version);
  if (match !== 'Exact') return { version: store.version, after: '' };
  if (asked < store.compactedVersion) throw tooOld(asked, store);
  return { version: asked, after: '' };
}

function checkMatch(match: string, asked: number | undefined): void {
  if (match === '') return;
  const say = (reason: 'FieldValueForbidden' | 'FieldValueNotSupported', message: string) =>
    invalidOptions('ListOptions', reason, 'resourceVersionMatch', message);
  if (match !== 'Exact' && match !== 'NotOlderThan') {
    const supported = 'supported values: "Exact", "NotOlderThan", ""';
    throw say(
      'FieldValueNotSupported',
      `Unsupported value: ${JSON.stringify(match)}: ${supported}`,
    );
  }
  if (asked === undefined) {
    const why = 'resourceVersionMatch is forbidden unless resourceVersion is provided';
    throw say('FieldValueForbidden', `Forbidden: ${why}`);
  }
  if (match === 'Exact' && asked === 0) {
    const why = 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"';
    throw say('FieldValueForbidden', `Forbidden: ${why}`);
  }
}

const CONTINUE_EXPIRED =
  'The provided continue parameter is too old to display a consistent list result. ' +
  'You can start a new list without the continue parameter, or use the continue ' +
  'token in this response to retrieve the remainder of the results. Continuing ' +
  'with the provided token results in an inconsistent list - objects that were ' +
  'created, modified, or deleted between the time the first chunk was returned and ' +
  'now may show up in the list.';

/** The version -1 in a token: go on with what is there now. */
const INCONSISTENT = -1;

function continueFrom(store: ObjectStore, token: string, asked: number | undefined): PageStart {
  if (asked !== undefined && asked !== 0) {
    throw badRequest('specifying resource version is not allowed when using continue');
  }
  const start = decodeToken(token);
  if (start.version === INCONSISTENT) return { ...start, version: store.version };
  if (start.version >= store.compactedVersion && start.version <= store.version) return start;
  const failure = expired(CONTINUE_EXPIRED);
  const next = encodeToken({ version: INCONSISTENT, after: start.after });
  throw withListMeta(failure, { continue: next });
}

function withListMeta(failure: ApiFailure, metadata: JsonObject): ApiFailure {
  Object.assign(failure.body.metadata, metadata);
  return failure;
}

/** Opaque to clients. */
function encodeToken(start: PageStart): string {
  const { version: rv, after: start_ } = start;
  const text = JSON.stringify({ v: 'meta.k8s.io/v1', rv, start: start_ });
  return Buffer.from(text).toString('base64url');
}

function decodeToken(token: string): PageStart {
  try {
    const { v, rv, start } = JSON.parse(Buffer.from(token, 'base64url').toString()) as JsonObject;
    if (v === 'meta.k8s.io/v1' && Number.isSafeInteger(rv) && typeof start === 'string') {
      return { version: rv as number, after: start };
    }
  } catch {
    // The same answer as for a token of another form.
  }
  // In Go's words: the first character that is no JSON after the base64 was undone.
  const first = Buffer.from(token, 'base64url').toString('latin1').slice(0, 1);
  const shown = first.replaceAll(
    /[^ -~]/g,
    (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
  throw badRequest(
    `invalid continue token: continue key is not valid: invalid character '${shown}' ` +
      'looking for beginning of value',
  );
}

export function tooOld(asked: number, store: ObjectStore): ApiFailure {
  return expired(`too old resource version: ${asked} (${store.compactedVersion + 1})`);
}

/** What the collection held at a version that the history reaches back to. */
export function objectsAt(
  store: ObjectStore,
  to: Pick<ResourceRequest, 'resource' | 'namespace' | 'name'>,
  version: number,
): readonly JsonObject[] {
  const { resource, namespace, name } = to;
  const now = store.list(storeName(resource), namespace === '' ? undefined : namespace);
  const then = version === store.version ? now : undo(store, to, now, version);
  const named = name === '' ? then : then.filter((object) => metaOf(object).name === name);
  return resource.kind === 'Event' ? named.map((one) => fromStoredForm(resource, one)) : named;
}

function undo(
  store: ObjectStore,
  to: Pick<ResourceRequest, 'resource' | 'namespace'>,
  now: readonly JsonObject[],
  version: number,
): readonly JsonObject[] {
  // The first change after the version says what was there at it.
  const then = new Map<string, JsonObject | undefined>();
  for (let at: Change | undefined = store.changeAfter(version); at !== undefined; ) {
    const isOurs =
      at.resource === storeName(to.resource) &&
      (to.namespace === '' || at.namespace === to.namespace);
    const order = orderOf(at.namespace, at.name);
    if (isOurs && !then.has(order)) then.set(order, at.before);
    at = store.changeAfter(at.version);
  }
  const kept = now.filter((object) => !then.has(orderOfObject(object)));
  for (const before of then.values()) if (before !== undefined) kept.push(before);
  return kept.sort((a, b) => (orderOfObject(a) < orderOfObject(b) ? -1 : 1));
}

/** As it goes out: lists of built-in kinds do not repeat kind and version in each item. */
export function listBody(resource: Resource, list: ListAnswer): JsonObject {
  const items = resource.isCustom ? list.items : list.items.map(withoutKind);
  // Go leaves an empty one out; of custom kinds the list is no struct of Go.
  const metadata = resource.isCustom ? { continue: '', ...list.metadata } : list.metadata;
  return { kind: resource.listKind, apiVersion: groupVersion(resource), metadata, items };
}

function withoutKind(object: JsonObject): JsonObject {
  const { kind: _kind, apiVersion: _apiVersion, ...rest } = object;
  return rest;
}
