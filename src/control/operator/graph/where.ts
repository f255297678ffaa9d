/**
 * `where`: every path claim → volume → member → replica → pool → directory → device, read from the
 * objects and what engines say now; then the paths that pass the thing that was asked for.
 */
import type {
  DiskPool,
  Mount,
  PersistentVolumeClaim,
  Replica,
  StorageNode,
  Volume,
} from '#api/kinds/mod.ts';
import { formatBytes } from '#api/kinds/mod.ts';
import { HoldfastError, type WhereLink, type WherePath } from '#api/mod.ts';
import type { OperatorContext } from '../reconcile.ts';

interface Graph {
  readonly claims: readonly PersistentVolumeClaim[];
  readonly mounts: readonly Mount[];
  readonly volumes: readonly Volume[];
  readonly replicas: readonly Replica[];
  readonly pools: readonly DiskPool[];
  readonly nodes: readonly StorageNode[];
}

async function readGraph({ client }: OperatorContext): Promise<Graph> {
  const [claims, mounts, volumes, replicas, pools, nodes] = await Promise.all([
    client.list('PersistentVolumeClaim'),
    client.list('Mount'),
    client.list('Volume'),
    client.list('Replica'),
    client.list('DiskPool'),
    client.list('StorageNode'),
  ]);
  return {
    claims: claims.items,
    mounts: mounts.items,
    volumes: volumes.items,
    replicas: replicas.items,
    pools: pools.items,
    nodes: nodes.items,
  };
}

export interface WhereSubject {
  /** claim, volume, replica, pool, node or disk. */
  readonly kind: string;
  readonly name: string;
  readonly namespace?: string | undefined;
}

export async function findWhere(
  context: OperatorContext,
  subject: WhereSubject,
): Promise<WherePath[]> {
  const graph = await readGraph(context);
  const paths = graph.volumes.flatMap((volume) => pathsOf(graph, volume));
  for (const pool of graph.pools) {
    if (graph.replicas.some((replica) => replica.spec.poolName === pool.metadata.name)) continue;
    paths.push({ links: poolLinks(graph, pool.metadata.name, '') });
  }
  const found = paths.filter((path) => path.links.some((link) => isSubject(link, subject)));
  if (found.length > 0) return found;
  throw new HoldfastError('not-found', 'Nothing of this name is on any path', {
    details: {
      kind: subject.kind,
      name: subject.name,
      remedy:
        'List what exists with `holdfast get claims`, `volumes`, `replicas`, `pools`, `nodes`',
    },
  });
}

const KIND_OF: Readonly<Record<string, string>> = {
  claim: 'claim',
  volume: 'volume',
  replica: 'replica',
  member: 'replica',
  pool: 'pool',
  node: 'node',
  disk: 'device',
  device: 'device',
};

function isSubject(link: WhereLink, subject: WhereSubject): boolean {
  if (link.kind !== KIND_OF[subject.kind]) return false;
  if (link.kind === 'claim')
    return link.name === `${subject.namespace ?? 'default'}/${subject.name}`;
  if (link.kind !== 'device') return link.name === subject.name;
  const short = subject.name.replace(/^\/dev\//, '');
  return link.name.replace(/^\/dev\//, '') === short || link.facts['serial'] === subject.name;
}

function pathsOf(graph: Graph, volume: Volume): WherePath[] {
  const head = [...claimLinks(graph, volume), volumeLink(graph, volume)];
  const placement = volume.spec.placement ?? [];
  if (placement.length === 0) return [{ links: head }];
  return placement.map((entry) => {
    const replica = graph.replicas.find((object) => object.metadata.name === entry.replicaName);
    const directory = replica?.status?.directory ?? '';
    return {
      links: [
        ...head,
        memberLink(volume, entry.replicaName),
        replicaLink(entry.replicaName, replica),
        ...poolLinks(graph, entry.poolName, directory),
      ],
    };
  });
}

function claimLinks(graph: Graph, volume: Volume): WhereLink[] {
  const { claimRef } = volume.spec;
  if (claimRef === undefined) return [];
  const claim = graph.claims.find(
    ({ metadata }) => metadata.namespace === claimRef.namespace && metadata.name === claimRef.name,
  );
  const facts = { phase: claim?.status?.phase ?? 'absent' };
  return [{ kind: 'claim', name: `${claimRef.namespace}/${claimRef.name}`, facts }];
}

function volumeLink(graph: Graph, volume: Volume): WhereLink {
  const { attachment } = volume.status ?? {};
  const facts: Record<string, string> = { size: String(volume.spec.size) };
  if (attachment !== undefined && attachment !== null) {
    facts['attached'] = `${attachment.nodeName} (${attachment.phase})`;
    for (const frontend of attachment.frontends) {
      facts[frontend.kind === 'fuse' ? 'device' : frontend.kind] = frontend.url;
    }
  }
  const places = graph.mounts
    .filter((mount) => mount.status?.volumeName === volume.metadata.name)
    .map(({ spec }) => `${spec.path} on ${spec.nodeName}`);
  if (places.length > 0) facts['mounted'] = places.join(', ');
  return { kind: 'volume', name: volume.metadata.name, facts };
}

function memberLink(volume: Volume, replicaName: string): WhereLink {
  const member = volume.status?.members?.find((entry) => entry.replicaName === replicaName);
  const facts: Record<string, string> = { phase: member?.phase ?? 'not attached' };
  if (member?.rebuildPercent !== undefined) facts['rebuilt'] = `${member.rebuildPercent}%`;
  if (member !== undefined && member.reason !== '') facts['reason'] = member.reason;
  return { kind: 'member', name: replicaName, facts };
}

function replicaLink(name: string, replica: Replica | undefined): WhereLink {
  const facts: Record<string, string> = {};
  const bytes = replica?.status?.dataBytes;
  if (bytes !== undefined) facts['data'] = formatBytes(bytes);
  return { kind: 'replica', name, facts };
}

function poolLinks(graph: Graph, poolName: string, directory: string): WhereLink[] {
  const pool = graph.pools.find((entry) => entry.metadata.name === poolName);
  const nodeName = pool?.spec.nodeName ?? '';
  const status = pool?.status ?? {};
  const facts: Record<string, string> = {};
  if (status.freeBytes !== undefined) facts['free'] = formatBytes(status.freeBytes);
  const node = graph.nodes.find((entry) => entry.metadata.name === nodeName);
  return [
    { kind: 'node', name: nodeName, facts: node === undefined ? { state: 'absent' } : {} },
    { kind: 'pool', name: poolName, facts },
    {
      kind: 'directory',
      name: directory === '' ? (pool?.spec.directory ?? '') : directory,
      facts: {},
    },
    {
      kind: 'device',
      name: status.deviceName ?? 'unknown',
      facts: {
        ...(status.filesystem === undefined ? {} : { filesystem: status.filesystem }),
        serial:
          status.deviceSerial === undefined || status.deviceSerial === ''
            ? 'none'
            : status.deviceSerial,
      },
    },
  ];
}
