/**
 * What is wrong with a field, in kube-apiserver's words (apimachinery
 * pkg/util/validation/field/errors.go), and the comparisons that its rules are made of.
 */
import { isDeepStrictEqual } from 'node:util';
import type { FieldProblem, JsonObject } from './resource.ts';

/** As Go prints a value in an error: text quoted, numbers plain, the rest as JSON. */
function show(value: unknown): string {
  return JSON.stringify(value) ?? 'null';
}

function withDetail(head: string, detail: string): string {
  return detail === '' ? head : `${head}: ${detail}`;
}

export function invalid(field: string, value: unknown, detail: string): FieldProblem {
  const message = withDetail(`Invalid value: ${show(value)}`, detail);
  return { reason: 'FieldValueInvalid', field, message };
}

export function wrongType(field: string, value: unknown, detail: string): FieldProblem {
  return { ...invalid(field, value, detail), reason: 'FieldValueTypeInvalid' };
}

export function required(field: string, detail = ''): FieldProblem {
  return { reason: 'FieldValueRequired', field, message: withDetail('Required value', detail) };
}

export function forbidden(field: string, detail: string): FieldProblem {
  return { reason: 'FieldValueForbidden', field, message: withDetail('Forbidden', detail) };
}

export function duplicate(field: string, value: unknown, detail = ''): FieldProblem {
  const message = withDetail(`Duplicate value: ${show(value)}`, detail);
  return { reason: 'FieldValueDuplicate', field, message };
}

export function tooLong(field: string, bytesMax: number): FieldProblem {
  const message = `Too long: may not be more than ${bytesMax} byte${bytesMax === 1 ? '' : 's'}`;
  return { reason: 'FieldValueTooLong', field, message };
}

export function tooMany(field: string, count: number, countMax: number): FieldProblem {
  const unit = countMax === 1 ? 'item' : 'items';
  const message = `Too many: ${count}: must have at most ${countMax} ${unit}`;
  return { reason: 'FieldValueTooMany', field, message };
}

export function notSupported(
  field: string,
  value: unknown,
  choices: readonly unknown[],
): FieldProblem {
  const quoted = choices.map((choice) =>
    show(typeof choice === 'string' ? choice : (JSON.stringify(choice) ?? '')),
  );
  const message = `Unsupported value: ${show(value)}: supported values: ${quoted.join(', ')}`;
  return { reason: 'FieldValueNotSupported', field, message };
}

/** Absent is no problem. */
export function checkChoice(
  field: string,
  value: string,
  choices: readonly string[],
): FieldProblem[] {
  return value === '' || choices.includes(value) ? [] : [notSupported(field, value, choices)];
}

/** Absent, null, empty map and empty list are the same to Kubernetes. */
export function isSame(a: unknown, b: unknown): boolean {
  return isDeepStrictEqual(withoutEmpty(a), withoutEmpty(b));
}

function withoutEmpty(value: unknown): unknown {
  if (value === null || value === undefined) return undefined;
  if (Array.isArray(value)) return value.length === 0 ? undefined : value.map(withoutEmpty);
  if (typeof value !== 'object') return value;
  const kept: Record<string, unknown> = {};
  for (const [key, inner] of Object.entries(value)) {
    const rest = withoutEmpty(inner);
    if (rest !== undefined) kept[key] = rest;
  }
  return Object.keys(kept).length === 0 ? undefined : kept;
}

/** `field is immutable` for a value that is not what it was. */
export function immutable(field: string, after: unknown, before: unknown): FieldProblem[] {
  return isSame(after, before) ? [] : [invalid(field, after ?? null, 'field is immutable')];
}

export function mapAt(value: unknown, key: string): JsonObject {
  const inner = isMap(value) ? value[key] : undefined;
  return isMap(inner) ? inner : {};
}

export function textAt(value: unknown, key: string): string {
  const inner = isMap(value) ? value[key] : undefined;
  return typeof inner === 'string' ? inner : '';
}

export function listAt(value: unknown, key: string): readonly unknown[] {
  const inner = isMap(value) ? value[key] : undefined;
  return Array.isArray(inner) ? inner : [];
}

export function isMap(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
