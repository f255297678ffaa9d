import type { KindName, ObjectOf, Snapshot, StorageNode, Volume } from '#api/kinds/mod.ts';
import { findCondition } from '#api/kinds/mod.ts';
import { hasCode, HoldfastError } from '#api/mod.ts';
import type { KubeClient, ObjectKey, ObjectWaiter } from '#control/kube/mod.ts';
import type { Clock } from '#host/mod.ts';
import { isId } from '../demand.ts';

/** What the calls of the controller service share. */
export interface ControllerContext {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly volumes: ObjectWaiter<'Volume'>;
  readonly snapshots: ObjectWaiter<'Snapshot'>;
  /**
   * How long a call waits for what it began; then it says `timed-out`, and the next call goes on.
   */
  readonly waitMs: number;
}

export async function findObject<Kind extends KindName>(
  client: KubeClient,
  kind: Kind,
  key: ObjectKey,
): Promise<ObjectOf<Kind> | undefined> {
  if (!isId(key.name)) return undefined;
  try {
    return await client.get(kind, key);
  } catch (error) {
    if (hasCode(error, 'not-found')) return undefined;
    throw error;
  }
}

export async function demandVolume(context: ControllerContext, name: string): Promise<Volume> {
  const found = await findObject(context.client, 'Volume', { name });
  if (found === undefined) throw absent('volume_id', name);
  return found;
}

export async function demandSnapshot(context: ControllerContext, name: string): Promise<Snapshot> {
  const found = await findObject(context.client, 'Snapshot', { name });
  if (found === undefined) throw absent('snapshot_id', name);
  return found;
}

export async function demandNode(context: ControllerContext, name: string): Promise<StorageNode> {
  const found = await findObject(context.client, 'StorageNode', { name });
  if (found === undefined) throw absent('node_id', name);
  return found;
}

function absent(field: string, value: string): HoldfastError {
  return new HoldfastError('not-found', 'Object does not exist', {
    details: { field, value: value.slice(0, 80), remedy: 'Check the id' },
  });
}

/** What the object itself says of why it is not so yet: the words that `explain` uses. */
export function saysOf(
  object: Volume | Snapshot | undefined,
  types: readonly string[],
  otherwise: string,
): string {
  for (const type of types) {
    const found = findCondition(object?.status?.conditions, type);
    if (found !== undefined && (found.status !== 'True' || type === 'Terminating')) {
      return found.message;
    }
  }
  return otherwise;
}
