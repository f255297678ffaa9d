/** Controller service: what only reads. */
import type { DiskPool, StorageNode } from '#api/kinds/mod.ts';
import {
  findUnmetTerm,
  isConditionTrue,
  parseClassParameters,
  readPoolSelector,
} from '#api/kinds/mod.ts';
import { hasCode } from '#api/mod.ts';
import type { ControllerContext } from './context.ts';
import { demandVolume } from './context.ts';
import { TOPOLOGY_NODE } from '../topology.ts';
import {
  demandCapabilities,
  demandId,
  invalid,
  paginate,
  refusalForReaders,
  refusalOf,
} from '../demand.ts';
import type { AnswerOf, ControllerCalls, RequestOf, Service } from '../messages.ts';
import { isView, publishedNodes } from './views.ts';
import { viewStatus, viewVolume } from './volume-view.ts';

const CAPABILITIES = [
  'CREATE_DELETE_VOLUME',
  'PUBLISH_UNPUBLISH_VOLUME',
  'LIST_VOLUMES',
  'LIST_VOLUMES_PUBLISHED_NODES',
  'GET_CAPACITY',
  'CREATE_DELETE_SNAPSHOT',
  'LIST_SNAPSHOTS',
  'CLONE_VOLUME',
  'PUBLISH_READONLY',
  'EXPAND_VOLUME',
  'GET_VOLUME',
  'VOLUME_CONDITION',
  'SINGLE_NODE_MULTI_WRITER',
] as const;

type Lists = Pick<
  Service<ControllerCalls>,
  | 'ControllerGetCapabilities'
  | 'ValidateVolumeCapabilities'
  | 'ListVolumes'
  | 'ControllerGetVolume'
  | 'GetCapacity'
>;

export function createLists(context: ControllerContext): Lists {
  return {
    ControllerGetCapabilities: async () => ({
      capabilities: CAPABILITIES.map((type) => ({ rpc: { type } })),
    }),
    ValidateVolumeCapabilities: (request) => validate(context, request),
    ListVolumes: async ({ maxEntries, startingToken }) => {
      const { items } = await context.client.list('Volume');
      const own = items.filter((volume) => !isView(volume));
      const { page, nextToken } = paginate(own, maxEntries, startingToken);
      const entries = page.map(async (volume) => ({
        volume: viewVolume(volume),
        status: viewStatus(volume, await publishedNodes(context, volume)),
      }));
      return { entries: await Promise.all(entries), nextToken };
    },
    ControllerGetVolume: async ({ volumeId }) => {
      const volume = await demandVolume(context, demandId('volume_id', volumeId));
      const nodes = await publishedNodes(context, volume);
      return { volume: viewVolume(volume), status: viewStatus(volume, nodes) };
    },
    GetCapacity: (request) => getCapacity(context, request),
  };
}

async function validate(
  context: ControllerContext,
  request: RequestOf<ControllerCalls, 'ValidateVolumeCapabilities'>,
): Promise<AnswerOf<ControllerCalls, 'ValidateVolumeCapabilities'>> {
  const { volumeContext, volumeCapabilities, parameters } = request;
  const name = demandId('volume_id', request.volumeId);
  if (volumeCapabilities.length === 0) {
    throw invalid('volume_capabilities', '', 'Give one at least');
  }
  const { frozen = false } = (await demandVolume(context, name)).spec;
  const refusal = volumeCapabilities
    .flatMap((each) => [refusalOf(each), refusalForReaders(each, frozen)])
    .find((text) => text !== '');
  if (refusal !== undefined) return { message: refusal };
  return { confirmed: { volumeContext, volumeCapabilities, parameters }, message: '' };
}

/**
 * How large a volume of these parameters can be: its replicas lie on different nodes, so the
 * smallest of the best pools decides.
 */
async function getCapacity(
  context: ControllerContext,
  request: RequestOf<ControllerCalls, 'GetCapacity'>,
): Promise<AnswerOf<ControllerCalls, 'GetCapacity'>> {
  const none = { availableCapacity: 0, maximumVolumeSize: { value: 0 } };
  if (request.volumeCapabilities.length > 0 && !canServe(request)) return none;
  const { replicas, poolSelector } = parseClassParameters(request.parameters);
  const [pools, nodes] = await Promise.all([
    context.client.list('DiskPool'),
    context.client.list('StorageNode'),
  ]);
  const wantedNode = request.accessibleTopology?.segments[TOPOLOGY_NODE];
  const free = new Map<string, number>();
  for (const pool of pools.items) {
    const node = nodes.items.find((entry) => entry.metadata.name === pool.spec.nodeName);
    if (!isUsable(pool, node) || !isSelected(pool, poolSelector)) continue;
    const bytes = pool.status?.freeBytes ?? 0;
    free.set(pool.spec.nodeName, Math.max(bytes, free.get(pool.spec.nodeName) ?? 0));
  }
  // A single replica lies on the node that is asked about; more of them need other nodes too.
  if (wantedNode !== undefined && !free.has(wantedNode)) return none;
  const best =
    replicas === 1 && wantedNode !== undefined
      ? [free.get(wantedNode) ?? 0]
      : [...free.values()].sort((a, b) => b - a);
  const bytes = best[replicas - 1] ?? 0;
  return { availableCapacity: bytes, maximumVolumeSize: { value: bytes } };
}

function canServe(request: RequestOf<ControllerCalls, 'GetCapacity'>): boolean {
  try {
    demandCapabilities(request.volumeCapabilities);
    return true;
  } catch (error) {
    if (hasCode(error, 'invalid-argument')) return false;
    throw error;
  }
}

function isSelected({ metadata, spec }: DiskPool, poolSelector: string): boolean {
  const selector = readPoolSelector(poolSelector);
  const marks = { tags: spec.tags ?? [], labels: metadata.labels ?? {} };
  return poolSelector === '' || (selector.ok && findUnmetTerm(selector.terms, marks) === undefined);
}

function isUsable(pool: DiskPool, node: StorageNode | undefined): boolean {
  const isCordoned = pool.spec.unschedulable === true || node?.spec.unschedulable === true;
  return (
    !isCordoned &&
    isConditionTrue(pool.status?.conditions, 'Ready') &&
    isConditionTrue(node?.status?.conditions, 'Ready')
  );
}
