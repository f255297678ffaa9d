import { BLOCK_BYTES, SECTOR_BYTES } from '#data/block/mod.ts';
import { isZero } from '#lib/mod.ts';
import { KIND_ABSENT, KIND_DATA } from './format.ts';
import { readEntries } from './inspection.ts';
import type { Layer } from './layer.ts';

/**
 * After a power loss: a write over an absent block may have reached the disk in part, and the
 * sectors that did not arrive are holes. They must read as before the write, that is as the layer
 * below, so they are filled in (docs/format/store.md §6 step 6). May be repeated. The caller syncs.
 */
export async function healTornBlocks(layers: readonly Layer[], level: number): Promise<void> {
  const layer = layers[level]!;
  for (const segment of level === 0 ? [] : layer.doubt.segments()) {
    const first = segment * layer.doubt.segmentBlocks;
    const end = Math.min(first + layer.doubt.segmentBlocks, layer.sizeBlocks);
    for (let from = first; from < end; from += 256) {
      const count = Math.min(256, end - from);
      const { kinds } = await readEntries(layer, from, count);
      if (!kinds.includes(KIND_ABSENT)) continue;
      const bytes = await layer.data.read(from * BLOCK_BYTES, count * BLOCK_BYTES);
      for (let i = 0; i < count; i++) {
        if (kinds[i] !== KIND_ABSENT || !layer.doubt.has(from + i)) continue;
        const contents = bytes.subarray(i * BLOCK_BYTES, (i + 1) * BLOCK_BYTES);
        if (isZero(contents)) continue;
        const below = await readBelow(layers, level - 1, from + i);
        if (below !== null && fill(contents, below)) {
          await layer.data.write((from + i) * BLOCK_BYTES, contents);
        }
      }
    }
  }
}

/** Sectors of zeroes take those of `below`; true when any did. */
function fill(contents: Uint8Array, below: Uint8Array): boolean {
  let changed = false;
  for (let at = 0; at < BLOCK_BYTES; at += SECTOR_BYTES) {
    const sector = contents.subarray(at, at + SECTOR_BYTES);
    const before = below.subarray(at, at + SECTOR_BYTES);
    if (!isZero(sector) || isZero(before)) continue;
    sector.set(before);
    changed = true;
  }
  return changed;
}

/** Null when it reads as zero. Unverified: what it becomes part of is unverified as well. */
async function readBelow(
  layers: readonly Layer[],
  level: number,
  block: number,
): Promise<Uint8Array | null> {
  for (let l = level; l >= 0; l--) {
    const layer = layers[l]!;
    if (block >= layer.sizeBlocks) continue;
    const { kinds } = await readEntries(layer, block, 1);
    const kind = kinds[0]!;
    if (kind === KIND_DATA) return layer.data.read(block * BLOCK_BYTES, BLOCK_BYTES);
    if (kind !== KIND_ABSENT) return null;
    if (!layer.doubt.has(block)) continue;
    const contents = await layer.data.read(block * BLOCK_BYTES, BLOCK_BYTES);
    if (!isZero(contents)) return contents;
  }
  return null;
}
