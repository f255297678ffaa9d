/** volume snapshot, restore, clone: a VolumeSnapshot, and claims that are made from a source. */
import type { PersistentVolumeClaim } from '#api/kinds/mod.ts';
import { formatQuantity, formatTime, parseVolumeSize } from '#api/kinds/mod.ts';
import { HoldfastError } from '#api/mod.ts';
import { formatKey, parseKey } from '#control/kube/mod.ts';
import { withCluster } from './cluster-client.ts';
import type { ClusterClient } from './cluster-client.ts';
import type { CliContext } from './context.ts';
import { EXIT_OK } from './exit-codes.ts';
import type { ClaimName } from './find-volume.ts';
import { findVolume, parseClaimName } from './find-volume.ts';
import { checkName } from './named-objects.ts';
import { parseSeconds } from './parse-seconds.ts';
import { readinessOf, waitForReady } from './serve-volume.ts';
import type { VolumeOptions } from './volume-commands.ts';
import { waitFor } from './wait-for.ts';

export interface SnapshotOptions extends VolumeOptions {
  readonly snapshotClass?: string | undefined;
}

export interface CopyOptions extends VolumeOptions {
  readonly readOnly?: boolean | undefined;
}

export async function runSnapshot(
  context: CliContext,
  claimText: string,
  options: SnapshotOptions,
): Promise<number> {
  const timeoutMs = parseSeconds('--timeout', options.timeout, 120);
  return withCluster(context, options, async (cluster) => {
    const { claim, title } = await findVolume(cluster, claimText, options.namespace);
    if (claim === undefined) throw noClaim(title, 'Apply a Snapshot that names the volume');
    const { namespace = 'default', name: claimName } = claim.metadata;
    const wanted = options.name ?? `${claimName.slice(0, 40)}-${stamp(context)}`;
    const key = { namespace, name: checkName('--name', wanted) };
    await cluster.api.create('VolumeSnapshot', {
      apiVersion: 'snapshot.storage.k8s.io/v1',
      kind: 'VolumeSnapshot',
      metadata: key,
      spec: {
        source: { persistentVolumeClaimName: claimName },
        ...(options.snapshotClass === undefined
          ? {}
          : { volumeSnapshotClassName: checkName('--snapshot-class', options.snapshotClass) }),
      },
    });
    if (options.wait === false) {
      context.out(`snapshot ${formatKey(key)} requested`);
      return EXIT_OK;
    }
    await waitFor(context, `volumesnapshot ${formatKey(key)}`, timeoutMs, async () => {
      const { status } = await cluster.get('VolumeSnapshot', key);
      if (status?.readyToUse === true) return { done: true };
      return { progress: status?.error?.message ?? 'being taken' };
    });
    context.out(`snapshot ${formatKey(key)} taken`);
    return EXIT_OK;
  });
}

function noClaim(title: string, remedy: string): HoldfastError {
  return new HoldfastError('unsupported', 'Volume belongs to no claim', {
    details: { volume: title, remedy },
  });
}

/** `20261124-213045`: sorts by time. */
function stamp(context: CliContext): string {
  return formatTime(context.host.clock.wallMs())
    .slice(0, 19)
    .replaceAll(/[-:]/g, '')
    .replace('T', '-');
}

/** A new claim with the contents of a snapshot. The old claim stays as it is. */
export async function runRestore(
  context: CliContext,
  snapshotText: string,
  claimText: string,
  options: CopyOptions,
): Promise<number> {
  const target = parseClaimName(claimText, options.namespace);
  const { namespace = target.namespace, name: givenName } = parseKey(snapshotText);
  const name = checkName('snapshot', givenName);
  demandSameNamespace(namespace, target, claimText);
  return withCluster(context, options, async (cluster) => {
    const snapshot = await cluster.get('VolumeSnapshot', { namespace, name });
    const { restoreSize } = snapshot.status ?? {};
    if (restoreSize === undefined && options.size === undefined) {
      throw new HoldfastError('not-current', 'Snapshot is not taken yet', {
        details: {
          snapshot: `${namespace}/${name}`,
          why: snapshot.status?.error?.message ?? 'it is being taken',
          remedy: 'Wait for it, or say with --size how large the claim is to be',
        },
      });
    }
    const { persistentVolumeClaimName } = snapshot.spec.source;
    const source =
      persistentVolumeClaimName === undefined
        ? undefined
        : await cluster.find('PersistentVolumeClaim', {
            namespace,
            name: persistentVolumeClaimName,
          });
    return createClaim(context, cluster, target, options, {
      source,
      size: restoreSize ?? '',
      dataSourceRef: {
        apiGroup: 'snapshot.storage.k8s.io',
        kind: 'VolumeSnapshot',
        name,
      },
    });
  });
}

/** A new claim with the contents that another one has now. */
export async function runClone(
  context: CliContext,
  sourceText: string,
  claimText: string,
  options: CopyOptions,
): Promise<number> {
  const target = parseClaimName(claimText, options.namespace);
  return withCluster(context, options, async (cluster) => {
    const found = await findVolume(cluster, sourceText, options.namespace);
    const { volume, claim: source, title } = found;
    if (source === undefined) throw noClaim(title, 'Name the claim of the volume');
    const { namespace = 'default', name } = source.metadata;
    demandSameNamespace(namespace, target, claimText);
    return createClaim(context, cluster, target, options, {
      source,
      size: source.status?.capacity?.storage ?? String(volume.spec.size),
      dataSourceRef: { kind: 'PersistentVolumeClaim', name },
    });
  });
}

function demandSameNamespace(namespace: string, target: ClaimName, text: string): void {
  if (target.namespace === namespace) return;
  throw new HoldfastError('invalid-argument', 'A copy lives in the namespace of its source', {
    details: { field: 'claim', value: text, remedy: `Use ${namespace}/${target.name}` },
  });
}

interface Copy {
  /** The claim whose class the new one has too. */
  readonly source: PersistentVolumeClaim | undefined;
  readonly size: string;
  readonly dataSourceRef: NonNullable<PersistentVolumeClaim['spec']['dataSourceRef']>;
}

async function createClaim(
  context: CliContext,
  cluster: ClusterClient,
  target: ClaimName,
  options: CopyOptions,
  { source, size, dataSourceRef }: Copy,
): Promise<number> {
  const timeoutMs = parseSeconds('--timeout', options.timeout, 300);
  const storage =
    options.size === undefined ? size : formatQuantity(parseVolumeSize('--size', options.size));
  const storageClassName = options.storageClass ?? source?.spec.storageClassName;
  const volumeMode = source?.spec.volumeMode;
  await cluster.api.create('PersistentVolumeClaim', {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: { namespace: target.namespace, name: target.name },
    spec: {
      accessModes: [options.readOnly === true ? 'ReadOnlyMany' : 'ReadWriteOnce'],
      resources: { requests: { storage } },
      ...(storageClassName === undefined ? {} : { storageClassName }),
      ...(volumeMode === undefined ? {} : { volumeMode }),
      dataSourceRef,
    },
  });
  const title = `${target.namespace}/${target.name}`;
  if (options.wait === false) {
    context.out(`claim ${title} requested`);
    return EXIT_OK;
  }
  if (await waitsForConsumer(context, cluster, title, timeoutMs)) {
    context.out(`claim ${title} is made when it is mounted: holdfast mount ${title}`);
    return EXIT_OK;
  }
  const volume = await waitForReady(context, cluster, title, undefined, timeoutMs);
  context.out(`claim ${title} ready (volume ${volume.metadata.name})`);
  return EXIT_OK;
}

/** Once the controller has looked at it. */
function waitsForConsumer(
  context: CliContext,
  cluster: ClusterClient,
  title: string,
  timeoutMs: number,
): Promise<boolean> {
  return waitFor(context, `claim ${title}`, timeoutMs, async () => {
    const { ready } = await readinessOf(cluster, title, undefined);
    if (ready === undefined) return { progress: 'nobody looked at it yet' };
    return { done: ready.reason === 'WaitForFirstConsumer' };
  });
}
