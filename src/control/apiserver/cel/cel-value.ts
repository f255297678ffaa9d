/** A value of an object as CEL sees it through its schema. */
import type { Schema } from '#api/resources/mod.ts';
import { getKey, goJson, isMap, type JsonMap, setKey } from '../patch/json.ts';

/**
 * Integers are int (bigint here) and numbers double, as the schema says; without a schema what
 * looks like an integer is one. Sets and lists by key are sorted, because Kubernetes compares them
 * without regard to order. A date or duration stays text.
 */
export function celValue(schema: Schema | undefined, value: unknown): unknown {
  if (typeof value === 'number') {
    const isDouble = schema?.type === 'number' || !Number.isInteger(value);
    return isDouble ? value : BigInt(value);
  }
  if (Array.isArray(value)) {
    return orderOf(schema, value).map((item) => celValue(schema?.items, item));
  }
  if (!isMap(value)) return value;
  const properties = schema?.properties ?? {};
  const map: JsonMap = {};
  for (const [key, child] of Object.entries(value)) {
    const isNamed = Object.hasOwn(properties, key);
    const field = isNamed ? properties[key] : schema?.additionalProperties;
    setKey(map, isNamed ? celName(key) : key, celValue(field, child));
  }
  return map;
}

function orderOf(schema: Schema | undefined, items: readonly unknown[]): readonly unknown[] {
  const type = schema?.['x-kubernetes-list-type'];
  if (type !== 'set' && type !== 'map') return items;
  const nameOf = (item: unknown): string => itemName(schema, item);
  return items.toSorted((a, b) => (nameOf(a) < nameOf(b) ? -1 : nameOf(a) > nameOf(b) ? 1 : 0));
}

/** The same for the same item of a set or of a list by key. */
export function itemName(schema: Schema | undefined, item: unknown): string {
  const keys = schema?.['x-kubernetes-list-map-keys'];
  if (keys === undefined || !isMap(item)) return goJson(item);
  const properties = schema?.items?.properties;
  return goJson(keys.map((key) => getKey(item, key) ?? properties?.[key]?.default ?? null));
}

/** How many items and keys a comprehension could visit. */
export function countItems(value: unknown): number {
  if (Array.isArray(value)) {
    return value.reduce((count: number, item) => count + 1 + countItems(item), 0);
  }
  if (!isMap(value)) return 0;
  return Object.values(value).reduce((count: number, child) => count + 1 + countItems(child), 0);
}

/** Words that CEL keeps for itself. */
const RESERVED = new Set(
  (
    'true false null in as break const continue else for function if import let loop package ' +
    'namespace return var void while'
  ).split(' '),
);
const ESCAPES = { __: '__underscores__', '.': '__dot__', '-': '__dash__', '/': '__slash__' };

/** A field whose name is no identifier of CEL: `namespace` is `__namespace__`. */
export function celName(name: string): string {
  if (RESERVED.has(name)) return `__${name}__`;
  return name.replace(/__|[./-]/g, (text) => ESCAPES[text as keyof typeof ESCAPES]);
}
