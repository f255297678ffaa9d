/**
 * What admission and strategy of the real server write into claims and persistent volumes by
 * themselves; none of it has a field manager. Who removes the finalizers is a controller that knows
 * what uses them.
 */
import type { JsonObject, Resource } from '#api/resources/mod.ts';
import { metaOf, withMeta } from './catalog.ts';

/** StorageObjectInUseProtection. */
const PROTECTION: Readonly<Record<string, string>> = {
  '/PersistentVolumeClaim': 'kubernetes.io/pvc-protection',
  '/PersistentVolume': 'kubernetes.io/pv-protection',
};

/** Held back until nobody uses it. */
export function withProtection(resource: Resource, object: JsonObject): JsonObject {
  const finalizer = PROTECTION[`${resource.group}/${resource.kind}`];
  const { finalizers = [] } = metaOf(object);
  if (finalizer === undefined || finalizers.includes(finalizer)) return object;
  return withMeta(object, { finalizers: [...finalizers, finalizer] });
}

/** When the phase of a persistent volume changed last, unless the writer says so itself. */
export function withPhaseTime(
  resource: Resource,
  before: JsonObject | undefined,
  after: JsonObject,
  now: string,
): JsonObject {
  if (resource.group !== '' || resource.kind !== 'PersistentVolume') return after;
  const [was, is] = [statusOf(before), statusOf(after)];
  const isSaid = is['lastPhaseTransitionTime'] !== was['lastPhaseTransitionTime'];
  if (was['phase'] === is['phase'] || isSaid) return after;
  return { ...after, status: { ...is, lastPhaseTransitionTime: now } };
}

function statusOf(object: JsonObject | undefined): JsonObject {
  return (object?.['status'] ?? {}) as JsonObject;
}
