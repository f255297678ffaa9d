import type { ReplicaUsage } from '#api/mod.ts';
import type { OpenedReplica } from './replica-open.ts';

/** Bytes of disk behind a replica, by what they hold. */
export async function usageOf(files: OpenedReplica): Promise<ReplicaUsage> {
  const { mapLog, intents, stamps } = files;
  const { layers, head } = files.stack;
  let snapshotBytes = 0;
  let metadataBytes = mapLog.totalBytes + intents.fileBytes + 2 * 4096;
  metadataBytes += (await stamps.pages.file.stat()).allocatedBytes;
  for (const layer of layers) {
    layer.allocatedBytes = (await layer.data.stat()).allocatedBytes;
    metadataBytes += (await layer.map.file.stat()).allocatedBytes;
    if (layer !== head) snapshotBytes += layer.allocatedBytes;
  }
  return { headBytes: head.allocatedBytes, snapshotBytes, metadataBytes };
}
