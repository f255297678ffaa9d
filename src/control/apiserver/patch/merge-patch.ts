import { isMap, type JsonMap, setKey } from './json.ts';
import { badPatch, demandDepth } from './refusal.ts';

/**
 * RFC 7396 on an object: a patch that is none would replace it whole, so it is refused. As in
 * Kubernetes, nulls in a list's maps are left out: there they have nothing to remove.
 */
export function applyMergePatch(object: unknown, patch: unknown): unknown {
  if (!isMap(patch)) throw badPatch('Invalid JSON Patch');
  demandDepth(patch);
  return merge(object, withoutNulls(patch, false));
}

/** Null removes a field; lists are replaced whole. */
function merge(target: unknown, patch: unknown): unknown {
  if (!isMap(patch)) return patch;
  const merged: JsonMap = isMap(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete merged[key];
    else setKey(merged, key, merge(Object.hasOwn(merged, key) ? merged[key] : undefined, value));
  }
  return merged;
}

function withoutNulls(value: unknown, isInList: boolean): unknown {
  if (Array.isArray(value)) return value.map((item) => withoutNulls(item, true));
  if (!isMap(value)) return value;
  const kept: JsonMap = {};
  for (const [key, child] of Object.entries(value)) {
    if (child !== null || !isInList) setKey(kept, key, withoutNulls(child, isInList));
  }
  return kept;
}
