/** volume expand, rebuild, scrub, trace, attach. */
import type { PersistentVolumeClaim, Volume } from '#api/kinds/mod.ts';
import { findCondition, formatBytes, formatQuantity, parseVolumeSize } from '#api/kinds/mod.ts';
import { HoldfastError, type TraceEvent } from '#api/mod.ts';
import { keyOf } from '#control/kube/mod.ts';
import { withCluster } from './cluster-client.ts';
import type { ClusterClient, ClusterOption } from './cluster-client.ts';
import type { CliContext } from './context.ts';
import { EXIT_NOT_WELL, EXIT_OK } from './exit-codes.ts';
import { findVolume } from './find-volume.ts';
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
