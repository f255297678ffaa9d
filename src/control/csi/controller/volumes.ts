/** Controller service: the life of a volume, from CreateVolume to DeleteVolume. */
import type { ClassParameters, Volume } from '#api/kinds/mod.ts';
import {
  API_VERSION,
  chooseSegmentBytes,
  findCondition,
  formatQuantity,
  isConditionTrue,
  parseClassParameters,
  parseQuantity,
  readMkfsOptions,
} from '#api/kinds/mod.ts';
import { hasCode, HoldfastError } from '#api/mod.ts';
import type { ControllerContext } from './context.ts';
import { demandSnapshot, demandVolume, findObject, saysOf } from './context.ts';
import {
  chooseSize,
  demandCapabilities,
  demandId,
  demandName,
  fits,
  invalid,
  isForReaders,
} from '../demand.ts';
import type {
  AnswerOf,
  ControllerCalls,
  RequestOf,
  StringMap,
  VolumeContentSource,
} from '../messages.ts';
import { TOPOLOGY_NODE } from '../topology.ts';
import { volumeIdOf } from './names.ts';
import { freeze, publishedNodes } from './views.ts';
import { sizeOf, viewVolume } from './volume-view.ts';

export const ANNOTATION_NAME = 'csi.holdfast.dev/name';
/** Told by the provisioner (--extra-create-metadata); not parameters of the class. */
const CLAIM_NAME = 'csi.storage.k8s.io/pvc/name';
const CLAIM_NAMESPACE = 'csi.storage.k8s.io/pvc/namespace';
const RESERVED = new Set([CLAIM_NAME, CLAIM_NAMESPACE, 'csi.storage.k8s.io/pv/name']);

/** Of a volume's spec: what another class would have made different. */
const CLASS_FIELDS = [
  'replicas',
  'isolation',
  'onQuorumLoss',
  'fsType',
  'mkfsOptions',
  'poolSelector',
  'frozen',
] as const;

type CreateRequest = RequestOf<ControllerCalls, 'CreateVolume'>;

/**
 * Makes a volume, or finds the one that an earlier call made, and waits until its replicas are
 * there. `already-exists` when a volume of the name is another one; `no-placement` leaves nothing.
 */
export async function createVolume(
  context: ControllerContext,
  request: CreateRequest,
): Promise<AnswerOf<ControllerCalls, 'CreateVolume'>> {
  const wanted = await readCreation(context, request);
  const { name } = wanted.metadata;
  const before = await findObject(context.client, 'Volume', { name });
  if (before === undefined) await createIfAbsent(context, wanted);
  else demandSame(before, wanted, request);
  const volume = await untilMade(context, name);
  if (volume.spec.frozen === true) await freeze(context, volume);
  return { volume: viewVolume(volume, request.volumeContentSource) };
}

async function readCreation(context: ControllerContext, request: CreateRequest): Promise<Volume> {
  const name = demandName('name', request.name);
  const wishes = demandCapabilities(request.volumeCapabilities);
  if (Object.keys(request.mutableParameters).length > 0) {
    throw invalid('mutable_parameters', Object.keys(request.mutableParameters)[0], 'Leave it out');
  }
  const parameters = parseClassParameters(
    Object.fromEntries(Object.entries(request.parameters).filter(([key]) => !RESERVED.has(key))),
  );
  const asked = wishes.flatMap((wish) => (wish.kind === 'mount' ? [wish.fsType] : []));
  const fsType = asked.find((type) => type !== '') ?? parameters.fsType;
  demandMkfsOptions(fsType, parameters.mkfsOptions);
  const sizeBytes = chooseSize(request.capacityRange);
  const source = await readSource(context, request.volumeContentSource, sizeBytes);
  const isFrozen = demandReaders(request);
  const segmentBytes =
    source?.segmentBytes ?? parameters.segmentBytes ?? chooseSegmentBytes(sizeBytes);
  return {
    apiVersion: API_VERSION,
    kind: 'Volume',
    metadata: { name: volumeIdOf(name), annotations: { [ANNOTATION_NAME]: name } },
    spec: {
      size: formatQuantity(sizeBytes),
      segmentSize: formatQuantity(segmentBytes),
      ...chosenByClass(parameters),
      fsType: fsType as 'ext4' | 'xfs',
      ...claimOf(request.parameters),
      ...preferenceOf(request),
      ...(source === null ? {} : { source: source.spec }),
      ...(isFrozen ? { frozen: true } : {}),
    },
  };
}

/** Whether it is for many readers: then it has contents from the start, and nobody else. */
function demandReaders({ volumeCapabilities, volumeContentSource }: CreateRequest): boolean {
  const count = volumeCapabilities.filter(isForReaders).length;
  if (count === 0) return false;
  if (count < volumeCapabilities.length) {
    throw invalid('volume_capabilities', count, 'Ask for readers on many nodes, or for a writer');
  }
  if (volumeContentSource === null) {
    const remedy = 'Name a snapshot or a volume: an empty volume that nobody writes stays empty';
    throw invalid('volume_content_source', '', remedy);
  }
  return true;
}

function chosenByClass(parameters: ClassParameters) {
  const { replicas, isolation, onQuorumLoss, replaceAfterSeconds } = parameters;
  const { mkfsOptions, poolSelector } = parameters;
  return {
    replicas,
    isolation,
    onQuorumLoss,
    replaceAfterSeconds,
    ...(mkfsOptions === '' ? {} : { mkfsOptions }),
    ...(poolSelector === '' ? {} : { poolSelector }),
  };
}

/** They were checked for the filesystem of the class: a capability may name another one. */
function demandMkfsOptions(fsType: string, text: string): void {
  if (fsType !== 'ext4' && fsType !== 'xfs') return;
  const result = readMkfsOptions(fsType, text);
  if (!result.ok) throw invalid('parameters.mkfsOptions', text, result.remedy);
}

function claimOf(parameters: StringMap): Pick<Volume['spec'], 'claimRef'> {
  const name = parameters[CLAIM_NAME];
  const namespace = parameters[CLAIM_NAMESPACE];
  return name === undefined || namespace === undefined ? {} : { claimRef: { name, namespace } };
}

/** Where the consumer runs (WaitForFirstConsumer): a replica beside it serves its reads. */
function preferenceOf(request: CreateRequest): Pick<Volume['spec'], 'preferredNodes'> {
  const nodes = (request.accessibilityRequirements?.preferred ?? []).flatMap(
    ({ segments }) => segments[TOPOLOGY_NODE] ?? [],
  );
  return nodes.length === 0 ? {} : { preferredNodes: [...new Set(nodes)].slice(0, 16) };
}

interface Source {
  readonly spec: NonNullable<Volume['spec']['source']>;
  /** A clone shares the layers of its source, so it has its segments too. */
  readonly segmentBytes: number;
}

async function readSource(
  context: ControllerContext,
  source: VolumeContentSource | null,
  sizeBytes: number,
): Promise<Source | null> {
  const snapshotId = source?.snapshot?.snapshotId;
  const volumeId = source?.volume?.volumeId;
  if (snapshotId !== undefined) {
    const snapshot = await demandSnapshot(context, demandId('snapshot_id', snapshotId));
    const volume = await demandVolume(context, snapshot.spec.volumeName);
    demandRoom(sizeBytes, snapshot.status?.sizeBytes ?? sizeOf(volume));
    return { spec: { snapshotName: snapshotId }, segmentBytes: segmentsOf(volume) };
  }
  if (volumeId !== undefined) {
    const volume = await demandVolume(context, demandId('volume_id', volumeId));
    demandRoom(sizeBytes, sizeOf(volume));
    return { spec: { volumeName: volumeId }, segmentBytes: segmentsOf(volume) };
  }
  if (source !== null) throw invalid('volume_content_source', '', 'Name a snapshot or a volume');
  return null;
}

function segmentsOf(volume: Volume): number {
  const { segmentSize } = volume.spec;
  return segmentSize === undefined
    ? chooseSegmentBytes(sizeOf(volume))
    : parseQuantity('spec.segmentSize', segmentSize);
}

function demandRoom(sizeBytes: number, sourceBytes: number): void {
  if (sizeBytes >= sourceBytes) return;
  throw new HoldfastError('out-of-range', 'Volume is smaller than its source', {
    details: {
      field: 'capacity_range',
      value: sizeBytes,
      remedy: `Ask for ${sourceBytes} bytes or more`,
    },
  });
}

async function createIfAbsent(context: ControllerContext, volume: Volume): Promise<void> {
  try {
    await context.client.create('Volume', volume);
  } catch (error) {
    if (!hasCode(error, 'already-exists')) throw error;
  }
}

function demandSame(before: Volume, wanted: Volume, request: CreateRequest): void {
  if (before.metadata.deletionTimestamp !== undefined) {
    throw new HoldfastError('operation-pending', 'A volume of the name is being deleted', {
      details: { name: before.metadata.name, remedy: 'Ask again in a moment' },
    });
  }
  const different = differenceOf(before, wanted, request);
  if (different === '') return;
  throw new HoldfastError('already-exists', 'Another volume has the name', {
    details: {
      name: request.name,
      field: different,
      remedy: 'Choose another name, or ask for what it is',
    },
  });
}

/** The first field in which the volume is not what is asked for; empty when it is. */
function differenceOf(before: Volume, wanted: Volume, request: CreateRequest): string {
  const name = before.metadata.annotations?.[ANNOTATION_NAME];
  if (name !== undefined && name !== request.name) return 'name';
  if (!fits(request.capacityRange, sizeOf(before))) return 'capacity_range';
  const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);
  if (!same(before.spec.source, wanted.spec.source)) return 'volume_content_source';
  for (const field of CLASS_FIELDS) {
    if (!same(before.spec[field], wanted.spec[field])) return `parameters.${field}`;
  }
  return '';
}

/** Waits for the replicas. Without a place for them the volume is taken back. */
async function untilMade(context: ControllerContext, name: string): Promise<Volume> {
  try {
    return await context.volumes.until(
      { name },
      context.waitMs,
      (volume) => {
        if (volume === undefined) return undefined;
        const placed = findCondition(volume.status?.conditions, 'Placed');
        if (placed?.reason === 'NoPlacement') throw noPlacement(placed.message);
        return isConditionTrue(volume.status?.conditions, 'Ready') ? volume : undefined;
      },
      (volume) => saysOf(volume, ['Placed', 'Ready'], 'The controller has not seen it yet'),
    );
  } catch (error) {
    if (hasCode(error, 'no-placement')) await deleteIfPresent(context, name);
    throw error;
  }
}

function noPlacement(why: string): HoldfastError {
  return new HoldfastError('no-placement', 'No set of pools satisfies the request', {
    details: { why, remedy: 'Add nodes or pools, free some space, or ask for fewer replicas' },
  });
}

export async function deleteIfPresent(context: ControllerContext, name: string): Promise<void> {
  try {
    await context.client.delete('Volume', { name });
  } catch (error) {
    if (!hasCode(error, 'not-found')) throw error;
  }
}

/** Resolves when no replica is left. `in-use` while it is published, or has snapshots. */
export async function deleteVolume(
  context: ControllerContext,
  request: RequestOf<ControllerCalls, 'DeleteVolume'>,
): Promise<AnswerOf<ControllerCalls, 'DeleteVolume'>> {
  const name = demandId('volume_id', request.volumeId);
  const volume = await findObject(context.client, 'Volume', { name });
  if (volume === undefined) return {};
  const nodes = await publishedNodes(context, volume);
  if (nodes.length > 0) {
    throw inUse(name, `It is published to ${nodes.join(', ')}`, 'Unpublish it first');
  }
  const { items } = await context.client.list('Snapshot');
  const snapshots = items.filter(
    (entry) =>
      entry.spec.volumeName === name && entry.metadata.labels?.['holdfast.dev/clone'] === undefined,
  );
  if (snapshots.length > 0) {
    const names = snapshots.map((entry) => entry.metadata.name).join(', ');
    throw inUse(name, `It has snapshots: ${names}`, 'Delete them first');
  }
  await deleteIfPresent(context, name);
  await context.volumes.until(
    { name },
    context.waitMs,
    (object) => (object === undefined ? true : undefined),
    (object) => saysOf(object, ['Terminating'], 'The controller has not seen it yet'),
  );
  return {};
}

export function inUse(name: string, why: string, remedy: string): HoldfastError {
  return new HoldfastError('in-use', 'Volume is in use', { details: { name, why, remedy } });
}

/** Grows the volume and waits until all replicas have the size; the filesystem is the node's. */
export async function expandVolume(
  context: ControllerContext,
  request: RequestOf<ControllerCalls, 'ControllerExpandVolume'>,
): Promise<AnswerOf<ControllerCalls, 'ControllerExpandVolume'>> {
  const name = demandId('volume_id', request.volumeId);
  if (request.capacityRange === null) throw invalid('capacity_range', '', 'Give it');
  const volume = await demandVolume(context, name);
  if (volume.spec.frozen === true) {
    throw new HoldfastError('unsupported', 'Nobody writes the volume', {
      details: { name, remedy: 'Make a larger claim from the same source' },
    });
  }
  const current = sizeOf(volume);
  const wanted = Math.max(current, chooseSize(request.capacityRange));
  if (!fits(request.capacityRange, wanted)) {
    throw new HoldfastError('out-of-range', 'A volume cannot be made smaller', {
      details: {
        field: 'capacity_range',
        value: request.capacityRange.limitBytes,
        remedy: `Use a limit of ${current} bytes or more`,
      },
    });
  }
  if (wanted > current) {
    await context.client.patch('Volume', { name }, { spec: { size: formatQuantity(wanted) } });
  }
  await context.volumes.until(
    { name },
    context.waitMs,
    // One that was never served grows when it is: replicas are opened at the size they have.
    (object) => ((object?.status?.sizeBytes ?? wanted) >= wanted ? true : undefined),
    (object) => saysOf(object, ['Attached', 'Healthy'], 'The replicas grow one after another'),
  );
  const isBlock = (request.volumeCapability?.block ?? null) !== null;
  return { capacityBytes: wanted, nodeExpansionRequired: !isBlock };
}
