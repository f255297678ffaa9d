/** Volume.spec.attachment without a Mount: served over NBD, and waiting for what is served. */
import type {
  Condition,
  PersistentVolumeClaim,
  Volume,
  VolumeAttachmentSpec,
} from '#api/kinds/mod.ts';
import { findCondition } from '#api/kinds/mod.ts';
import { hasCode, HoldfastError } from '#api/mod.ts';
import { keyOf } from '#control/kube/mod.ts';
import type { ClusterClient } from './cluster-client.ts';
import type { CliContext } from './context.ts';
import { findVolume, parseClaimName } from './find-volume.ts';
import { waitFor } from './wait-for.ts';

/** A refusal may pass: pools that are being opened, nodes that are being started. */
const REFUSED_MS = 6_000;

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

export interface Readiness {
  readonly claim: PersistentVolumeClaim | undefined;
  readonly volume?: Volume;
  readonly ready: Condition | undefined;
}

/** What the claim says counts: before it has a volume, and of the volume afterwards. */
export async function readinessOf(
  cluster: ClusterClient,
  text: string,
  namespace: string | undefined,
): Promise<Readiness> {
  try {
    const { volume, claim } = await findVolume(cluster, text, namespace);
    const { conditions } = (claim ?? volume).status ?? {};
    return { claim, volume, ready: findCondition(conditions, 'Ready') };
  } catch (error) {
    const isPending = hasCode(error, 'not-found') && 'claim' in (error as HoldfastError).details;
    if (!isPending) throw error;
    const claim = await cluster.get('PersistentVolumeClaim', parseClaimName(text, namespace));
    return { claim, ready: findCondition(claim.status?.conditions, 'Ready') };
  }
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
