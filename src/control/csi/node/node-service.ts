/**
 * The CSI node service: from the block device that the engine of this node serves to the path that
 * a pod uses. Staged is what is mounted once for a node; published is where pods see it.
 *
 * Invariants
 * - *Never format what may hold data*: a volume is formatted only when the engine says, now, that
 *   nothing was ever written, and its superblock areas are zero.
 * - The device is the one that the engine names, whatever the caller's context says.
 */
import type { MkfsOption } from '#api/kinds/mod.ts';
import { readMkfsOptions } from '#api/kinds/mod.ts';
import type { AttachmentReport, EngineMethods, NodeId, VolumeId } from '#api/mod.ts';
import { hasCode, HoldfastError } from '#api/mod.ts';
import type { PublishedVolumes, PublishSource, VolumeMounts } from '#control/mounts/mod.ts';
import type { Disk } from '#host/mod.ts';
import type { RpcClient } from '#rpc/mod.ts';
import { TOPOLOGY_NODE } from '../topology.ts';
import type { Wish } from '../demand.ts';
import {
  demandCapability,
  demandGiven,
  demandId,
  demandPath,
  invalid,
  isForReaders,
  isId,
} from '../demand.ts';
import { lockService } from '../locked.ts';
import type { AnswerOf, NodeCalls, RequestOf, Service, VolumeCapability } from '../messages.ts';
import { viewIdOf } from '../view-id.ts';
import { readUsage, viewHealth } from './node-stats.ts';

export interface NodeServiceOptions {
  readonly node: NodeId;
  readonly engine: Pick<RpcClient<EngineMethods>, 'call'>;
  readonly mounts: VolumeMounts;
  readonly published: PublishedVolumes;
  readonly disk: Disk;
}

/** Loop devices and threads of one node; the kubelet schedules no more pods beyond it. */
const VOLUMES_MAX = 256;
const ENGINE_TIMEOUT_MS = 8_000;
const CAPABILITIES = [
  'STAGE_UNSTAGE_VOLUME',
  'GET_VOLUME_STATS',
  'EXPAND_VOLUME',
  'VOLUME_CONDITION',
  'SINGLE_NODE_MULTI_WRITER',
] as const;
/** What mount(8) may be told: words, never further arguments. */
const MOUNT_FLAG = /^[A-Za-z0-9_]+(=[A-Za-z0-9_.:/@%+-]+)?$/;

export function createNodeService(options: NodeServiceOptions): Service<NodeCalls> {
  const service: Service<NodeCalls> = {
    NodeGetCapabilities: async () => ({
      capabilities: CAPABILITIES.map((type) => ({ rpc: { type } })),
    }),
    NodeGetInfo: async () => ({
      nodeId: options.node,
      maxVolumesPerNode: VOLUMES_MAX,
      accessibleTopology: { segments: { [TOPOLOGY_NODE]: options.node } },
    }),
    NodeStageVolume: (request) => stage(options, request),
    NodeUnstageVolume: (request) => unstage(options, request),
    NodePublishVolume: (request) => publish(options, request),
    NodeUnpublishVolume: (request) => unpublish(options, request),
    NodeGetVolumeStats: (request) => stats(options, request),
    NodeExpandVolume: (request) => expand(options, request),
  };
  return lockService(service, (name, { volumeId }) =>
    name === 'NodeGetVolumeStats' || typeof volumeId !== 'string' ? null : volumeId,
  );
}

async function stage(
  options: NodeServiceOptions,
  request: RequestOf<NodeCalls, 'NodeStageVolume'>,
): Promise<AnswerOf<NodeCalls, 'NodeStageVolume'>> {
  const volume = demandId('volume_id', request.volumeId) as VolumeId;
  const path = demandPath('staging_target_path', request.stagingTargetPath);
  const wish = demandCapability('volume_capability', request.volumeCapability);
  const report = await describe(options, servedAs(options, volume, request.volumeCapability));
  const device = deviceOf(report);
  const { readOnly } = report.spec;
  if (wish.kind === 'block') {
    await options.published.setAccess(device, readOnly ? 'ro' : 'rw');
    return {};
  }
  demandServing(report);
  await options.published.setAccess(device, 'rw');
  const mayFormat = !readOnly && (await isBlank(options, volume));
  const fsType = fsTypeOf(wish, request.publishContext['fsType']);
  await options.mounts.mount({
    volume: report.volume,
    device,
    path,
    fsType,
    mayFormat,
    mkfsOptions: mkfsOptionsOf(fsType, request.publishContext['mkfsOptions'] ?? ''),
    readOnly,
    options: flagsOf(request.volumeCapability),
  });
  return {};
}

function fsTypeOf(wish: Wish & { readonly kind: 'mount' }, known: string | undefined) {
  const fsType = wish.fsType === '' ? (known ?? 'ext4') : wish.fsType;
  if (fsType === 'ext4' || fsType === 'xfs') return fsType;
  throw invalid('publish_context.fsType', fsType, 'Use ext4 or xfs');
}

/** Checked again here: whoever calls this socket is not the class that was checked. */
function mkfsOptionsOf(fsType: 'ext4' | 'xfs', text: string): readonly MkfsOption[] {
  const result = readMkfsOptions(fsType, text);
  if (result.ok) return result.options;
  throw invalid('publish_context.mkfsOptions', text, result.remedy);
}

function flagsOf(capability: VolumeCapability | null): readonly string[] {
  const flags = capability?.mount?.mountFlags ?? [];
  const bad = flags.find((flag) => !MOUNT_FLAG.test(flag));
  if (bad === undefined) return flags;
  throw invalid('volume_capability.mount.mount_flags', bad, 'Use words like noatime or discard');
}

async function unstage(
  options: NodeServiceOptions,
  request: RequestOf<NodeCalls, 'NodeUnstageVolume'>,
): Promise<AnswerOf<NodeCalls, 'NodeUnstageVolume'>> {
  const volume = demandId('volume_id', request.volumeId) as VolumeId;
  const path = demandPath('staging_target_path', request.stagingTargetPath);
  const staged = options.mounts.list().find((entry) => entry.path === path);
  await options.mounts.unmount(staged?.volume ?? volume, path);
  return {};
}

async function publish(
  options: NodeServiceOptions,
  request: RequestOf<NodeCalls, 'NodePublishVolume'>,
): Promise<AnswerOf<NodeCalls, 'NodePublishVolume'>> {
  const volume = demandId('volume_id', request.volumeId) as VolumeId;
  const target = demandPath('target_path', request.targetPath);
  const wish = demandCapability('volume_capability', request.volumeCapability);
  const staging = demandPath('staging_target_path', request.stagingTargetPath);
  const report = await describe(options, servedAs(options, volume, request.volumeCapability));
  const device = deviceOf(report);
  const source: PublishSource =
    wish.kind === 'block'
      ? { kind: 'device', path: device }
      : { kind: 'directory', path: demandStaged(options, report.volume, staging) };
  if (request.volumeCapability?.accessMode?.mode === 'SINGLE_NODE_SINGLE_WRITER') {
    const other = (await options.published.targetsOf(source)).find((path) => path !== target);
    if (other !== undefined) {
      throw new HoldfastError('in-use', 'Volume is for one writer, and has it', {
        details: { volume, path: other, remedy: 'Unpublish it there first' },
      });
    }
  }
  await options.published.publish(source, target, request.readonly || report.spec.readOnly);
  return {};
}

function demandStaged(options: NodeServiceOptions, volume: VolumeId, path: string): string {
  const found = options.mounts.list().find((entry) => entry.path === path);
  if (found?.volume === volume) return path;
  throw new HoldfastError('in-use', 'Volume is not staged there', {
    details: { volume, path, remedy: 'Stage it first' },
  });
}

async function unpublish(
  options: NodeServiceOptions,
  request: RequestOf<NodeCalls, 'NodeUnpublishVolume'>,
): Promise<AnswerOf<NodeCalls, 'NodeUnpublishVolume'>> {
  demandId('volume_id', request.volumeId);
  await options.published.unpublish(demandPath('target_path', request.targetPath));
  return {};
}

async function stats(
  options: NodeServiceOptions,
  request: RequestOf<NodeCalls, 'NodeGetVolumeStats'>,
): Promise<AnswerOf<NodeCalls, 'NodeGetVolumeStats'>> {
  const volume = demandId('volume_id', request.volumeId) as VolumeId;
  const path = demandGiven('volume_path', request.volumePath);
  const report = await describeEither(options, volume);
  const { disk, published } = options;
  const device = deviceOf(report);
  const shown = await published.deviceAt(path);
  if (shown !== device) {
    throw new HoldfastError('not-found', 'Volume is not there', {
      details: { field: 'volume_path', value: path, remedy: 'Ask for a path it is published at' },
    });
  }
  const usage = await readUsage(disk, path, report.status.sizeBytes);
  return { usage, volumeCondition: viewHealth(report.status) };
}

async function expand(
  options: NodeServiceOptions,
  request: RequestOf<NodeCalls, 'NodeExpandVolume'>,
): Promise<AnswerOf<NodeCalls, 'NodeExpandVolume'>> {
  const volume = demandId('volume_id', request.volumeId) as VolumeId;
  demandGiven('volume_path', request.volumePath);
  const { status, spec, volume: served } = await describeEither(options, volume);
  const staged = options.mounts.list().find((entry) => entry.volume === served);
  // A block device has its size already, and what nobody writes does not grow.
  if (staged !== undefined && !spec.readOnly) await options.mounts.expand(staged.path);
  return { capacityBytes: status.sizeBytes };
}

/** A volume for many readers is served here as the view of this node. */
function servedAs(
  { node }: NodeServiceOptions,
  volume: VolumeId,
  capability: VolumeCapability | null,
): VolumeId {
  return isForReaders(capability) ? (viewIdOf(volume, node) as VolumeId) : volume;
}

/** Where the request does not say how the volume is used: as itself, or as a view. */
async function describeEither(
  options: NodeServiceOptions,
  volume: VolumeId,
): Promise<AttachmentReport> {
  try {
    return await describe(options, volume);
  } catch (error) {
    if (!hasCode(error, 'not-found') || !isId(volume)) throw error;
    const view = viewIdOf(volume, options.node) as VolumeId;
    return describe(options, view).catch(() => {
      throw error;
    });
  }
}

async function describe(options: NodeServiceOptions, volume: VolumeId): Promise<AttachmentReport> {
  if (!isId(volume)) {
    throw new HoldfastError('not-found', 'Volume does not exist', {
      details: { field: 'volume_id', value: volume.slice(0, 80), remedy: 'Check the id' },
    });
  }
  return options.engine.call('volume.describe', { volume }, { timeoutMs: ENGINE_TIMEOUT_MS });
}

/** Whether it is blank, and what is on it, can be asked only of a volume that serves. */
function demandServing({ volume, status }: AttachmentReport): void {
  if (status.phase === 'serving') return;
  throw new HoldfastError('not-current', 'Volume does not serve now', {
    details: { volume, phase: status.phase, reason: status.reason, remedy: 'Ask again later' },
  });
}

async function isBlank(options: NodeServiceOptions, volume: VolumeId): Promise<boolean> {
  const params = { volume };
  const answer = await options.engine.call('volume.isBlank', params, {
    timeoutMs: ENGINE_TIMEOUT_MS,
  });
  return answer.isBlank;
}

/**
 * The engine's word. The publish context of a caller may be from before a restart, after which the
 * device has another name; what the volume is here and now, the engine alone knows.
 */
function deviceOf(report: AttachmentReport): string {
  const fuse = report.frontends.find((entry) => entry.kind === 'fuse');
  const device = fuse?.url ?? '';
  if (device === '') {
    throw new HoldfastError('not-current', 'Volume has no block device here yet', {
      details: {
        volume: report.volume,
        phase: report.status.phase,
        reason: fuse?.error ?? report.status.reason,
        remedy: 'Ask again once the volume is served',
      },
    });
  }
  return device;
}
