/** A claim that names no class gets the default one, when it is made (DefaultStorageClass). */
import type { JsonObject, Resource } from '#api/resources/mod.ts';
import { metaOf } from './catalog.ts';
import type { StoreReader } from './object-store.ts';

const IS_DEFAULT = 'storageclass.kubernetes.io/is-default-class';
export const OLD_CLASS = 'volume.beta.kubernetes.io/storage-class';

export function defaultClassOf(
  store: StoreReader,
  resource: Resource,
  object: JsonObject,
): JsonObject {
  if (resource.group !== '' || resource.kind !== 'PersistentVolumeClaim') return object;
  const spec = object['spec'] as JsonObject | undefined;
  const isNamed = metaOf(object).annotations?.[OLD_CLASS] !== undefined;
  if (spec === undefined || spec['storageClassName'] !== undefined || isNamed) return object;
  const name = findDefault(store.list('storage.k8s.io/storageclasses'));
  return name === undefined ? object : { ...object, spec: { ...spec, storageClassName: name } };
}

/** The newest of several, as the admission plug-in chooses. */
function findDefault(classes: readonly JsonObject[]): string | undefined {
  const metas = classes
    .map(metaOf)
    .filter(({ annotations }) => annotations?.[IS_DEFAULT] === 'true');
  metas.sort((a, b) => {
    const [older, newer] = [a.creationTimestamp ?? '', b.creationTimestamp ?? ''];
    if (older !== newer) return older < newer ? 1 : -1;
    return (a.name ?? '') < (b.name ?? '') ? -1 : 1;
  });
  return metas[0]?.name;
}
