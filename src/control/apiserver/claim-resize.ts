/** A claim grows only where its class lets it (PersistentVolumeClaimResize). */
import { compareQuantities } from '#api/resources/mod.ts';
import type { JsonObject, Resource } from '#api/resources/mod.ts';
import { metaOf } from './catalog.ts';
import { OLD_CLASS } from './default-class.ts';
import { forbidden } from './failure.ts';
import type { StoreReader } from './object-store.ts';

const REFUSAL =
  'only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc ' +
  'must support resize';

/** Throws 403. */
export function checkResize(
  store: StoreReader,
  resource: Resource,
  before: JsonObject,
  after: JsonObject,
): void {
  if (resource.group !== '' || resource.kind !== 'PersistentVolumeClaim') return;
  if (compareQuantities(sizeOf(after), sizeOf(before)) <= 0) return;
  const name = classOf(after);
  const key = { resource: 'storage.k8s.io/storageclasses', namespace: '', name };
  const found = name === '' || name !== classOf(before) ? undefined : store.find(key);
  if (found?.['allowVolumeExpansion'] === true) return;
  throw forbidden(resource, metaOf(after).name ?? '', REFUSAL);
}

function sizeOf(claim: JsonObject): unknown {
  const { resources } = (claim['spec'] ?? {}) as { readonly resources?: { requests?: JsonObject } };
  return resources?.requests?.['storage'];
}

function classOf(claim: JsonObject): string {
  const { storageClassName } = (claim['spec'] ?? {}) as { readonly storageClassName?: string };
  return metaOf(claim).annotations?.[OLD_CLASS] ?? storageClassName ?? '';
}
