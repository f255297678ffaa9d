/**
 * Validation against a structural schema with the fields, reasons and words of kube-apiserver for
 * custom resources (kube-openapi pkg/validation, apiextensions pkg/apiserver/validation). CEL rules
 * are checked elsewhere.
 */
import {
  duplicate,
  invalid,
  notSupported,
  required,
  isMap,
  tooLong,
  tooMany,
  wrongType,
} from '../field-problems.ts';
import type { FieldProblem, Schema } from '../resource.ts';
import { isDateTime } from './date-time.ts';
import { uncheckedRules } from './unchecked-rules.ts';

export interface ValidateOptions {
  /** Where the value stands: `status` when the status alone is checked. Part of no message. */
  readonly field?: string;
}

interface Place {
  readonly base: string;
  readonly path: string;
  readonly problems: FieldProblem[];
}

/** Empty when the value fits. */
export function validate(
  schema: Schema,
  value: unknown,
  options: ValidateOptions = {},
): FieldProblem[] {
  const place: Place = { base: options.field ?? '', path: '', problems: [] };
  check(schema, value, place);
  return [...place.problems, ...uncheckedRules(schema, place.problems)];
}

function fieldOf({ base, path }: Place): string {
  if (path === '') return base === '' ? '<nil>' : base;
  return base === '' ? path : `${base}.${path}`;
}

/** What concerns no field stands at the root. */
function baseOf({ base }: Place): string {
  return base === '' ? '<nil>' : base;
}

function inside(place: Place, key: string): Place {
  return { ...place, path: place.path === '' ? key : `${place.path}.${key}` };
}

function check(schema: Schema, value: unknown, place: Place): void {
  const isOfType = checkType(schema, value, place);
  if (value === null) return;
  checkEnum(schema, value, place);
  if (!isOfType) return;
  if (typeof value === 'string') checkText(schema, value, place);
  else if (typeof value === 'number') checkNumber(schema, value, place);
  else if (Array.isArray(value)) checkList(schema, value, place);
  else if (isMap(value)) checkObject(schema, value, place);
  checkBranches(schema, value, place);
}

function typeOf(value: unknown): string {
  if (value === null || value === undefined) return 'null';
  if (Array.isArray(value)) return 'array';
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'number';
  return typeof value;
}

function checkType(schema: Schema, value: unknown, place: Place): boolean {
  const found = typeOf(value);
  if (found === 'null' && schema.nullable === true) return true;
  const { format, type } = schema;
  if (schema['x-kubernetes-int-or-string'] === true) {
    if (found === 'integer' || found === 'string') return true;
    return refuseType('integer,string', found, place);
  }
  if (type === undefined || type === found) return true;
  if (type === 'number' && found === 'integer') return true;
  // Of what has a format, the format is compared; texts and lists keep their type.
  const isNamed = found === 'string' || found === 'array' || found === 'null';
  if (format === undefined || isNamed) return refuseType(type, found, place);
  if (type === 'integer' && found === 'number') refuseRange(format, place);
  return refuseType(format, GO_FORMATS[found] ?? '', place);
}

/** What Go's JSON makes of numbers. */
const GO_FORMATS: Readonly<Record<string, string>> = { integer: 'int64', number: 'float64' };

function refuseRange(format: string, place: Place): void {
  const detail = `Checked value must be of type integer with format ${format} in ${place.path}`;
  place.problems.push(invalid(baseOf(place), '', detail));
}

function refuseType(expected: string, found: string, place: Place): boolean {
  const name = place.path === '' ? '' : `${place.path} in body `;
  const detail = `${name}must be of type ${expected}: "${found}"`;
  place.problems.push(wrongType(fieldOf(place), found, detail));
  return false;
}

function refuse(place: Place, value: unknown, rule: string): void {
  const name = place.path === '' ? '' : `${place.path} in body `;
  place.problems.push(invalid(fieldOf(place), value, `${name}${rule}`));
}

function checkEnum(schema: Schema, value: unknown, place: Place): void {
  const choices = schema.enum;
  if (choices === undefined || choices.includes(value)) return;
  place.problems.push(notSupported(fieldOf(place), value, choices));
}

/** The first thing that is wrong with a text. */
function checkText(schema: Schema, value: string, place: Place): void {
  const { format, maxLength, minLength, pattern } = schema;
  const length = [...value].length;
  if (maxLength !== undefined && length > maxLength) {
    place.problems.push(tooLong(fieldOf(place), maxLength));
  } else if (minLength !== undefined && length < minLength) {
    refuse(place, value, `should be at least ${minLength} chars long`);
  } else if (pattern !== undefined && !new RegExp(pattern, 'u').test(value)) {
    refuse(place, value, `should match '${pattern}'`);
  }
  if (format !== 'date-time' || isDateTime(value)) return;
  const detail = `${place.path} in body must be of type date-time: ${JSON.stringify(value)}`;
  place.problems.push(wrongType(fieldOf(place), value, detail));
}

function checkNumber(schema: Schema, value: number, place: Place): void {
  const { format } = schema;
  // Whole numbers are compared with whole bounds.
  const bound = (limit: number | undefined): number | undefined =>
    limit !== undefined && Number.isInteger(value) ? Math.trunc(limit) : limit;
  const minimum = bound(schema.minimum);
  const maximum = bound(schema.maximum);
  if (minimum !== undefined && value < minimum) {
    refuse(place, value, `should be greater than or equal to ${minimum}`);
  }
  if (maximum !== undefined && value > maximum) {
    refuse(place, value, `should be less than or equal to ${maximum}`);
  }
  if (format === 'int32' && (value < -(2 ** 31) || value >= 2 ** 31)) refuseRange(format, place);
}

function checkList(schema: Schema, value: readonly unknown[], place: Place): void {
  const { items, maxItems, minItems } = schema;
  if (items !== undefined) {
    value.forEach((item, index) => {
      check(items, item, { ...place, path: `${place.path}[${index}]` });
    });
  }
  if (minItems !== undefined && value.length < minItems) {
    refuse(place, value.length, `should have at least ${minItems} items`);
  }
  if (maxItems !== undefined && value.length > maxItems) {
    place.problems.push(tooMany(fieldOf(place), value.length, maxItems));
  }
  checkRepeated(schema, value, place);
}

/** Items of a set, and keys of a map, may stand there once; built-in kinds have rules instead. */
function checkRepeated(schema: Schema, value: readonly unknown[], place: Place): void {
  const kind = schema['x-kubernetes-list-type'];
  const isBuiltIn = schema['x-kubernetes-patch-strategy'] !== undefined;
  if (isBuiltIn || (kind !== 'set' && kind !== 'map')) return;
  const keys = schema['x-kubernetes-list-map-keys'] ?? [];
  const seen = new Map<string, number>();
  value.forEach((item, index) => {
    const shown = kind === 'set' ? item : keyOf(item, keys);
    const text = JSON.stringify(shown) ?? '';
    const times = seen.get(text) ?? 0;
    // The second one is told, those after it are not.
    if (times === 1) place.problems.push(duplicate(`${fieldOf(place)}[${index}]`, shown));
    seen.set(text, times + 1);
  });
}

function keyOf(item: unknown, keys: readonly string[]): unknown {
  if (!isMap(item)) return item;
  return Object.fromEntries(keys.map((key) => [key, item[key]]));
}

function checkObject(schema: Schema, value: Readonly<Record<string, unknown>>, place: Place): void {
  const { additionalProperties, maxProperties, minProperties, properties = {} } = schema;
  const count = Object.keys(value).length;
  if (minProperties !== undefined && count < minProperties) {
    refuse(place, count, `should have at least ${minProperties} properties`);
  }
  if (maxProperties !== undefined && count > maxProperties) {
    place.problems.push(tooMany(fieldOf(place), count, maxProperties));
  }
  for (const [key, inner] of Object.entries(value)) {
    const field = Object.hasOwn(properties, key) ? properties[key] : additionalProperties;
    if (field !== undefined && inner !== undefined) check(field, inner, inside(place, key));
  }
  for (const key of schema.required ?? []) {
    if (value[key] === undefined) place.problems.push(required(fieldOf(inside(place, key))));
  }
}

function checkBranches(schema: Schema, value: unknown, place: Place): void {
  const failuresOf = (branches: readonly Schema[]): FieldProblem[][] =>
    branches.map((branch) => {
      const problems: FieldProblem[] = [];
      check(branch, value, { ...place, problems });
      return problems;
    });
  const any = failuresOf(schema.anyOf ?? []);
  if (any.length > 0 && any.every((problems) => problems.length > 0)) {
    refuseBranches(place, 'must validate at least one schema (anyOf)', any);
  }
  const one = failuresOf(schema.oneOf ?? []);
  const count = one.filter((problems) => problems.length === 0).length;
  if (one.length === 0 || count === 1) return;
  const found = count === 0 ? 'Found none valid' : `Found ${count} valid alternatives`;
  const rule = `must validate one and only one schema (oneOf). ${found}`;
  refuseBranches(place, rule, count === 0 ? one : []);
}

/** And what the nearest branch misses. */
function refuseBranches(place: Place, rule: string, failures: readonly FieldProblem[][]): void {
  place.problems.push(invalid(baseOf(place), '', `"${place.path}" ${rule}`));
  const nearest = failures.toSorted((a, b) => a.length - b.length)[0];
  place.problems.push(...(nearest ?? []));
}
