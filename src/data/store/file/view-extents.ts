import type { BlockExtent } from '#data/block/mod.ts';
import { BLOCK_BYTES } from '#data/block/mod.ts';
import { KIND_ABSENT, KIND_DATA, MAP_ENTRIES } from './format.ts';
import { readEntries } from './inspection.ts';
import type { Layer } from './layer.ts';

const KIND_NAMES = ['hole', 'zero', 'data'] as const;

/**
 * Kinds of a range of blocks as the top layer shows it, neighbours merged. Skips unwritten maps.
 */
export async function viewExtents(
  layers: readonly Layer[],
  first: number,
  count: number,
): Promise<BlockExtent[]> {
  const extents: { offsetBytes: number; lengthBytes: number; kind: BlockExtent['kind'] }[] = [];
  const end = first + count;
  const add = (block: number, blocks: number, kind: BlockExtent['kind']): void => {
    const last = extents.at(-1);
    if (last?.kind === kind) last.lengthBytes += blocks * BLOCK_BYTES;
    else {
      extents.push({ offsetBytes: block * BLOCK_BYTES, lengthBytes: blocks * BLOCK_BYTES, kind });
    }
  };
  let block = first;
  while (block < end) {
    const page = Math.floor(block / MAP_ENTRIES);
    const present = await firstPresent(layers, page);
    const start = present < 0 ? end : Math.min(end, Math.max(block, present * MAP_ENTRIES));
    if (start > block) add(block, start - block, 'hole');
    if (start >= end) break;
    const stop = Math.min(end, (Math.floor(start / MAP_ENTRIES) + 1) * MAP_ENTRIES);
    const kinds = await viewKinds(layers, start, stop - start);
    for (let i = 0; i < kinds.length; i++) add(start + i, 1, KIND_NAMES[kinds[i]!] ?? 'data');
    block = stop;
  }
  return extents;
}

async function firstPresent(layers: readonly Layer[], page: number): Promise<number> {
  let first = -1;
  for (const layer of layers) {
    const present = await layer.map.nextPresent(page);
    if (present >= 0 && (first < 0 || present < first)) first = present;
  }
  return first;
}

async function viewKinds(
  layers: readonly Layer[],
  first: number,
  count: number,
): Promise<Uint8Array> {
  const view = new Uint8Array(count);
  for (let level = layers.length - 1; level >= 0; level--) {
    const layer = layers[level]!;
    const covered = Math.min(count, layer.sizeBlocks - first);
    if (covered <= 0) continue;
    const { kinds } = await readEntries(layer, first, covered);
    for (let i = 0; i < covered; i++) {
      if (view[i] !== KIND_ABSENT) continue;
      // In doubt: it may hold something, and a hint may say data for zeroes.
      view[i] = layer.doubt.has(first + i) ? KIND_DATA : kinds[i]!;
    }
  }
  return view;
}
