/**
 * A set of field paths: which fields a manager owns (managedFields), which an update changed.
 * Operations give new sets; only `insert` changes one, while it is built.
 */
import { isMap, type JsonMap, setKey } from './json.ts';
import {
  compareElements,
  type FieldPath,
  type FieldsV1,
  formatElement,
  parseElement,
  type PathElement,
} from './path-element.ts';
import { DEPTH_MAX } from './refusal.ts';
import { fieldAtom, isNamedField, itemAtom, type Atom } from './atom.ts';

interface Node {
  readonly element: PathElement;
  /** The path that ends here is in the set. */
  readonly isMember: boolean;
  /** Longer paths; undefined or not empty. */
  readonly children: FieldSet | undefined;
}

export class FieldSet {
  readonly #nodes = new Map<string, Node>();

  static of(...paths: readonly FieldPath[]): FieldSet {
    const set = new FieldSet();
    for (const path of paths) set.insert(path);
    return set;
  }

  get isEmpty(): boolean {
    return this.#nodes.size === 0;
  }

  /** The empty path is nobody's: it adds nothing. */
  insert(path: FieldPath): void {
    const [element, ...rest] = path;
    if (element === undefined) return;
    const key = formatElement(element);
    const node = this.#nodes.get(key);
    if (rest.length === 0) {
      this.#nodes.set(key, { element, isMember: true, children: node?.children });
      return;
    }
    const children = node?.children ?? new FieldSet();
    children.insert(rest);
    this.#nodes.set(key, { element, isMember: node?.isMember ?? false, children });
  }

  has(path: FieldPath): boolean {
    const [element, ...rest] = path;
    if (element === undefined) return false;
    const node = this.#nodes.get(formatElement(element));
    if (node === undefined) return false;
    return rest.length === 0 ? node.isMember : (node.children?.has(rest) ?? false);
  }

  hasElement(element: PathElement): boolean {
    return this.#nodes.get(formatElement(element))?.isMember ?? false;
  }

  /** The paths below `element`, without it; undefined when there are none. */
  below(element: PathElement): FieldSet | undefined {
    return this.#nodes.get(formatElement(element))?.children;
  }

  union(other: FieldSet): FieldSet {
    const result = this.#copy();
    for (const [key, theirs] of other.#nodes) {
      const ours = result.#nodes.get(key);
      result.#put(
        theirs.element,
        theirs.isMember || (ours?.isMember ?? false),
        ours?.children === undefined
          ? theirs.children
          : theirs.children === undefined
            ? ours.children
            : ours.children.union(theirs.children),
      );
    }
    return result;
  }

  intersection(other: FieldSet): FieldSet {
    const result = new FieldSet();
    for (const [key, ours] of this.#nodes) {
      const theirs = other.#nodes.get(key);
      if (theirs === undefined) continue;
      const isShared = ours.children !== undefined && theirs.children !== undefined;
      const children = isShared ? ours.children.intersection(theirs.children) : undefined;
      result.#put(ours.element, ours.isMember && theirs.isMember, children);
    }
    return result;
  }

  /** Path by path: taking away a parent leaves its children. */
  difference(other: FieldSet): FieldSet {
    const result = new FieldSet();
    for (const [key, ours] of this.#nodes) {
      const theirs = other.#nodes.get(key);
      const children =
        ours.children === undefined || theirs?.children === undefined
          ? ours.children
          : ours.children.difference(theirs.children);
      result.#put(ours.element, ours.isMember && theirs?.isMember !== true, children);
    }
    return result;
  }

  /** Taking away a parent takes its children too. */
  withoutTrees(other: FieldSet): FieldSet {
    const result = new FieldSet();
    for (const [key, ours] of this.#nodes) {
      const theirs = other.#nodes.get(key);
      if (theirs?.isMember === true) continue;
      const children =
        ours.children === undefined || theirs?.children === undefined
          ? ours.children
          : ours.children.withoutTrees(theirs.children);
      result.#put(ours.element, ours.isMember, children);
    }
    return result;
  }

  /** With every field that a schema names on the way to a path, though not the keys of a map. */
  withNamedFields(atom: Atom | undefined): FieldSet {
    const result = new FieldSet();
    for (const { element, isMember, children } of this.#nodes.values()) {
      const isNamed =
        element.kind === 'field' &&
        children !== undefined &&
        atom?.map !== undefined &&
        isNamedField(atom.map, element.name);
      result.#put(
        element,
        isMember || isNamed,
        children?.withNamedFields(atomBelow(atom, element)),
      );
    }
    return result;
  }

  /** In the order of FieldsV1; the members of a level before what lies below them. */
  paths(): FieldPath[] {
    const paths: FieldPath[] = [];
    this.#collect([], paths);
    return paths;
  }

  /** Every element with its flags, in order. */
  nodes(): readonly Node[] {
    return [...this.#nodes.values()].toSorted((a, b) => compareElements(a.element, b.element));
  }

  encode(): FieldsV1 {
    return this.#encode(false);
  }

  /** Throws SyntaxError when malformed. Kinds of elements that are not known are left out. */
  static decode(fields: unknown): FieldSet {
    return FieldSet.#decode(fields, 0).children ?? new FieldSet();
  }

  #collect(prefix: FieldPath, into: FieldPath[]): void {
    const nodes = this.nodes();
    for (const { element, isMember } of nodes) if (isMember) into.push([...prefix, element]);
    for (const { element, children } of nodes) {
      if (children !== undefined) children.#collect([...prefix, element], into);
    }
  }

  #encode(includesSelf: boolean): JsonMap {
    const fields: JsonMap = {};
    if (includesSelf) fields['.'] = {};
    for (const { element, isMember, children } of this.nodes()) {
      const child = children === undefined ? {} : children.#encode(isMember);
      setKey(fields, formatElement(element), child);
    }
    return fields;
  }

  static #decode(
    fields: unknown,
    depth: number,
  ): { children: FieldSet | undefined; isMember: boolean } {
    if (!isMap(fields) || depth > DEPTH_MAX) throw new SyntaxError('fields are no map of maps');
    const set = new FieldSet();
    let isMember = false;
    for (const [key, below] of Object.entries(fields)) {
      if (key === '.') {
        isMember = true;
        continue;
      }
      const element = parseElement(key);
      if (element === undefined) continue;
      const child = FieldSet.#decode(below, depth + 1);
      set.#put(element, child.isMember, child.children);
    }
    if (set.isEmpty) return { children: undefined, isMember: true };
    return { children: set, isMember };
  }

  #put(element: PathElement, isMember: boolean, children: FieldSet | undefined): void {
    const below = children?.isEmpty === true ? undefined : children;
    if (!isMember && below === undefined) return;
    this.#nodes.set(formatElement(element), { element, isMember, children: below });
  }

  #copy(): FieldSet {
    const copy = new FieldSet();
    for (const [key, node] of this.#nodes) copy.#nodes.set(key, node);
    return copy;
  }
}

function atomBelow(atom: Atom | undefined, element: PathElement): Atom | undefined {
  if (element.kind === 'field' && atom?.map !== undefined) return fieldAtom(atom.map, element.name);
  if (element.kind === 'key' && atom?.list !== undefined) return itemAtom(atom.list);
  return undefined;
}
