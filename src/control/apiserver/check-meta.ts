/** What metadata must look like (apimachinery/pkg/api/validation/objectmeta.go). */
import type { FieldProblem, JsonObject, Resource } from '#api/resources/mod.ts';
import { metaOf } from './catalog.ts';
import {
  problemsOfLabel,
  problemsOfLabelValue,
  problemsOfObjectName,
  problemsOfQualifiedName,
} from './names.ts';

const ANNOTATIONS_BYTES_MAX = 256 * 1024;

export function checkMeta(
  resource: Resource,
  after: JsonObject,
  before: JsonObject | undefined,
): FieldProblem[] {
  return [
    ...(before === undefined ? checkNames(resource, after) : checkUpdate(after, before)),
    ...checkMaps(after),
    ...checkOwners(after),
    ...checkFinalizers(resource, after),
  ];
}

/** `Invalid value: "x": why`. */
export function invalidValue(field: string, value: unknown, why: string): FieldProblem {
  const message = `Invalid value: ${JSON.stringify(value)}: ${why}`;
  return { reason: 'FieldValueInvalid', field, message };
}

export function requiredValue(field: string, why: string): FieldProblem {
  return {
    reason: 'FieldValueRequired',
    field,
    message: why === '' ? 'Required value' : `Required value: ${why}`,
  };
}

function forbiddenValue(field: string, why: string): FieldProblem {
  return { reason: 'FieldValueForbidden', field, message: `Forbidden: ${why}` };
}

function checkNames(resource: Resource, object: JsonObject): FieldProblem[] {
  const { name = '', namespace } = metaOf(object);
  const problems: FieldProblem[] = [];
  if (name === '') {
    problems.push(requiredValue('metadata.name', 'name or generateName is required'));
  } else {
    for (const why of problemsOfObjectName(resource, name)) {
      problems.push(invalidValue('metadata.name', name, why));
    }
  }
  if (!resource.isNamespaced) {
    if (namespace === undefined) return problems;
    const why = 'not allowed on this type';
    return [...problems, forbiddenValue('metadata.namespace', why)];
  }
  for (const why of problemsOfLabel(namespace ?? '')) {
    problems.push(invalidValue('metadata.namespace', namespace, why));
  }
  return problems;
}

/** What identifies the object was taken from the stored one already. */
function checkUpdate(after: JsonObject, before: JsonObject): FieldProblem[] {
  const { deletionTimestamp, finalizers: had = [] } = metaOf(before);
  if (deletionTimestamp === undefined) return [];
  const added = (metaOf(after).finalizers ?? []).filter((one) => !had.includes(one));
  if (added.length === 0) return [];
  const list = `[]string{${added.map((one) => JSON.stringify(one)).join(', ')}}`;
  const why =
    'no new finalizers can be added if the object is being deleted, found new ' +
    `finalizers ${list}`;
  return [forbiddenValue('metadata.finalizers', why)];
}

function checkMaps(object: JsonObject): FieldProblem[] {
  const { labels = {}, annotations = {} } = metaOf(object);
  const problems: FieldProblem[] = [];
  for (const [key, value] of Object.entries(labels)) {
    for (const why of problemsOfQualifiedName(key)) {
      problems.push(invalidValue('metadata.labels', key, why));
    }
    for (const why of problemsOfLabelValue(value)) {
      problems.push(invalidValue('metadata.labels', value, why));
    }
  }
  let bytes = 0;
  for (const [key, value] of Object.entries(annotations)) {
    for (const why of problemsOfQualifiedName(key.toLowerCase())) {
      problems.push(invalidValue('metadata.annotations', key, why));
    }
    bytes += key.length + value.length;
  }
  if (bytes <= ANNOTATIONS_BYTES_MAX) return problems;
  const message = `Too long: may not be more than ${ANNOTATIONS_BYTES_MAX} bytes`;
  return [...problems, { reason: 'FieldValueTooLong', field: 'metadata.annotations', message }];
}

function checkOwners(object: JsonObject): FieldProblem[] {
  const { ownerReferences = [] } = metaOf(object);
  const problems: FieldProblem[] = [];
  const needed = {
    apiVersion: 'version must not be empty',
    kind: 'must not be empty',
    name: 'must not be empty',
    uid: 'must not be empty',
  } as const;
  ownerReferences.forEach((owner) => {
    for (const [field, why] of Object.entries(needed)) {
      if ((owner[field as keyof typeof needed] ?? '') !== '') continue;
      problems.push(invalidValue(`metadata.ownerReferences.${field}`, '', why));
    }
  });
  const controllers = ownerReferences.filter((owner) => owner.controller === true);
  if (controllers.length < 2) return problems;
  const names = controllers.map((owner) => owner.name);
  const why =
    'Only one reference can have Controller set to true. Found "true" in references ' +
    `for ${names[0]} and ${names[1]}`;
  return [...problems, invalidValue('metadata.ownerReferences', names[1], why)];
}

/** Of built-in kinds: the only names that need no domain. */
const STANDARD_FINALIZERS = ['foregroundDeletion', 'kubernetes', 'orphan'];

function checkFinalizers(resource: Resource, object: JsonObject): FieldProblem[] {
  const { finalizers = [] } = metaOf(object);
  const problems: FieldProblem[] = [];
  for (const finalizer of finalizers) {
    for (const why of problemsOfQualifiedName(finalizer)) {
      problems.push(invalidValue('metadata.finalizers', finalizer, why));
    }
  }
  finalizers.forEach((finalizer, index) => {
    const isKnown = finalizer.includes('/') || STANDARD_FINALIZERS.includes(finalizer);
    if (isKnown || resource.isCustom) return;
    const why = 'name is neither a standard finalizer name nor is it fully qualified';
    problems.push(invalidValue(`metadata.finalizers[${index}]`, finalizer, why));
  });
  if (finalizers.includes('orphan') && finalizers.includes('foregroundDeletion')) {
    const why = 'finalizer foregroundDeletion and orphan cannot be both set';
    problems.push(invalidValue('metadata.finalizers', finalizers, why));
  }
  return problems;
}
