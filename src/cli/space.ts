/** space: who needs the bytes of the disks, by claim and by pool, and when they are full. */
import type { KindName } from '#api/kinds/mod.ts';
import { formatBytes, parseKindName } from '#api/kinds/mod.ts';
import type { ClusterSpace, PoolLedger, VolumeSpace } from '#api/mod.ts';
import { withCluster } from './cluster-client.ts';
import type { CliContext } from './context.ts';
import { EXIT_NOT_WELL, EXIT_OK } from './exit-codes.ts';
import { splitKind } from './named-objects.ts';
import { printReport } from './print-objects.ts';
import type { OutputOptions } from './read-objects.ts';
import { findName } from './read-objects.ts';
import { formatTable } from './text-table.ts';

/** `space`, `space demo`, `space claim demo`, `space pool NAME`. */
export async function runSpace(
  context: CliContext,
  kindText: string | undefined,
  nameText: string | undefined,
  options: OutputOptions,
): Promise<number> {
  const { kind, text } = subjectOf(kindText, nameText);
  return withCluster(context, options, async (cluster) => {
    const name =
      text === undefined ? { name: '' } : await findName(cluster, kind, text, options.namespace);
    const space = await cluster.call('cluster.space', { kind, ...name }, 120_000);
    printReport(context, options.output, space, () => formatSpace(space, kind, text));
    return space.missing.length === 0 ? EXIT_OK : EXIT_NOT_WELL;
  });
}

function subjectOf(
  kindText: string | undefined,
  nameText: string | undefined,
): { readonly kind: KindName; readonly text: string | undefined } {
  if (kindText === undefined) return { kind: 'Volume', text: undefined };
  if (nameText !== undefined) return { kind: parseKindName(kindText), text: nameText };
  const isKind = /^(pvc|claim|vol|volume|pool)s?\//.test(kindText);
  if (!isKind) return { kind: 'PersistentVolumeClaim', text: kindText };
  const { kind, names } = splitKind(kindText, []);
  return { kind, text: names[0] };
}

function formatSpace(space: ClusterSpace, kind: KindName, text: string | undefined): string[] {
  const missing = space.missing.map((line) => `not counted: ${line}`);
  const [volume] = space.volumes;
  const [pool] = space.pools;
  if (text === undefined) return [...formatAll(space), ...missing];
  if (kind === 'DiskPool') return [...(pool === undefined ? [] : formatPool(pool)), ...missing];
  return [...(volume === undefined ? [] : formatVolume(volume)), ...missing];
}

function formatAll({ volumes, pools }: ClusterSpace): string[] {
  const claims = volumes.map((volume) => [
    labelOf(volume),
    formatBytes(volume.sizeBytes),
    String(volume.replicas),
    formatBytes(volume.actualBytes),
    formatBytes(volume.liveBytes),
    formatBytes(snapshotsOf(volume)),
    formatBytes(volume.cloneBytes),
    volume.trimmableBytes === null ? '?' : formatBytes(volume.trimmableBytes),
  ]);
  const places = pools.map((pool) => [
    pool.pool,
    pool.node,
    formatBytes(pool.capacityBytes),
    formatBytes(pool.freeBytes),
    formatBytes(pool.otherBytes),
    formatBytes(pool.promisedBytes),
    pool.forecast,
  ]);
  const heads = ['CLAIM', 'SIZE', 'COPIES', 'ON DISK', 'LIVE', 'SNAPSHOTS', 'CLONES', 'TRIMMABLE'];
  return [
    ...(claims.length === 0 ? ['No volumes found.'] : [formatTable(heads, claims)]),
    '',
    formatTable(['POOL', 'NODE', 'CAPACITY', 'FREE', 'OTHER', 'PROMISED', 'FULL'], places),
  ];
}

function snapshotsOf({ snapshots, sharedSnapshotBytes }: VolumeSpace): number {
  return snapshots.reduce((sum, { bytes }) => sum + bytes, sharedSnapshotBytes);
}

function labelOf({ claim, volume }: { readonly claim: string; readonly volume: string }): string {
  return claim === '' ? volume : claim;
}

type Row = readonly [string, number, string?];

/** Amounts below one another, each with what it is. */
function formatRows(rows: readonly Row[]): string[] {
  const amounts = rows.map(([, bytes]) => formatBytes(bytes));
  const width = Math.max(...amounts.map((amount) => amount.length));
  return rows.map(([what, , more = ''], index) => {
    const tail = more === '' ? '' : `: ${more}`;
    return `  ${(amounts[index] ?? '').padStart(width)}  ${what}${tail}`;
  });
}

function formatVolume(volume: VolumeSpace): string[] {
  const { claim, sizeBytes, replicas, nominalBytes, actualBytes, trimmableBytes } = volume;
  const owner = claim === '' ? '' : ` (${volume.volume})`;
  const rows: Row[] = [
    ['live', volume.liveBytes, 'what is read now'],
    ...volume.snapshots.map(
      ({ owner: who, bytes }): Row => ['snapshot', bytes, `${who}; it comes free with it`],
    ),
    ['snapshots together', volume.sharedSnapshotBytes, 'free when all that share it are gone'],
    ['clones', volume.cloneBytes, 'only clones of it need it'],
    ['metadata', volume.metadataBytes, 'checksums, maps, logs'],
    ['slack', volume.slackBytes, 'allocated by the filesystem below and not needed'],
  ];
  const beside: Row[] = [
    ...(volume.inheritedBytes === 0
      ? []
      : [['read from its source', volume.inheritedBytes, 'counted there'] satisfies Row]),
    ...(trimmableBytes === null
      ? []
      : [['trimmable', trimmableBytes, 'at least; fstrim gives it back'] satisfies Row]),
    ['not written yet', volume.unwrittenBytes, 'volumes are thin: nothing is reserved for it'],
  ];
  const copies = `${replicas} ${replicas === 1 ? 'replica' : 'replicas'}`;
  const nominal = `${formatBytes(sizeBytes)} on ${copies} may be ${formatBytes(nominalBytes)}`;
  return [
    `${labelOf(volume)}${owner}: ${formatBytes(actualBytes)} on disk; ${nominal}`,
    ...formatRows(rows.filter(([what, bytes]) => bytes !== 0 || what === 'live')),
    ...(volume.isCountedWhole
      ? ['snapshots are counted whole, with what is live: their maps could not be read']
      : []),
    'not in the sum:',
    ...formatRows(beside),
    ...(trimmableBytes === null ? ['trimmable is known only while it is mounted'] : []),
    ...(volume.why.length === 0 ? [] : ['it takes more than its size because:']),
    ...volume.why.map((line) => `  ${line}`),
  ];
}

function formatPool(pool: PoolLedger): string[] {
  const rows: Row[] = [
    ...pool.volumes.map((entry): Row => [labelOf(entry), entry.bytes]),
    ['replicas that no object wants', pool.orphanBytes, 'holdfast explain pool says why'],
    ['the pool itself', pool.poolBytes],
    ['leftovers of a crash', pool.leftoverBytes, 'they go at the next start'],
    ['other files, and the filesystem itself', pool.otherBytes],
    ['kept by the filesystem for root', pool.reservedBytes],
    ['free', pool.freeBytes],
  ];
  return [
    `${pool.pool} on ${pool.node}: ${formatBytes(pool.capacityBytes)}`,
    ...formatRows(rows.filter(([what, bytes]) => bytes !== 0 || what === 'free')),
    `promised to volumes: ${formatBytes(pool.promisedBytes)}`,
    `full: ${pool.forecast}`,
  ];
}
