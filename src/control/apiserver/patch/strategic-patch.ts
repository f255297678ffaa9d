/**
 * Strategic merge patch, as `kubectl edit` and `kubectl apply` send it for built-in kinds
 * (apimachinery/pkg/util/strategicpatch). Lists that the schema gives a merge strategy are merged
 * by key; four directives say what plain JSON cannot:
 *   $patch: replace | delete           in a map, or in an item of a merged list
 *   $deleteFromPrimitiveList/FIELD     values to take out of a list
 *   $setElementOrder/FIELD             the order that the list should have
 *   $retainKeys                        the only keys that a map should keep
 */
import type { Schema } from '#api/resources/mod.ts';
import { cloneJson, equalJson, getKey, isMap, type JsonMap, setKey } from './json.ts';
import { badPatch, demandDepth } from './refusal.ts';
import { keyOf, mergeLists, orderItems, type Strategy } from './strategic-list.ts';

const PATCH = '$patch';
const RETAIN_KEYS = '$retainKeys';
const DELETE_PREFIX = '$deleteFromPrimitiveList';
const ORDER_PREFIX = '$setElementOrder';

/** Changes neither argument. */
export function applyStrategicPatch(object: unknown, patch: unknown, schema: Schema): unknown {
  if (!isMap(patch)) throw badPatch('invalid JSON document');
  demandDepth(patch);
  return mergeMap(
    isMap(object) ? (cloneJson(object) as JsonMap) : {},
    cloneJson(patch) as JsonMap,
    schema,
  );
}

/** Both are ours to change, and are. */
function mergeMap(original: JsonMap, patch: JsonMap, schema: Schema | undefined): JsonMap {
  if (Object.hasOwn(patch, PATCH)) return followDirective(patch);
  retainKeys(original, patch);
  mergeOrdered(original, patch, schema);
  for (const [key, value] of Object.entries(patch)) {
    if (key.startsWith(DELETE_PREFIX)) {
      deleteValues(original, suffixOf(key, DELETE_PREFIX), value);
    } else if (value === null) {
      delete original[key];
    } else {
      mergeField(original, key, value, strategyOf(schema, key));
    }
  }
  return original;
}

function followDirective(patch: JsonMap): JsonMap {
  const directive = patch[PATCH];
  if (directive === 'delete') return {};
  if (directive !== 'replace') {
    throw badPatch(
      `unknown patch type: ${JSON.stringify(directive)} in map: ${JSON.stringify(patch)}`,
      500,
    );
  }
  const { [PATCH]: _, ...rest } = patch;
  return rest;
}

function mergeField(original: JsonMap, key: string, value: unknown, strategy: Strategy): void {
  const old = getKey(original, key);
  if (isMap(old) && isMap(value)) {
    const merged = strategy.replaces ? value : mergeMap(old, value, strategy.schema);
    setKey(original, key, merged);
  } else if (Array.isArray(old) && Array.isArray(value)) {
    setKey(original, key, strategy.merges ? mergeLists(old, value, strategy, mergeMap) : value);
  } else {
    // New, or of another kind: nulls in it have nothing to delete.
    if (typeof old !== typeof value || old === undefined || old === null) dropNulls(value);
    const kept = withoutDirectives(value);
    if (kept === undefined) delete original[key];
    else setKey(original, key, kept);
  }
}

function dropNulls(value: unknown): void {
  if (Array.isArray(value)) value.forEach(dropNulls);
  if (!isMap(value)) return;
  for (const [key, child] of Object.entries(value)) {
    if (child === null) delete value[key];
    else dropNulls(child);
  }
}

/** Undefined when the value is nothing but a directive. */
function withoutDirectives(value: unknown): unknown {
  if (Array.isArray(value))
    return value.map(withoutDirectives).filter((item) => item !== undefined);
  if (!isMap(value)) return value;
  if (Object.hasOwn(value, PATCH)) return undefined;
  const rest: JsonMap = {};
  for (const [key, child] of Object.entries(value)) {
    const kept = withoutDirectives(child);
    if (kept !== undefined) setKey(rest, key, kept);
  }
  return rest;
}

function retainKeys(original: JsonMap, patch: JsonMap): void {
  if (!Object.hasOwn(patch, RETAIN_KEYS)) return;
  const retained = patch[RETAIN_KEYS];
  delete patch[RETAIN_KEYS];
  if (!Array.isArray(retained)) throw badPatch('invalid patch format of retainKeys');
  const keys = new Set<unknown>(retained);
  for (const [key, value] of Object.entries(patch)) {
    const isDirective = key.startsWith(DELETE_PREFIX) || key.startsWith(ORDER_PREFIX);
    if (value !== null && !isDirective && !keys.has(key)) {
      throw badPatch('invalid patch format of retainKeys');
    }
  }
  for (const key of Object.keys(original)) if (!keys.has(key)) delete original[key];
}

function deleteValues(original: JsonMap, key: string, values: unknown): void {
  if (values === null) {
    delete original[key];
    return;
  }
  const old = getKey(original, key);
  if (!Array.isArray(old) || !Array.isArray(values)) return;
  if (old.some(isMap) || values.some(isMap)) {
    throw badPatch('list element types are not identical', 500);
  }
  const gone = new Set<unknown>(values);
  const kept = old.filter((item) => !gone.has(item));
  setKey(original, key, kept);
}

/** Lists that come with an order: merged, ordered, and taken out of the patch. */
function mergeOrdered(original: JsonMap, patch: JsonMap, schema: Schema | undefined): void {
  for (const [directive, order] of Object.entries(patch)) {
    if (!directive.startsWith(ORDER_PREFIX)) continue;
    delete patch[directive];
    const key = suffixOf(directive, ORDER_PREFIX);
    if (!Array.isArray(order)) throw badList(order);
    const old = listOf(original, key);
    const changes = listOf(patch, key);
    const strategy = strategyOf(schema, key);
    checkOrder(changes ?? [], order, strategy.mergeKey);
    const merged = mergeUnordered(old, changes, strategy);
    if (merged === undefined) continue;
    if ((old ?? []).length + (changes ?? []).length === 0) {
      throw badPatch('no elements in any of the given slices', 500);
    }
    setKey(original, key, orderItems(merged, order, old ?? [], strategy.mergeKey));
    delete patch[key];
  }
}

function mergeUnordered(
  old: unknown[] | undefined,
  changes: unknown[] | undefined,
  strategy: Strategy,
): unknown[] | undefined {
  if (changes === undefined) return old;
  if (old === undefined) return withoutDirectives(changes) as unknown[];
  return strategy.merges ? mergeLists(old, changes, strategy, mergeMap) : changes;
}

function listOf(map: JsonMap, key: string): unknown[] | undefined {
  const value = getKey(map, key);
  if (value === undefined || Array.isArray(value)) return value;
  throw badList(value);
}

/** What the patch changes must stand in the order, in that order. */
function checkOrder(changes: unknown[], order: unknown[], mergeKey: string): void {
  if (changes.length === 0 || order.length === 0) return;
  const kept = changes.filter((item) => !isMap(item) || item[PATCH] !== 'delete');
  const isDirective = (item: unknown): boolean => isMap(item) && Object.hasOwn(item, PATCH);
  let next = 0;
  for (const item of order) {
    while (next < kept.length && isDirective(kept[next])) next += 1;
    const wanted = kept[next];
    if (wanted === undefined) return;
    const isSame =
      mergeKey === ''
        ? equalJson(wanted, item)
        : isMap(item) && getKey(item, mergeKey) === keyOf(wanted, mergeKey);
    if (isSame) next += 1;
  }
  if (next < kept.length) {
    const lists = [changes, order].map((list) => JSON.stringify(list));
    throw badPatch(
      `The order in patch list:\n${lists[0]}\n doesn't match ${ORDER_PREFIX} list:\n${lists[1]}\n`,
      500,
    );
  }
}

function badList(value: unknown): Error {
  const type = isMap(value) ? 'map[string]interface {}' : typeof value;
  return badPatch(`expected a []interface {}, but received a ${type}`, 500);
}

function suffixOf(key: string, prefix: string): string {
  if (key.startsWith(`${prefix}/`)) return key.slice(prefix.length + 1);
  const list = prefix === DELETE_PREFIX ? 'primitive list' : 'setElementOrder list';
  throw badPatch(`invalid patch format of ${list}`);
}

function strategyOf(schema: Schema | undefined, key: string): Strategy {
  const properties = schema?.properties ?? {};
  const field = Object.hasOwn(properties, key) ? properties[key] : schema?.additionalProperties;
  const strategies = field?.['x-kubernetes-patch-strategy']?.split(',') ?? [];
  return {
    merges: strategies.includes('merge'),
    replaces: strategies.includes('replace'),
    mergeKey: field?.['x-kubernetes-patch-merge-key'] ?? '',
    schema: field?.items ?? field,
  };
}
