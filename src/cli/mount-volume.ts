/** mount and umount: a Mount object, and waiting for what becomes of it. */
import type { Mount, PersistentVolumeClaim, StorageNode } from '#api/kinds/mod.ts';
import { API_VERSION, findCondition, isConditionTrue } from '#api/kinds/mod.ts';
import { hasCode, HoldfastError } from '#api/mod.ts';
import { keyOf, type ObjectKey } from '#control/kube/mod.ts';
import { createHash } from 'node:crypto';
import { resolve } from 'node:path/posix';
import { withCluster } from './cluster-client.ts';
import type { ClusterClient, ClusterOption } from './cluster-client.ts';
import type { CliContext } from './context.ts';
import { EXIT_OK } from './exit-codes.ts';
import { findVolume, volumeOfClaim } from './find-volume.ts';
import { attach, nbdUrl, readinessOf, waitForReady, waitForServing } from './serve-volume.ts';
import { checkName } from './named-objects.ts';
import { parseSeconds } from './parse-seconds.ts';
import { waitFor } from './wait-for.ts';

export interface MountOptions extends ClusterOption {
  readonly namespace?: string | undefined;
  readonly node?: string | undefined;
  readonly readOnly?: boolean | undefined;
  readonly nbd?: boolean | undefined;
  readonly timeout?: string | undefined;
}

export async function runMount(
  context: CliContext,
  claimText: string,
  pathText: string | undefined,
  options: MountOptions,
): Promise<number> {
  const timeoutMs = parseSeconds('--timeout', options.timeout, 120);
  return withCluster(context, options, async (cluster) => {
    const claim = await claimToMount(context, cluster, claimText, options, timeoutMs);
    const path = resolve(context.cwd, pathText ?? `${cluster.path}/mnt/${claim.metadata.name}`);
    // Of what nobody writes there may be as many as are wanted, each at a path of its own.
    const isForReaders = claim.spec.accessModes.includes('ReadOnlyMany');
    const before = (await mountsOf(cluster, claim)).find(
      ({ metadata, spec }) =>
        metadata.deletionTimestamp === undefined && (!isForReaders || spec.path === path),
    );
    refuseSecondMount(claim, before, path, options);
    const node = await chooseNode(cluster, claim, before?.spec.nodeName ?? options.node);
    await demandCapable(context, cluster, claim, node, timeoutMs);
    const key = await ensureMount(context, cluster, claim, {
      claimName: claim.metadata.name,
      nodeName: node.metadata.name,
      path,
      readOnly: options.readOnly ?? false,
    });
    await waitForMount(context, cluster, key, timeoutMs);
    context.out(`mounted at ${path}`);
    return EXIT_OK;
  });
}

/** Bound, or waiting for its first consumer, which this mount is. */
async function claimToMount(
  context: CliContext,
  cluster: ClusterClient,
  text: string,
  { namespace }: MountOptions,
  timeoutMs: number,
): Promise<PersistentVolumeClaim> {
  const { claim, ready } = await readinessOf(cluster, text, namespace);
  if (claim !== undefined && ready?.reason === 'WaitForFirstConsumer') return claim;
  const { spec, metadata } = await waitForReady(context, cluster, text, namespace, timeoutMs);
  if (spec.claimRef !== undefined) return cluster.get('PersistentVolumeClaim', spec.claimRef);
  throw new HoldfastError('unsupported', 'Volume belongs to no claim', {
    details: {
      volume: metadata.name,
      remedy: 'Only claims are mounted; serve it with holdfast volume attach',
    },
  });
}

export async function mountsOf(
  cluster: ClusterClient,
  { metadata: { namespace, name } }: PersistentVolumeClaim,
): Promise<readonly Mount[]> {
  const mounts = await cluster.list('Mount', namespace ?? 'default');
  return mounts.filter((mount) => mount.spec.claimName === name);
}

function refuseSecondMount(
  claim: PersistentVolumeClaim,
  before: Mount | undefined,
  path: string,
  options: MountOptions,
): void {
  if (before === undefined) return;
  const { spec } = before;
  const isSame =
    spec.path === path &&
    (options.node === undefined || options.node === spec.nodeName) &&
    (spec.readOnly ?? false) === (options.readOnly ?? false);
  if (isSame) return;
  throw new HoldfastError('in-use', 'Volume is mounted elsewhere', {
    details: {
      claim: claim.metadata.name,
      path: spec.path,
      node: spec.nodeName,
      remedy: 'Unmount it first: holdfast umount',
    },
  });
}

/** The one that is wanted; else where it is served, or one with a replica, or with most space. */
async function chooseNode(
  cluster: ClusterClient,
  claim: PersistentVolumeClaim,
  wanted: string | undefined,
): Promise<StorageNode> {
  if (wanted !== undefined) {
    return cluster.get('StorageNode', { name: checkName('--node', wanted) });
  }
  const volume = await volumeOfClaim(cluster, claim);
  const near = volume?.spec.attachment?.nodeName ?? volume?.spec.placement?.[0]?.nodeName;
  if (near !== undefined) return cluster.get('StorageNode', { name: near });
  const pools = [...(await cluster.list('DiskPool'))];
  pools.sort((a, b) => (b.status?.freeBytes ?? 0) - (a.status?.freeBytes ?? 0));
  for (const { spec, status } of pools) {
    if (spec.unschedulable === true || !isConditionTrue(status?.conditions, 'Ready')) continue;
    const node = await cluster.find('StorageNode', { name: spec.nodeName });
    if (node !== undefined && node.spec.unschedulable !== true) return node;
  }
  throw new HoldfastError('no-placement', 'No node can mount it', {
    details: { claim: claim.metadata.name, remedy: 'See holdfast get nodes, holdfast get pools' },
  });
}

/** What cannot be mounted is served over NBD instead, and both is said. */
async function demandCapable(
  context: CliContext,
  cluster: ClusterClient,
  claim: PersistentVolumeClaim,
  node: StorageNode,
  timeoutMs: number,
): Promise<void> {
  const missing = node.status?.missing ?? [];
  if (missing.length === 0) return;
  const volume = await volumeOfClaim(cluster, claim);
  let nbd = '';
  if (volume !== undefined) {
    await attach(cluster, volume, { nodeName: node.metadata.name, frontends: ['nbd'] });
    nbd = nbdUrl(await waitForServing(context, cluster, volume.metadata.name, timeoutMs)) ?? '';
  }
  throw new HoldfastError('capability-missing', 'This machine cannot mount volumes', {
    details: {
      missing: missing.join(', '),
      nbd,
      remedy: 'holdfast doctor says how to get it; the volume is served over NBD meanwhile',
    },
  });
}

/** Idempotent. One of the same name that is going is waited for. */
export async function ensureMount(
  context: CliContext,
  cluster: ClusterClient,
  claim: PersistentVolumeClaim,
  spec: Mount['spec'],
): Promise<ObjectKey> {
  const { namespace = 'default', name: claimName } = claim.metadata;
  const hash = createHash('sha256').update(`${claimName} ${spec.nodeName} ${spec.path}`);
  const base = claimName.replaceAll('.', '-').slice(0, 40).replace(/-+$/, '');
  const name = `${base}-${hash.digest('hex').slice(0, 8)}`;
  const mount: Mount = {
    apiVersion: API_VERSION,
    kind: 'Mount',
    metadata: { namespace, name },
    spec,
  };
  return waitFor(context, `mount ${name}`, 60_000, async () => {
    const before = await cluster.find('Mount', { namespace, name });
    if (before?.metadata.deletionTimestamp !== undefined) {
      return { progress: 'the one before is being unmounted' };
    }
    if (before === undefined) await cluster.api.create('Mount', mount);
    return { done: { namespace, name } };
  });
}

export async function waitForMount(
  context: CliContext,
  cluster: ClusterClient,
  key: ObjectKey,
  timeoutMs: number,
): Promise<Mount> {
  return waitFor(context, `mounting ${key.name}`, timeoutMs, async () => {
    const mount = await cluster.get('Mount', key);
    const ready = findCondition(mount.status?.conditions, 'Ready');
    if (ready?.status === 'True') return { done: mount };
    return { progress: ready?.message ?? 'nobody looked at it yet' };
  });
}

/** Unmounts and detaches; with --nbd it stays served, or is served, over NBD. */
export async function runUnmount(
  context: CliContext,
  claimText: string,
  options: MountOptions,
): Promise<number> {
  const timeoutMs = parseSeconds('--timeout', options.timeout, 60);
  return withCluster(context, options, async (cluster) => {
    const { volume, claim, title } = await findVolume(cluster, claimText, options.namespace);
    const mounts = claim === undefined ? [] : await mountsOf(cluster, claim);
    for (const mount of mounts) await unmount(context, cluster, mount, timeoutMs);
    const { name } = volume.metadata;
    if (options.nbd === true) {
      const { nodeName } = volume.spec.attachment ?? {};
      await attach(cluster, volume, { frontends: ['nbd'], ...(nodeName && { nodeName }) });
      await waitForServing(context, cluster, name, timeoutMs);
    } else {
      await detach(context, cluster, name, title, timeoutMs);
    }
    context.out(`${title} ${mounts.length > 0 ? 'unmounted' : 'detached'}`);
    return EXIT_OK;
  });
}

async function unmount(
  context: CliContext,
  cluster: ClusterClient,
  mount: Mount,
  timeoutMs: number,
): Promise<void> {
  const key = keyOf(mount);
  await cluster.api.delete('Mount', key).catch((error: unknown) => {
    if (!hasCode(error, 'not-found')) throw error;
  });
  await waitFor(context, `unmounting ${mount.spec.path}`, timeoutMs, async () => {
    const left = await cluster.find('Mount', key);
    if (left === undefined) return { done: true };
    const why = findCondition(left.status?.conditions, 'Terminating');
    return { progress: why?.message ?? 'unmounting' };
  });
}

/** What a Mount attached goes with it; what `volume attach` did is undone here. */
async function detach(
  context: CliContext,
  cluster: ClusterClient,
  name: string,
  title: string,
  timeoutMs: number,
): Promise<void> {
  await waitFor(context, `detaching ${title}`, timeoutMs, async () => {
    const { spec, status } = await cluster.get('Volume', { name });
    const wanted = spec.attachment ?? null;
    if (wanted !== null && !wanted.frontends.includes('fuse')) {
      await cluster.api.patch('Volume', { name }, { spec: { attachment: null } });
      return { progress: 'detaching' };
    }
    const isOut = wanted === null && (status?.attachment ?? null) === null;
    const why = findCondition(status?.conditions, 'Attached');
    return isOut ? { done: true } : { progress: why?.message ?? 'detaching' };
  });
}
