/**
 * Ownership that was recorded under another schema. Where a list or map has become one value since,
 * who owned a part of it owns the whole. (The other way round nothing is done: the parts are
 * nobody's until somebody applies them.)
 */
import {
  type Atom,
  DEDUCED,
  fieldAtom,
  isDeducedMap,
  isNamedField,
  itemAtom,
  type MapAtom,
} from './atom.ts';
import { FieldSet } from './field-set.ts';
import type { FieldPath, PathElement } from './path-element.ts';

export function reconcileFields(atom: Atom, fields: FieldSet): FieldSet {
  const wholes: FieldPath[] = [];
  findWholes(wholes, { atom, fields, isLeaf: false, path: [] });
  if (wholes.length === 0) return fields;
  const changed = FieldSet.of(...wholes);
  return fields.withoutTrees(changed).union(changed);
}

interface Visit {
  readonly atom: Atom;
  readonly fields: FieldSet | undefined;
  /** Owned as a whole already. */
  readonly isLeaf: boolean;
  readonly path: FieldPath;
}

function findWholes(wholes: FieldPath[], visit: Visit): void {
  const { atom, fields, isLeaf, path } = visit;
  if (atom.map !== undefined) {
    if (isDeducedMap(atom.map)) return;
    if (!isLeaf && atom.map.isAtomic) {
      if (fields !== undefined) wholes.push(path);
      return;
    }
    visitNodes(wholes, visit, (element) => mapElementAtom(atom.map, element));
  } else if (atom.scalar === undefined && atom.list !== undefined) {
    if (!isLeaf && atom.list.isAtomic) {
      wholes.push(path);
      return;
    }
    const items = itemAtom(atom.list);
    visitNodes(wholes, visit, () => items);
  }
}

function mapElementAtom(map: MapAtom | undefined, element: PathElement): Atom | undefined {
  if (map === undefined) return undefined;
  if (element.kind === 'field') {
    const isKnown = isNamedField(map, element.name) || map.others !== undefined;
    return isKnown ? fieldAtom(map, element.name) : undefined;
  }
  return map.others === undefined ? undefined : DEDUCED;
}

function visitNodes(
  wholes: FieldPath[],
  { fields, path }: Visit,
  atomBelow: (element: PathElement) => Atom | undefined,
): void {
  for (const { element, isMember, children } of fields?.nodes() ?? []) {
    const atom = atomBelow(element);
    if (atom === undefined) continue;
    const isLeaf = isMember && children === undefined;
    findWholes(wholes, { atom, fields: children, isLeaf, path: [...path, element] });
  }
}
