import type { AnyObject } from '#api/kinds/mod.ts';
import { invalidObject, parseQuantity } from '#api/kinds/mod.ts';
import { isDeepStrictEqual } from 'node:util';

/** Fields that are decided once. Shrinking and moving would lose data or mean something else. */
const IMMUTABLE: Readonly<Record<string, readonly string[]>> = {
  PersistentVolumeClaim: ['storageClassName', 'dataSource', 'dataSourceRef', 'volumeMode'],
  Volume: ['segmentSize', 'source', 'claimRef'],
  Replica: ['volumeName', 'nodeName', 'poolName', 'segmentSize', 'founders', 'cloneOf'],
  Snapshot: ['volumeName', 'claimRef'],
  DiskPool: ['nodeName', 'directory'],
};

/** What CEL rules say in a cluster: throws `invalid-object` for a change that is never allowed. */
export function checkUpdate(before: AnyObject, after: AnyObject): void {
  const specBefore = specOf(before);
  const specAfter = specOf(after);
  for (const field of IMMUTABLE[after.kind] ?? []) {
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

function specOf(object: AnyObject): Readonly<Record<string, unknown>> {
  return ((object as { spec?: unknown }).spec ?? {}) as Readonly<Record<string, unknown>>;
}

function sizeOf(object: AnyObject): { readonly path: string; readonly value: unknown } | null {
  if (object.kind === 'PersistentVolumeClaim') {
    const value = object.spec.resources.requests.storage;
    return { path: 'spec.resources.requests.storage', value };
  }
  if (object.kind === 'Volume') return { path: 'spec.size', value: object.spec.size };
  return null;
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
