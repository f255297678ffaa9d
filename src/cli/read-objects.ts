/** where, explain: where it is, why it is so. */
import {
  HoldfastError,
  type ExplainLink,
  type Explanation,
  type WhereLink,
  type WherePath,
} from '#api/mod.ts';
import type { KindName } from '#api/kinds/mod.ts';
import { parseKindName } from '#api/kinds/mod.ts';
import { withCluster } from './cluster-client.ts';
import type { Colors } from './colors.ts';
import type { ClusterClient, ClusterOption } from './cluster-client.ts';
import type { CliContext } from './context.ts';
import { EXIT_NOT_WELL, EXIT_OK } from './exit-codes.ts';
import { findVolume } from './find-volume.ts';
import { scopedName } from './named-objects.ts';
import { printReport } from './print-objects.ts';

export interface OutputOptions extends ClusterOption {
  readonly output?: string | undefined;
  readonly namespace?: string | undefined;
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
    const name =
      kind === 'disk' ? { name: text } : await findName(cluster, known, text, options.namespace);
    const subject = { kind, ...name };
    const { paths } = await cluster.call('cluster.where', subject);
    printReport(context, options.output, { paths }, () => formatPaths(paths, context.colors));
    return EXIT_OK;
  });
}

/** A tree: what paths have in common is written once. */
export function formatPaths(paths: readonly WherePath[], colors: Colors): string[] {
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

/** It is asked when something hangs: what hangs itself is named soon. */
const EXPLAIN_MS = 10_000;

export async function runExplain(
  context: CliContext,
  kindText: string,
  nameText: string | undefined,
  options: OutputOptions,
): Promise<number> {
  const kind = nameText === undefined ? 'PersistentVolumeClaim' : parseKindName(kindText);
  return withCluster(context, options, async (cluster) => {
    const name = await findName(cluster, kind, nameText ?? kindText, options.namespace);
    const explanation = await cluster.call('cluster.explain', { kind, ...name }, EXPLAIN_MS);
    printReport(context, options.output, explanation, () =>
      formatExplanation(explanation, context.colors),
    );
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
  const [summary = '', ...rest] = formatVerdict(explanation, colors);
  const chain = explanation.chain.map((link) => {
    const mark = link.state === 'failed' ? colors.red(MARKS.failed) : MARKS[link.state];
    return `  ${mark}  ${link.kind} ${link.name}: ${link.message}`;
  });
  return [summary, '', ...chain, '', ...rest];
}

/** The cause, what happens next, what can be done. */
export function formatVerdict(explanation: Explanation, colors: Colors): string[] {
  const lines = [colors.bold(explanation.summary)];
  if (explanation.firstFailing !== null) {
    const { kind, name, since } = explanation.firstFailing;
    lines.push(`first failing link: ${kind} ${name}${since === '' ? '' : `, since ${since}`}`);
  }
  lines.push(`what happens next: ${explanation.next}`);
  for (const remedy of explanation.remedies) lines.push(`what you can do: ${remedy}`);
  return lines;
}
