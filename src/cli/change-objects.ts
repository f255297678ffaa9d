/** apply: create what is absent, change what is there. */
import type { AnyObject } from '#api/kinds/mod.ts';
import { isKindName, KINDS } from '#api/kinds/mod.ts';
import {
  applyObject,
  keyOf,
  MANIFEST_BYTES_MAX,
  parseManifest,
  parseManifestObjects,
  readManifestFile,
} from '#control/kube/mod.ts';
import { resolve } from 'node:path/posix';
import { withCluster } from './cluster-client.ts';
import type { ClusterOption } from './cluster-client.ts';
import type { CliContext } from './context.ts';
import { EXIT_OK } from './exit-codes.ts';
import { parseSeconds } from './parse-seconds.ts';
import { readyState, waitForState } from './wait-for-state.ts';

export interface ChangeOptions extends ClusterOption {
  readonly namespace?: string | undefined;
  readonly filename?: readonly string[] | undefined;
  readonly wait?: boolean | undefined;
  readonly timeout?: string | undefined;
}

/** Everything is read and checked before the first object is sent. */
export async function runApply(context: CliContext, options: ChangeOptions): Promise<number> {
  const objects = await readManifests(context, options);
  const timeoutMs = parseSeconds('--timeout', options.timeout, 120);
  return withCluster(context, options, async (cluster) => {
    for (const object of objects) {
      const outcome = await applyObject(cluster.api, object);
      context.out(`${KINDS[object.kind].plural}/${object.metadata.name} ${outcome}`);
    }
    if (options.wait !== true) return EXIT_OK;
    const { clock } = context.host;
    const endMs = clock.monotonicMs() + timeoutMs;
    for (const object of objects) {
      const { kind } = object;
      const leftMs = endMs - clock.monotonicMs();
      await waitForState(context, cluster, kind, keyOf(object), readyState(kind), leftMs);
      context.out(`${KINDS[kind].plural}/${object.metadata.name} ready`);
    }
    return EXIT_OK;
  });
}

export async function readManifests(
  context: CliContext,
  options: ChangeOptions,
): Promise<AnyObject[]> {
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
  const isNamespaced = isKindName(kind) && KINDS[kind].isNamespaced;
  if (namespace === undefined || !isNamespaced) return value;
  if (typeof metadata !== 'object' || metadata === null || 'namespace' in metadata) return value;
  return { ...(value as object), metadata: { ...metadata, namespace } };
}
