/**
 * From a body to an object that may be stored: kind, unknown fields, defaults, metadata, schema.
 * Everything here is pure.
 */
import { applyDefaults, dropUnknown, uncheckedRules, validate } from '#api/resources/mod.ts';
import type { FieldProblem, JsonObject, Resource } from '#api/resources/mod.ts';
import { metaOf, withMeta } from './catalog.ts';
import { checkRules } from './cel/mod.ts';
import { checkMeta } from './check-meta.ts';
import { ApiFailure, badRequest, invalid } from './failure.ts';
import { findMisfit } from './go-decoding.ts';
import { groupVersion } from './names.ts';
import type { FieldValidation } from './request.ts';

/** Who reports unknown fields in which words: a body, a patch or an applied configuration. */
export type BodyOrigin =
  | { readonly kind: 'body' }
  | { readonly kind: 'patch'; readonly text: string; readonly isStrategic: boolean }
  | { readonly kind: 'apply' };

export interface DecodeOptions {
  readonly fieldValidation: FieldValidation;
  readonly origin: BodyOrigin;
  readonly warnings: string[];
}

/** Checks that it is an object of this kind, and handles what its schema does not know. */
export function decodeObject(
  resource: Resource,
  value: unknown,
  options: DecodeOptions,
): JsonObject {
  const object = demandObject(resource, value);
  if (!resource.isCustom) refuseMisfit(resource, object, options.origin);
  const tidied = tidyObject(resource, object);
  const { value: known, unknown } = dropUnknown(resource.schema, tidied);
  if (unknown.length > 0) reportUnknown(resource, known as JsonObject, unknown, options);
  return known as JsonObject;
}

function demandObject(resource: Resource, value: unknown): JsonObject {
  const { kind, version } = resource;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    const what = Array.isArray(value) ? 'array' : value === null ? 'null' : typeof value;
    throw badRequest(
      `couldn't get version/kind; json parse error: json: cannot unmarshal ${what} ` +
        'into Go value of type struct { APIVersion string ' +
        '"json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }',
    );
  }
  const object = value as JsonObject;
  const text = JSON.stringify(JSON.stringify(object).slice(0, 1_000)).slice(1, -1);
  // Built-in kinds are known from the path; the others must say what they are.
  if (object['kind'] === undefined && resource.isCustom) {
    throw badRequest(`Object 'Kind' is missing in '${text}'`);
  }
  const expected = groupVersion(resource);
  const { apiVersion = expected, kind: said = kind } = object;
  if (said !== kind && apiVersion === expected) {
    const other = String(said);
    throw badRequest(
      `${other} in version "${version}" cannot be handled as a ${kind}: ` +
        `converting (${version}.${other}) to (core.${kind}): unknown conversion`,
    );
  }
  if (apiVersion !== expected || said !== kind) {
    throw badRequest(
      `the API version in the data (${String(apiVersion)}) does not match the expected ` +
        `API version (${expected})`,
    );
  }
  return { ...object, apiVersion, kind };
}

/** Built-in kinds are decoded into Go's structs before anything else looks at them. */
function refuseMisfit(resource: Resource, object: JsonObject, origin: BodyOrigin): void {
  // Other words, at other places: structured-merge-diff and the strategic merge know the schema.
  if (origin.kind === 'apply' || (origin.kind === 'patch' && origin.isStrategic)) return;
  const why = findMisfit(resource, object);
  if (why === undefined) return;
  if (origin.kind === 'patch') throw refusePatch(JSON.stringify(sortKeys(object)), why);
  const { kind, version } = resource;
  throw badRequest(`${kind} in version "${version}" cannot be handled as a ${kind}: ${why}`);
}

/** Of no object: a patch has no kind before it is decoded. */
function refusePatch(text: string, why: string): ApiFailure {
  const message = `Invalid value: ${JSON.stringify(text)}: ${why}`;
  return invalid({ group: '', kind: '' }, '', [
    { reason: 'FieldValueInvalid', field: 'patch', message },
  ]);
}

/** As Go prints what it patched; metadata, a struct there, is in order already. */
function sortKeys(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  const entries = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1));
  const sorted = entries.map(([key, inner]) => [key, key === 'metadata' ? inner : sortKeys(inner)]);
  return Object.fromEntries(sorted) as JsonObject;
}

/** As Go's JSON reads it: null is absent, and metadata writes no empty maps and lists. */
function tidyObject(resource: Resource, object: JsonObject): JsonObject {
  const whole = resource.isCustom ? object : (dropNulls(object) as JsonObject);
  const meta = whole['metadata'] ?? {};
  if (typeof meta !== 'object' || meta === null || Array.isArray(meta)) {
    throw badRequest(
      `${resource.kind} in version "${resource.version}" cannot be handled as a ` +
        `${resource.kind}: json: cannot unmarshal ${Array.isArray(meta) ? 'array' : typeof meta} ` +
        'into Go struct field ObjectMeta.metadata of type v1.ObjectMeta',
    );
  }
  const metadata: Record<string, unknown> = {};
  for (const [field, entry] of Object.entries(meta as JsonObject)) {
    if (entry !== null && !isEmpty(entry)) metadata[field] = entry;
  }
  return { ...whole, metadata };
}

function isEmpty(value: unknown): boolean {
  if (value === '') return true;
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0;
}

function dropNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(dropNulls);
  if (typeof value !== 'object' || value === null) return value;
  const kept: Record<string, unknown> = {};
  for (const [field, entry] of Object.entries(value)) {
    if (entry !== null) kept[field] = dropNulls(entry);
  }
  return kept;
}

function reportUnknown(
  resource: Resource,
  object: JsonObject,
  unknown: readonly string[],
  options: DecodeOptions,
): void {
  const { fieldValidation, origin, warnings } = options;
  const { kind, version } = resource;
  if (origin.kind === 'apply') {
    const { namespace, name = '' } = metaOf(object);
    const subject = namespace === undefined ? `/${name}` : `${namespace}/${name}`;
    const lines = unknown.map((path) => `.${path}: field not declared in schema`);
    throw new ApiFailure(
      500,
      '',
      `failed to create typed patch object (${subject}; ${groupVersion(resource)}, ` +
        `Kind=${kind}): ${errorList(lines)}`,
      undefined,
    );
  }
  if (fieldValidation === 'Ignore') return;
  const texts = unknown.map((path) => `unknown field "${path}"`);
  if (fieldValidation === 'Warn') {
    warnings.push(...texts);
    return;
  }
  const why = `strict decoding error: ${texts.join(', ')}`;
  if (origin.kind === 'patch') throw refusePatch(origin.text, why);
  throw badRequest(`${kind} in version "${version}" cannot be handled as a ${kind}: ${why}`);
}

/** As structured-merge-diff joins several. */
function errorList(lines: readonly string[]): string {
  return lines.length === 1
    ? (lines[0] ?? '')
    : `errors:\n${lines.map((l) => `  ${l}`).join('\n')}`;
}

/** Defaults of schema and kind. */
export function fillDefaults(resource: Resource, object: JsonObject): JsonObject {
  const prepared = resource.prepare?.(object) ?? object;
  return applyDefaults(resource.schema, prepared) as JsonObject;
}

/** Throws 422 with every problem that the object has. */
export function checkObject(
  resource: Resource,
  after: JsonObject,
  before: JsonObject | undefined,
  subresource = '',
): void {
  const { schema } = resource;
  const ofMeta = checkMeta(resource, after, before);
  const ofSchema = checkSchema(resource, after, subresource);
  const problems: FieldProblem[] = [...ofMeta, ...ofSchema];
  // `validate` says it for its own problems.
  if (uncheckedRules(schema, ofSchema).length === 0) {
    problems.push(...uncheckedRules(schema, ofMeta));
  }
  // Rules compare values whose types are right.
  if (problems.length === 0) problems.push(...checkRules(resource.schema, after, before));
  if (problems.length === 0) problems.push(...(resource.check?.(after, before) ?? []));
  if (problems.length === 0) return;
  // Both groups of events have one set of rules, and its failures name the older group.
  const subject = resource.kind === 'Event' ? { group: '', kind: 'Event' } : resource;
  throw invalid(subject, metaOf(after).name ?? '', problems);
}

/** A status is checked by itself, and its fields are named from there on. */
function checkSchema(resource: Resource, after: JsonObject, subresource: string): FieldProblem[] {
  const { schema, isCustom } = resource;
  const status = schema.properties?.['status'];
  if (!isCustom || subresource !== 'status' || status === undefined) return validate(schema, after);
  const problems = validate(status, after['status'] ?? {}, { field: 'status' });
  const isSaid = uncheckedRules(status, problems).length > 0;
  return isSaid ? problems : [...problems, ...uncheckedRules(schema, problems)];
}

/** What the server alone writes, taken from the stored object. */
export function keepIdentity(before: JsonObject, wanted: JsonObject): JsonObject {
  const meta = metaOf(before);
  return withMeta(wanted, {
    name: meta.name,
    namespace: meta.namespace,
    generateName: meta.generateName,
    uid: meta.uid,
    resourceVersion: meta.resourceVersion,
    generation: meta.generation,
    creationTimestamp: meta.creationTimestamp,
    deletionTimestamp: meta.deletionTimestamp,
    deletionGracePeriodSeconds: meta.deletionGracePeriodSeconds,
  });
}

/** Status and the rest are written by different paths. */
export function chooseParts(
  resource: Resource,
  subresource: string,
  before: JsonObject,
  wanted: JsonObject,
): JsonObject {
  if (subresource === 'status') {
    const { managedFields } = metaOf(wanted);
    return withStatus(withMeta(before, { managedFields }), wanted['status']);
  }
  return resource.hasStatus ? withStatus(wanted, before['status']) : wanted;
}

export function withStatus(object: JsonObject, status: unknown): JsonObject {
  const { status: _dropped, ...rest } = object;
  return status === undefined ? rest : { ...rest, status };
}

/** Everything that a generation counts. */
export function bodyOf(object: JsonObject): JsonObject {
  const { metadata: _metadata, status: _status, ...body } = object;
  return body;
}
