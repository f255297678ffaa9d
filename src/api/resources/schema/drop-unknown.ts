/**
 * Removes what the schema does not know, and says what that was, as kube-apiserver's pruning and
 * strict decoding do. What is not of the type that the schema expects is kept for `validate`.
 */
import type { Schema } from '../resource.ts';
import { fieldOf } from './apply-defaults.ts';

const EMBEDDED: Schema = {
  properties: {
    apiVersion: { type: 'string' },
    kind: { type: 'string' },
    metadata: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
  },
};

export interface KnownPart {
  readonly value: unknown;
  /** `spec.foo`, `spec.list[0].bar`, in the order in which they were met. */
  readonly unknown: readonly string[];
}

/** The same value when nothing is unknown. */
export function dropUnknown(schema: Schema, value: unknown): KnownPart {
  const unknown: string[] = [];
  return { value: prune(schema, value, '', unknown), unknown };
}

function prune(schema: Schema, value: unknown, path: string, unknown: string[]): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) {
    const { items } = schema;
    if (items === undefined) return value;
    const kept = value.map((item, index) => prune(items, item, `${path}[${index}]`, unknown));
    return kept.some((item, index) => item !== value[index]) ? kept : value;
  }
  return pruneObject(schema, value as Readonly<Record<string, unknown>>, path, unknown);
}

function pruneObject(
  schema: Schema,
  value: Readonly<Record<string, unknown>>,
  path: string,
  unknown: string[],
): unknown {
  const keepsAll = schema['x-kubernetes-preserve-unknown-fields'] === true;
  const isEmbedded = schema['x-kubernetes-embedded-resource'] === true;
  const kept: Record<string, unknown> = {};
  let isWhole = true;
  for (const [key, inner] of Object.entries(value)) {
    const field = fieldOf(schema, key) ?? (isEmbedded ? fieldOf(EMBEDDED, key) : undefined);
    const innerPath = path === '' ? key : `${path}.${key}`;
    if (field === undefined && !keepsAll) {
      unknown.push(innerPath);
      isWhole = false;
      continue;
    }
    kept[key] = field === undefined ? inner : prune(field, inner, innerPath, unknown);
    if (kept[key] !== inner) isWhole = false;
  }
  return isWhole ? value : kept;
}
