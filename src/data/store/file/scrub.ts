/**
 * Verifies every block of every layer, a budget at a time. Besides contents that do not match their
 * checksum it finds contents where the map says there are none: what a lost write of a map page
 * leaves behind.
 */
import type { LayerRef, ScrubReport } from '#api/mod.ts';
import { BLOCK_BYTES } from '#data/block/mod.ts';
import { isZero } from '#lib/mod.ts';
import type { DataPath } from './data-path.ts';
import { KIND_DATA, MAP_ENTRIES } from './format.ts';
import { readEntries } from './inspection.ts';
import type { Layer } from './layer.ts';
import type { LayerStack } from './layer-stack.ts';

const CHUNK_BLOCKS = 192; // a fifth of a page
const WINDOW_BYTES = 4 * 1024 * 1024 * 1024;

interface Mismatch {
  readonly layer: LayerRef;
  readonly block: number;
}

export class Scrub {
  readonly #stack: LayerStack;
  readonly #dataPath: DataPath;
  /** Where the last call ended: by id, since the stack changes between calls. */
  #layerId: string | null = null;
  #block = 0;

  constructor(stack: LayerStack, dataPath: DataPath) {
    this.#stack = stack;
    this.#dataPath = dataPath;
  }

  async run(budgetBlocks: number): Promise<ScrubReport> {
    const mismatches: Mismatch[] = [];
    let checkedBlocks = 0;
    while (checkedBlocks < budgetBlocks) {
      const level = this.#level();
      const layer = this.#stack.layers[level];
      if (layer === undefined) {
        this.#layerId = null;
        return { checkedBlocks, mismatches, done: true };
      }
      this.#layerId = layer.id;
      const from = await this.#nextBlock(layer);
      if (from < 0) {
        this.#layerId = this.#stack.layers[level + 1]?.id ?? '';
        this.#block = 0;
        continue;
      }
      const count = Math.min(CHUNK_BLOCKS - (from % CHUNK_BLOCKS), layer.sizeBlocks - from);
      await this.#checkChunk(level, from, count, mismatches);
      checkedBlocks += count;
      this.#block = from + count;
    }
    return { checkedBlocks, mismatches, done: false };
  }

  #level(): number {
    if (this.#layerId === null) {
      this.#block = 0;
      return 0;
    }
    return this.#layerId === ''
      ? this.#stack.layers.length
      : Math.max(
          0,
          this.#stack.layers.findIndex((layer) => layer.id === this.#layerId),
        );
  }

  /** The next block that the map or the data file may hold something of. */
  async #nextBlock(layer: Layer): Promise<number> {
    const from = this.#block;
    if (from >= layer.sizeBlocks) return -1;
    const page = await layer.map.nextPresent(Math.floor(from / MAP_ENTRIES));
    const mapped = page < 0 ? layer.sizeBlocks : Math.max(from, page * MAP_ENTRIES);
    if (mapped === from) return from;
    const found = Math.min(mapped, await nextData(layer, from, mapped));
    return found >= layer.sizeBlocks ? -1 : found;
  }

  async #checkChunk(
    level: number,
    first: number,
    count: number,
    mismatches: Mismatch[],
  ): Promise<void> {
    const layer = this.#stack.layers[level]!;
    const suspects = await findMismatches(layer, first, count, this.#overMerging(level));
    for (const block of suspects) {
      // A write may have come between entry and contents: once more, with writes kept away.
      const again = await this.#dataPath.hold(layer, block, 1, async () => {
        return findMismatches(layer, block, 1, this.#overMerging(level));
      });
      if (again.length > 0) mismatches.push({ layer: layer.snapshot, block });
    }
  }

  /** While the layer below is merged up, copies lie in this one before its map says so. */
  #overMerging(level: number): boolean {
    return this.#stack.layers[level - 1]?.record.state === 'merging';
  }
}

async function findMismatches(
  layer: Layer,
  first: number,
  count: number,
  overMerging: boolean,
): Promise<number[]> {
  const { kinds, crcs } = await readEntries(layer, first, count);
  const found: number[] = [];
  const bytes = await layer.data.read(first * BLOCK_BYTES, count * BLOCK_BYTES);
  for (let i = 0; i < count; i++) {
    const block = first + i;
    if (layer.doubt.has(block)) continue;
    const contents = bytes.subarray(i * BLOCK_BYTES, (i + 1) * BLOCK_BYTES);
    const fits =
      kinds[i] === KIND_DATA
        ? layer.checksum.of(block, contents) === crcs[i]
        : overMerging || isZero(contents);
    if (!fits) found.push(block);
  }
  return found;
}

async function nextData(layer: Layer, from: number, end: number): Promise<number> {
  let at = from * BLOCK_BYTES;
  const endBytes = end * BLOCK_BYTES;
  while (at < endBytes) {
    const length = Math.min(endBytes - at, WINDOW_BYTES);
    for (const extent of await layer.data.extents(at, length)) {
      if (extent.kind !== 'hole') return Math.floor(extent.offsetBytes / BLOCK_BYTES);
    }
    at += length;
  }
  return end;
}
