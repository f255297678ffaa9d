/** volume snapshot, clone, restore, expand, rebuild, scrub, trace, attach, detach. */
import type { PersistentVolumeClaim, Volume } from '#api/kinds/mod.ts';
import {
  API_VERSION,
  findCondition,
  formatBytes,
  formatQuantity,
  formatTime,
  parseVolumeSize,
} from '#api/kinds/mod.ts';
import { HoldfastError, type TraceEvent } from '#api/mod.ts';
import { keyOf } from '#control/kube/mod.ts';
import { withCluster } from './cluster-client.ts';
import type { ClusterClient, ClusterOption } from './cluster-client.ts';
import type { CliContext } from './context.ts';
import { EXIT_NOT_WELL, EXIT_OK } from './exit-codes.ts';
import { findVolume, parseClaimName } from './find-volume.ts';
import { mountsOf } from './mount-volume.ts';
import { printReport } from './print-objects.ts';
import { attach, nbdUrl, waitForReady, waitForServing } from './serve-volume.ts';
import { parseSeconds } from './parse-seconds.ts';
import { formatEta, waitFor } from './wait-for.ts';

export interface VolumeOptions extends ClusterOption {
  readonly namespace?: string | undefined;
  readonly name?: string | undefined;
  readonly size?: string | undefined;
  readonly storageClass?: string | undefined;
  readonly replica?: string | undefined;
  readonly full?: boolean | undefined;
  readonly wait?: boolean | undefined;
  readonly timeout?: string | undefined;
  readonly node?: string | undefined;
  readonly output?: string | undefined;
}

export async function runSnapshot(
  context: CliContext,
  claimText: string,
  options: VolumeOptions,
): Promise<number> {
  const timeoutMs = parseSeconds('--timeout', options.timeout, 120);
  return withCluster(context, options, async (cluster) => {
    const { volume } = await findVolume(cluster, claimText, options.namespace);
    const { claimRef } = volume.spec;
    const base = claimRef?.name ?? volume.metadata.name;
    const name = options.name ?? `${base.slice(0, 40)}-${stamp(context)}`;
    await cluster.api.create('Snapshot', {
      apiVersion: API_VERSION,
      kind: 'Snapshot',
      metadata: { name },
      spec: {
        volumeName: volume.metadata.name,
        ...(claimRef === undefined
          ? {}
          : { claimRef: { namespace: claimRef.namespace, name: claimRef.name } }),
      },
    });
    if (options.wait === false) {
      context.out(`snapshot ${name} requested`);
      return EXIT_OK;
    }
    await waitForSnapshot(context, cluster, name, timeoutMs);
    context.out(`snapshot ${name} taken`);
    return EXIT_OK;
  });
}

/** `20261124-213045`: sorts by time. */
function stamp(context: CliContext): string {
  return formatTime(context.host.clock.wallMs())
    .slice(0, 19)
    .replaceAll(/[-:]/g, '')
    .replace('T', '-');
}

async function waitForSnapshot(
  context: CliContext,
  cluster: ClusterClient,
  name: string,
  timeoutMs: number,
): Promise<void> {
  await waitFor(context, `snapshot ${name}`, timeoutMs, async () => {
    const snapshot = await cluster.get('Snapshot', { name });
    if (snapshot.status?.readyToUse === true) return { done: true };
    const ready = findCondition(snapshot.status?.conditions, 'Ready');
    return { progress: ready?.message ?? 'being taken' };
  });
}

/** A new claim with the contents of a snapshot. The old claim stays as it is. */
export async function runRestore(
  context: CliContext,
  snapshotName: string,
  claimText: string,
  options: VolumeOptions,
): Promise<number> {
  return withCluster(context, options, async (cluster) => {
    const snapshot = await cluster.get('Snapshot', { name: snapshotName });
    const source = await cluster.get('Volume', { name: snapshot.spec.volumeName });
    const sizeBytes = snapshot.status?.sizeBytes;
    const size = sizeBytes === undefined ? String(source.spec.size) : formatQuantity(sizeBytes);
    const dataSourceRef = {
      apiGroup: 'holdfast.dev',
      kind: 'Snapshot',
      name: snapshotName,
    } as const;
    return createClaim(context, cluster, claimText, { source, size, dataSourceRef, options });
  });
}

/** A new claim with the contents that another one has now. */
export async function runClone(
  context: CliContext,
  sourceText: string,
  claimText: string,
  options: VolumeOptions,
): Promise<number> {
  return withCluster(context, options, async (cluster) => {
    const {
      volume: source,
      claim,
      title,
    } = await findVolume(cluster, sourceText, options.namespace);
    if (claim === undefined) {
      throw new HoldfastError('invalid-argument', 'Only a claim can be cloned into a claim', {
        details: { field: 'source', value: title, remedy: 'Name the claim of the volume' },
      });
    }
    const target = parseClaimName(claimText, options.namespace);
    if (target.namespace !== claim.metadata.namespace) {
      throw new HoldfastError('invalid-argument', 'A clone lives in the namespace of its source', {
        details: {
          field: 'claim',
          value: claimText,
          remedy: `Use ${claim.metadata.namespace ?? 'default'}/${target.name}`,
        },
      });
    }
    const size = claim.status?.capacity?.storage ?? String(source.spec.size);
    const { name } = claim.metadata;
    const dataSourceRef = { kind: 'PersistentVolumeClaim', name } as const;
    return createClaim(context, cluster, claimText, { source, size, dataSourceRef, options });
  });
}

interface NewClaim {
  readonly source: Volume;
  readonly size: string;
  readonly dataSourceRef: NonNullable<PersistentVolumeClaim['spec']['dataSourceRef']>;
  readonly options: VolumeOptions;
}

async function createClaim(
  context: CliContext,
  cluster: ClusterClient,
  claimText: string,
  { source, size, dataSourceRef, options }: NewClaim,
): Promise<number> {
  const timeoutMs = parseSeconds('--timeout', options.timeout, 300);
  const target = parseClaimName(claimText, options.namespace);
  const storage =
    options.size === undefined ? size : formatQuantity(parseVolumeSize('--size', options.size));
  const storageClassName = options.storageClass ?? (await classOf(cluster, source));
  await cluster.api.create('PersistentVolumeClaim', {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: { namespace: target.namespace, name: target.name },
    spec: {
      accessModes: ['ReadWriteOnce'],
      resources: { requests: { storage } },
      ...(storageClassName === undefined ? {} : { storageClassName }),
      dataSourceRef,
    },
  });
  const title = `${target.namespace}/${target.name}`;
  if (options.wait === false) {
    context.out(`claim ${title} requested`);
    return EXIT_OK;
  }
  const volume = await waitForReady(context, cluster, title, undefined, timeoutMs);
  context.out(`claim ${title} ready (volume ${volume.metadata.name})`);
  return EXIT_OK;
}

async function classOf(cluster: ClusterClient, source: Volume): Promise<string | undefined> {
  const { claimRef } = source.spec;
  if (claimRef === undefined) return undefined;
  const { namespace, name } = claimRef;
  const claim = await cluster.find('PersistentVolumeClaim', { namespace, name });
  return claim?.spec.storageClassName;
}

export async function runExpand(
  context: CliContext,
  claimText: string,
  sizeText: string,
  options: VolumeOptions,
): Promise<number> {
  const timeoutMs = parseSeconds('--timeout', options.timeout, 300);
  const sizeBytes = parseVolumeSize('size', sizeText);
  const size = formatQuantity(sizeBytes);
  return withCluster(context, options, async (cluster) => {
    const { claim, volume, title } = await findVolume(cluster, claimText, options.namespace);
    await patchSize(cluster, claim, volume, size);
    if (options.wait === false) {
      context.out(`${title} is to have ${size}`);
      return EXIT_OK;
    }
    const { name } = volume.metadata;
    await waitFor(context, `growing ${title}`, timeoutMs, async () => {
      const { spec, status } = await cluster.get('Volume', { name });
      const isUnopened = (spec.attachment ?? null) === null && status?.sizeBytes === undefined;
      const isGrown = isUnopened || (status?.sizeBytes ?? 0) >= sizeBytes;
      const mounts = claim === undefined ? [] : await mountsOf(cluster, claim);
      const problem = mounts
        .map((mount) => findCondition(mount.status?.conditions, 'FilesystemGrown'))
        .find((condition) => condition?.status === 'False');
      if (problem !== undefined) {
        throw new HoldfastError('unsupported', 'Filesystem was not grown', {
          details: { volume: name, why: problem.message, remedy: 'Unmount it and mount it again' },
        });
      }
      const isTold = mounts.every(
        (mount) =>
          mount.status?.devicePath !== undefined ||
          (mount.status?.filesystemBytes ?? 0) >= sizeBytes,
      );
      if (isGrown && isTold) return { done: true };
      return { progress: isGrown ? 'growing the filesystem' : 'growing the replicas' };
    });
    context.out(`${title} has ${size}`);
    return EXIT_OK;
  });
}

async function patchSize(
  cluster: ClusterClient,
  claim: PersistentVolumeClaim | undefined,
  volume: Volume,
  size: string,
): Promise<void> {
  if (claim === undefined) {
    const { name } = volume.metadata;
    await cluster.api.patch('Volume', { name }, { spec: { size } });
    return;
  }
  const patch = { spec: { resources: { requests: { storage: size } } } };
  await cluster.api.patch('PersistentVolumeClaim', keyOf(claim), patch);
}

export async function runRebuild(
  context: CliContext,
  claimText: string,
  options: VolumeOptions,
): Promise<number> {
  const timeoutMs = parseSeconds('--timeout', options.timeout, 3_600);
  return withCluster(context, options, async (cluster) => {
    const { volume, title } = await findVolume(cluster, claimText, options.namespace);
    const { name } = volume.metadata;
    if (options.replica !== undefined) {
      const full = options.full ?? false;
      await cluster.call('volume.rebuild', { volume: name, replica: options.replica, full });
    }
    if (options.wait === false) return EXIT_OK;
    const startMs = context.host.clock.monotonicMs();
    await waitFor(context, `rebuilding ${title}`, timeoutMs, async () => {
      const { status } = await cluster.get('Volume', { name });
      const members = status?.members ?? [];
      const behind = members.filter((member) => member.phase !== 'in-sync');
      if (members.length > 0 && behind.length === 0) return { done: true };
      const elapsedMs = context.host.clock.monotonicMs() - startMs;
      const states = behind.map((member) => {
        const share = (member.rebuildPercent ?? 0) / 100;
        return `${member.replicaName} ${member.phase}, ${formatEta(share, elapsedMs)}`;
      });
      return { progress: states.join('; ') };
    });
    context.out(`${title}: all replicas are in sync`);
    return EXIT_OK;
  });
}

export async function runScrub(
  context: CliContext,
  claimText: string,
  options: VolumeOptions,
): Promise<number> {
  return withCluster(context, options, async (cluster) => {
    const { volume, title } = await findVolume(cluster, claimText, options.namespace);
    const { clock } = context.host;
    const startMs = clock.monotonicMs();
    let isDone = false;
    const showTime = async (): Promise<void> => {
      while (!isDone) {
        if (context.isTerminal) {
          const seconds = Math.round((clock.monotonicMs() - startMs) / 1000);
          context.drawProgress(`scrubbing ${title}: ${seconds} s`);
        }
        await clock.sleep(500);
      }
    };
    const shown = showTime();
    try {
      const params = { volume: volume.metadata.name };
      const report = await cluster.call('volume.scrub', params, 24 * 3_600_000);
      const checked = formatBytes(report.checkedBlocks * 4096);
      context.out(
        `${title}: ${checked} checked, ${report.repairedBlocks} blocks repaired, ` +
          `${report.unhealableBlocks} cannot be healed`,
      );
      return report.unhealableBlocks === 0 ? EXIT_OK : EXIT_NOT_WELL;
    } finally {
      isDone = true;
      await shown;
      if (context.isTerminal) context.drawProgress('');
    }
  });
}

export async function runTrace(
  context: CliContext,
  claimText: string,
  options: VolumeOptions,
): Promise<number> {
  const timeoutMs = parseSeconds('--timeout', options.timeout, 30);
  return withCluster(context, options, async (cluster) => {
    const { volume } = await findVolume(cluster, claimText, options.namespace);
    context.err(`waiting for the next write, at most ${timeoutMs / 1000} s`);
    const params = { volume: volume.metadata.name, timeoutMs };
    const { events } = await cluster.call('volume.trace', params, timeoutMs + 10_000);
    printReport(context, options.output, { events }, () => formatTrace(events));
    return EXIT_OK;
  });
}

function formatTrace(events: readonly TraceEvent[]): string[] {
  const firstMs = events[0]?.atMs ?? 0;
  return events.map(({ atMs, place, step, fields }) => {
    const time = (atMs - firstMs).toFixed(3).padStart(9);
    const facts = Object.entries(fields).map(([name, value]) => `${name}=${value}`);
    return `${time} ms  ${place.padEnd(20)}  ${step}  ${facts.join(' ')}`.trimEnd();
  });
}

/** Serves the volume over NBD without mounting it. */
export async function runAttach(
  context: CliContext,
  claimText: string,
  options: VolumeOptions,
): Promise<number> {
  const timeoutMs = parseSeconds('--timeout', options.timeout, 120);
  return withCluster(context, options, async (cluster) => {
    const ready = await waitForReady(context, cluster, claimText, options.namespace, timeoutMs);
    const before = ready.spec.attachment ?? null;
    if (before === null || (options.node !== undefined && options.node !== before.nodeName)) {
      await attach(cluster, ready, {
        frontends: before?.frontends ?? ['nbd'],
        ...(options.node === undefined ? {} : { nodeName: options.node }),
      });
    }
    const volume = await waitForServing(context, cluster, ready.metadata.name, timeoutMs);
    context.out(nbdUrl(volume) ?? '');
    return EXIT_OK;
  });
}
