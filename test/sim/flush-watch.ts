/**
 * *Honest flush*, seen from the simulated disks: when a flush is acknowledged, no replica in sync
 * has data that was written before the flush was asked for and waits for a sync still.
 */
import type { Nexus } from '#data/nexus/mod.ts';
import type { SimCluster } from './sim-cluster.ts';

/** What is wrong at this moment, in which a flush is acknowledged. */
export function dishonestFlush(
  cluster: SimCluster,
  nexus: Nexus,
  invokedMs: number,
): string | null {
  for (const { replica } of nexus.status().record?.members ?? []) {
    const site = cluster.homeOf(replica);
    if (!site) continue;
    const disk = cluster.world.disk(site.node);
    const sinceMs = disk.unsyncedSinceMs(cluster.replicaDirectory(replica), '.data');
    if (sinceMs < invokedMs) {
      const asked = `flush asked for at ${invokedMs} ms is acknowledged`;
      return `${asked}, ${replica} has unsynced data of ${sinceMs} ms`;
    }
  }
  return null;
}
