/** mount and umount: Volume.spec.attachment, and waiting for what the operator makes of it. */
import type { Condition, Volume, VolumeAttachmentSpec } from '#api/kinds/mod.ts';
import { findCondition, isConditionTrue } from '#api/kinds/mod.ts';
import { hasCode, HoldfastError } from '#api/mod.ts';
import { keyOf } from '#control/kube/mod.ts';
import { resolve } from 'node:path/posix';
import { withCluster } from './cluster-client.ts';
import type { ClusterClient, ClusterOption } from './cluster-client.ts';
import type { CliContext } from './context.ts';
import { EXIT_OK } from './exit-codes.ts';
import { findVolume, parseClaimName } from './find-volume.ts';
import { parseSeconds } from './change-objects.ts';
import { waitFor } from './wait-for.ts';

export interface MountOptions extends ClusterOption {
  readonly namespace?: string | undefined;
  readonly node?: string | undefined;
  readonly readOnly?: boolean | undefined;
  readonly fsType?: string | undefined;
  readonly nbd?: boolean | undefined;
  readonly timeout?: string | undefined;
}

/** A refusal may pass: pools that are being opened, nodes that are being started. */
const REFUSED_MS = 6_000;

export async function runMount(
  context: CliContext,
  claimText: string,
  pathText: string | undefined,
  options: MountOptions,
): Promise<number> {
  const timeoutMs = parseSeconds('--timeout', options.timeout, 120);
  return withCluster(context, options, async (cluster) => {
    const ready = await waitForReady(context, cluster, claimText, options.namespace, timeoutMs);
    const name = ready.spec.claimRef?.name ?? ready.metadata.name;
    const path = resolve(context.cwd, pathText ?? `${cluster.path}/mnt/${name}`);
    refuseSecondMount(ready, path, options);
    const volume = await attach(cluster, ready, {
      ...(options.node === undefined ? {} : { nodeName: options.node }),
      frontends: ['nbd', 'fuse'],
      mountPath: path,
      readOnly: options.readOnly ?? false,
      ...(options.fsType === undefined ? {} : { fsType: checkFsType(options.fsType) }),
    });
    const mounted = await waitForMount(context, cluster, volume.metadata.name, timeoutMs);
    context.out(`mounted at ${mounted.status?.attachment?.mountPath ?? path}`);
    return EXIT_OK;
  });
}

function checkFsType(text: string): 'ext4' | 'xfs' {
  if (text === 'ext4' || text === 'xfs') return text;
  throw new HoldfastError('invalid-argument', 'Filesystem is unknown', {
    details: { field: '--fs-type', value: text, remedy: 'Use ext4 or xfs' },
  });
}

function refuseSecondMount(volume: Volume, path: string, options: MountOptions): void {
  const before = volume.spec.attachment ?? null;
  if (before?.mountPath === undefined) return;
  const isSame =
    before.mountPath === path && (options.node === undefined || options.node === before.nodeName);
  if (isSame) return;
  throw new HoldfastError('in-use', 'Volume is mounted elsewhere', {
    details: {
      volume: volume.metadata.name,
      path: before.mountPath,
      node: before.nodeName,
      remedy: 'Unmount it first: holdfast umount',
    },
  });
}

/** Serves the volume over NBD, and FUSE where asked for; what is not said stays as it is. */
export async function attach(
  cluster: ClusterClient,
  volume: Volume,
  wanted: Partial<VolumeAttachmentSpec> & Pick<VolumeAttachmentSpec, 'frontends'>,
): Promise<Volume> {
  const nodeName =
    wanted.nodeName ??
    volume.spec.attachment?.nodeName ??
    volume.status?.attachment?.nodeName ??
    volume.spec.placement?.[0]?.nodeName;
  if (nodeName === undefined) {
    throw new HoldfastError('not-found', 'Volume is placed nowhere yet', {
      details: { volume: volume.metadata.name, remedy: 'holdfast explain volume says why' },
    });
  }
  const patch = { spec: { attachment: { ...wanted, nodeName } } };
  return cluster.api.patch('Volume', keyOf(volume), patch);
}

export async function waitForReady(
  context: CliContext,
  cluster: ClusterClient,
  text: string,
  namespace: string | undefined,
  timeoutMs: number,
): Promise<Volume> {
  const { clock } = context.host;
  let refusedSinceMs: number | null = null;
  // Absent claims are an error at once; a claim that is being provisioned is waited for.
  return waitFor(context, `claim ${text}`, timeoutMs, async () => {
    const { volume, ready } = await readinessOf(cluster, text, namespace);
    if (ready?.reason !== 'NoPlacement') refusedSinceMs = null;
    else refusedSinceMs ??= clock.monotonicMs();
    if (refusedSinceMs !== null && clock.monotonicMs() - refusedSinceMs > REFUSED_MS) {
      throw new HoldfastError('no-placement', 'No set of pools satisfies the claim', {
        details: {
          claim: text,
          why: ready?.message ?? '',
          remedy: 'Add nodes, or ask for fewer replicas',
        },
      });
    }
    if (ready?.status === 'True' && volume !== undefined) return { done: volume };
    return { progress: ready?.message ?? 'being made' };
  });
}

/** What the claim says counts: before it has a volume, and of the volume afterwards. */
async function readinessOf(
  cluster: ClusterClient,
  text: string,
  namespace: string | undefined,
): Promise<{ readonly volume?: Volume; readonly ready: Condition | undefined }> {
  try {
    const { volume, claim } = await findVolume(cluster, text, namespace);
    const { conditions } = (claim ?? volume).status ?? {};
    return { volume, ready: findCondition(conditions, 'Ready') };
  } catch (error) {
    const isPending = hasCode(error, 'not-found') && 'claim' in (error as HoldfastError).details;
    if (!isPending) throw error;
    const claim = await cluster.get('PersistentVolumeClaim', parseClaimName(text, namespace));
    return { ready: findCondition(claim.status?.conditions, 'Ready') };
  }
}

/** Ends with the reason when the machine cannot mount. */
export async function waitForMount(
  context: CliContext,
  cluster: ClusterClient,
  name: string,
  timeoutMs: number,
): Promise<Volume> {
  return waitFor(context, `mounting ${name}`, timeoutMs, async () => {
    const volume = await cluster.get('Volume', { name });
    const mounted = findCondition(volume.status?.conditions, 'Mounted');
    const isMounted = mounted?.status === 'True' && mounted.reason === 'Mounted';
    if (isMounted && volume.status?.attachment?.mountPath === volume.spec.attachment?.mountPath) {
      return { done: volume };
    }
    if (mounted?.reason === 'CapabilityMissing') {
      throw new HoldfastError('capability-missing', 'This machine cannot mount volumes', {
        details: {
          missing: mounted.message,
          nbd: nbdUrl(volume) ?? '',
          remedy: 'holdfast doctor says how to get it; the volume is served over NBD meanwhile',
        },
      });
    }
    const attached = findCondition(volume.status?.conditions, 'Attached');
    return { progress: mounted?.message ?? attached?.message ?? 'waiting' };
  });
}

export function nbdUrl(volume: Volume): string | undefined {
  const url = volume.status?.attachment?.frontends.find((entry) => entry.kind === 'nbd')?.url;
  return url === '' ? undefined : url;
}

export async function waitForServing(
  context: CliContext,
  cluster: ClusterClient,
  name: string,
  timeoutMs: number,
): Promise<Volume> {
  return waitFor(context, `opening ${name}`, timeoutMs, async () => {
    const volume = await cluster.get('Volume', { name });
    const attached = findCondition(volume.status?.conditions, 'Attached');
    if (attached?.status === 'True' && nbdUrl(volume) !== undefined) return { done: volume };
    return { progress: attached?.message ?? 'waiting' };
  });
}

/** Unmounts; keeps it served over NBD with --nbd. */
export async function runUnmount(
  context: CliContext,
  claimText: string,
  options: MountOptions,
): Promise<number> {
  const timeoutMs = parseSeconds('--timeout', options.timeout, 60);
  return withCluster(context, options, async (cluster) => {
    const { volume, title } = await findVolume(cluster, claimText, options.namespace);
    const { name } = volume.metadata;
    const attachment = options.nbd === true ? { mountPath: null } : null;
    await cluster.api.patch('Volume', { name }, { spec: { attachment } });
    await waitFor(context, `unmounting ${title}`, timeoutMs, async () => {
      const current = await cluster.get('Volume', { name });
      const at = current.status?.attachment ?? null;
      const isOut =
        options.nbd === true
          ? (at?.mountPath ?? '') === '' && !isConditionTrue(current.status?.conditions, 'Mounted')
          : at === null;
      const why = findCondition(current.status?.conditions, 'Mounted');
      return isOut ? { done: true } : { progress: why?.message ?? 'detaching' };
    });
    const wasMounted = volume.spec.attachment?.mountPath !== undefined;
    context.out(`${title} ${wasMounted ? 'unmounted' : 'detached'}`);
    return EXIT_OK;
  });
}
