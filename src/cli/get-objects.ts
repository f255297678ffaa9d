/** get: what is there, once or with every change. */
import { API_VERSION, KINDS } from '#api/kinds/mod.ts';
import type { KindName, Replica } from '#api/kinds/mod.ts';
import { withCluster } from './cluster-client.ts';
import type { ClusterClient } from './cluster-client.ts';
import type { CliContext } from './context.ts';
import { EXIT_OK } from './exit-codes.ts';
import { checkName, scopedName, splitKind } from './named-objects.ts';
import { parseSeconds } from './parse-seconds.ts';
import { ObjectPrinter } from './print-objects.ts';
import type { ObjectForm } from './print-objects.ts';
import type { OutputOptions } from './read-objects.ts';
import { parseAwaited, WAIT_SECONDS, waitForAll } from './wait-for-state.ts';
import { watchObjects } from './watch-objects.ts';

export interface GetOptions extends OutputOptions {
  readonly allNamespaces?: boolean | undefined;
  readonly watch?: boolean | undefined;
  readonly wait?: string | undefined;
  readonly timeout?: string | undefined;
}

export async function runGet(
  context: CliContext,
  kindText: string,
  names: readonly string[],
  options: GetOptions,
): Promise<number> {
  const output = (options.output ?? 'table') as ObjectForm;
  const awaited = options.wait === undefined ? undefined : parseAwaited('--wait', options.wait);
  const timeoutMs = parseSeconds('--timeout', options.timeout, WAIT_SECONDS);
  return withCluster(context, options, async (cluster) => {
    if (kindText === 'all') return getAll(context, cluster, output, options);
    const { kind, names: wanted } = splitKind(kindText, names);
    const keys = wanted.map((name) => scopedName(kind, name, options.namespace));
    if (awaited !== undefined) {
      await waitForAll(context, cluster, { kind, keys, awaited, timeoutMs });
      if (awaited.is === 'gone') return EXIT_OK;
    }
    const namespace = keys.length > 0 ? undefined : namespaceFor(kind, options);
    const print = new ObjectPrinter(context, kind, output, options.allNamespaces === true);
    if (options.watch === true) {
      const endMs = options.timeout === undefined ? undefined : timeoutMs;
      return watchObjects(context, cluster, { kind, keys, namespace, print, timeoutMs: endMs });
    }
    const objects =
      keys.length > 0
        ? await Promise.all(keys.map((key) => cluster.get(kind, key)))
        : [...(await cluster.list(kind, namespace)), ...(await listOrphans(cluster, kind, output))];
    print.all(objects, keys.length === 1);
    return EXIT_OK;
  });
}

/** Replicas in pools that have no object: people look for them here. */
async function listOrphans(
  cluster: ClusterClient,
  kind: KindName,
  output: ObjectForm,
): Promise<Replica[]> {
  if (kind !== 'Replica' || (output !== 'table' && output !== 'wide')) return [];
  const pools = await cluster.list('DiskPool');
  return pools.flatMap(({ metadata, spec, status }) =>
    (status?.orphans ?? []).map((orphan) => ({
      apiVersion: API_VERSION,
      kind: 'Replica' as const,
      metadata: { name: orphan.replicaName, creationTimestamp: orphan.sinceTime },
      spec: {
        volumeName: orphan.volumeName,
        nodeName: spec.nodeName,
        poolName: metadata.name,
        size: 0,
        segmentSize: 0,
      },
      status: {
        dataBytes: orphan.dataBytes,
        conditions: [
          {
            type: 'Ready',
            status: 'False' as const,
            reason: 'Orphaned',
            message: orphan.reason,
            lastTransitionTime: orphan.sinceTime,
          },
        ],
      },
    })),
  );
}

function namespaceFor(kind: KindName, options: GetOptions): string | undefined {
  if (!KINDS[kind].isNamespaced || options.allNamespaces === true) return undefined;
  if (options.namespace !== undefined) return checkName('namespace', options.namespace);
  // Events are looked for across namespaces: those of cluster-scoped objects are in `default`.
  return kind === 'Event' ? undefined : 'default';
}

async function getAll(
  context: CliContext,
  cluster: ClusterClient,
  output: ObjectForm,
  options: GetOptions,
): Promise<number> {
  const kinds: KindName[] = [
    'PersistentVolumeClaim',
    'Volume',
    'Replica',
    'VolumeSnapshot',
    'DiskPool',
    'StorageNode',
  ];
  for (const kind of kinds) {
    const objects = await cluster.list(kind, namespaceFor(kind, options));
    if (objects.length === 0) continue;
    if (output === 'table' || output === 'wide')
      context.out(context.colors.bold(KINDS[kind].plural));
    new ObjectPrinter(context, kind, output, options.allNamespaces === true).all(objects, false);
    context.out('');
  }
  return EXIT_OK;
}
