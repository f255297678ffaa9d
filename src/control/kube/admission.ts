import type { AnyObject } from '#api/kinds/mod.ts';
import { FIXED_FIELDS, GROWING_FIELDS, invalidObject, parseQuantity } from '#api/kinds/mod.ts';
import type { JsonObject } from '#api/resources/mod.ts';
import { isDeepStrictEqual } from 'node:util';

/** What CEL rules say in a cluster: throws `invalid-object` for a change that is never allowed. */
export function checkUpdate(before: AnyObject, after: AnyObject): void {
  const specBefore = specOf(before);
  const specAfter = specOf(after);
  for (const field of FIXED_FIELDS[after.kind] ?? []) {
    const was = specBefore[field];
    if (was === undefined || isDeepStrictEqual(was, specAfter[field])) continue;
    throw invalidObject(
      `spec.${field}`,
      specAfter[field],
      'Field cannot be changed',
      `Keep ${JSON.stringify(was)}, or create another ${after.kind}`,
    );
  }
  checkShrink(before, after);
}

function specOf(object: AnyObject): JsonObject {
  return ((object as { spec?: unknown }).spec ?? {}) as JsonObject;
}

function sizeOf(object: AnyObject): { readonly path: string; readonly value: unknown } | null {
  const path = GROWING_FIELDS[object.kind];
  if (path === undefined) return null;
  const value = path.reduce<unknown>((at, field) => (at as JsonObject)[field], object);
  return { path: path.join('.'), value };
}

function checkShrink(before: AnyObject, after: AnyObject): void {
  const was = sizeOf(before);
  const now = sizeOf(after);
  if (was === null || now === null) return;
  if (parseQuantity(now.path, now.value) >= parseQuantity(was.path, was.value)) return;
  throw invalidObject(
    now.path,
    now.value,
    'A volume cannot be made smaller',
    `Use ${String(was.value)} or more`,
  );
}
