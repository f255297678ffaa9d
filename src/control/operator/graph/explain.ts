/**
 * `explain`: the chain from a claim to the disks, link by link, the first one that is not well,
 * since when, what happens next by itself, and what a person can do. Conditions and live reports
 * decide;
 * `remedies.ts` has what people can do about each reason.
 */
import {
  findCondition,
  formatDuration,
  isMadeFor,
  parseTime,
  type AnyObject,
  type CommonStatus,
  type Condition,
  type DiskPool,
  type KindName,
  type Mount,
  type PersistentVolume,
  type PersistentVolumeClaim,
  type Replica,
  type StorageNode,
  type Volume,
  type VolumeSnapshot,
  type VolumeSnapshotContent,
  type VolumeAttachment,
} from '#api/kinds/mod.ts';
import {
  HoldfastError,
  type ExplainLink,
  type Explanation,
  type MemberStatus,
  type NexusStatus,
  type ObjectName,
} from '#api/mod.ts';
import type { FoundAttachment } from '../cluster-observer.ts';
import { describeDamage, placeOf } from '../attachment/plan.ts';
import { votelessReplicas } from '../voteless.ts';
import { findAttachments } from '../cluster-observer.ts';
import type { OperatorContext } from '../reconcile.ts';
import { findObject, isDeleting, MOVING_REASONS } from '../reconcile.ts';
import { nodesOf } from '../volume/observe.ts';
import { nextFor, remediesFor } from './remedies.ts';

export async function explain(context: OperatorContext, subject: ObjectName): Promise<Explanation> {
  const object = await context.client.get(subject.kind, subject);
  const chain = await chainOf(context, object);
  const symptom =
    chain.find((link) => link.state === 'failed') ??
    chain.find((link) => link.state === 'moving' || link.state === 'unknown') ??
    null;
  const firstFailing = symptom === null ? null : causeOf(chain, symptom);
  const name = `${nounOf(subject.kind)} ${
    subject.namespace === undefined ? subject.name : `${subject.namespace}/${subject.name}`
  }`;
  return {
    subject: name,
    summary: summarise(context, name, firstFailing, symptom),
    chain,
    firstFailing,
    next: nextFor(firstFailing),
    remedies: remediesFor(firstFailing, subject),
  };
}

function nounOf(kind: KindName): string {
  return kind === 'PersistentVolumeClaim' ? 'claim' : kind.toLowerCase();
}

/** What a volume says of itself may only be what a node, a disk or a copy does to it. */
const EFFECTS: ReadonlySet<string> = new Set([
  'volume',
  'attachment',
  'nexus',
  'member',
  'replica',
]);

/** The deepest link that is at fault: a silent node before its pools, these before their copies. */
function causeOf(chain: readonly ExplainLink[], symptom: ExplainLink): ExplainLink {
  if (symptom.state === 'failed' && !EFFECTS.has(symptom.kind)) return symptom;
  for (const kind of ['node', 'pool', 'replica']) {
    const found = chain.find((link) => link.kind === kind && link.state === 'failed');
    if (found !== undefined) return found;
  }
  return symptom;
}

function summarise(
  context: OperatorContext,
  name: string,
  failing: ExplainLink | null,
  symptom: ExplainLink | null,
): string {
  if (failing === null) return `${name} is well`;
  const sinceMs = failing.since === '' ? Number.NaN : parseTime(failing.since);
  const age = Number.isNaN(sinceMs)
    ? ''
    : `, since ${failing.since} (${formatDuration(context.clock.wallMs() - sinceMs)})`;
  const effect =
    symptom === null || symptom === failing
      ? ''
      : `; so ${symptom.kind} ${symptom.name}: ${symptom.message}`;
  const link = `${failing.kind} ${failing.name}`;
  return `${name}: ${link === name ? '' : `${link}: `}${failing.message}${age}${effect}`;
}

async function chainOf(context: OperatorContext, object: AnyObject): Promise<ExplainLink[]> {
  switch (object.kind) {
    case 'PersistentVolumeClaim': {
      const own = objectLink('claim', object, object.status, ['Ready']);
      const volume = await volumeOfClaim(context, object);
      return volume === undefined ? [own] : [own, ...(await volumeChain(context, volume))];
    }
    case 'PersistentVolume': {
      const handle = object.spec.csi?.volumeHandle;
      const volume =
        handle === undefined ? undefined : await findObject(context, 'Volume', { name: handle });
      const own = persistentVolumeLink(object);
      return volume === undefined ? [own] : [own, ...(await volumeChain(context, volume))];
    }
    case 'Volume':
      return volumeChain(context, object);
    case 'Replica': {
      const volume = await findObject(context, 'Volume', { name: object.spec.volumeName });
      const serving = volume === undefined ? undefined : await findServing(context, volume);
      const member = serving?.report.status.members.find(
        (entry) => entry.replica === object.metadata.name,
      );
      return [
        ...(serving === undefined || member === undefined
          ? []
          : [memberLink(context, volume, serving, member)]),
        ...(await replicaChain(context, object)),
      ];
    }
    case 'Snapshot': {
      const volume = await findObject(context, 'Volume', { name: object.spec.volumeName });
      const own = objectLink('snapshot', object, object.status, ['Ready']);
      return volume === undefined ? [own] : [own, ...(await volumeChain(context, volume))];
    }
    case 'Mount': {
      const { namespace } = object.metadata;
      const name = { namespace, name: object.spec.claimName };
      const claim = await findObject(context, 'PersistentVolumeClaim', name);
      const own = mountLink(object);
      if (claim === undefined) return [own];
      const rest = await chainOf(context, claim);
      return [own, ...rest.filter((link) => link.kind !== 'mount')];
    }
    case 'DiskPool':
      return [...(await poolChain(context, object)), ...orphanLinks(object)];
    case 'StorageNode':
      return nodeChain(object);
    case 'StorageClass':
      return [
        {
          kind: 'class',
          name: object.metadata.name,
          state: 'ok',
          message: object.provisioner,
          since: '',
        },
      ];
    case 'VolumeAttachment':
      return attachmentChain(context, object);
    case 'VolumeSnapshot':
    case 'VolumeSnapshotContent':
      return [snapshotLink(object)];
    case 'VolumeSnapshotClass':
    case 'Namespace':
      return [plainLink(object)];
    case 'Event':
      throw new HoldfastError('invalid-argument', 'Events explain, they are not explained', {
        details: { field: 'kind', value: 'event', remedy: 'Ask for the object that it regards' },
      });
  }
}

/** Through its PersistentVolume; one that is being made has none yet, but names its claim. */
async function volumeOfClaim(
  context: OperatorContext,
  claim: PersistentVolumeClaim,
): Promise<Volume | undefined> {
  const { volumeName } = claim.spec;
  if (volumeName !== undefined) {
    const bound = await findObject(context, 'PersistentVolume', { name: volumeName });
    const handle = bound?.spec.csi?.volumeHandle;
    return handle === undefined ? undefined : findObject(context, 'Volume', { name: handle });
  }
  const { items } = await context.client.list('Volume');
  return items.find((volume) => isMadeFor(volume, claim));
}

function persistentVolumeLink(object: PersistentVolume): ExplainLink {
  const { phase = 'Pending', message = '' } = object.status ?? {};
  const isWell = phase === 'Bound' || phase === 'Available';
  return {
    kind: 'persistentvolume',
    name: object.metadata.name,
    state: isWell ? 'ok' : 'failed',
    message: message === '' ? phase : `${phase}: ${message}`,
    since: object.metadata.deletionTimestamp ?? '',
  };
}

async function attachmentChain(
  context: OperatorContext,
  object: VolumeAttachment,
): Promise<ExplainLink[]> {
  const { name, deletionTimestamp, creationTimestamp = '' } = object.metadata;
  const { attached = false, attachError, detachError } = object.status ?? {};
  const problem = deletionTimestamp === undefined ? attachError : detachError;
  const isWell = deletionTimestamp === undefined && attached;
  const doing = deletionTimestamp === undefined ? 'Attaching' : 'Detaching';
  const own: ExplainLink = {
    kind: 'volumeattachment',
    name,
    state: isWell ? 'ok' : problem === undefined ? 'moving' : 'failed',
    message: isWell
      ? `Attached to ${object.spec.nodeName}`
      : `${doing}: ${problem?.message ?? `on ${object.spec.nodeName}`}`,
    since: isWell ? '' : (deletionTimestamp ?? creationTimestamp),
  };
  const { persistentVolumeName } = object.spec.source;
  const bound = await findObject(context, 'PersistentVolume', { name: persistentVolumeName });
  return bound === undefined ? [own] : [own, ...(await chainOf(context, bound))];
}

/** What has no conditions: it is there, or it is going. */
function plainLink({ kind, metadata }: AnyObject): ExplainLink {
  const { name, namespace, deletionTimestamp } = metadata;
  return {
    kind: kind.toLowerCase(),
    name: namespace === undefined ? name : `${namespace}/${name}`,
    state: deletionTimestamp === undefined ? 'ok' : 'failed',
    message: deletionTimestamp === undefined ? 'It is there' : 'Terminating',
    since: deletionTimestamp ?? '',
  };
}

/** What it waits for is in its status: it has no conditions. */
function snapshotLink(object: VolumeSnapshot | VolumeSnapshotContent): ExplainLink {
  const link = plainLink(object);
  const { error, readyToUse } = object.status ?? {};
  if (error !== undefined) {
    return { ...link, state: 'failed', message: error.message, since: error.time ?? '' };
  }
  if (readyToUse === true || isDeleting(object)) return link;
  const since = object.metadata.creationTimestamp ?? '';
  return { ...link, state: 'moving', message: 'It is being taken', since };
}

async function findServing(
  context: OperatorContext,
  volume: Volume,
): Promise<FoundAttachment | undefined> {
  const views = await context.observer.views(nodesOf(volume), 200);
  return findAttachments(views.values(), volume.metadata.name)[0];
}

async function volumeChain(context: OperatorContext, volume: Volume): Promise<ExplainLink[]> {
  const links = [objectLink('volume', volume, volume.status, ['Placed', 'Ready', 'Redundant'])];
  const attachment = volume.spec.attachment ?? null;
  if (attachment !== null) {
    links.push(objectLink('attachment', volume, volume.status, ['Attached']));
    const attached = findCondition(volume.status?.conditions, 'Attached');
    const node =
      attached?.reason === 'EngineSilent'
        ? await findObject(context, 'StorageNode', { name: attachment.nodeName })
        : undefined;
    if (node !== undefined) links.push(...nodeChain(node));
  }
  links.push(...(await mountLinks(context, volume)), ...(await fullPools(context, volume)));
  const found = await findServing(context, volume);
  if (found !== undefined) {
    links.push(nexusLink(found));
    const { members } = found.report.status;
    links.push(...members.map((member) => memberLink(context, volume, found, member)));
  }
  for (const entry of volume.spec.placement ?? []) {
    const replica = await findObject(context, 'Replica', { name: entry.replicaName });
    if (replica !== undefined) links.push(...(await replicaChain(context, replica)));
  }
  return links;
}

/** Before members and replicas: what they lack is space. */
async function fullPools({ client }: OperatorContext, { spec }: Volume): Promise<ExplainLink[]> {
  const { items } = await client.list('DiskPool');
  return items
    .filter(({ metadata }) => spec.placement?.some((entry) => entry.poolName === metadata.name))
    .filter(({ status }) => findCondition(status?.conditions, 'SpaceAvailable')?.reason === 'Full')
    .map((pool) => objectLink('pool', pool, pool.status, ['SpaceAvailable']));
}

async function mountLinks(context: OperatorContext, volume: Volume): Promise<ExplainLink[]> {
  const { claimRef } = volume.spec;
  if (claimRef === undefined) return [];
  const { namespace, name } = claimRef;
  const { items } = await context.client.list('Mount', { namespace });
  return items.filter((mount) => mount.spec.claimName === name).map(mountLink);
}

function mountLink(mount: Mount): ExplainLink {
  return objectLink('mount', mount, mount.status, ['Ready', 'FilesystemGrown']);
}

function nexusLink({ node, report }: FoundAttachment): ExplainLink {
  const { phase, reason, waitingFor, error, damagedBlocks } = report.status;
  const isServing = phase === 'serving';
  const isWell = isServing && damagedBlocks === 0;
  const waits = waitingFor.length === 0 ? '' : `, waiting for ${waitingFor.join(', ')}`;
  const why = error === null ? reason : `${error.code}: ${error.message}`;
  return {
    kind: 'nexus',
    name: `${report.volume} on ${node}`,
    state: isWell ? 'ok' : NEXUS_STATES[phase],
    message: isWell
      ? `serving, epoch ${report.status.epoch}`
      : isServing
        ? `BlocksDamaged: ${describeDamage(damagedBlocks)}`
        : `${phase}${waits}${why === '' ? '' : `: ${why}`}`,
    since: '',
  };
}

/** One that serves and is not well has damaged blocks. */
const NEXUS_STATES: Readonly<Record<NexusStatus['phase'], ExplainLink['state']>> = {
  opening: 'moving',
  reconciling: 'moving',
  serving: 'failed',
  suspended: 'failed',
  closing: 'moving',
  closed: 'moving',
  failed: 'failed',
};

function memberLink(
  context: OperatorContext,
  volume: Volume | undefined,
  { report }: FoundAttachment,
  member: MemberStatus,
): ExplainLink {
  const { rebuild } = member;
  const voteless = votelessReplicas(report.status, context.clock.wallMs());
  const isVoteless = voteless.includes(member.replica);
  const parts: string[] = [`${member.phase}${placeOf(volume, member)}`];
  if (rebuild !== null) {
    const percent =
      rebuild.segmentsTotal === 0
        ? 100
        : Math.floor((100 * rebuild.segmentsDone) / rebuild.segmentsTotal);
    const eta = rebuild.etaMs === null ? '' : `, about ${formatDuration(rebuild.etaMs)} left`;
    parts.push(`${rebuild.kind} rebuild at ${percent}%${eta}`);
  }
  if (member.reason !== '') parts.push(member.reason);
  if (member.errorCode !== '') parts.push(member.errorCode);
  if (isVoteless) parts.push('it has no vote, because an older copy of it was put back');
  // The nexus counts on a clock of its own: the time is when the controller saw it first.
  const seen = volume?.status?.members?.find((entry) => entry.replicaName === member.replica);
  const since = seen?.phase === member.phase ? seen.sinceTime : '';
  return {
    kind: 'member',
    name: member.replica,
    state: isVoteless ? 'failed' : MEMBER_STATES[member.phase],
    message: parts.join(': '),
    since,
  };
}

const MEMBER_STATES: Readonly<Record<MemberStatus['phase'], ExplainLink['state']>> = {
  'in-sync': 'ok',
  joining: 'moving',
  absent: 'failed',
  leaving: 'failed',
};

async function replicaChain(context: OperatorContext, replica: Replica): Promise<ExplainLink[]> {
  const pool = await findObject(context, 'DiskPool', { name: replica.spec.poolName });
  const own = objectLink('replica', replica, replica.status, ['Ready']);
  if (own.state === 'ok') return [own];
  // The cause before the effect: a replica on a silent node is not at fault.
  return [
    ...(pool === undefined ? [] : await poolChain(context, pool)).filter(
      (link) => link.state !== 'ok',
    ),
    own,
  ];
}

async function poolChain(context: OperatorContext, pool: DiskPool): Promise<ExplainLink[]> {
  const node = await findObject(context, 'StorageNode', { name: pool.spec.nodeName });
  const own = objectLink('pool', pool, pool.status, ['Ready', 'SpaceAvailable']);
  return node === undefined ? [own] : [...nodeChain(node), own];
}

function orphanLinks({ status }: DiskPool): ExplainLink[] {
  return (status?.orphans ?? []).map((orphan) => ({
    kind: 'orphan',
    name: orphan.replicaName,
    state: 'unknown',
    message: `of volume ${orphan.volumeName}, which no object wants. ${orphan.reason}`,
    since: orphan.sinceTime,
  }));
}

function nodeChain(node: StorageNode): ExplainLink[] {
  return [objectLink('node', node, node.status, ['Ready'])];
}

/** The first condition that is not as it should be decides. */
function objectLink(
  kind: string,
  object: AnyObject,
  status: Pick<CommonStatus, 'conditions' | 'pendingAction'> | undefined,
  types: readonly string[],
): ExplainLink {
  const { name, namespace } = object.metadata;
  const text = namespace === undefined ? name : `${namespace}/${name}`;
  const link = (state: ExplainLink['state'], message: string, since: string): ExplainLink => ({
    kind,
    name: text,
    state,
    message,
    since,
  });
  if (isDeleting(object)) {
    const why = findCondition(status?.conditions, 'Terminating');
    const message = `Terminating${why === undefined ? '' : `: ${why.reason}: ${why.message}`}`;
    return link('failed', message, object.metadata.deletionTimestamp ?? '');
  }
  const conditions = types.flatMap((type) => findCondition(status?.conditions, type) ?? []);
  const first = conditions.find((condition) => condition.status !== 'True');
  if (first !== undefined)
    return link(stateOf(first), describe(first, status), first.lastTransitionTime);
  const last = conditions.at(-1);
  if (last === undefined)
    return link('unknown', 'Not looked at yet', object.metadata.creationTimestamp ?? '');
  return link('ok', last.message, last.lastTransitionTime);
}

function stateOf(condition: Condition): ExplainLink['state'] {
  if (condition.status === 'Unknown') return 'unknown';
  return MOVING_REASONS.has(condition.reason) ? 'moving' : 'failed';
}

function describe(
  condition: Condition,
  status: Pick<CommonStatus, 'pendingAction'> | undefined,
): string {
  const pending = status?.pendingAction;
  const what =
    pending === undefined || pending === null ? '' : `${pending.action} ${pending.target}`;
  // One that failed is named by its condition, and tried again all the time.
  const doing = condition.message.includes(what) ? '' : ` (being tried: ${what})`;
  return `${condition.reason}: ${condition.message}${doing}`;
}
