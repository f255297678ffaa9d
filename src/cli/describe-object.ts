/** describe: why it is as it is, then all that there is of one object, in kubectl's manner. */
import type { AnyObject, Condition, Event, KindName } from '#api/kinds/mod.ts';
import { formatAge, parseTime } from '#api/kinds/mod.ts';
import { HoldfastError } from '#api/mod.ts';
import type { ObjectKey } from '#control/kube/mod.ts';
import { stringify } from 'yaml';
import { withCluster } from './cluster-client.ts';
import type { ClusterClient, ClusterOption } from './cluster-client.ts';
import type { CliContext } from './context.ts';
import { EXIT_OK } from './exit-codes.ts';
import { findVolume, volumeOfClaim } from './find-volume.ts';
import { nameOne, scopedName } from './named-objects.ts';
import { formatPaths, formatVerdict } from './read-objects.ts';
import { formatTable } from './text-table.ts';

export interface DescribeOptions extends ClusterOption {
  readonly namespace?: string | undefined;
}

/** The kinds that are on a path from claim to disk, as `where` calls them. */
const PLACES: Partial<Record<KindName, string>> = {
  PersistentVolumeClaim: 'claim',
  Volume: 'volume',
  Replica: 'replica',
  DiskPool: 'pool',
  StorageNode: 'node',
};
const PLACE_LINES_MAX = 40;
const EVENTS_MAX = 25;

export async function runDescribe(
  context: CliContext,
  kindText: string,
  nameText: string | undefined,
  options: DescribeOptions,
): Promise<number> {
  const { kind, name } = nameOne(kindText, nameText);
  return withCluster(context, options, async (cluster) => {
    const object = await find(cluster, kind, name, options.namespace);
    const sections = [
      await verdictOf(context, cluster, object),
      identityOf(context, object),
      bodyOf(object),
      await placeOf(context, cluster, object),
      conditionsOf(context, object),
      await eventsOf(context, cluster, object),
    ];
    context.out(
      sections
        .filter((lines) => lines.length > 0)
        .map((lines) => lines.join('\n'))
        .join('\n\n'),
    );
    return EXIT_OK;
  });
}

/** People know a volume by its claim. */
async function find(
  cluster: ClusterClient,
  kind: KindName,
  name: string,
  namespace: string | undefined,
): Promise<AnyObject> {
  if (kind !== 'Volume') return cluster.get(kind, scopedName(kind, name, namespace));
  return (await findVolume(cluster, name, namespace)).volume;
}

/** Some kinds have no cause to tell; a controller that is silent is said, the rest is shown. */
async function verdictOf(
  context: CliContext,
  cluster: ClusterClient,
  { kind, metadata: { name, namespace } }: AnyObject,
): Promise<string[]> {
  if (kind === 'Event') return [];
  try {
    const explanation = await cluster.call('cluster.explain', { kind, name, namespace });
    return formatVerdict(explanation, context.colors);
  } catch (error) {
    if (!HoldfastError.is(error)) throw error;
    return [`why it is so is not known: ${error.message} (${error.code})`];
  }
}

function identityOf(context: CliContext, { kind, apiVersion, metadata }: AnyObject): string[] {
  const { creationTimestamp = '', deletionTimestamp } = metadata;
  const age = (time: string): string => `${time} (${ageOf(context, time)} ago)`;
  const rows: [string, string][] = [
    ['Name', metadata.name],
    ...(metadata.namespace === undefined
      ? []
      : [['Namespace', metadata.namespace] satisfies [string, string]]),
    ['Kind', `${kind} (${apiVersion})`],
    ['Labels', mapOf(metadata.labels)],
    ['Annotations', mapOf(metadata.annotations)],
    ['Finalizers', (metadata.finalizers ?? []).join(', ')],
    ['Owners', (metadata.ownerReferences ?? []).map((o) => `${o.kind}/${o.name}`).join(', ')],
    ['Created', creationTimestamp === '' ? '' : age(creationTimestamp)],
    ['Terminating', deletionTimestamp === undefined ? '' : `since ${age(deletionTimestamp)}`],
  ];
  return rows
    .filter(([, value]) => value !== '')
    .map(([head, value]) => `${`${head}:`.padEnd(14)}${value}`);
}

function mapOf(values: Readonly<Record<string, string>> | undefined): string {
  return Object.entries(values ?? {})
    .map(([name, value]) => `${name}=${value}`)
    .join(', ');
}

function bodyOf(object: AnyObject): string[] {
  const {
    apiVersion: _v,
    kind: _k,
    metadata: _m,
    status,
    ...rest
  } = object as AnyObject & {
    readonly status?: Readonly<Record<string, unknown>>;
  };
  const { conditions: _c, ...observed } = status ?? {};
  const all = { ...rest, ...(Object.keys(observed).length === 0 ? {} : { status: observed }) };
  return stringify(all, { lineWidth: 100 }).trimEnd().split('\n');
}

async function placeOf(
  context: CliContext,
  cluster: ClusterClient,
  { kind, metadata: { name, namespace } }: AnyObject,
): Promise<string[]> {
  const place = PLACES[kind];
  if (place === undefined) return [];
  try {
    const { paths } = await cluster.call('cluster.where', { kind: place, name, namespace });
    const lines = formatPaths(paths, context.colors);
    const shown = lines.slice(0, PLACE_LINES_MAX).map((line) => `  ${line}`);
    const left = lines.length - shown.length;
    const command = `holdfast where ${place} ${name}`;
    return ['Where:', ...shown, ...(left > 0 ? [`  and ${left} more: ${command}`] : [])];
  } catch (error) {
    if (HoldfastError.is(error)) return [];
    throw error;
  }
}

function conditionsOf(context: CliContext, object: AnyObject): string[] {
  const { status } = object as { readonly status?: { readonly conditions?: readonly Condition[] } };
  const conditions = status?.conditions ?? [];
  if (conditions.length === 0) return [];
  const rows = conditions.map((each) => [
    each.type,
    each.status,
    ageOf(context, each.lastTransitionTime),
    each.reason,
    each.message,
  ]);
  return section('Conditions', ['TYPE', 'STATUS', 'SINCE', 'REASON', 'MESSAGE'], rows);
}

/** Its own, and of a claim those of its volume and mounts too: newest last. */
async function eventsOf(
  context: CliContext,
  cluster: ClusterClient,
  object: AnyObject,
): Promise<string[]> {
  if (object.kind === 'Event') return [];
  const meant = new Set([nameIn(object.kind, object.metadata)]);
  if (object.kind === 'PersistentVolumeClaim') {
    const { namespace, name } = object.metadata;
    const volume = await volumeOfClaim(cluster, object);
    if (volume !== undefined) meant.add(nameIn('Volume', volume.metadata));
    for (const { spec, metadata } of await cluster.list('Mount', namespace)) {
      if (spec.claimName === name) meant.add(nameIn('Mount', metadata));
    }
  }
  const events = (await cluster.list('Event'))
    .filter(({ regarding }) => meant.has(nameIn(regarding.kind, regarding)))
    .sort((a, b) => timeOf(a) - timeOf(b))
    .slice(-EVENTS_MAX);
  if (events.length === 0) return ['Events: none'];
  const rows = events.map((event) => [
    event.type,
    event.reason,
    ageOf(context, event.metadata.creationTimestamp ?? ''),
    `${event.regarding.kind.toLowerCase()}/${event.regarding.name}`,
    event.note,
  ]);
  return section('Events', ['TYPE', 'REASON', 'AGE', 'OBJECT', 'MESSAGE'], rows);
}

function nameIn(kind: string, { namespace, name }: Partial<ObjectKey>): string {
  return `${kind} ${namespace ?? ''}/${name ?? ''}`;
}

function timeOf({ metadata }: Event): number {
  return parseTime(metadata.creationTimestamp ?? '');
}

function ageOf(context: CliContext, time: string): string {
  const ageMs = context.host.clock.wallMs() - parseTime(time);
  return Number.isNaN(ageMs) ? '' : formatAge(ageMs);
}

function section(
  title: string,
  heads: readonly string[],
  rows: readonly (readonly string[])[],
): string[] {
  const lines = formatTable(heads, rows).split('\n');
  return [`${title}:`, ...lines.map((line) => `  ${line}`)];
}
