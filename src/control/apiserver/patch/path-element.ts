/**
 * One step of a field path, as structured-merge-diff names it: a field of a map, an item of a list
 * by its keys, an item of a set by its value, an item of a list by its index.
 */
import { escapeHtml, isMap, type JsonMap } from './json.ts';

export type PathElement =
  | { readonly kind: 'field'; readonly name: string }
  /** Sorted by name. */
  | { readonly kind: 'key'; readonly fields: readonly (readonly [string, unknown])[] }
  | { readonly kind: 'value'; readonly value: unknown }
  | { readonly kind: 'index'; readonly index: number };

export type FieldPath = readonly PathElement[];

const RANKS = { field: 0, key: 1, value: 2, index: 3 } as const;

export function fieldElement(name: string): PathElement {
  return { kind: 'field', name };
}

export function keyElement(fields: readonly (readonly [string, unknown])[]): PathElement {
  return { kind: 'key', fields: fields.toSorted(([a], [b]) => compareText(a, b)) };
}

export function valueElement(value: unknown): PathElement {
  return { kind: 'value', value };
}

/** As FieldsV1 spells it; equal elements have equal texts. */
export function formatElement(element: PathElement): string {
  switch (element.kind) {
    case 'field':
      return `f:${element.name}`;
    case 'key': {
      const fields = element.fields.map(
        ([name, value]) => `${JSON.stringify(name)}:${json(value)}`,
      );
      return `k:{${fields.join(',')}}`;
    }
    case 'value':
      return `v:${json(element.value)}`;
    case 'index':
      return `i:${element.index}`;
  }
}

function json(value: unknown): string {
  return escapeHtml(JSON.stringify(value));
}

/** Undefined for a kind that a later version may know; throws SyntaxError when malformed. */
export function parseElement(text: string): PathElement | undefined {
  if (text[1] !== ':') throw new SyntaxError(`missing colon: ${text}`);
  const rest = text.slice(2);
  switch (text[0]) {
    case 'f':
      return fieldElement(rest);
    case 'v':
      return valueElement(JSON.parse(rest));
    case 'k': {
      const fields: unknown = JSON.parse(rest);
      if (!isMap(fields)) throw new SyntaxError(`not a key: ${text}`);
      return keyElement(Object.entries(fields));
    }
    case 'i':
      if (!/^-?[0-9]+$/.test(rest)) throw new SyntaxError(`not an index: ${text}`);
      return { kind: 'index', index: Number(rest) };
    default:
      return undefined;
  }
}

/** As people read it: `.spec.ports[port=80,protocol="TCP"]`. */
export function formatPath(path: FieldPath): string {
  return path.map(formatStep).join('');
}

function formatStep(element: PathElement): string {
  switch (element.kind) {
    case 'field':
      return `.${element.name}`;
    case 'key': {
      const fields = element.fields.map(([name, value]) => `${name}=${formatValue(value)}`);
      return `[${fields.join(',')}]`;
    }
    case 'value':
      return `[=${formatValue(element.value)}]`;
    case 'index':
      return `[${element.index}]`;
  }
}

function formatValue(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(formatValue).join(',')}]`;
  if (isMap(value)) {
    return Object.entries(value)
      .map(([name, child]) => `${name}=${formatValue(child)}`)
      .join('');
  }
  return JSON.stringify(value);
}

/** The order in which FieldsV1 and messages list them. */
export function compareElements(left: PathElement, right: PathElement): number {
  if (left.kind === 'field' && right.kind === 'field') return compareText(left.name, right.name);
  if (left.kind === 'key' && right.kind === 'key') return compareKeys(left.fields, right.fields);
  if (left.kind === 'value' && right.kind === 'value') {
    return compareValues(left.value, right.value);
  }
  if (left.kind === 'index' && right.kind === 'index') return left.index - right.index;
  return RANKS[left.kind] - RANKS[right.kind];
}

function compareKeys(
  left: readonly (readonly [string, unknown])[],
  right: readonly (readonly [string, unknown])[],
): number {
  for (const [at, [name, value]] of left.entries()) {
    const other = right[at];
    if (other === undefined) return 1;
    const order = compareText(name, other[0]) || compareValues(value, other[1]);
    if (order !== 0) return order;
  }
  return left.length - right.length;
}

function compareText(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0;
}

const VALUE_RANKS = ['number', 'string', 'boolean', 'list', 'map', 'null'];

function compareValues(left: unknown, right: unknown): number {
  if (typeof left === 'number' && typeof right === 'number') return left - right;
  if (typeof left === 'string' && typeof right === 'string') return compareText(left, right);
  if (typeof left === 'boolean' && typeof right === 'boolean') return Number(left) - Number(right);
  const ranks = VALUE_RANKS.indexOf(typeName(left)) - VALUE_RANKS.indexOf(typeName(right));
  // Lists and maps are no keys in any schema that the API server accepts; any order will do.
  return ranks === 0 ? compareText(JSON.stringify(left), JSON.stringify(right)) : ranks;
}

function typeName(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'list';
  return typeof value === 'object' ? 'map' : typeof value;
}

export type FieldsV1 = Readonly<JsonMap>;
