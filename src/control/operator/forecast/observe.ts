import type { NexusStatus } from '#api/mod.ts';
import type { OperatorContext } from '../reconcile.ts';
import { listObjects } from '../volume/observe.ts';
import type { ClusterFacts } from './facts.ts';

/** All of it as it is now: every node is asked. */
export async function observeFacts(context: OperatorContext): Promise<ClusterFacts> {
  const objects = await listObjects(context);
  const { items: snapshots } = await context.client.list('Snapshot');
  const { items: contents } = await context.client.list('VolumeSnapshotContent');
  const names = objects.nodes.map((node) => node.metadata.name);
  const views = await context.observer.views(names, 500);
  const nexuses = new Map<string, NexusStatus>();
  for (const view of views.values()) {
    for (const { volume, status } of view.engine?.attachments ?? []) {
      if (nexuses.get(volume)?.phase !== 'serving') nexuses.set(volume, status);
    }
  }
  return { ...objects, snapshots, contents, nexuses, nowMs: context.clock.wallMs() };
}
