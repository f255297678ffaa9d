/**
 * From a zod schema to a structural one. zod's `meta` may hold anything that a structural schema
 * can say; `oneOfFields` describes a union of objects with one field each, of which one is given.
 */
import { z } from 'zod';
import type { Schema } from '../resource.ts';

type Node = Readonly<Record<string, unknown>>;

export function fromZod(schema: z.ZodType): Schema {
  const node = z.toJSONSchema(schema, {
    target: 'openapi-3.0',
    io: 'input',
    reused: 'inline',
    unrepresentable: 'any',
  });
  return toStructural(node as Node);
}

/** What zod writes and a structural schema has no place for. */
const DROPPED = new Set(['$schema', 'additionalProperties', 'oneOfFields', 'propertyNames']);

function toStructural(node: Node): Schema {
  const fields = node['oneOfFields'];
  if (fields !== undefined) return toChoice(node, fields as Readonly<Record<string, string>>);
  const isBytes = node['x-kubernetes-int-or-string'] === true;
  const schema: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(node)) {
    if (DROPPED.has(key) || (isBytes && (key === 'anyOf' || key === 'type'))) continue;
    // zod bounds integers by what JavaScript can hold.
    if ((key === 'minimum' || key === 'maximum') && !isBound(value)) continue;
    // The format says it already.
    if (key === 'pattern' && node['format'] === 'date-time') continue;
    schema[key] = key === 'properties' ? mapValues(value as Node) : value;
  }
  const { items } = node;
  if (items !== undefined) schema['items'] = toStructural(items as Node);
  if (node['type'] === 'integer') schema['format'] = 'int64';
  const additional = node['additionalProperties'];
  if (typeof additional === 'object' && additional !== null) {
    if (Object.keys(additional).length === 0) schema['x-kubernetes-preserve-unknown-fields'] = true;
    else schema['additionalProperties'] = toStructural(additional as Node);
  }
  return schema as Schema;
}

function isBound(value: unknown): boolean {
  return typeof value === 'number' && Math.abs(value) < Number.MAX_SAFE_INTEGER;
}

function mapValues(properties: Node): Readonly<Record<string, Schema>> {
  const entries = Object.entries(properties);
  return Object.fromEntries(entries.map(([key, value]) => [key, toStructural(value as Node)]));
}

/** An object with all the fields, and which of them may stand alone. */
function toChoice(node: Node, descriptions: Readonly<Record<string, string>>): Schema {
  const branches = (node['anyOf'] as readonly Node[]).map(toStructural);
  const properties: Record<string, Schema> = {};
  for (const branch of branches) {
    for (const [key, value] of Object.entries(branch.properties ?? {})) {
      const description = descriptions[key];
      properties[key] = description === undefined ? value : { ...value, description };
    }
  }
  return {
    type: 'object',
    ...(typeof node['description'] === 'string' ? { description: node['description'] } : {}),
    properties,
    oneOf: branches.map(({ required = [] }) => ({ required })),
  };
}
