/** Walks of an object with its schema: which paths it has, which differ, what a schema refuses. */
import {
  allowsField,
  type Atom,
  elementOf,
  fieldAtom,
  isNamedField,
  itemAtom,
  type ListAtom,
  type MapAtom,
  shapeOf,
} from './atom.ts';
import { FieldSet } from './field-set.ts';
import { equalJson, getKey, isMap, type JsonMap } from './json.ts';
import {
  fieldElement,
  type FieldPath,
  formatElement,
  formatPath,
  type PathElement,
} from './path-element.ts';

/** Every leaf and every item of a list that an object mentions. */
export function fieldSetOf(atom: Atom, value: unknown): FieldSet {
  const set = new FieldSet();
  collect(set, atom, value, []);
  return set;
}

function collect(set: FieldSet, atom: Atom, value: unknown, path: FieldPath): void {
  const shape = shapeOf(atom, value);
  if (shape === 'map' && atom.map !== undefined) collectMap(set, atom.map, value, path);
  else if (shape === 'list' && atom.list !== undefined) collectList(set, atom.list, value, path);
  else set.insert(path);
}

function collectMap(set: FieldSet, map: MapAtom, value: unknown, path: FieldPath): void {
  if (map.isAtomic) return set.insert(path);
  if (!isMap(value)) return;
  for (const [key, child] of Object.entries(value)) {
    const below = [...path, fieldElement(key)];
    collect(set, fieldAtom(map, key), child, below);
    const isEmpty = child === null || (isMap(child) && Object.keys(child).length === 0);
    if (isEmpty || !isNamedField(map, key)) set.insert(below);
  }
}

function collectList(set: FieldSet, list: ListAtom, value: unknown, path: FieldPath): void {
  if (list.isAtomic) return set.insert(path);
  if (!Array.isArray(value)) return;
  for (const { element, items } of groupItems(list, value)) {
    const below = [...path, element];
    set.insert(below);
    // Of duplicates only the name is owned.
    if (items.length === 1) collect(set, itemAtom(list), items[0], below);
  }
}

export interface NamedItems {
  readonly element: PathElement;
  /** More than one: duplicates. */
  readonly items: unknown[];
}

/** The items of a granular list by name, in the order in which names first come. */
export function groupItems(list: ListAtom, items: readonly unknown[]): Iterable<NamedItems> {
  return mapItems(list, items).values();
}

export function mapItems(list: ListAtom, items: readonly unknown[]): Map<string, NamedItems> {
  const groups = new Map<string, NamedItems>();
  for (const item of items) {
    const element = elementOf(list, item);
    if (typeof element === 'string') continue;
    const key = formatElement(element);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, { element, items: [item] });
    else group.items.push(item);
  }
  return groups;
}

export interface Comparison {
  readonly added: FieldSet;
  readonly modified: FieldSet;
  readonly removed: FieldSet;
}

/** No path is in two of the sets; all are empty when nothing differs. */
export function compareTyped(atom: Atom, before: unknown, after: unknown): Comparison {
  const comparison = {
    added: new FieldSet(),
    modified: new FieldSet(),
    removed: new FieldSet(),
  };
  new Comparing(comparison).compare(atom, before, after, []);
  return comparison;
}

class Comparing {
  readonly #result: Comparison;

  constructor(result: Comparison) {
    this.#result = result;
  }

  compare(atom: Atom, left: unknown, right: unknown, path: FieldPath): void {
    const shapes = new Set<'map' | 'scalar' | 'list'>();
    if (left !== undefined) shapes.add(shapeOf(atom, left));
    if (right !== undefined) shapes.add(shapeOf(atom, right));
    let isLeaf = false;
    for (const shape of shapes) isLeaf = this.#walk(atom, shape, left, right, path);
    if (isLeaf) return;
    if (left === undefined) this.#result.added.insert(path);
    else if (right === undefined) this.#result.removed.insert(path);
  }

  #walk(
    atom: Atom,
    shape: 'map' | 'scalar' | 'list',
    left: unknown,
    right: unknown,
    path: FieldPath,
  ): boolean {
    if (shape === 'map' && atom.map !== undefined) {
      const sides = [isMap(left) ? left : {}, isMap(right) ? right : {}] as const;
      const isEmpty = sides.every((side) => Object.keys(side).length === 0);
      if (!atom.map.isAtomic && !isEmpty) return this.#walkMap(atom.map, ...sides, path);
    }
    if (shape === 'list' && atom.list !== undefined) {
      const sides = [Array.isArray(left) ? left : [], Array.isArray(right) ? right : []] as const;
      const isEmpty = sides.every((side) => side.length === 0);
      if (!atom.list.isAtomic && !isEmpty) return this.#walkList(atom.list, ...sides, path);
    }
    this.#leaf(left, right, path);
    return true;
  }

  #leaf(left: unknown, right: unknown, path: FieldPath): void {
    if (left === undefined) this.#result.added.insert(path);
    else if (right === undefined) this.#result.removed.insert(path);
    else if (!equalJson(left, right)) this.#result.modified.insert(path);
  }

  #walkMap(map: MapAtom, left: JsonMap, right: JsonMap, path: FieldPath): false {
    for (const key of new Set([...Object.keys(left), ...Object.keys(right)])) {
      const below = [...path, fieldElement(key)];
      this.compare(fieldAtom(map, key), getKey(left, key), getKey(right, key), below);
    }
    return false;
  }

  #walkList(
    list: ListAtom,
    left: readonly unknown[],
    right: readonly unknown[],
    path: FieldPath,
  ): false {
    const lefts = mapItems(list, left);
    const rights = mapItems(list, right);
    for (const [key, { element }] of new Map([...lefts, ...rights])) {
      const before = lefts.get(key)?.items ?? [];
      const after = rights.get(key)?.items ?? [];
      this.#items(itemAtom(list), before, after, [...path, element]);
    }
    return false;
  }

  /** Duplicates are one value: what lies in them is not compared field by field. */
  #items(atom: Atom, before: readonly unknown[], after: readonly unknown[], path: FieldPath): void {
    if (before.length <= 1 && after.length <= 1)
      return this.compare(atom, before[0], after[0], path);
    if (before.length >= 2 && after.length >= 2) {
      if (!equalJson(before, after)) this.#result.modified.insert(path);
    } else if (before.length >= 2) {
      if (after.length > 0) this.compare(atom, undefined, after[0], path);
      this.#result.removed.insert(path);
    } else {
      if (before.length > 0) this.compare(atom, before[0], undefined, path);
      this.#result.added.insert(path);
    }
  }
}

/** What makes an object unfit for server-side apply, as structured-merge-diff words it. */
export function findMisfits(atom: Atom, value: unknown): readonly string[] {
  const misfits: string[] = [];
  findMisfit(misfits, atom, value, []);
  return misfits;
}

function findMisfit(misfits: string[], atom: Atom, value: unknown, path: FieldPath): void {
  const shape = shapeOf(atom, value);
  const complain = (why: string): void => {
    misfits.push(path.length === 0 ? why : `${formatPath(path)}: ${why}`);
  };
  if (value === null) return;
  if (shape === 'map' && atom.map !== undefined) {
    if (!isMap(value)) return complain(`expected map, got ${describe(value)}`);
    for (const [key, child] of Object.entries(value)) {
      const below = [...path, fieldElement(key)];
      if (!allowsField(atom.map, key)) {
        misfits.push(`${formatPath(below)}: field not declared in schema`);
        return;
      }
      findMisfit(misfits, fieldAtom(atom.map, key), child, below);
    }
  } else if (shape === 'list' && atom.list !== undefined) {
    if (!Array.isArray(value)) return complain(`expected list, got ${describe(value)}`);
    findListMisfits(misfits, atom.list, value, path);
  } else {
    const why = scalarMisfit(atom.scalar, value);
    if (why !== undefined) complain(why);
  }
}

function findListMisfits(
  misfits: string[],
  list: ListAtom,
  items: readonly unknown[],
  path: FieldPath,
): void {
  const at = path.length === 0 ? '' : `${formatPath(path)}: `;
  const seen = new Set<string>();
  for (const [index, item] of items.entries()) {
    const element: PathElement | string = list.isAtomic
      ? { kind: 'index', index }
      : elementOf(list, item);
    if (typeof element === 'string') {
      misfits.push(`${at}element ${index}: ${element}`);
      return;
    }
    if (seen.has(formatElement(element))) {
      misfits.push(`${at}duplicate entries for key ${formatPath([element])}`);
    }
    seen.add(formatElement(element));
    findMisfit(misfits, itemAtom(list), item, [...path, element]);
  }
}

function scalarMisfit(scalar: Atom['scalar'], value: unknown): string | undefined {
  switch (scalar) {
    case 'numeric':
      if (typeof value === 'number') return undefined;
      return `expected numeric (int or float), got ${goType(value)}`;
    case 'string':
      return typeof value === 'string' ? undefined : `expected string, got ${goSyntax(value)}`;
    case 'boolean':
      return typeof value === 'boolean' ? undefined : `expected boolean, got ${describe(value)}`;
    default:
      return isMap(value) || Array.isArray(value)
        ? `expected any scalar, got ${describe(value)}`
        : undefined;
  }
}

function goType(value: unknown): string {
  if (typeof value === 'boolean') return 'bool';
  if (Array.isArray(value)) return '[]interface {}';
  return isMap(value) ? 'map[string]interface {}' : typeof value;
}

/** Go's `%#v` of its value type. */
function goSyntax(value: unknown): string {
  const isOpen = isMap(value) || Array.isArray(value);
  const text = isOpen ? `${goType(value)}{...}` : JSON.stringify(value);
  return `&value.valueUnstructured{Value:${text}}`;
}

/** Go's `%v` of its value type, near enough for people. */
function describe(value: unknown): string {
  return `&{${isMap(value) || Array.isArray(value) ? JSON.stringify(value) : String(value)}}`;
}
