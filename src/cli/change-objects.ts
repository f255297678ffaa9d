/** apply, create and delete. */
import type { AnyObject, PersistentVolumeClaim } from '#api/kinds/mod.ts';
import { KINDS, parseKindName, persistentVolumeNameOf } from '#api/kinds/mod.ts';
import { hasCode, HoldfastError } from '#api/mod.ts';
import {
  applyObject,
  MANIFEST_BYTES_MAX,
  parseManifest,
  parseManifestObjects,
  readManifestFile,
} from '#control/kube/mod.ts';
import { resolve } from 'node:path/posix';
import { withCluster } from './cluster-client.ts';
import type { ClusterClient, ClusterOption } from './cluster-client.ts';
import type { CliContext } from './context.ts';
import { EXIT_OK } from './exit-codes.ts';
import { scopedName } from './read-objects.ts';
import { refuseInUse } from './refuse-in-use.ts';
import { waitFor } from './wait-for.ts';

export interface ChangeOptions extends ClusterOption {
  readonly namespace?: string | undefined;
  readonly filename?: readonly string[] | undefined;
  readonly wait?: boolean | undefined;
  readonly timeout?: string | undefined;
}

/** Everything is read and checked before the first object is sent. */
export async function runApply(context: CliContext, options: ChangeOptions): Promise<number> {
  const objects = await readManifests(context, options);
  return withCluster(context, options, async (cluster) => {
    for (const object of objects) {
      const outcome = await applyObject(cluster.api, object);
      context.out(`${KINDS[object.kind].plural}/${object.metadata.name} ${outcome}`);
    }
    return EXIT_OK;
  });
}

async function readManifests(context: CliContext, options: ChangeOptions): Promise<AnyObject[]> {
  const values: unknown[] = [];
  const { disk } = context.host;
  for (const name of options.filename ?? []) {
    const text =
      name === '-'
        ? await context.readInput(MANIFEST_BYTES_MAX)
        : await readManifestFile(disk, resolve(context.cwd, name));
    values.push(...parseManifest(text).map((value) => inNamespace(value, options.namespace)));
  }
  return parseManifestObjects(values);
}

/** -n gives the namespace where an object names none. */
function inNamespace(value: unknown, namespace: string | undefined): unknown {
  const { kind, metadata } = (value ?? {}) as { kind?: unknown; metadata?: unknown };
  const isNamespaced = kind === 'PersistentVolumeClaim';
  if (namespace === undefined || !isNamespaced) return value;
  if (typeof metadata !== 'object' || metadata === null || 'namespace' in metadata) return value;
  return { ...(value as object), metadata: { ...metadata, namespace } };
}

export async function runDelete(
  context: CliContext,
  kindText: string | undefined,
  names: readonly string[],
  options: ChangeOptions,
): Promise<number> {
  const targets = await findTargets(context, kindText, names, options);
  const timeoutMs = parseSeconds('--timeout', options.timeout, 120);
  return withCluster(context, options, async (cluster) => {
    for (const target of targets) {
      const { kind } = target;
      const object = await cluster.get(kind, target);
      await refuseInUse(cluster, object);
      await cluster.api.delete(kind, target);
      const title = `${KINDS[kind].plural}/${target.name}`;
      if (options.wait === false) {
        const isGone = (await cluster.find(kind, target)) === undefined;
        context.out(`${title} ${isGone ? 'deleted' : 'terminating'}`);
        continue;
      }
      await waitUntilGone(context, cluster, target, title, timeoutMs);
      if (object.kind === 'PersistentVolumeClaim') {
        await waitForVolume(context, cluster, object, timeoutMs);
      }
      context.out(`${title} deleted`);
    }
    return EXIT_OK;
  });
}

type Target = {
  readonly kind: AnyObject['kind'];
  readonly name: string;
  readonly namespace?: string;
};

async function findTargets(
  context: CliContext,
  kindText: string | undefined,
  names: readonly string[],
  options: ChangeOptions,
): Promise<Target[]> {
  if (options.filename !== undefined) {
    const objects = await readManifests(context, options);
    return objects.map(({ kind, metadata: { name, namespace } }) => {
      return namespace === undefined ? { kind, name } : { kind, name, namespace };
    });
  }
  const slash = kindText?.indexOf('/') ?? -1;
  const kind = parseKindName(slash < 0 ? (kindText ?? '') : (kindText ?? '').slice(0, slash));
  const all = slash < 0 ? names : [(kindText ?? '').slice(slash + 1), ...names];
  if (all.length === 0) {
    throw new HoldfastError('invalid-argument', 'Nothing to delete was named', {
      details: { field: 'name', value: '', remedy: 'Name objects, or give --filename' },
    });
  }
  return all.map((name) => ({ kind, ...scopedName(kind, name, options.namespace) }));
}

async function waitUntilGone(
  context: CliContext,
  cluster: ClusterClient,
  target: Target,
  title: string,
  timeoutMs: number,
): Promise<void> {
  await waitFor(context, `deleting ${title}`, timeoutMs, async () => {
    try {
      const object = await cluster.get(target.kind, target);
      const status = (object as { status?: { conditions?: { type: string; message: string }[] } })
        .status;
      const why = status?.conditions?.find((condition) => condition.type === 'Terminating');
      return { progress: why?.message ?? 'terminating' };
    } catch (error) {
      if (hasCode(error, 'not-found')) return { done: true };
      throw error;
    }
  });
}

/** The volume of a deleted claim goes too, unless its policy keeps it. */
async function waitForVolume(
  context: CliContext,
  cluster: ClusterClient,
  claim: PersistentVolumeClaim,
  timeoutMs: number,
): Promise<void> {
  const name = claim.spec.volumeName ?? persistentVolumeNameOf(claim);
  await waitFor(context, `deleting the volume of ${claim.metadata.name}`, timeoutMs, async () => {
    const left = await cluster.find('PersistentVolume', { name });
    const isKept = left?.spec.persistentVolumeReclaimPolicy !== 'Delete';
    if (left === undefined || isKept) return { done: true };
    return { progress: left.status?.message ?? 'its claim is gone' };
  });
}

export function parseSeconds(field: string, text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise * 1000;
  const seconds = Number(text.replace(/s$/, ''));
  if (Number.isFinite(seconds) && seconds > 0 && seconds <= 86_400) return seconds * 1000;
  throw new HoldfastError('invalid-argument', 'Time is malformed', {
    details: { field, value: text, remedy: 'Give seconds, 1 to 86400' },
  });
}
