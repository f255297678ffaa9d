import type {
  ConditionDraft,
  Volume,
  VolumeAttachmentSpec,
  VolumeMemberStatus,
  VolumeStatus,
} from '#api/kinds/mod.ts';
import { isConditionTrue, parseTime } from '#api/kinds/mod.ts';
import type {
  AttachSpec,
  AttachmentReport,
  ClusterId,
  MemberStatus,
  NodeId,
  PoolId,
  ReplicaId,
  ReplicaPlace,
  VolumeId,
} from '#api/mod.ts';
import { isDeepStrictEqual } from 'node:util';
import type { FoundAttachment } from '../cluster-observer.ts';
import type { Plan } from '../reconcile.ts';
import {
  ANNOTATION_INITIALISED,
  hasAnnotation,
  isDeleting,
  POLL_MOVING_MS,
  POLL_STEADY_MS,
  POLL_WAITING_MS,
} from '../reconcile.ts';
import { segmentBytesOf } from '../volume/plan.ts';
import type { AttachmentObservation } from './observe.ts';
import { wantedBytes } from './observe.ts';
import { votelessReplicas } from '../voteless.ts';
import { isPublished } from './published.ts';

export type AttachmentAction =
  | { readonly type: 'attach'; readonly node: string; readonly spec: AttachSpec }
  | { readonly type: 'detach'; readonly node: string }
  | {
      readonly type: 'set-replicas';
      readonly node: string;
      readonly replicas: readonly ReplicaPlace[];
    }
  | { readonly type: 'grow'; readonly node: string; readonly sizeBytes: number };

type AttachmentPlan = Plan<AttachmentAction, VolumeStatus>;

/** Where the volume should be served, and why; null: nowhere. */
interface Wanted {
  readonly attachment: VolumeAttachmentSpec;
  readonly errand: string;
}

export function planAttachment(seen: AttachmentObservation, cluster: ClusterId): AttachmentPlan {
  const wanted = decideWanted(seen);
  const leave = planLeaving(seen, wanted?.attachment.nodeName ?? null);
  if (leave !== null) return leave;
  if (wanted === null) return planUnattached(seen);

  const { nodeName } = wanted.attachment;
  const view = seen.views.get(nodeName);
  if (view?.engine === null || view === undefined) {
    const code = view?.engineError?.code ?? 'refused';
    const message = `The engine of ${nodeName} does not answer (${code}). Its node process restarts it (one that hangs, within a minute) and it serves again by itself`;
    return waiting('EngineSilent', message, 1_000);
  }
  const found = seen.attachments.find((entry) => entry.node === nodeName);
  if (found === undefined) {
    const spec = attachSpec(seen, wanted, cluster);
    const message = `Opening on ${nodeName}`;
    return {
      ...waiting('Opening', message, 100),
      actions: [{ type: 'attach', node: nodeName, spec }],
    };
  }
  return planAttached(seen, wanted, found);
}

function decideWanted(seen: AttachmentObservation): Wanted | null {
  const { volume, errand, isQuiesced } = seen;
  if (isQuiesced) return null;
  const attachment = volume.spec.attachment ?? null;
  if (isDeleting(volume)) {
    // Whoever deletes a published volume waits until it is not: it is served until then.
    return isPublished(attachment) ? { attachment, errand: '' } : null;
  }
  if (!isConditionTrue(volume.status?.conditions, 'Ready')) return null;
  if (attachment !== null) return { attachment, errand: '' };
  const home = volume.spec.placement?.find(
    (entry) => seen.views.get(entry.nodeName)?.engine !== null,
  );
  if (errand === '' || home === undefined) return null;
  // Stay where an errand runs already.
  const running = seen.attachments.find(({ report }) => !hasFailed(report));
  const nodeName = running?.node ?? home.nodeName;
  return { attachment: { nodeName, frontends: [] }, errand };
}

/** Undoes what is where it should not be, once nothing is mounted from it there. */
function planLeaving(seen: AttachmentObservation, home: string | null): AttachmentPlan | null {
  const leaving = seen.attachments.filter(({ node }) => node !== home);
  if (leaving.length === 0) return null;
  const mount = seen.mounts.find(({ node }) => leaving.some((entry) => entry.node === node));
  if (mount !== undefined) {
    const message = `Waiting until it is unmounted on ${mount.node} (${mount.mount.path})`;
    return waiting('Detaching', message, POLL_MOVING_MS);
  }
  const nodes = leaving.map(({ node }) => node);
  return {
    ...waiting('Detaching', `Leaving ${nodes.join(', ')}`, 50),
    actions: nodes.map((node) => ({ type: 'detach', node }) as const),
  };
}

function planUnattached(seen: AttachmentObservation): AttachmentPlan {
  const reason = seen.isQuiesced ? 'Stopping' : 'NotWanted';
  const message = seen.isQuiesced ? 'The cluster is being stopped' : 'Nobody attached the volume';
  const isWanted = (seen.volume.spec.attachment ?? null) !== null;
  return {
    actions: [],
    conditions: [{ type: 'Attached', status: 'False', reason, message }],
    dropConditions: ['Healthy'],
    status: { attachment: null },
    requeueAfterMs: isWanted ? 1_000 : undefined,
  };
}

function waiting(reason: string, message: string, requeueAfterMs: number): AttachmentPlan {
  return {
    actions: [],
    conditions: [{ type: 'Attached', status: 'False', reason, message }],
    requeueAfterMs,
  };
}

// --- attached where it should be -----------------------------------------------------------------

function planAttached(
  seen: AttachmentObservation,
  wanted: Wanted,
  found: FoundAttachment,
): AttachmentPlan {
  const { report, node } = found;
  const { attachment } = wanted;
  if (hasFailed(report)) return planFailed(seen, found);
  if (!hasFrontends(report, attachment)) {
    // Frontends are chosen when a volume is opened: open it again with the ones that are wanted.
    if (seen.mounts.some((entry) => entry.node === node)) {
      const message = 'Other frontends are wanted: it is opened with them once it is unmounted';
      return { ...waiting('Detaching', message, POLL_WAITING_MS) };
    }
    const message = `Opening again on ${node} with other frontends`;
    return { ...waiting('Opening', message, 50), actions: [{ type: 'detach', node }] };
  }
  const { status } = report;
  const actions: AttachmentAction[] = [];
  const places = replicaPlaces(seen);
  const isServing = status.phase === 'serving';
  // The members that the nexus has now decide, not the ones that it was once started with.
  if (isServing && !isDeepStrictEqual(names(status.members), names(places))) {
    actions.push({ type: 'set-replicas', node, replicas: places });
  }
  const wantedSize = wantedBytes(seen.volume);
  const isGrowing = isServing && status.sizeBytes < wantedSize;
  if (isGrowing) actions.push({ type: 'grow', node, sizeBytes: wantedSize });
  const isMoving = !isServing || isStarting(report) || wanted.errand !== '' || isGrowing;
  const isLevelling = status.members.some((member) => member.phase !== 'in-sync');
  return {
    actions,
    conditions: [attached(node, report), healthy(seen, report)],
    status: {
      ...(isServing ? { sizeBytes: status.sizeBytes } : {}),
      members: status.members.map((member) => memberStatus(seen, member)),
      attachment: {
        nodeName: node,
        phase: status.phase,
        reason: status.reason,
        epoch: status.epoch,
        frontends: report.frontends,
        devicePath: deviceOf(report),
      },
    },
    requeueAfterMs: isMoving ? POLL_MOVING_MS : isLevelling ? 1_000 : POLL_STEADY_MS,
  };
}

/** For good: another nexus owns, or owned, the volume. Only one that is opened anew may serve. */
function hasFailed({ status }: AttachmentReport): boolean {
  return status.phase === 'failed';
}

function planFailed(
  seen: AttachmentObservation,
  { node, report }: FoundAttachment,
): AttachmentPlan {
  const mounted = seen.mounts.find((entry) => entry.node === node);
  const { message, ...failed } = attached(node, report);
  const then =
    mounted === undefined
      ? 'it is opened again'
      : `it is opened again once it is unmounted from ${mounted.mount.path}`;
  return {
    actions: mounted === undefined ? [{ type: 'detach', node }] : [],
    conditions: [{ ...failed, message: `${message}; ${then}` }, healthy(seen, report)],
    requeueAfterMs: mounted === undefined ? POLL_MOVING_MS : POLL_WAITING_MS,
  };
}

/** Frontends start after the nexus serves, one after another. */
function isStarting({ frontends }: AttachmentReport): boolean {
  return frontends.some(({ url, error }) => url === '' && error === '');
}

function hasFrontends(report: AttachmentReport, attachment: VolumeAttachmentSpec): boolean {
  const has = [...report.spec.frontends].sort();
  const wants = [...new Set(attachment.frontends)].sort();
  return isDeepStrictEqual(has, wants) && report.spec.readOnly === (attachment.readOnly ?? false);
}

function names(entries: readonly { readonly replica: string }[]): string[] {
  return entries.map((entry) => entry.replica).sort();
}

function deviceOf(report: AttachmentReport): string {
  return report.frontends.find((entry) => entry.kind === 'fuse')?.url ?? '';
}

function attached(node: string, report: AttachmentReport): ConditionDraft {
  const { phase, reason, error } = report.status;
  if (phase === 'serving') {
    const message = `Served by ${node}, epoch ${report.status.epoch}`;
    return { type: 'Attached', status: 'True', reason: 'Serving', message };
  }
  const why = error === null ? reason : `${error.code}: ${error.message}`;
  return {
    type: 'Attached',
    status: phase === 'suspended' ? 'Unknown' : 'False',
    reason: `${phase.slice(0, 1).toUpperCase()}${phase.slice(1)}`,
    message: `On ${node}: ${phase}${why === '' ? '' : `: ${why}`}`,
  };
}

function healthy(
  { volume, now }: Pick<AttachmentObservation, 'volume' | 'now'>,
  report: AttachmentReport,
): ConditionDraft {
  const { members, phase } = report.status;
  const inSync = members.filter((member) => member.phase === 'in-sync').length;
  const type = 'Healthy';
  if (phase !== 'serving') {
    return { type, status: 'Unknown', reason: 'NotServing', message: `The volume is ${phase}` };
  }
  const message = `${inSync} of ${members.length} replicas are in sync`;
  const { damagedBlocks } = report.status;
  if (damagedBlocks > 0) {
    return {
      type,
      status: 'False',
      reason: 'BlocksDamaged',
      message: describeDamage(damagedBlocks),
    };
  }
  if (inSync === members.length) {
    const voteless = votelessReplicas(report.status, parseTime(now));
    if (voteless.length === 0) return { type, status: 'True', reason: 'AllInSync', message };
    const why = `${voteless.join(', ')} has no vote: an older copy of it was put back`;
    return { type, status: 'False', reason: 'VoteMissing', message: `${message}; ${why}` };
  }
  const others = members
    .filter((member) => member.phase !== 'in-sync')
    .map((member) => {
      const why = member.reason === '' ? '' : ` (${member.reason})`;
      return `${member.replica} is ${member.phase}${placeOf(volume, member)}${why}`;
    });
  return { type, status: 'False', reason: 'Degraded', message: `${message}: ${others.join('; ')}` };
}

/** Of one that is away: ` from pool P on N`. */
export function placeOf(
  volume: Volume | undefined,
  { replica, phase }: Pick<MemberStatus, 'replica' | 'phase'>,
): string {
  if (phase === 'in-sync' || phase === 'joining') return '';
  const place = volume?.spec.placement?.find((entry) => entry.replicaName === replica);
  return place === undefined ? '' : ` from pool ${place.poolName} on ${place.nodeName}`;
}

/** *Right bytes or an error*: what is left of it is good. */
export function describeDamage(blocks: number): string {
  const what = blocks === 1 ? '1 block has' : `${blocks} blocks have`;
  return `${what} no good copy left: reading there fails, everything else is good`;
}

function memberStatus(
  seen: AttachmentObservation,
  member: AttachmentReport['status']['members'][number],
): VolumeMemberStatus {
  const { rebuild } = member;
  const before = seen.volume.status?.members?.find((entry) => entry.replicaName === member.replica);
  return {
    replicaName: member.replica,
    phase: member.phase,
    reason: member.reason,
    errorCode: member.errorCode,
    sinceTime: before?.phase === member.phase ? before.sinceTime : seen.now,
    ...(rebuild === null
      ? {}
      : {
          rebuildPercent:
            rebuild.segmentsTotal === 0
              ? 100
              : Math.floor((100 * rebuild.segmentsDone) / rebuild.segmentsTotal),
        }),
  };
}

/** What the placement says, without replicas that are not made yet. */
function replicaPlaces(seen: AttachmentObservation): ReplicaPlace[] {
  return (seen.volume.spec.placement ?? [])
    .filter((entry) => isMade(seen, entry.replicaName) || entry.founder)
    .map((entry) => ({
      replica: entry.replicaName as ReplicaId,
      node: entry.nodeName as NodeId,
      pool: entry.poolName as PoolId,
      engine: seen.engineAddresses[entry.nodeName] ?? '',
    }));
}

/** Once it was made it is a member, whether it can be reached now or not. */
function isMade(seen: AttachmentObservation, name: string): boolean {
  const replica = seen.replicas.find((entry) => entry.metadata.name === name);
  return replica !== undefined && hasAnnotation(replica, ANNOTATION_INITIALISED);
}

export function attachSpec(
  seen: AttachmentObservation,
  wanted: { readonly attachment: VolumeAttachmentSpec },
  cluster: ClusterId,
): AttachSpec {
  const { volume } = seen;
  const { claimRef } = volume.spec;
  return {
    cluster,
    volume: volume.metadata.name as VolumeId,
    claim: claimRef === undefined ? '' : `${claimRef.namespace}/${claimRef.name}`,
    // The size that the replicas have; growing is a step of its own, once it serves.
    sizeBytes: currentBytes(volume, seen),
    segmentBytes: segmentBytesOf(volume),
    replicas: replicaPlaces(seen),
    isolation: volume.spec.isolation ?? 'thread',
    onQuorumLoss: volume.spec.onQuorumLoss ?? 'suspend',
    frontends: [...new Set(wanted.attachment.frontends)],
    readOnly: wanted.attachment.readOnly ?? false,
    snapshot: null,
  };
}

function currentBytes(volume: Volume, seen: AttachmentObservation): number {
  const reported = seen.replicas.flatMap((replica) => replica.status?.sizeBytes ?? []);
  return (
    volume.status?.sizeBytes ?? (reported.length > 0 ? Math.max(...reported) : wantedBytes(volume))
  );
}
