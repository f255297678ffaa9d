/** Walks that make a new object: an applied configuration laid over the live one, paths removed. */
import {
  type Atom,
  elementOf,
  fieldAtom,
  itemAtom,
  type ListAtom,
  type MapAtom,
  shapeOf,
} from './atom.ts';
import type { FieldSet } from './field-set.ts';
import { getKey, isMap, type JsonMap, setKey } from './json.ts';
import { fieldElement, formatElement } from './path-element.ts';
import { mapItems } from './typed-values.ts';

/** Nothing is removed; where both have a leaf, the one of `over` stays. */
export function mergeTyped(atom: Atom, base: unknown, over: unknown): unknown {
  const shape = shapeOf(atom, over === undefined ? base : over);
  if (shape === 'map' && atom.map !== undefined && !atom.map.isAtomic) {
    const maps = [isMap(base) ? base : {}, isMap(over) ? over : {}] as const;
    const isEmpty = maps.every((map) => Object.keys(map).length === 0);
    if (!isEmpty) return mergeMaps(atom.map, ...maps);
  }
  if (shape === 'list' && atom.list !== undefined && !atom.list.isAtomic) {
    const lists = [Array.isArray(base) ? base : [], Array.isArray(over) ? over : []] as const;
    const isEmpty = lists.every((list) => list.length === 0);
    if (!isEmpty) return mergeLists(atom.list, ...lists);
  }
  return over === undefined ? base : over;
}

function mergeMaps(map: MapAtom, base: JsonMap, over: JsonMap): JsonMap {
  const merged: JsonMap = {};
  for (const key of new Set([...Object.keys(base), ...Object.keys(over)])) {
    const value = mergeTyped(fieldAtom(map, key), getKey(base, key), getKey(over, key));
    setKey(merged, key, value);
  }
  return merged;
}

interface Named {
  readonly name: string;
  readonly item: unknown;
}

/**
 * Items that only the live list has keep their place relative to what both have; what both have
 * comes in the applied order.
 */
function mergeLists(list: ListAtom, base: readonly unknown[], over: readonly unknown[]): unknown[] {
  const live = nameItems(list, base);
  const applied = nameItems(list, over);
  const liveItems = mapItems(list, base);
  const appliedNames = new Set(applied.map(({ name }) => name));
  const shared = applied.filter(({ name }) => liveItems.has(name)).map(({ name }) => name);
  const done = new Set<string>();
  const merged: unknown[] = [];
  let sharedAt = 0;
  const takeApplied = ({ name, item }: Named): void => {
    done.add(name);
    if (shared[sharedAt] === name) sharedAt += 1;
    const partners = liveItems.get(name)?.items ?? [];
    // Live duplicates are replaced, not merged.
    const partner = partners.length > 1 ? null : partners[0];
    merged.push(mergeTyped(itemAtom(list), partner, item));
  };
  let l = 0;
  let a = 0;
  for (;;) {
    const ours = live[l];
    const theirs = applied[a];
    if (ours === undefined && theirs === undefined) return merged;
    if (ours !== undefined && theirs !== undefined) {
      if (ours.name === theirs.name) {
        takeApplied(theirs);
        l += 1;
        a += 1;
        continue;
      }
      const next = shared[sharedAt];
      if (appliedNames.has(ours.name) && next !== undefined && next !== ours.name) {
        // Both have it, and it comes later in the applied order.
        l += 1;
        continue;
      }
    }
    if (ours !== undefined) {
      if (!appliedNames.has(ours.name)) {
        merged.push(mergeTyped(itemAtom(list), ours.item, undefined));
        l += 1;
        continue;
      }
      if (done.has(ours.name)) l += 1;
    }
    if (theirs !== undefined) {
      takeApplied(theirs);
      a += 1;
    }
  }
}

function nameItems(list: ListAtom, items: readonly unknown[]): Named[] {
  const named: Named[] = [];
  for (const item of items) {
    const element = elementOf(list, item);
    if (typeof element !== 'string') named.push({ name: formatElement(element), item });
  }
  return named;
}

/** Without the items and fields of `paths`; a container that loses all it had stays, empty. */
export function removePaths(atom: Atom, value: unknown, paths: FieldSet): unknown {
  const shape = shapeOf(atom, value);
  if (shape === 'map' && atom.map !== undefined) {
    return isMap(value) && !atom.map.isAtomic ? removeFromMap(atom.map, value, paths) : null;
  }
  if (shape === 'list' && atom.list !== undefined) {
    const isOpen = Array.isArray(value) && !atom.list.isAtomic;
    return isOpen ? removeFromList(atom.list, value, paths) : null;
  }
  return value;
}

function removeFromMap(map: MapAtom, value: JsonMap, paths: FieldSet): JsonMap | null {
  const rest: JsonMap = {};
  let hasInner = false;
  for (const [key, child] of Object.entries(value)) {
    const element = fieldElement(key);
    if (paths.hasElement(element)) continue;
    const below = paths.below(element);
    if (below !== undefined) hasInner = true;
    setKey(rest, key, below === undefined ? child : removeBelow(fieldAtom(map, key), child, below));
  }
  return hasInner || Object.keys(rest).length > 0 ? rest : null;
}

function removeFromList(list: ListAtom, items: unknown[], paths: FieldSet): unknown[] | null {
  const rest: unknown[] = [];
  let hasInner = false;
  for (const item of items) {
    const element = elementOf(list, item);
    if (typeof element === 'string') {
      rest.push(item);
      continue;
    }
    if (paths.hasElement(element)) continue;
    const below = paths.below(element);
    if (below !== undefined) hasInner = true;
    rest.push(below === undefined ? item : removeBelow(itemAtom(list), item, below));
  }
  return hasInner || rest.length > 0 ? rest : null;
}

function removeBelow(atom: Atom, value: unknown, paths: FieldSet): unknown {
  const rest = removePaths(atom, value, paths);
  if (rest !== null) return rest;
  if (isMap(value)) return {};
  return Array.isArray(value) ? [] : null;
}
