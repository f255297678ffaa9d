/**
 * Defaults as kube-apiserver applies them (apiextensions pkg/apiserver/schema/defaulting): a field
 * that is absent gets its default, and so do the fields inside what was just made. A null where the
 * schema allows none gives way to the default; without a default it stays, to be refused.
 */
import type { Schema } from '../resource.ts';

/** A new value where anything was changed, the very same value where nothing was. */
export function applyDefaults(schema: Schema, value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) {
    const { items } = schema;
    if (items === undefined) return value;
    const filled = value.map((item) => applyDefaults(items, replaceNull(items, item)));
    return filled.some((item, index) => item !== value[index]) ? filled : value;
  }
  const before = value as Readonly<Record<string, unknown>>;
  const after: Record<string, unknown> = {};
  for (const [key, inner] of Object.entries(before)) {
    const field = fieldOf(schema, key);
    const kept = field === undefined ? inner : replaceNull(field, inner);
    if (kept === null && field !== undefined && field.nullable !== true) continue;
    after[key] = kept;
  }
  for (const [key, field] of Object.entries(schema.properties ?? {})) {
    if (after[key] === undefined && field.default !== undefined) {
      after[key] = structuredClone(field.default);
    }
  }
  for (const key of Object.keys(after)) {
    const field = fieldOf(schema, key);
    if (field !== undefined) after[key] = applyDefaults(field, after[key]);
  }
  const keys = Object.keys(after);
  const isSame = keys.length === Object.keys(before).length;
  return isSame && keys.every((key) => after[key] === before[key]) ? value : after;
}

function replaceNull(schema: Schema, value: unknown): unknown {
  if (value !== null || schema.nullable === true || schema.default === undefined) return value;
  return structuredClone(schema.default);
}

/** The schema of one field of an object. */
export function fieldOf(schema: Schema, key: string): Schema | undefined {
  const { properties } = schema;
  if (properties !== undefined && Object.hasOwn(properties, key)) return properties[key];
  return schema.additionalProperties;
}
