/**
 * Server-side apply, and the record of who changed what in any other write: the chain of
 * Kubernetes' field managers (apimachinery/pkg/util/managedfields) around `ownership.ts`.
 */
import type { JsonObject, Schema } from '#api/resources/mod.ts';
import { atomOf } from './atom.ts';
import { FieldSet } from './field-set.ts';
import { getKey, goJson, isMap, type JsonMap } from './json.ts';
import {
  compareText,
  compareTimes,
  decodeManagers,
  encodeManagers,
  isReset,
  keyOf,
  type ManagerEntry,
  type Managers,
} from './managers.ts';
import {
  type Applied,
  type Conflict,
  ownApply,
  type OwnershipRules,
  ownUpdate,
} from './ownership.ts';
import { fieldElement } from './path-element.ts';
import { badPatch, demandDepth } from './refusal.ts';
import { compareTyped, fieldSetOf, findMisfits } from './typed-values.ts';

export interface TrackedWrite {
  /** As in `fieldManager`; empty is "unknown". */
  readonly manager: string;
  readonly schema: Schema;
  readonly apiVersion: string;
  /** Empty for the object itself. */
  readonly subresource: string;
  /** RFC 3339; fractions of a second are dropped. */
  readonly now: string;
}

export interface ApplyRequest extends TrackedWrite {
  /** Undefined when the object is to be created. */
  readonly live: JsonObject | undefined;
  readonly applied: JsonObject;
  readonly force: boolean;
}

export interface UpdateRequest extends TrackedWrite {
  /** Undefined when the object is created. */
  readonly before: JsonObject | undefined;
  readonly after: JsonObject;
}

/** kubectl keeps here what it applied on the client's side. */
const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration';
const ANNOTATIONS_BYTES_MAX = 256 * 1024;
const UPDATERS_MAX = 10;
const ANCIENT = 'ancient-changes';
const BEFORE_FIRST_APPLY = 'before-first-apply';

/** Nobody's: they identify the object, or the server writes them. */
const UNTRACKED = FieldSet.of(
  [fieldElement('apiVersion')],
  [fieldElement('kind')],
  [fieldElement('metadata')],
  ...[
    'name',
    'namespace',
    'creationTimestamp',
    'selfLink',
    'uid',
    'clusterName',
    'generation',
    'managedFields',
    'resourceVersion',
  ].map((name) => [fieldElement('metadata'), fieldElement(name)]),
);

/**
 * `object` has its managedFields; it is the live one when there are conflicts, or nothing to do.
 * Throws HoldfastError('invalid-argument') for a configuration that does not fit the schema.
 */
export function serverSideApply(request: ApplyRequest): {
  object: JsonObject;
  conflicts: readonly Conflict[];
} {
  const { applied, apiVersion, schema } = request;
  demandDepth(applied);
  if (getKey(metadataOf(applied), 'managedFields') !== undefined) {
    throw badPatch('metadata.managedFields must be nil');
  }
  if (applied['apiVersion'] !== apiVersion) {
    const patchVersion = textOf(applied['apiVersion']);
    throw badPatch(
      'Incorrect version specified in apply patch. ' +
        `Specified patch version: ${patchVersion}, expected: ${apiVersion}`,
    );
  }
  const misfits = findMisfits(atomOf(schema), applied);
  if (misfits.length > 0) throw misfit(applied, misfits);

  const live = request.live ?? emptyLike(applied);
  const managers = decodeManagers(getKey(metadataOf(live), 'managedFields'));
  if (managers === undefined) throw badPatch('failed to decode managed fields', 500);
  const result = applyAs(request, withoutManagers(live), managers);
  if (result.conflicts.length > 0) return { object: live, conflicts: result.conflicts };
  const object = result.object as JsonObject;
  const refreshed = request.manager === 'kubectl' ? refreshLastApplied(object, applied) : object;
  return { object: withManagers(refreshed, result.managers), conflicts: [] };
}

function applyAs(request: ApplyRequest, live: JsonObject, managers: Managers): Applied {
  const rules = rulesOf(request);
  const entry = entryOf(request, 'Apply');
  const before = managers.size > 0 ? managers : ownBeforeApply(request, live);
  const apply = (force: boolean): Applied =>
    ownApply(rules, live, request.applied, before, entry, force);
  let result = apply(request.force);
  if (result.conflicts.length > 0 && request.manager === 'kubectl') {
    result = upgradeFromClientSide(request, live, result, apply);
    if (result.conflicts.length > 0) return result;
  }
  const owner = result.managers.get(keyOf(entry));
  if (owner !== undefined) {
    const fields = owner.fields.difference(UNTRACKED);
    const time = result.isUnchanged ? owner.time : entry.time;
    if (fields.isEmpty) result.managers.delete(keyOf(entry));
    else result.managers.set(keyOf(entry), { ...owner, fields, time });
  }
  return result;
}

/** What is there without an owner belongs to nobody who could ask for it back. */
function ownBeforeApply(request: ApplyRequest, live: JsonObject): Managers {
  if (request.live === undefined) return new Map();
  const entry = { ...entryOf(request, 'Update'), manager: BEFORE_FIRST_APPLY };
  return recordUpdate(request, emptyLike(live), live, new Map(), entry);
}

/**
 * kubectl's own client-side apply is no stranger to kubectl: what stands in its annotation, and is
 * still so in the object, it may take over.
 */
function upgradeFromClientSide(
  request: ApplyRequest,
  live: JsonObject,
  result: Applied,
  apply: (force: boolean) => Applied,
): Applied {
  const allowed = clientSideFields(request, live);
  if (allowed === undefined) return result;
  const conflicts = result.conflicts.filter(({ path }) => !allowed.has(path));
  return conflicts.length > 0 ? { ...result, conflicts } : apply(true);
}

function clientSideFields(request: ApplyRequest, live: JsonObject): FieldSet | undefined {
  const text = getKey(annotationsOf(live), LAST_APPLIED);
  if (typeof text !== 'string' || text === '') return undefined;
  let lastApplied: unknown;
  try {
    lastApplied = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!isMap(lastApplied) || lastApplied['apiVersion'] !== request.apiVersion) return undefined;
  const atom = atomOf(request.schema);
  if (findMisfits(atom, lastApplied).length > 0) return undefined;
  const { added, modified, removed } = compareTyped(atom, lastApplied, live);
  const changed = modified.union(added).union(removed);
  return fieldSetOf(atom, lastApplied).difference(changed);
}

/** Where client-side apply left its annotation, server-side apply of kubectl keeps it true. */
function refreshLastApplied(object: JsonObject, applied: JsonObject): JsonObject {
  const annotations = annotationsOf(object);
  const old = getKey(annotations, LAST_APPLIED);
  if (typeof old !== 'string' || old === '') return object;
  const ours = annotationsOf(applied);
  const { [LAST_APPLIED]: _, ...others } = ours;
  const metadata = isMap(applied['metadata'])
    ? {
        ...applied['metadata'],
        ...('annotations' in metadataOf(applied) ? { annotations: others } : {}),
      }
    : applied['metadata'];
  const text = `${goJson(metadata === undefined ? applied : { ...applied, metadata })}\n`;
  const { [LAST_APPLIED]: __, ...rest } = annotations;
  const updated = { ...rest, [LAST_APPLIED]: text };
  const kept = annotationBytes(updated) > ANNOTATIONS_BYTES_MAX ? rest : updated;
  return { ...object, metadata: { ...metadataOf(object), annotations: kept } };
}

function annotationBytes(annotations: JsonMap): number {
  let bytes = 0;
  for (const [key, value] of Object.entries(annotations)) {
    bytes += Buffer.byteLength(key) + Buffer.byteLength(String(value));
  }
  return bytes;
}

/** `after` with its managedFields: what differs from `before` is the manager's. */
export function trackUpdate(request: UpdateRequest): JsonObject {
  const { before, after, subresource } = request;
  const managers = managersToKeep(before, after, subresource !== '');
  const bare = withoutManagers(after);
  // An object without owners stays so: its owners are recorded with the first apply.
  const isCreated = before === undefined || textOf(metadataOf(before)['uid']) === '';
  if (managers.size === 0 && !isCreated) return bare;
  const live = before === undefined ? emptyLike(after) : withoutManagers(before);
  const entry = entryOf(request, 'Update');
  return withManagers(bare, capUpdaters(recordUpdate(request, live, bare, managers, entry)));
}

/** A client may edit managedFields itself, though not through a subresource. */
function managersToKeep(
  before: JsonObject | undefined,
  after: JsonObject,
  isSubresource: boolean,
): Managers {
  const sent = getKey(metadataOf(after), 'managedFields');
  const stored = decodeManagers(getKey(metadataOf(before ?? {}), 'managedFields')) ?? new Map();
  if (isSubresource) return stored;
  if (isReset(sent)) return new Map();
  const managers = decodeManagers(sent);
  // A client that does not know the field must not delete it by accident.
  return managers === undefined || managers.size === 0 ? stored : managers;
}

function recordUpdate(
  request: TrackedWrite,
  before: JsonObject,
  after: JsonObject,
  managers: Managers,
  entry: ManagerEntry,
): Managers {
  // Under a name that nobody has, so that only what changes now gets the time of now.
  const self = { ...entry, manager: '\0current-operation' };
  const result = ownUpdate(rulesOf(request), before, after, managers, self);
  const changed = result.get(keyOf(self))?.fields.difference(UNTRACKED);
  result.delete(keyOf(self));
  if (changed === undefined || changed.isEmpty) return result;
  const previous = result.get(keyOf(entry))?.fields ?? new FieldSet();
  result.set(keyOf(entry), { ...entry, fields: changed.union(previous) });
  return result;
}

/** Past ten updaters the oldest are one. */
function capUpdaters(managers: Managers): Managers {
  const updaters = [...managers.values()]
    .filter(({ operation }) => operation === 'Update')
    .toSorted((a, b) => compareTimes(a.time, b.time) || compareText(keyOf(a), keyOf(b)));
  let count = updaters.length;
  const firstOf = new Map<string, ManagerEntry>();
  for (const entry of updaters) {
    if (count <= UPDATERS_MAX) break;
    const first = firstOf.get(entry.apiVersion);
    if (first === undefined) {
      firstOf.set(entry.apiVersion, entry);
      continue;
    }
    const bucket = { ...entry, manager: ANCIENT, subresource: '' };
    let collected = managers.get(keyOf(bucket));
    if (collected === undefined) {
      managers.delete(keyOf(first));
      collected = first;
    }
    managers.delete(keyOf(entry));
    managers.set(keyOf(bucket), { ...bucket, fields: entry.fields.union(collected.fields) });
    count -= 1;
  }
  return managers;
}

function rulesOf({ schema, apiVersion, subresource }: TrackedWrite): OwnershipRules {
  return {
    atom: atomOf(schema),
    apiVersion,
    resetFields: resetFieldsOf(schema, apiVersion, subresource),
  };
}

/**
 * What a write cannot change: the status through the object, all else through the status, except
 * that a core kind's status takes metadata too.
 */
function resetFieldsOf(schema: Schema, apiVersion: string, subresource: string): FieldSet {
  if (subresource === '') {
    const hasStatus = schema.properties?.['status'] !== undefined;
    return hasStatus ? FieldSet.of([fieldElement('status')]) : new FieldSet();
  }
  const names = apiVersion === 'v1' ? ['spec'] : ['spec', 'metadata'];
  return FieldSet.of(...names.map((name) => [fieldElement(name)]));
}

function entryOf(request: TrackedWrite, operation: 'Apply' | 'Update'): ManagerEntry {
  return {
    manager: request.manager === '' ? 'unknown' : request.manager,
    operation,
    apiVersion: request.apiVersion,
    time: request.now.replace(/\.[0-9]+Z$/, 'Z'),
    subresource: request.subresource,
    fields: new FieldSet(),
  };
}

function misfit(applied: JsonObject, misfits: readonly string[]): Error {
  const metadata = metadataOf(applied);
  const name = textOf(metadata['name']);
  const namespace = textOf(metadata['namespace']);
  const apiVersion = textOf(applied['apiVersion']);
  const groupVersion = apiVersion.includes('/') ? apiVersion : `/${apiVersion}`;
  const place = namespace === '' ? name : `${namespace}/${name}`;
  const which = `${place}; ${groupVersion}, Kind=${textOf(applied['kind'])}`;
  const [only] = misfits;
  const why =
    misfits.length === 1 ? only : ['errors:', ...misfits.map((one) => `  ${one}`)].join('\n');
  return badPatch(`failed to create typed patch object (${which}): ${why}`, 500);
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function emptyLike(object: JsonObject): JsonObject {
  return { apiVersion: object['apiVersion'], kind: object['kind'] };
}

function metadataOf(object: JsonObject): JsonMap {
  const { metadata } = object;
  return isMap(metadata) ? metadata : {};
}

function annotationsOf(object: JsonObject): JsonMap {
  const annotations = getKey(metadataOf(object), 'annotations');
  return isMap(annotations) ? annotations : {};
}

function withoutManagers(object: JsonObject): JsonObject {
  if (!isMap(object['metadata'])) return object;
  const { managedFields: _, ...metadata } = object['metadata'];
  return { ...object, metadata };
}

function withManagers(object: JsonObject, managers: Managers): JsonObject {
  if (managers.size === 0) return object;
  return {
    ...object,
    metadata: { ...metadataOf(object), managedFields: encodeManagers(managers) },
  };
}
