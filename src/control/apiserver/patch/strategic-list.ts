/** The lists of a strategic merge patch: merged by key or by value, then put in order. */
import type { Schema } from '#api/resources/mod.ts';
import { getKey, isMap, type JsonMap } from './json.ts';
import { badPatch, PatchTestFailed } from './refusal.ts';

/** How a field merges. Fields that the schema does not know are replaced, or merged as maps. */
export interface Strategy {
  readonly merges: boolean;
  readonly replaces: boolean;
  readonly mergeKey: string;
  readonly schema: Schema | undefined;
}

/** Taking duplicates out, in the order that Kubernetes does, costs the square. */
const DUPLICATES_MAX = 10_000;

export type MergeMap = (original: JsonMap, patch: JsonMap, schema: Schema | undefined) => JsonMap;

/**
 * Both are ours to change. What is left in `original` is the order that Kubernetes goes by when the
 * patch has one of its own: items close up over deleted ones, and new ones take the room at the
 * end.
 */
export function mergeLists(
  original: unknown[],
  patch: unknown[],
  strategy: Strategy,
  mergeMap: MergeMap,
): unknown[] {
  if (original.length === 0 && patch.length === 0) return original;
  const { mergeKey } = strategy;
  if (!checkElements([...original, ...patch])) {
    return orderItems(withoutDuplicates([...original, ...patch]), patch, original, '');
  }
  if (mergeKey === '') throw badPatch('cannot merge lists without merge key for struct', 500);
  const { base, changes } = followDirectives(original, patch as JsonMap[], mergeKey);
  const merged = [...base];
  const places = placesOf(merged, mergeKey);
  for (const item of changes) {
    const key = keyOf(item, mergeKey);
    const at = places.get(key);
    const old = at === undefined ? undefined : merged[at];
    if (at !== undefined && isMap(old)) {
      merged[at] = mergeMap(old, item, strategy.schema);
    } else {
      if (merged.length < original.length) original[merged.length] = item;
      places.set(key, merged.length);
      merged.push(item);
    }
  }
  return orderItems(merged, changes, base, mergeKey);
}

/** Whether the items are maps; they must be of one kind, and no lists. */
function checkElements(items: readonly unknown[]): boolean {
  const [first] = items;
  if (Array.isArray(first)) throw new PatchTestFailed('lists of lists are not supported');
  const kind = isMap(first) ? 'map' : typeof first;
  if (items.some((item) => (isMap(item) ? 'map' : typeof item) !== kind || item === null)) {
    throw badPatch(`list element types are not identical: ${JSON.stringify(items)}`, 500);
  }
  return kind === 'map';
}

function followDirectives(
  original: unknown[],
  patch: readonly JsonMap[],
  mergeKey: string,
): { base: unknown[]; changes: JsonMap[] } {
  const deleted: unknown[] = [];
  let isReplaced = false;
  const changes: JsonMap[] = [];
  for (const item of patch) {
    const directive = getKey(item, '$patch');
    if (directive === undefined) {
      changes.push(item);
    } else if (directive === 'delete') {
      deleted.push(keyOf(item, mergeKey));
    } else if (directive === 'replace') {
      isReplaced = true;
    } else if (directive === 'merge') {
      throw badPatch('merging lists cannot yet be specified in the patch', 500);
    } else {
      const map = JSON.stringify(item);
      throw badPatch(`unknown patch type: ${JSON.stringify(directive)} in map: ${map}`, 500);
    }
  }
  const left = deleteItems(original, mergeKey, deleted);
  // A list that replaces another is taken as it is.
  if (isReplaced) return { base: changes, changes: [] };
  return { base: original.slice(0, left), changes };
}

/**
 * The number of items that are left. Behind them stands what Kubernetes has there, which deletes
 * one after the other and closes up: what was last before each.
 */
function deleteItems(items: unknown[], mergeKey: string, keys: readonly unknown[]): number {
  const places = new Map<unknown, number[]>();
  for (const [at, item] of items.entries()) {
    const key = isMap(item) ? getKey(item, mergeKey) : undefined;
    const known = places.get(key);
    if (known === undefined) places.set(key, [at]);
    else known.push(at);
  }
  const gone = new Set<number>();
  const behind: unknown[] = [];
  let last = items.length - 1;
  for (const key of keys) {
    for (const at of places.get(key) ?? []) {
      behind.push(items[last]);
      gone.add(at);
      while (gone.has(last)) last -= 1;
    }
    places.delete(key);
  }
  const kept = items.filter((_, at) => !gone.has(at));
  for (const [at, item] of [...kept, ...behind.toReversed()].entries()) items[at] = item;
  return kept.length;
}

/** Throws for what is no map or has no such key. */
export function keyOf(item: unknown, mergeKey: string): unknown {
  if (!isMap(item)) throw badPatch('expected a map[string]interface {}', 500);
  const value = getKey(item, mergeKey);
  if (value !== undefined) return value;
  const map = JSON.stringify(item);
  throw badPatch(`map: ${map} does not contain declared merge key: ${mergeKey}`, 500);
}

/** Where each key, or each scalar when there is no merge key, first stands. */
function placesOf(items: readonly unknown[], mergeKey: string): Map<unknown, number> {
  const places = new Map<unknown, number>();
  for (const [at, item] of items.entries()) {
    const key = mergeKey === '' ? item : isMap(item) ? getKey(item, mergeKey) : undefined;
    if (key !== undefined && !places.has(key)) places.set(key, at);
  }
  return places;
}

/** The last takes the place of a duplicate: the order that Kubernetes has always had. */
function withoutDuplicates(items: unknown[]): unknown[] {
  if (new Set(items).size === items.length) return items;
  if (items.length > DUPLICATES_MAX) {
    throw new PatchTestFailed(`list has duplicates and more than ${DUPLICATES_MAX} elements`);
  }
  for (let at = 0; at < items.length; at += 1) {
    for (let other = at + 1; other < items.length; other += 1) {
      if (items[at] !== items[other]) continue;
      const last = items.pop();
      if (other < items.length) items[other] = last;
      other -= 1;
    }
  }
  return items;
}

/**
 * Items of `order` in its order; the rest keep the order of `server`. The two are woven so that
 * what only the server has comes no later than it did.
 */
export function orderItems(
  items: readonly unknown[],
  order: readonly unknown[],
  server: readonly unknown[],
  mergeKey: string,
): unknown[] {
  const nameOf = (item: unknown): unknown => (mergeKey === '' ? item : keyOf(item, mergeKey));
  const wanted = placesOf(order, mergeKey);
  const found = placesOf(server, mergeKey);
  const sort = (list: readonly unknown[], by: ReadonlyMap<unknown, number>): unknown[] =>
    list.toSorted((a, b) => (by.get(nameOf(a)) ?? -1) - (by.get(nameOf(b)) ?? -1));
  const ours: unknown[] = [];
  const theirs: unknown[] = [];
  for (const item of items) (wanted.has(nameOf(item)) ? ours : theirs).push(item);
  const rest = sort(theirs, found);
  const woven: unknown[] = [];
  let next = 0;
  for (const item of sort(ours, wanted)) {
    const at = found.get(nameOf(item)) ?? -1;
    while (next < rest.length && (found.get(nameOf(rest[next])) ?? at) < at) {
      woven.push(rest[next]);
      next += 1;
    }
    woven.push(item);
  }
  return [...woven, ...rest.slice(next)];
}
