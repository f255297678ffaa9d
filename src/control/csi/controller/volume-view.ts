/** Volumes and snapshots as CSI shows them. */
import type { Snapshot, Volume } from '#api/kinds/mod.ts';
import { findCondition, parseQuantity, parseTime } from '#api/kinds/mod.ts';
import type { CsiSnapshot, CsiVolume, CsiVolumeStatus, VolumeContentSource } from '../messages.ts';

export function sizeOf(volume: Volume): number {
  return parseQuantity('spec.size', volume.spec.size);
}

/** Reachable from every node: members are reached over the network, so there is no topology. */
export function viewVolume(
  volume: Volume,
  contentSource: VolumeContentSource | null = null,
): CsiVolume {
  return {
    volumeId: volume.metadata.name,
    capacityBytes: sizeOf(volume),
    volumeContext: {},
    accessibleTopology: [],
    ...(contentSource === null ? {} : { contentSource }),
  };
}

export function viewStatus(volume: Volume, publishedNodeIds: readonly string[]): CsiVolumeStatus {
  return {
    publishedNodeIds,
    volumeCondition: viewCondition(volume),
  };
}

/** The first thing that is wrong, in the words of the object's own conditions. */
function viewCondition(volume: Volume): CsiVolumeStatus['volumeCondition'] {
  for (const type of ['Ready', 'Healthy']) {
    const found = findCondition(volume.status?.conditions, type);
    if (found?.status === 'False') return { abnormal: true, message: found.message };
  }
  return { abnormal: false, message: 'Nothing is known to be wrong' };
}

/** Null while its moment is not fixed: before that nothing can be said of it. */
export function viewSnapshot(snapshot: Snapshot): CsiSnapshot | null {
  const { status, spec, metadata } = snapshot;
  if (status?.creationTime === undefined) return null;
  return {
    snapshotId: metadata.name,
    sourceVolumeId: spec.volumeName,
    sizeBytes: status.sizeBytes ?? 0,
    creationTime: timestampOf(status.creationTime),
    readyToUse: status.readyToUse === true,
  };
}

function timestampOf(text: string): { readonly seconds: number; readonly nanos: number } {
  const ms = parseTime(text);
  return { seconds: Math.floor(ms / 1_000), nanos: (ms % 1_000) * 1_000_000 };
}
