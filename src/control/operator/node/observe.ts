import type { DiskPool, Replica, StorageNode } from '#api/kinds/mod.ts';
import type { NodeView } from '../cluster-observer.ts';
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
  // As the watches told: each node is looked at every few seconds, also when nothing happens.
  const node = context.known().nodes.find(({ metadata }) => metadata.name === name);
  if (node === undefined) return undefined;
  const view = await context.observer.view(name, 500);
  const { pools, replicas } = context.known();
  return {
    node,
    view,
    pools: pools.filter((pool) => pool.spec.nodeName === name),
    replicas: replicas.filter((replica) => replica.spec.nodeName === name),
  };
}
