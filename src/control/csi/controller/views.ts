/**
 * Controller service: volumes that many nodes read and nobody writes (MULTI_NODE_READER_ONLY). Such
 * a volume is frozen: it is never published itself. Its replicas hold one snapshot of it, and each
 * node it is published to gets a view, a volume of its own, born from that snapshot. Views share
 * the frozen layers; what the recovery of a filesystem writes stays in the head of the own view.
 */
import type { Snapshot, Volume } from '#api/kinds/mod.ts';
import { API_VERSION } from '#api/kinds/mod.ts';
import { hasCode, HoldfastError } from '#api/mod.ts';
import type { ControllerContext } from './context.ts';
import { findObject, saysOf } from './context.ts';
import { viewIdOf } from '../view-id.ts';

/** On a view: the volume that it shows. */
const LABEL_VIEW_OF = 'holdfast.dev/view-of';

export function isView({ metadata }: Volume): boolean {
  return metadata.labels?.[LABEL_VIEW_OF] !== undefined;
}

function frozenSnapshotOf({ metadata: { name } }: Volume): string {
  return `${name.slice(0, 56)}-frozen`;
}

/** Resolves when every replica that is in sync holds what the views are born from. */
export async function freeze(context: ControllerContext, volume: Volume): Promise<void> {
  const name = frozenSnapshotOf(volume);
  const volumeName = volume.metadata.name;
  const snapshot: Snapshot = {
    apiVersion: API_VERSION,
    kind: 'Snapshot',
    metadata: { name, labels: { 'holdfast.dev/clone': volumeName } },
    spec: { volumeName },
  };
  try {
    if ((await findObject(context.client, 'Snapshot', { name })) === undefined) {
      await context.client.create('Snapshot', snapshot);
    }
  } catch (error) {
    if (!hasCode(error, 'already-exists')) throw error;
  }
  await context.snapshots.until(
    { name },
    context.waitMs,
    (found) => (found?.status?.readyToUse === true ? true : undefined),
    (found) => saysOf(found, ['Terminating', 'Ready'], 'The controller has not seen it yet'),
  );
}

async function viewsOf({ client }: ControllerContext, volume: Volume): Promise<readonly Volume[]> {
  const labels = { [LABEL_VIEW_OF]: volume.metadata.name };
  return (await client.list('Volume', { labels })).items;
}

/** Of a frozen volume: where it has views, those included that are going. */
export async function publishedNodes(
  context: ControllerContext,
  volume: Volume,
): Promise<readonly string[]> {
  const { attachment, frozen } = volume.spec;
  if (frozen !== true) return nodeOf(attachment);
  const views = await viewsOf(context, volume);
  return views.flatMap(({ spec }) => spec.preferredNodes ?? []);
}

function nodeOf(attachment: Volume['spec']['attachment']): readonly string[] {
  return attachment === undefined || attachment === null ? [] : [attachment.nodeName];
}

/** The view of the node, made when there is none. */
export async function ensureView(
  context: ControllerContext,
  volume: Volume,
  node: string,
): Promise<string> {
  const name = viewIdOf(volume.metadata.name, node);
  const before = await findObject(context.client, 'Volume', { name });
  if (before?.metadata.deletionTimestamp !== undefined) {
    throw new HoldfastError('operation-pending', 'The view before is being deleted', {
      details: { name, node, remedy: 'Ask again in a moment' },
    });
  }
  if (before !== undefined) return name;
  const { size, segmentSize, replicas, isolation, onQuorumLoss } = volume.spec;
  const { fsType, claimRef } = volume.spec;
  const view: Volume = {
    apiVersion: API_VERSION,
    kind: 'Volume',
    metadata: { name, labels: { [LABEL_VIEW_OF]: volume.metadata.name } },
    spec: {
      size,
      replicas,
      ...(segmentSize === undefined ? {} : { segmentSize }),
      ...(isolation === undefined ? {} : { isolation }),
      ...(onQuorumLoss === undefined ? {} : { onQuorumLoss }),
      ...(fsType === undefined ? {} : { fsType }),
      ...(claimRef === undefined ? {} : { claimRef }),
      source: { snapshotName: frozenSnapshotOf(volume) },
      preferredNodes: [node],
      attachment: { nodeName: node, frontends: ['fuse'], readOnly: true },
    },
  };
  try {
    await context.client.create('Volume', view);
  } catch (error) {
    if (!hasCode(error, 'already-exists')) throw error;
  }
  return name;
}

/** Of one node, or of every one when `node` is empty: those that are there. */
export async function findViews(
  context: ControllerContext,
  volume: Volume,
  node: string,
): Promise<readonly string[]> {
  const views = await viewsOf(context, volume);
  return views
    .filter(({ spec }) => node === '' || spec.preferredNodes?.includes(node) === true)
    .map(({ metadata }) => metadata.name);
}
