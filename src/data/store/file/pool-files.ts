/**
 * Every file below a pool by what it is for, with what the filesystem has allocated behind it. Read
 * from the disk alone: names, `replica` headers and stat; nothing is opened for writing, so it may
 * be asked while replicas are in use, wherever they run.
 */
import {
  HoldfastError,
  isId,
  type LayerHolder,
  type LayerSpace,
  type PoolFiles,
  type ReplicaId,
  type ReplicaSpace,
  type VolumeId,
} from '#api/mod.ts';
import type { Disk } from '#host/mod.ts';
import { RESERVE_NAME } from './metadata-file.ts';
import type { ReplicaHeader } from './metadata.ts';
import { layerOfFile, ReplicaHeaderFile, replicasDirectory } from './replica-directory.ts';

/** Files of the pool itself. */
const POOL_NAMES: ReadonlySet<string> = new Set([
  'holdfast-pool',
  'holdfast-pool.lock',
  RESERVE_NAME,
]);

interface LayerFiles {
  dataBytes: number;
  mapBytes: number;
}

export async function readPoolFiles(disk: Disk, pool: string): Promise<PoolFiles> {
  const root = replicasDirectory(pool);
  const names = await disk.list(root);
  const sums = { poolBytes: 0, leftoverBytes: 0, strangeBytes: 0 };
  for (const name of await disk.list(pool)) {
    const bytes = await allocated(disk, `${pool}/${name}`);
    const isOurs = name === 'replicas' || POOL_NAMES.has(name);
    sums[isOurs ? 'poolBytes' : 'strangeBytes'] += bytes;
  }
  sums.poolBytes += await allocated(disk, pool);
  const headers = new Map<string, ReplicaHeader | null>();
  for (const name of names) {
    if (isId(name)) headers.set(name, await readHeader(disk, `${root}/${name}`));
  }
  const holders = holdersOf(headers);
  const replicas: ReplicaSpace[] = [];
  const files = new Map<string, LayerFiles>();
  for (const name of names) {
    const directory = `${root}/${name}`;
    const isReplica = headers.has(name);
    const own = await readDirectory(disk, directory, isReplica, holders, files);
    const header = headers.get(name);
    const hasHeader = header !== undefined && (header !== null || own.hasHeader);
    if (hasHeader) replicas.push(replicaSpace(name as ReplicaId, header, own.metadataBytes));
    else if (isReplica) sums.poolBytes += own.metadataBytes;
    else sums.leftoverBytes += own.metadataBytes;
    sums.leftoverBytes += own.leftoverBytes;
  }
  const layers = [...files].map(([layer, { dataBytes, mapBytes }]): LayerSpace => {
    const { volume, by } = holders.get(layer)!;
    return { layer, volume, dataBytes, mapBytes, holders: by };
  });
  return { replicas, layers, ...sums };
}

/** Null when it is there and cannot be read, or when only layers were kept. */
async function readHeader(disk: Disk, directory: string): Promise<ReplicaHeader | null> {
  try {
    return await ReplicaHeaderFile.read(disk, directory);
  } catch (error) {
    if (HoldfastError.is(error)) return null;
    throw error;
  }
}

type Holders = ReadonlyMap<
  string,
  { readonly volume: VolumeId; readonly by: readonly LayerHolder[] }
>;

function holdersOf(headers: ReadonlyMap<string, ReplicaHeader | null>): Holders {
  const holders = new Map<string, { readonly volume: VolumeId; readonly by: LayerHolder[] }>();
  for (const header of headers.values()) {
    if (header === null) continue;
    const { replica, volume } = header.identity;
    for (const { layer, volume: writtenAs, state, snapshot } of header.layers) {
      const entry = holders.get(layer) ?? { volume: writtenAs, by: [] };
      entry.by.push({ replica, volume, isHead: state === 'head', snapshot });
      holders.set(layer, entry);
    }
  }
  return holders;
}

function replicaSpace(
  replica: ReplicaId,
  header: ReplicaHeader | null,
  metadataBytes: number,
): ReplicaSpace {
  if (header === null) return { replica, volume: '', claim: '', sizeBytes: 0, metadataBytes };
  const { volume, claim } = header.identity;
  return { replica, volume, claim, sizeBytes: header.sizeBytes, metadataBytes };
}

interface OwnFiles {
  /** Everything in the directory that is no layer, and the directory. */
  readonly metadataBytes: number;
  /** Layers that no replica has. */
  readonly leftoverBytes: number;
  readonly hasHeader: boolean;
}

/** Layers go to `files`, wherever their holders are. Files may come and go meanwhile. */
async function readDirectory(
  disk: Disk,
  directory: string,
  isReplica: boolean,
  holders: Holders,
  files: Map<string, LayerFiles>,
): Promise<OwnFiles> {
  const stat = await disk.stat(directory);
  let metadataBytes = stat?.allocatedBytes ?? 0;
  let leftoverBytes = 0;
  let hasHeader = false;
  const names = stat?.kind === 'directory' ? await disk.list(directory) : [];
  for (const name of names) {
    const bytes = await allocated(disk, `${directory}/${name}`);
    const layer = layerOfFile(name);
    if (name === 'replica') hasHeader = true;
    if (layer === null || !isReplica) metadataBytes += bytes;
    else if (!holders.has(layer)) leftoverBytes += bytes;
    else {
      const found = files.get(layer) ?? { dataBytes: 0, mapBytes: 0 };
      if (name.endsWith('.data')) found.dataBytes += bytes;
      else found.mapBytes += bytes;
      files.set(layer, found);
    }
  }
  return { metadataBytes, leftoverBytes, hasHeader };
}

async function allocated(disk: Disk, path: string): Promise<number> {
  return (await disk.stat(path))?.allocatedBytes ?? 0;
}
