/** What all replicas of a volume hold at the end, as their stores verify it. */
import type { LayerRef, ReplicaId, SnapshotId } from '#api/mod.ts';
import type { ReplicaStore } from '#data/store/mod.ts';
import { SIM_SEGMENT_BYTES, type SimCluster } from './sim-cluster.ts';

/** The head and these snapshots: one line for every replica that differs from the first. */
export async function replicaDifferences(
  cluster: SimCluster,
  snapshots: readonly SnapshotId[],
): Promise<string[]> {
  const views: { replica: ReplicaId; view: string[] }[] = [];
  for (const replica of cluster.wanted) {
    const store = cluster.storeOf(replica);
    if (!store) return [`${replica} is not running`];
    const held = store.state().snapshots.map(({ id }) => id);
    const names = [...held].toSorted().join(' ');
    if (names !== [...snapshots].toSorted().join(' ')) {
      return [`${replica} has snapshots ${names}, the volume ${snapshots.join(' ')}`];
    }
    const view = [`${store.state().sizeBytes} bytes`];
    for (const layer of [null, ...snapshots]) view.push(...(await viewOf(store, layer)));
    views.push({ replica, view });
  }
  const [first, ...others] = views;
  return others.flatMap(({ replica, view }) => {
    const different = view.filter((line, index) => line !== first?.view[index]);
    if (different.length === 0 && view.length === first?.view.length) return [];
    const [line = ''] = different;
    const index = view.indexOf(line);
    return [`${replica} differs from ${first?.replica}: ${line} | ${first?.view[index]}`];
  });
}

async function viewOf(store: ReplicaStore, layer: LayerRef): Promise<string[]> {
  const { sizeBytes, snapshots } = store.state();
  const bytes = snapshots.find(({ id }) => id === layer)?.sizeBytes ?? sizeBytes;
  const lines: string[] = [];
  for (let segment = 0; segment * SIM_SEGMENT_BYTES < bytes; segment += 1) {
    const { kinds, contentCrcs, verified } = await store.inspect(layer, segment);
    const doubt = verified.includes(0) ? ' unverified' : '';
    const contents = `${kinds.join('')}:${contentCrcs.join(',')}`;
    lines.push(`${layer ?? 'head'} segment ${segment} ${contents}${doubt}`);
  }
  return lines;
}
