import type { Snapshot, Volume } from '#api/kinds/mod.ts';
import type { FoundAttachment, NodeView } from '../cluster-observer.ts';
import { findAttachments, findReplica } from '../cluster-observer.ts';
import { findObject } from '../reconcile.ts';
import type { OperatorContext } from '../reconcile.ts';
import { nodesOf } from '../volume/observe.ts';

export interface SnapshotObservation {
  readonly snapshot: Snapshot;
  readonly volume: Volume | undefined;
  /** Where the volume is served now. */
  readonly serving: FoundAttachment | undefined;
  /** Replicas that report the snapshot complete, with its size there. */
  readonly holders: readonly { readonly replica: string; readonly sizeBytes: number }[];
  /** Volumes that are being born from it. */
  readonly dependents: readonly string[];
}

export async function observeSnapshot(
  context: OperatorContext,
  name: string,
): Promise<SnapshotObservation | undefined> {
  const snapshot = await findObject(context, 'Snapshot', { name });
  if (snapshot === undefined) return undefined;
  const volume = await findObject(context, 'Volume', { name: snapshot.spec.volumeName });
  const nodes = volume === undefined ? [] : nodesOf(volume);
  const views = [...(await context.observer.volumeViews(nodes, snapshot.spec.volumeName)).values()];
  const { items } = await context.client.list('Volume');
  const dependents = items.filter((other) => isBornFrom(other, name));
  return {
    snapshot,
    volume,
    serving: findAttachments(views, snapshot.spec.volumeName).find(
      (entry) => entry.report.status.phase === 'serving',
    ),
    holders: findHolders(views, volume, name),
    dependents: dependents.map((other) => other.metadata.name),
  };
}

/** Until its founders were made; afterwards the clone stands alone. */
function isBornFrom(volume: Volume, snapshot: string): boolean {
  const { source } = volume.spec;
  if (source === undefined || !('snapshotName' in source)) return false;
  const isBorn = volume.status?.conditions?.some(
    (condition) => condition.type === 'Ready' && condition.status === 'True',
  );
  return source.snapshotName === snapshot && isBorn !== true;
}

export function findHolders(
  views: readonly NodeView[],
  volume: Volume | undefined,
  snapshot: string,
): { replica: string; sizeBytes: number }[] {
  const holders: { replica: string; sizeBytes: number }[] = [];
  for (const entry of volume?.spec.placement ?? []) {
    const state = findReplica(views, entry.replicaName)?.report.state;
    const info = state?.snapshots.find((candidate) => candidate.id === snapshot);
    if (info?.sealed === true) {
      holders.push({ replica: entry.replicaName, sizeBytes: info.sizeBytes });
    }
  }
  return holders;
}
