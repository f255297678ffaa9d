import type { Mount, StorageNode } from '#api/kinds/mod.ts';
import { findObject } from '#control/kube/mod.ts';
import type { MountedClaim } from '../claim-volume.ts';
import { observeMountedClaim } from '../claim-volume.ts';
import type { EmbeddedContext } from '../context.ts';

export interface MountObservation extends MountedClaim {
  readonly mount: Mount;
  readonly node: StorageNode | undefined;
  /** Milliseconds since 1970. */
  readonly nowMs: number;
}

export async function observeMount(
  context: EmbeddedContext,
  namespace: string,
  name: string,
): Promise<MountObservation | undefined> {
  const mount = await findObject(context, 'Mount', { namespace, name });
  if (mount === undefined) return undefined;
  return {
    ...(await observeMountedClaim(context, mount)),
    mount,
    node: await findObject(context, 'StorageNode', { name: mount.spec.nodeName }),
    nowMs: context.clock.wallMs(),
  };
}
