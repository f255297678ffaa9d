import type { KindName, ObjectOf } from '#api/kinds/mod.ts';
import { hasCode } from '#api/mod.ts';
import type { KubeClient, ObjectKey } from './client.ts';

type StatusOf<Kind extends KindName> =
  ObjectOf<Kind> extends { readonly status?: infer Status } ? NonNullable<Status> : never;

const ATTEMPTS_MAX = 20;

/**
 * Reads, changes and writes a status; again from the start when somebody else was faster. `change`
 * is pure and may return its argument. `not-found` when the object is gone.
 */
export async function changeStatus<Kind extends KindName>(
  client: KubeClient,
  kind: Kind,
  key: ObjectKey,
  change: (status: StatusOf<Kind>, object: ObjectOf<Kind>) => StatusOf<Kind>,
): Promise<ObjectOf<Kind>> {
  for (let attempt = 1; ; attempt += 1) {
    const object = await client.get(kind, key);
    const before = ((object as { status?: unknown }).status ?? {}) as StatusOf<Kind>;
    const after = change(before, object);
    if (after === before) return object;
    try {
      return await client.updateStatus(kind, { ...object, status: after } as ObjectOf<Kind>);
    } catch (error) {
      if (!hasCode(error, 'conflict') || attempt >= ATTEMPTS_MAX) throw error;
    }
  }
}

/** Adds or removes one finalizer; nothing when it is so already. */
export async function setFinalizer(
  client: KubeClient,
  kind: KindName,
  key: ObjectKey,
  finalizer: string,
  present: boolean,
): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    const object = await client.get(kind, key);
    const before = object.metadata.finalizers ?? [];
    if (before.includes(finalizer) === present) return;
    const finalizers = present
      ? [...before, finalizer]
      : before.filter((entry) => entry !== finalizer);
    try {
      const { resourceVersion } = object.metadata;
      await client.patch(kind, key, { metadata: { resourceVersion, finalizers } });
      return;
    } catch (error) {
      if (!hasCode(error, 'conflict') || attempt >= ATTEMPTS_MAX) throw error;
    }
  }
}
