/**
 * What a structural schema says about merging: whether a list or map is one value (atomic) or has
 * parts that different managers own. As kube-openapi's schemaconv derives it for
 * structured-merge-diff.
 */
import type { Schema } from '#api/resources/mod.ts';
import { getKey, isMap, type JsonMap } from './json.ts';
import { keyElement, type PathElement, valueElement } from './path-element.ts';

/** What a value may be. A schema without a type allows all three. */
export interface Atom {
  readonly scalar?: 'numeric' | 'string' | 'boolean' | 'untyped';
  readonly list?: ListAtom;
  readonly map?: MapAtom;
}

export interface ListAtom {
  readonly isAtomic: boolean;
  /** Names the items of a list of maps; none: a set of scalars. */
  readonly keys: readonly string[];
  readonly items: Schema | undefined;
  readonly context: Context;
}

export interface MapAtom {
  readonly isAtomic: boolean;
  readonly fields: Readonly<Record<string, Schema>>;
  /** What other keys hold: a schema, anything, or nothing (undefined). */
  readonly others: Schema | 'anything' | undefined;
  readonly context: Context;
}

type Context = 'plain' | 'preserving' | 'deduced' | 'opaque';

/** A value without a schema: maps by key, lists whole. */
export const DEDUCED: Atom = {
  scalar: 'untyped',
  list: { isAtomic: true, keys: [], items: undefined, context: 'opaque' },
  map: { isAtomic: false, fields: {}, others: 'anything', context: 'deduced' },
};

/** Inside what is one value. */
const OPAQUE: Atom = {
  scalar: 'untyped',
  list: { isAtomic: true, keys: [], items: undefined, context: 'opaque' },
  map: { isAtomic: true, fields: {}, others: 'anything', context: 'opaque' },
};

const plainAtoms = new WeakMap<Schema, Atom>();
const preservingAtoms = new WeakMap<Schema, Atom>();

export function atomOf(schema: Schema, outer: Context = 'plain'): Atom {
  const preserves =
    outer === 'preserving' || schema['x-kubernetes-preserve-unknown-fields'] === true;
  const cache = preserves ? preservingAtoms : plainAtoms;
  const known = cache.get(schema);
  if (known !== undefined) return known;
  const atom = createAtom(schema, preserves ? 'preserving' : 'plain');
  cache.set(schema, atom);
  return atom;
}

function createAtom(schema: Schema, context: Context): Atom {
  switch (schema.type) {
    case 'object':
      return { map: mapAtom(schema, context) };
    case 'array':
      return { list: listAtom(schema, context) };
    case 'integer':
    case 'number':
      return { scalar: 'numeric' };
    case 'boolean':
      return { scalar: 'boolean' };
    case 'string': {
      const isPlain = schema.format === undefined || schema.format === 'byte';
      return { scalar: isPlain ? 'string' : 'untyped' };
    }
    default:
      return {
        scalar: 'untyped',
        list: listAtom(schema, context),
        map: mapAtom(schema, context),
      };
  }
}

function mapAtom(schema: Schema, context: Context): MapAtom {
  const fields = schema.properties ?? {};
  const takesAnything = context === 'preserving' || Object.keys(fields).length === 0;
  return {
    isAtomic: schema['x-kubernetes-map-type'] === 'atomic',
    fields,
    others: schema.additionalProperties ?? (takesAnything ? 'anything' : undefined),
    context,
  };
}

function listAtom(schema: Schema, context: Context): ListAtom {
  const { keys, isAtomic } = listKeys(schema);
  return { isAtomic, keys, items: schema.items, context };
}

function listKeys(schema: Schema): { isAtomic: boolean; keys: readonly string[] } {
  switch (schema['x-kubernetes-list-type']) {
    case 'set':
      return { isAtomic: false, keys: [] };
    case 'map':
      return { isAtomic: false, keys: schema['x-kubernetes-list-map-keys'] ?? [] };
    case 'atomic':
      return { isAtomic: true, keys: [] };
    default: {
      const strategies = schema['x-kubernetes-patch-strategy']?.split(',') ?? [];
      const key = schema['x-kubernetes-patch-merge-key'];
      if (!strategies.includes('merge')) return { isAtomic: true, keys: [] };
      return { isAtomic: false, keys: key === undefined ? [] : [key] };
    }
  }
}

export function isNamedField(map: MapAtom, key: string): boolean {
  return Object.hasOwn(map.fields, key);
}

/** Whether the schema has a place for `key`. */
export function allowsField(map: MapAtom, key: string): boolean {
  return isNamedField(map, key) || map.others !== undefined;
}

/** For a key that the schema does not know: as if it said nothing. */
export function fieldAtom(map: MapAtom, key: string): Atom {
  if (map.context === 'opaque') return OPAQUE;
  const schema = isNamedField(map, key) ? map.fields[key] : map.others;
  return schema === undefined || schema === 'anything' ? DEDUCED : atomOf(schema, map.context);
}

export function itemAtom(list: ListAtom): Atom {
  return list.items === undefined ? OPAQUE : atomOf(list.items, list.context);
}

/** Maps of anything keep the ownership that was recorded, whatever it says. */
export function isDeducedMap(map: MapAtom): boolean {
  if (Object.keys(map.fields).length > 0) return false;
  if (map.others === 'anything') return map.context !== 'opaque';
  return map.others !== undefined && atomOf(map.others, map.context).scalar === 'untyped';
}

export type Shape = 'map' | 'scalar' | 'list';

/**
 * As which of its shapes a value is walked. Null, absence and what fits no shape take the first
 * that the schema has.
 */
export function shapeOf(atom: Atom, value: unknown): Shape {
  if (Array.isArray(value)) {
    if (atom.list !== undefined) return 'list';
  } else if (isMap(value)) {
    if (atom.map !== undefined) return 'map';
  } else if (value !== null && value !== undefined && atom.scalar !== undefined) {
    return 'scalar';
  }
  return atom.map !== undefined ? 'map' : atom.scalar !== undefined ? 'scalar' : 'list';
}

/** The name of an item of a granular list; why it has none is text for the client. */
export function elementOf(list: ListAtom, item: unknown): PathElement | string {
  if (list.keys.length > 0) return keyedElement(list, item);
  if (isMap(item)) return "associative list without keys has an element that's a map type";
  if (Array.isArray(item)) return 'not supported: associative list with lists as elements';
  if (item === null) return "associative list without keys has an element that's an explicit null";
  return valueElement(item);
}

function keyedElement(list: ListAtom, item: unknown): PathElement | string {
  if (item === null) return 'associative list with keys may not have a null element';
  if (!isMap(item)) return 'associative list with keys may not have non-map elements';
  const fields: [string, unknown][] = [];
  for (const key of list.keys) {
    const value = keyValue(list, item, key);
    if (value !== undefined) fields.push([key, value]);
  }
  if (fields.length > 0) return keyElement(fields);
  const names = list.keys.map((key) => JSON.stringify(key)).join(' ');
  return (
    `associative list with keys has an element that omits all key fields [${names}] ` +
    "(and doesn't have default values for any key fields)"
  );
}

/** A key that is left out has its default; without a default it is no part of the name. */
function keyValue(list: ListAtom, item: JsonMap, key: string): unknown {
  return getKey(item, key) ?? list.items?.properties?.[key]?.default;
}
