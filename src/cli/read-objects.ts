/** get, where, explain: what is there, where it is, why it is so. */
import {
  HoldfastError,
  type ExplainLink,
  type Explanation,
  type WhereLink,
  type WherePath,
} from '#api/mod.ts';
import type { AnyObject, KindName, Replica } from '#api/kinds/mod.ts';
import { API_VERSION, KINDS, parseKindName } from '#api/kinds/mod.ts';
import { parseKey } from '#control/kube/mod.ts';
import { stringify } from 'yaml';
import { withCluster } from './cluster-client.ts';
import type { Colors } from './colors.ts';
import type { ClusterClient, ClusterOption } from './cluster-client.ts';
import type { CliContext } from './context.ts';
import { EXIT_NOT_WELL, EXIT_OK } from './exit-codes.ts';
import { COLUMNS } from './object-columns.ts';
import { findVolume } from './find-volume.ts';
import { formatTable } from './text-table.ts';

export interface OutputOptions extends ClusterOption {
  readonly output?: string | undefined;
  readonly namespace?: string | undefined;
  readonly allNamespaces?: boolean | undefined;
}

const OUTPUTS = ['table', 'wide', 'json', 'yaml', 'name'] as const;
type Output = (typeof OUTPUTS)[number];

function parseOutput(text: string | undefined): Output {
  const found = OUTPUTS.find((output) => output === (text ?? 'table'));
  if (found !== undefined) return found;
  throw new HoldfastError('invalid-argument', 'Output form is unknown', {
    details: { field: '--output', value: text ?? '', remedy: `Use one of: ${OUTPUTS.join(', ')}` },
  });
}

export async function runGet(
  context: CliContext,
  kindText: string,
  names: readonly string[],
  options: OutputOptions,
): Promise<number> {
  const output = parseOutput(options.output);
  return withCluster(context, options, async (cluster) => {
    if (kindText === 'all') return getAll(context, cluster, output, options);
    const { kind, first } = splitKind(kindText);
    const wanted = first === undefined ? names : [first, ...names];
    const objects =
      wanted.length > 0
        ? await Promise.all(wanted.map((name) => getOne(cluster, kind, name, options)))
        : [
            ...(await cluster.list(kind, namespaceFor(kind, options))),
            ...(await listOrphans(cluster, kind, output)),
          ];
    printObjects(
      context,
      kind,
      objects,
      output,
      wanted.length === 1 && objects.length === 1,
      options,
    );
    return EXIT_OK;
  });
}

/** Replicas in pools that have no object: people look for them here. */
async function listOrphans(
  cluster: ClusterClient,
  kind: KindName,
  output: Output,
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

/** `pvc/demo` is as good as `pvc demo`. */
function splitKind(text: string): { readonly kind: KindName; readonly first: string | undefined } {
  const slash = text.indexOf('/');
  if (slash < 0) return { kind: parseKindName(text), first: undefined };
  return { kind: parseKindName(text.slice(0, slash)), first: text.slice(slash + 1) };
}

function namespaceFor(kind: KindName, options: OutputOptions): string | undefined {
  if (!KINDS[kind].isNamespaced || options.allNamespaces === true) return undefined;
  // Events are looked for across namespaces: those of cluster-scoped objects are in `default`.
  return options.namespace ?? (kind === 'Event' ? undefined : 'default');
}

async function getOne(
  cluster: ClusterClient,
  kind: KindName,
  text: string,
  options: OutputOptions,
): Promise<AnyObject> {
  return cluster.get(kind, scopedName(kind, text, options.namespace));
}

export function scopedName(
  kind: KindName,
  text: string,
  namespace: string | undefined,
): { name: string; namespace?: string } {
  if (!KINDS[kind].isNamespaced) return { name: text };
  const key = parseKey(text);
  return { name: key.name, namespace: key.namespace ?? namespace ?? 'default' };
}

async function getAll(
  context: CliContext,
  cluster: ClusterClient,
  output: Output,
  options: OutputOptions,
): Promise<number> {
  const kinds: KindName[] = [
    'PersistentVolumeClaim',
    'Volume',
    'Replica',
    'Snapshot',
    'DiskPool',
    'StorageNode',
  ];
  for (const kind of kinds) {
    const objects = await cluster.list(kind, namespaceFor(kind, options));
    if (objects.length === 0) continue;
    if (output === 'table' || output === 'wide')
      context.out(context.colors.bold(KINDS[kind].plural));
    printObjects(context, kind, objects, output, false, options);
    context.out('');
  }
  return EXIT_OK;
}

/** As a value for programs, else in lines for people. */
export function printReport(
  context: CliContext,
  output: string | undefined,
  value: unknown,
  lines: () => readonly string[],
): void {
  if (output === 'json') context.out(JSON.stringify(value, null, 2));
  else if (output === 'yaml') context.out(stringify(value).trimEnd());
  else for (const line of lines()) context.out(line);
}

function printObjects(
  context: CliContext,
  kind: KindName,
  objects: readonly AnyObject[],
  output: Output,
  isSingle: boolean,
  options: OutputOptions,
): void {
  const info = KINDS[kind];
  switch (output) {
    case 'name':
      for (const object of objects) context.out(`${info.plural}/${object.metadata.name}`);
      return;
    case 'json':
    case 'yaml': {
      const value = isSingle ? objects[0] : { apiVersion: 'v1', kind: 'List', items: objects };
      context.out(output === 'json' ? JSON.stringify(value, null, 2) : stringify(value).trimEnd());
      return;
    }
    case 'table':
    case 'wide':
      printTable(context, kind, objects, output === 'wide', options);
  }
}

function printTable(
  context: CliContext,
  kind: KindName,
  objects: readonly AnyObject[],
  isWide: boolean,
  options: OutputOptions,
): void {
  if (objects.length === 0) {
    context.err(`No ${KINDS[kind].plural} found.`);
    return;
  }
  const columns = COLUMNS[kind].filter((column) => isWide || column.isWide !== true);
  const nowMs = context.host.clock.wallMs();
  const withNamespace = KINDS[kind].isNamespaced && options.allNamespaces === true;
  const heads = columns.map((column) => column.head);
  const rows = objects.map((object) => {
    const cells = columns.map((column) => column.cell(object, nowMs));
    return withNamespace ? [object.metadata.namespace ?? '', ...cells] : cells;
  });
  context.out(formatTable(withNamespace ? ['NAMESPACE', ...heads] : heads, rows));
}

// --- where
// -----------------------------------------------------------------------------------------

const WHERE_KINDS: Readonly<Record<string, string>> = {
  claim: 'claim',
  claims: 'claim',
  pvc: 'claim',
  persistentvolumeclaim: 'claim',
  volume: 'volume',
  vol: 'volume',
  hfvol: 'volume',
  replica: 'replica',
  rep: 'replica',
  hfrep: 'replica',
  member: 'replica',
  pool: 'pool',
  hfpool: 'pool',
  diskpool: 'pool',
  node: 'node',
  hfnode: 'node',
  storagenode: 'node',
  disk: 'disk',
  device: 'disk',
};

export async function runWhere(
  context: CliContext,
  kindText: string,
  nameText: string | undefined,
  options: OutputOptions,
): Promise<number> {
  const output = parseOutput(options.output);
  const isBare = nameText === undefined && !kindText.startsWith('/dev/');
  const kind =
    nameText === undefined ? (isBare ? 'claim' : 'disk') : WHERE_KINDS[kindText.toLowerCase()];
  if (kind === undefined) {
    throw new HoldfastError('invalid-argument', 'Kind has no place', {
      details: {
        field: 'kind',
        value: kindText,
        remedy: 'Use one of: claim, volume, replica, pool, node, disk',
      },
    });
  }
  const text = nameText ?? kindText;
  const known =
    kind === 'claim' ? 'PersistentVolumeClaim' : kind === 'volume' ? 'Volume' : 'DiskPool';
  return withCluster(context, options, async (cluster) => {
    const subject = { kind, ...(await findName(cluster, known, text, options.namespace)) };
    const { paths } = await cluster.call('cluster.where', subject);
    printReport(context, output, { paths }, () => formatPaths(paths, context.colors));
    return EXIT_OK;
  });
}

/** A tree: what paths have in common is written once. */
function formatPaths(paths: readonly WherePath[], colors: Colors): string[] {
  const lines: string[] = [];
  let before: readonly WhereLink[] = [];
  for (const { links } of paths) {
    let shared = 0;
    while (shared < links.length && isSameLink(links[shared], before[shared])) shared += 1;
    for (const [offset, link] of links.slice(shared).entries()) {
      const depth = shared + offset;
      lines.push(`${'  '.repeat(depth)}${depth === 0 ? '' : '└ '}${formatLink(link, colors)}`);
    }
    before = links;
  }
  return lines;
}

function isSameLink(a: WhereLink | undefined, b: WhereLink | undefined): boolean {
  return a !== undefined && a.kind === b?.kind && a.name === b.name;
}

function formatLink(link: WhereLink, colors: Colors): string {
  const facts = Object.entries(link.facts)
    .filter(([, value]) => value !== '')
    .map(([name, value]) => `${name} ${value}`);
  const tail = facts.length === 0 ? '' : colors.dim(`  ${facts.join(', ')}`);
  return `${link.kind} ${colors.bold(link.name)}${tail}`;
}

// --- explain
// ---------------------------------------------------------------------------------------

export async function runExplain(
  context: CliContext,
  kindText: string,
  nameText: string | undefined,
  options: OutputOptions,
): Promise<number> {
  const output = parseOutput(options.output);
  const kind = nameText === undefined ? 'PersistentVolumeClaim' : parseKindName(kindText);
  return withCluster(context, options, async (cluster) => {
    const name = await findName(cluster, kind, nameText ?? kindText, options.namespace);
    const explanation = await cluster.call('cluster.explain', { kind, ...name });
    printReport(context, output, explanation, () => formatExplanation(explanation, context.colors));
    const isWell = explanation.firstFailing === null;
    return isWell ? EXIT_OK : EXIT_NOT_WELL;
  });
}

/** People know a volume by its claim. */
export async function findName(
  cluster: ClusterClient,
  kind: KindName,
  text: string,
  namespace: string | undefined,
): Promise<{ name: string; namespace?: string }> {
  if (kind !== 'Volume') return scopedName(kind, text, namespace);
  const { volume } = await findVolume(cluster, text, namespace);
  return { name: volume.metadata.name };
}

const MARKS: Readonly<Record<ExplainLink['state'], string>> = {
  ok: 'ok     ',
  moving: 'moving ',
  failed: 'FAILED ',
  unknown: 'unknown',
};

function formatExplanation(explanation: Explanation, colors: Colors): string[] {
  const lines = [colors.bold(explanation.summary), ''];
  for (const link of explanation.chain) {
    const mark = link.state === 'failed' ? colors.red(MARKS.failed) : MARKS[link.state];
    lines.push(`  ${mark}  ${link.kind} ${link.name}: ${link.message}`);
  }
  lines.push('');
  if (explanation.firstFailing !== null) {
    const { kind, name, since } = explanation.firstFailing;
    lines.push(`first failing link: ${kind} ${name}${since === '' ? '' : `, since ${since}`}`);
  }
  lines.push(`what happens next: ${explanation.next}`);
  for (const remedy of explanation.remedies) lines.push(`what you can do: ${remedy}`);
  return lines;
}
