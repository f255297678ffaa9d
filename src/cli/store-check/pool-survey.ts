/**
 * What lies in a pool, and what of it nobody names: docs/format/store.md "Directory". Nothing here
 * is ever a reason to remove a file: a replica that cannot be read may need it.
 */
import { HoldfastError, isId } from '#api/mod.ts';
import type { Disk } from '#host/mod.ts';
import { basename, dirname } from 'node:path/posix';
import { Findings } from './findings.ts';
import { poolPayload, replicaPayload } from './payloads.ts';
import { type PoolHeader, readPayload } from './replica-image.ts';

export interface PoolSurvey {
  /** Names of the directories that hold a replica. */
  readonly replicas: readonly string[];
  /** Layers that the replicas name, as `home/layer`. */
  readonly layers: ReadonlySet<string>;
  /** By replica: its stamps file. */
  readonly stamps: ReadonlyMap<string, string>;
  /** Names of replicas that cannot be read: their layers are not known. */
  readonly unreadable: readonly string[];
  /** Names of all other directories and files in `replicas/`. */
  readonly others: readonly string[];
}

export async function readPoolHeader(
  disk: Disk,
  directory: string,
  findings: Findings,
): Promise<PoolHeader | undefined> {
  const path = `${directory}/holdfast-pool`;
  return (await readPayload({ disk, findings }, path, 'POOL', poolPayload))?.value;
}

export async function surveyReplicas(disk: Disk, replicasDirectory: string): Promise<PoolSurvey> {
  const replicas: string[] = [];
  const others: string[] = [];
  const unreadable: string[] = [];
  const layers = new Set<string>();
  const stamps = new Map<string, string>();
  for (const name of await listNames(disk, replicasDirectory)) {
    const path = `${replicasDirectory}/${name}/replica`;
    const found = isId(name) && (await disk.stat(path)) !== undefined;
    (found ? replicas : others).push(name);
    // A clone that is being created already needs its layers.
    if (!found && !name.endsWith('.new')) continue;
    // What is wrong with it is said where it is checked.
    const hidden = { disk, findings: new Findings() };
    const header = (await readPayload(hidden, path, 'REPL', replicaPayload))?.value;
    if (header === undefined) {
      if (found) unreadable.push(name);
      continue;
    }
    for (const layer of header.layers) layers.add(`${layer.home}/${layer.layer}`);
    stamps.set(name, header.stamps);
  }
  return { replicas, layers, stamps, unreadable, others };
}

/** Names in a replica's directory that its `replica` file does not account for. */
export async function findOrphans(
  disk: Disk,
  directory: string,
  survey: PoolSurvey,
  findings: Findings,
): Promise<void> {
  const replica = basename(directory);
  const own = new Set(['replica', 'voter', 'map-log', 'intents', 'replica.lock']);
  const stamps = survey.stamps.get(replica);
  const unsure = survey.unreadable.length > 0;
  for (const name of await listNames(disk, directory)) {
    if (own.has(name) || name === `stamps-${stamps}`) continue;
    const path = `${directory}/${name}`;
    const layer = /^([0-9a-f]{16})\.(?:data|map)$/.exec(name)?.[1];
    if (layer !== undefined && survey.layers.has(`${replica}/${layer}`)) continue;
    if (name.endsWith('.tmp')) findings.note(path, 'Left by a crash: removed at the next open');
    else if (unsure)
      findings.note(path, 'An orphan, unless a replica that cannot be read names it');
    else findings.note(path, 'An orphan: no replica names it');
  }
}

/** Directories in `replicas/` that hold no replica. */
export async function surveyOthers(
  disk: Disk,
  replicasDirectory: string,
  survey: PoolSurvey,
  findings: Findings,
): Promise<void> {
  for (const name of survey.others) {
    const path = `${replicasDirectory}/${name}`;
    if (name.endsWith('.new')) {
      findings.note(path, 'Left by a crash while a replica was created');
      continue;
    }
    const names = await listNames(disk, path);
    if (names.includes('voter') || names.includes('map-log')) {
      findings.damage(path, 'A replica without its replica file, or one that was being deleted');
    } else if (names.length === 0 || !isId(name)) findings.note(path, 'An orphan');
    else await findOrphans(disk, path, survey, findings);
  }
}

/** The pool that a replica's directory lies in; undefined for a copy on its own. */
export async function findPoolOf(disk: Disk, directory: string): Promise<string | undefined> {
  const parent = dirname(directory);
  if (basename(parent) !== 'replicas') return undefined;
  const pool = dirname(parent);
  return (await disk.stat(`${pool}/holdfast-pool`)) === undefined ? undefined : pool;
}

/** Nothing when it is no directory. */
async function listNames(disk: Disk, path: string): Promise<string[]> {
  try {
    return await disk.list(path);
  } catch (error) {
    if (!HoldfastError.is(error)) throw error;
    return [];
  }
}
