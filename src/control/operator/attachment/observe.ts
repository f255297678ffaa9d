import type { Replica, Volume } from '#api/kinds/mod.ts';
import { findCondition, formatTime, isConditionTrue, parseQuantity } from '#api/kinds/mod.ts';
import type { MountReport } from '#api/mod.ts';
import type { FoundAttachment, NodeView } from '../cluster-observer.ts';
import { findAttachments } from '../cluster-observer.ts';
import { findObject, isDeleting, LABEL_VOLUME } from '../reconcile.ts';
import type { OperatorContext } from '../reconcile.ts';
import { nodesOf } from '../volume/observe.ts';

export interface FoundMount {
  readonly node: string;
  readonly mount: MountReport;
}

export interface AttachmentObservation {
  readonly volume: Volume;
  readonly replicas: readonly Replica[];
  readonly views: ReadonlyMap<string, NodeView>;
  readonly attachments: readonly FoundAttachment[];
  readonly mounts: readonly FoundMount[];
  /**
   * Why the volume must be served for a while although nobody attached it; empty when it need not.
   */
  readonly errand: string;
  readonly isQuiesced: boolean;
  /** RFC 3339. */
  readonly now: string;
  readonly engineAddresses: Readonly<Record<string, string>>;
}

export async function observeAttachment(
  context: OperatorContext,
  name: string,
): Promise<AttachmentObservation | undefined> {
  const volume = await findObject(context, 'Volume', { name });
  if (volume === undefined) return undefined;
  const labels = { [LABEL_VOLUME]: name };
  const replicas = (await context.client.list('Replica', { labels })).items;
  const nodes = nodesOf(volume);
  const views = await context.observer.volumeViews(nodes, name);
  const attachments = findAttachments(views.values(), name);
  const mounts = [...views.values()].flatMap((view) =>
    (view.agent?.mounts ?? [])
      .filter((mount) => mount.volume === name)
      .map((mount) => ({ node: view.node, mount })),
  );
  return {
    volume,
    replicas,
    views,
    attachments,
    mounts,
    errand: findErrand(context, volume, replicas),
    isQuiesced: context.isQuiesced(),
    now: formatTime(context.clock.wallMs()),
    engineAddresses: Object.fromEntries(
      nodes.map((node) => [node, context.observer.access(node).engineAddress]),
    ),
  };
}

/** Why the number of replicas is not as wanted, where a nexus has to do with it. */
const NEEDS_NEXUS: ReadonlySet<string> = new Set(['NeedsNexus', 'Replacing', 'Shrinking']);

/** Snapshots, growth and joining replicas need a nexus: it is lent for as long as there is work. */
function findErrand(
  context: OperatorContext,
  volume: Volume,
  replicas: readonly Replica[],
): string {
  if (isDeleting(volume) || !isConditionTrue(volume.status?.conditions, 'Ready')) return '';
  const snapshot = context
    .known()
    .snapshots.find(
      (entry) =>
        entry.spec.volumeName === volume.metadata.name &&
        (isDeleting(entry) || entry.status?.creationTime === undefined),
    );
  if (snapshot !== undefined) return `snapshot ${snapshot.metadata.name}`;
  const leaving = replicas.find((replica) => isDeleting(replica) && needsNexus(volume, replica));
  if (leaving !== undefined) return `replica ${leaving.metadata.name} leaves`;
  if (isGrowing(volume)) return 'the volume grows';
  const redundant = findCondition(volume.status?.conditions, 'Redundant');
  if (NEEDS_NEXUS.has(redundant?.reason ?? '')) return 'replicas are replaced';
  const joining = (volume.spec.placement ?? []).find(
    (entry) =>
      !entry.founder &&
      volume.status?.members?.every(
        (member) => member.replicaName !== entry.replicaName || member.phase !== 'in-sync',
      ) !== false,
  );
  return joining === undefined ? '' : `replica ${joining.replicaName} joins`;
}

/** One that is out of the placement and cannot be reached waits for its node, not for a nexus. */
function needsNexus(volume: Volume, { metadata, status }: Replica): boolean {
  if (volume.spec.placement?.some((entry) => entry.replicaName === metadata.name)) return true;
  const reason = findCondition(status?.conditions, 'Terminating')?.reason ?? '';
  return reason !== 'EngineSilent' && reason !== 'PoolNotReady';
}

function isGrowing(volume: Volume): boolean {
  const known = volume.status?.sizeBytes;
  return known !== undefined && known < wantedBytes(volume);
}

export function wantedBytes(volume: Volume): number {
  return parseQuantity('spec.size', volume.spec.size);
}
