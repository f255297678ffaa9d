import type { Incarnation, ReplicaId, VolumeId } from '#api/mod.ts';
import { BLOCK_BYTES } from '#data/block/mod.ts';
import type { Disk, DiskFile, Rng } from '#host/mod.ts';
import { Doubt } from './doubt.ts';
import { corrupt } from './format.ts';
import { Layer, mapPages } from './layer.ts';
import { removeQuietly } from './metadata-file.ts';
import { type LayerRecord, sameFile } from './metadata.ts';
import type { PageCache } from './page-cache.ts';
import {
  createDataFile,
  createPagedFile,
  fileIdOf,
  newHex8,
  openPagedFile,
  replicaDirectory,
} from './replica-directory.ts';

export function dataPathOf(pool: string, record: { home: ReplicaId; layer: string }): string {
  return `${replicaDirectory(pool, record.home)}/${record.layer}.data`;
}

export function mapPathOf(pool: string, record: { home: ReplicaId; layer: string }): string {
  return `${replicaDirectory(pool, record.home)}/${record.layer}.map`;
}

/** Files of a new head in `directory`, synced; the caller syncs the directory. None on error. */
export async function createLayerFiles(
  disk: Disk,
  rng: Rng,
  directory: string,
  home: ReplicaId,
  volume: VolumeId,
  sizeBytes: number,
): Promise<LayerRecord> {
  const layer = newHex8(rng);
  const data = `${directory}/${layer}.data`;
  const map = `${directory}/${layer}.map`;
  try {
    return {
      layer,
      home,
      volume,
      sizeBytes,
      state: 'head',
      snapshot: null,
      epoch: 0,
      n: 0,
      data: await createDataFile(disk, data, sizeBytes),
      map: await createPagedFile(
        disk,
        map,
        'LMAP',
        { layer, volume },
        mapPages(sizeBytes / BLOCK_BYTES),
      ),
    };
  } catch (error) {
    await removeQuietly(disk, data);
    await removeQuietly(disk, map);
    throw error;
  }
}

/** `original`: false when the files are not those that the header recorded. */
export async function openLayer(
  disk: Disk,
  pool: string,
  record: LayerRecord,
  segmentBlocks: number,
  cache: PageCache,
  opened: DiskFile[],
): Promise<{ layer: Layer; original: boolean }> {
  const path = dataPathOf(pool, record);
  const data = await disk.open(path, { write: true });
  opened.push(data);
  const stat = await data.stat();
  if (stat.sizeBytes < record.sizeBytes) throw corrupt(path, 'shorter than its layer');
  const map = await openPagedFile(
    disk,
    mapPathOf(pool, record),
    'LMAP',
    record.layer,
    cache,
    opened,
  );
  // A page beyond the end would read as never written, and its blocks as zeroes.
  if (map.pages.pageCount < mapPages(record.sizeBytes / BLOCK_BYTES)) {
    throw corrupt(mapPathOf(pool, record), 'shorter than its layer');
  }
  const original = sameFile(await fileIdOf(data), record.data) && sameFile(map.file, record.map);
  const layer = new Layer(record, data, map.pages, new Doubt(segmentBlocks));
  layer.allocatedBytes = stat.allocatedBytes;
  return { layer, original };
}

export function newIncarnation(rng: Rng): Incarnation {
  return `i-${newHex8(rng)}` as Incarnation;
}
