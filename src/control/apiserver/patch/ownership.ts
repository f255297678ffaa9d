/**
 * Who owns a field after an update or an apply, and what an apply removes: structured-merge-diff's
 * `merge.Updater`. Entries of other API versions than the request's are dropped, as Kubernetes does
 * with versions that are served no more: every kind here has one version.
 */
import type { Atom } from './atom.ts';
import { FieldSet } from './field-set.ts';
import { keyOf, type ManagerEntry, type Managers } from './managers.ts';
import { reconcileFields } from './reconcile-fields.ts';
import { mergeTyped, removePaths } from './typed-merge.ts';
import { type Comparison, compareTyped, fieldSetOf } from './typed-values.ts';
import { equalJson } from './json.ts';
import type { FieldPath } from './path-element.ts';

export interface Owner {
  readonly manager: string;
  readonly operation: 'Apply' | 'Update';
  readonly apiVersion: string;
  readonly subresource: string;
}

export interface Conflict {
  /** Who owns the field. */
  readonly owner: Owner;
  readonly path: FieldPath;
}

export interface OwnershipRules {
  readonly atom: Atom;
  /** What this request can neither change nor own: `status`, or all that is not status. */
  readonly resetFields: FieldSet;
  readonly apiVersion: string;
}

export interface Applied {
  readonly object: unknown;
  /** The same as the live object. */
  readonly isUnchanged: boolean;
  readonly managers: Managers;
  /** When there are some, nothing else counts. */
  readonly conflicts: readonly Conflict[];
}

/** Takes from others what changed; the changed fields are `owner`'s. */
export function ownUpdate(
  rules: OwnershipRules,
  before: unknown,
  after: unknown,
  managers: Managers,
  owner: ManagerEntry,
): Managers {
  const current = reconcile(rules, managers);
  const comparison = compareOpen(rules, before, after);
  takeOver(current, comparison, keyOf(owner));
  const previous = current.get(keyOf(owner))?.fields ?? new FieldSet();
  const { added, modified, removed } = comparison;
  const owned = previous.difference(removed).union(modified).union(added);
  put(current, { ...owner, fields: owned.withoutTrees(rules.resetFields) });
  return current;
}

/** Lays `applied` over `live`, and removes what `owner` applied before and nobody wants now. */
export function ownApply(
  rules: OwnershipRules,
  live: unknown,
  applied: unknown,
  managers: Managers,
  owner: ManagerEntry,
  force: boolean,
): Applied {
  const { atom } = rules;
  const key = keyOf(owner);
  const current = reconcile(rules, managers);
  const last = current.get(key)?.fields;
  const merged = mergeTyped(atom, live, applied);
  const fields = fieldSetOf(atom, applied).withoutTrees(rules.resetFields);
  current.set(key, { ...owner, fields, time: managers.get(key)?.time });
  const object = last === undefined ? merged : prune(atom, merged, current, last);
  const comparison = compareOpen(rules, live, object);
  const conflicts = force ? [] : findConflicts(current, comparison, key);
  takeOver(current, comparison, key);
  return { object, isUnchanged: equalJson(live, object), managers: current, conflicts };
}

function reconcile({ atom, apiVersion }: OwnershipRules, managers: Managers): Managers {
  const current: Managers = new Map();
  for (const [key, entry] of managers) {
    if (entry.apiVersion !== apiVersion) continue;
    current.set(key, { ...entry, fields: reconcileFields(atom, entry.fields) });
  }
  return current;
}

function compareOpen(rules: OwnershipRules, before: unknown, after: unknown): Comparison {
  const { added, modified, removed } = compareTyped(rules.atom, before, after);
  return {
    added: added.withoutTrees(rules.resetFields),
    modified: modified.withoutTrees(rules.resetFields),
    removed: removed.withoutTrees(rules.resetFields),
  };
}

function findConflicts(managers: Managers, comparison: Comparison, self: string): Conflict[] {
  const changed = comparison.modified.union(comparison.added);
  const conflicts: Conflict[] = [];
  for (const key of [...managers.keys()].toSorted()) {
    const owner = managers.get(key);
    if (key === self || owner === undefined) continue;
    for (const path of owner.fields.intersection(changed).paths()) conflicts.push({ owner, path });
  }
  return conflicts;
}

function takeOver(managers: Managers, comparison: Comparison, self: string): void {
  const { added, modified, removed } = comparison;
  const lost = modified.union(added).union(removed);
  for (const [key, entry] of managers) {
    const fields = key === self ? entry.fields : entry.fields.difference(lost);
    put(managers, { ...entry, fields });
  }
}

function put(managers: Managers, entry: ManagerEntry): void {
  if (entry.fields.isEmpty) managers.delete(keyOf(entry));
  else managers.set(keyOf(entry), entry);
}

/**
 * Removes what `last` named, then puts back what any manager owns (the new configuration of this
 * one included), then puts back what was in no configuration of this manager at all.
 */
function prune(atom: Atom, merged: unknown, managers: Managers, last: FieldSet): unknown {
  if (last.isEmpty) return merged;
  const named = (set: FieldSet): FieldSet => set.withNamedFields(atom);
  const all = named(fieldSetOf(atom, merged));
  const stripped = removePaths(atom, merged, named(last));
  let owned = new FieldSet();
  for (const { fields } of managers.values()) owned = owned.union(fields);
  const kept = named(fieldSetOf(atom, stripped)).union(named(owned));
  const withOwned = removePaths(atom, merged, all.difference(kept));
  const rest = named(fieldSetOf(atom, withOwned));
  return removePaths(atom, merged, all.difference(rest).intersection(named(last)));
}
