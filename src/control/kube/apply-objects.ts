import type { AnyObject, KindName, ObjectOf } from '#api/kinds/mod.ts';
import { parseObject } from '#api/kinds/mod.ts';
import { hasCode, HoldfastError } from '#api/mod.ts';
import { formatKey, keyOf } from './client.ts';
import type { KubeClient } from './client.ts';

export type ApplyOutcome = 'created' | 'configured' | 'unchanged';

/** All checked before any is applied; two of one kind and name are refused. */
export function parseManifestObjects(values: readonly unknown[]): AnyObject[] {
  const seen = new Set<string>();
  return values.map((value) => {
    const object = parseObject(value);
    const name = `${object.kind} ${formatKey(keyOf(object))}`;
    if (seen.has(name)) {
      throw new HoldfastError('already-exists', 'Two objects of one name', {
        details: { kind: object.kind, name, remedy: 'Rename one of them' },
      });
    }
    seen.add(name);
    return object;
  });
}

/** Creates what is absent and merges what is there; fields that the controller wrote stay. */
export async function applyObject(client: KubeClient, object: AnyObject): Promise<ApplyOutcome> {
  const kind: KindName = object.kind;
  try {
    await client.create(kind, object as ObjectOf<KindName>);
    return 'created';
  } catch (error) {
    if (!hasCode(error, 'already-exists')) throw error;
  }
  const before = await client.get(kind, keyOf(object));
  const { labels, annotations } = object.metadata;
  const after = await client.patch(kind, keyOf(object), {
    ...object,
    metadata: {
      ...(labels === undefined ? {} : { labels }),
      ...(annotations === undefined ? {} : { annotations }),
    },
  });
  const isSame = before.metadata.resourceVersion === after.metadata.resourceVersion;
  return isSame ? 'unchanged' : 'configured';
}
