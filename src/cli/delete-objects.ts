/** delete: what destroys data is foretold first, then asked for; then everything is waited for. */
import type { AnyObject, KindName, PersistentVolumeClaim } from '#api/kinds/mod.ts';
import { KINDS, persistentVolumeNameOf } from '#api/kinds/mod.ts';
import { HoldfastError } from '#api/mod.ts';
import { keyOf } from '#control/kube/mod.ts';
import type { ObjectKey } from '#control/kube/mod.ts';
import { readManifests } from './change-objects.ts';
import type { ChangeOptions } from './change-objects.ts';
import { withCluster } from './cluster-client.ts';
import type { ClusterClient } from './cluster-client.ts';
import type { CliContext } from './context.ts';
import { EXIT_OK } from './exit-codes.ts';
import { foretellDeletion } from './foretell-deletion.ts';
import { nameSome } from './named-objects.ts';
import { parseSeconds } from './parse-seconds.ts';
import { refuseInUse } from './refuse-in-use.ts';
import { waitFor } from './wait-for.ts';
import { waitForState } from './wait-for-state.ts';

export interface DeleteOptions extends ChangeOptions {
  readonly yes?: boolean | undefined;
}

interface Target {
  readonly kind: KindName;
  readonly key: ObjectKey;
}

export async function runDelete(
  context: CliContext,
  kindText: string | undefined,
  names: readonly string[],
  options: DeleteOptions,
): Promise<number> {
  const targets = await findTargets(context, kindText, names, options);
  const timeoutMs = parseSeconds('--timeout', options.timeout, 120);
  return withCluster(context, options, async (cluster) => {
    const objects: AnyObject[] = [];
    for (const { kind, key } of targets) objects.push(await cluster.get(kind, key));
    for (const object of objects) await refuseInUse(cluster, object);
    await askFor(context, cluster, objects, options.yes === true);
    for (const object of objects) {
      await cluster.api.delete(object.kind, keyOf(object));
      if (options.wait === false) await tell(context, cluster, object);
      else await waitUntilGone(context, cluster, object, timeoutMs);
    }
    return EXIT_OK;
  });
}

async function findTargets(
  context: CliContext,
  kindText: string | undefined,
  names: readonly string[],
  options: DeleteOptions,
): Promise<Target[]> {
  if (options.filename !== undefined) {
    const objects = await readManifests(context, options);
    return objects.map((object) => ({ kind: object.kind, key: keyOf(object) }));
  }
  if (kindText === undefined) {
    throw new HoldfastError('invalid-argument', 'Nothing to delete was named', {
      details: { field: 'kind', value: '', remedy: 'Name a kind and objects, or give --filename' },
    });
  }
  const { kind, keys } = nameSome(kindText, names, options.namespace);
  return keys.map((key) => ({ kind, key }));
}

/** Nothing is asked where no data goes. */
async function askFor(
  context: CliContext,
  cluster: ClusterClient,
  objects: readonly AnyObject[],
  isAgreed: boolean,
): Promise<void> {
  let destroysData = false;
  for (const object of objects) {
    const foretold = await foretellDeletion(cluster, object);
    for (const line of foretold.lines) context.err(line);
    destroysData ||= foretold.destroysData;
  }
  if (isAgreed || !destroysData) return;
  if (context.ask === undefined) {
    throw new HoldfastError(
      'invalid-argument',
      'Data would be destroyed, and nobody can be asked',
      {
        details: { field: '--yes', value: '', remedy: 'Add --yes if that is meant' },
      },
    );
  }
  const answer = await context.ask('Go on? [yes/no] ');
  if (/^y(es)?$/i.test(answer.trim())) return;
  throw new HoldfastError('aborted', 'Nothing was deleted', {
    details: { answer: answer.trim().slice(0, 80), remedy: 'Answer yes, or give --yes' },
  });
}

async function tell(context: CliContext, cluster: ClusterClient, object: AnyObject): Promise<void> {
  const isGone = (await cluster.find(object.kind, keyOf(object))) === undefined;
  const title = `${KINDS[object.kind].plural}/${object.metadata.name}`;
  context.out(`${title} ${isGone ? 'deleted' : 'terminating'}`);
}

async function waitUntilGone(
  context: CliContext,
  cluster: ClusterClient,
  object: AnyObject,
  timeoutMs: number,
): Promise<void> {
  const { kind, metadata } = object;
  await waitForState(context, cluster, kind, keyOf(object), { is: 'gone' }, timeoutMs);
  if (kind === 'PersistentVolumeClaim') await waitForVolume(context, cluster, object, timeoutMs);
  context.out(`${KINDS[kind].plural}/${metadata.name} deleted`);
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
