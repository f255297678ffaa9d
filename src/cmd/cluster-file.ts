/** DIR/cluster.yaml: which cluster this directory is, and its nodes. */
import { HoldfastError, isId } from '#api/mod.ts';
import { readWholeFile, replaceWholeFile, type Disk, type Rng } from '#host/mod.ts';
import { decodeText, EMPTY_BYTES, encodeText, formatHex } from '#lib/mod.ts';
import { dirname } from 'node:path/posix';
import { parse, stringify } from 'yaml';

export interface ClusterFile {
  readonly cluster: string;
  readonly nodes: readonly string[];
}

export async function readClusterFile(disk: Disk, path: string): Promise<ClusterFile> {
  const text = decodeText((await readWholeFile(disk, path)) ?? EMPTY_BYTES);
  const value = parseYaml(path, text) as { cluster?: unknown; nodes?: unknown } | null;
  const nodes = Array.isArray(value?.nodes) ? (value.nodes as unknown[]) : [];
  if (isId(value?.cluster) && nodes.length > 0 && nodes.every(isId)) {
    return { cluster: value.cluster, nodes: nodes as string[] };
  }
  throw corrupt(path);
}

function parseYaml(path: string, text: string): unknown {
  try {
    return parse(text);
  } catch (cause) {
    throw corrupt(path, cause);
  }
}

function corrupt(path: string, cause?: unknown): HoldfastError {
  return new HoldfastError('store-corrupt', 'Cluster file cannot be read', {
    details: { path, remedy: 'It has `cluster: ID` and a list `nodes`: restore it from a backup' },
    ...(cause === undefined ? {} : { cause }),
  });
}

/** Makes the file, or adds nodes to it; never takes a node away. */
export async function ensureClusterFile(
  disk: Disk,
  rng: Rng,
  path: string,
  nodeCount: number | undefined,
): Promise<ClusterFile> {
  const before =
    (await disk.stat(path)) === undefined ? undefined : await readClusterFile(disk, path);
  const count = nodeCount ?? before?.nodes.length ?? 3;
  if (before !== undefined && count < before.nodes.length) {
    throw new HoldfastError('invalid-argument', 'A cluster cannot lose nodes here', {
      details: {
        field: '--nodes',
        value: count,
        remedy: `It has ${before.nodes.length}: leave --nodes out, or use that or more`,
      },
    });
  }
  const nodes = [...(before?.nodes ?? [])];
  for (let index = 1; nodes.length < count; index += 1) {
    const name = `node-${index}`;
    if (nodes.includes(name)) continue;
    nodes.push(name);
    // Only here: a pool directory that is missing later is a disk that is not mounted.
    await disk.makeDirectory(`${dirname(path)}/nodes/${name}/pool`);
  }
  if (before !== undefined && nodes.length === before.nodes.length) return before;
  const after = { cluster: before?.cluster ?? `hf-${formatHex(rng.bytes(6))}`, nodes };
  await replaceWholeFile(disk, path, encodeText(stringify(after)));
  return after;
}
