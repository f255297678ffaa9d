import { HoldfastError } from '#api/mod.ts';
import { BLOCK_BYTES } from '#data/block/mod.ts';
import type { DataPath } from './data-path.ts';
import { KIND_ABSENT, KIND_DATA, KIND_ZERO, MAP_ENTRIES } from './format.ts';
import { readEntries } from './inspection.ts';
import { type Layer, pageOf, setEntry } from './layer.ts';

const CHUNK_BLOCKS = 192; // a fifth of a page: a chunk never crosses one

/**
 * Copies into `upper` what it lacks of `lower`, the layer right below it. Readers see no change at
 * any moment, so it may be broken off and repeated. Writes to the chunk at hand wait.
 */
export async function copyUp(
  lower: Layer,
  upper: Layer,
  lowerIsBottom: boolean,
  dataPath: DataPath,
  breathe: () => Promise<void>,
): Promise<void> {
  for (
    let index = await lower.map.nextPresent(0);
    index >= 0;
    index = await lower.map.nextPresent(index + 1)
  ) {
    for (let from = 0; from < MAP_ENTRIES; from += CHUNK_BLOCKS) {
      const first = index * MAP_ENTRIES + from;
      const count = Math.min(CHUNK_BLOCKS, lower.sizeBlocks - first);
      if (count <= 0) break;
      await dataPath.hold(upper, first, count, async () => {
        await copyChunk(lower, upper, first, count, lowerIsBottom);
      });
    }
    await breathe();
  }
}

async function copyChunk(
  lower: Layer,
  upper: Layer,
  first: number,
  count: number,
  lowerIsBottom: boolean,
): Promise<void> {
  const below = await readEntries(lower, first, count);
  const above = await readEntries(upper, first, count);
  const page = await upper.map.acquire(pageOf(first));
  try {
    for (let i = 0; i < count; i++) {
      if (above.kinds[i] !== KIND_ABSENT || below.kinds[i] === KIND_ABSENT) continue;
      // What a failed write left there may be newer than the block below.
      if (upper.doubt.has(first + i)) throw new HoldfastError('not-current', 'Block is in doubt');
      if (below.kinds[i] === KIND_ZERO && !lowerIsBottom) setEntry(page, first + i, KIND_ZERO, 0);
      if (below.kinds[i] !== KIND_DATA) continue;
      let end = i + 1;
      while (
        end < count &&
        above.kinds[end] === KIND_ABSENT &&
        below.kinds[end] === KIND_DATA &&
        !upper.doubt.has(first + end)
      ) {
        end++;
      }
      const bytes = await lower.data.read((first + i) * BLOCK_BYTES, (end - i) * BLOCK_BYTES);
      verify(lower, first + i, bytes, below.crcs.subarray(i, end));
      upper.unsynced = true;
      await upper.data.write((first + i) * BLOCK_BYTES, bytes);
      upper.unsynced = true;
      for (let j = i; j < end; j++) {
        const contents = bytes.subarray((j - i) * BLOCK_BYTES, (j - i + 1) * BLOCK_BYTES);
        setEntry(page, first + j, KIND_DATA, upper.checksum.of(first + j, contents));
      }
      i = end - 1;
    }
  } finally {
    page.pins--;
  }
}

/** A damaged block is not given a new checksum that fits: the merge stops, nothing is lost. */
function verify(lower: Layer, first: number, bytes: Uint8Array, crcs: Uint32Array): void {
  crcs.forEach((crc, i) => {
    const contents = bytes.subarray(i * BLOCK_BYTES, (i + 1) * BLOCK_BYTES);
    if (lower.checksum.of(first + i, contents) === crc) return;
    throw new HoldfastError('checksum-mismatch', 'Block does not match its checksum', {
      details: { block: first + i, offsetBytes: (first + i) * BLOCK_BYTES },
    });
  });
}
