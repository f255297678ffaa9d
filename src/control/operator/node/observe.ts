import type { DiskPool, Replica, StorageNode } from '#api/kinds/mod.ts';
import type { NodeView } from '../cluster-observer.ts';
import { findObject } from '../reconcile.ts';
import type { OperatorContext } from '../reconcile.ts';

export interface NodeObservation {
  readonly node: StorageNode;
  readonly view: NodeView;
  readonly pools: readonly DiskPool[];
  /** Replica objects that name the node. */
  readonly replicas: readonly Replica[];
}

export async function observeNode(
  context: OperatorContext,
  name: string,
): Promise<NodeObservation | undefined> {
  const node = await findObject(context, 'StorageNode', { name });
  if (node === undefined) return undefined;
  const view = await context.observer.view(name, 500);
  const { items } = await context.client.list('DiskPool');
  return {
    node,
    view,
    pools: items.filter((pool) => pool.spec.nodeName === name),
    replicas: context.known().replicas.filter((replica) => replica.spec.nodeName === name),
  };
}
