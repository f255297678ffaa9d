import { BLOCK_BYTES, REPLICA_IO_BYTES } from '#data/block/mod.ts';
import { KIND_ABSENT, KIND_DATA } from './format.ts';
import { crcIn, kindIn, type Layer, pageOf } from './layer.ts';
import type { ReplicaIo } from './replica-io.ts';

/**
 * Finds the layer that `io.block` lies in (`io.source`; null reads as zero), and how many blocks
 * after it lie there too. Their checksums go into `io.crcs`. Negative: a page is being loaded and
 * the read goes on later; 0: in doubt.
 */
export function findRun(io: ReplicaIo, layers: readonly Layer[]): number {
  // Anew each time: the stack may have changed while a page was being loaded.
  const top = layers.lastIndexOf(io.layer!);
  const limit = Math.min(io.endBlock - io.block, REPLICA_IO_BYTES / BLOCK_BYTES);
  let run = 0;
  io.source = null;
  for (; run < limit; run++) {
    const block = io.block + run;
    let source: Layer | null = null;
    let crc = 0;
    for (let level = top; level >= 0; level--) {
      const layer = layers[level]!;
      if (block >= layer.sizeBlocks) continue;
      if (layer.doubt.any && layer.doubt.has(block)) return run;
      const page = layer.map.peek(pageOf(block));
      if (page === undefined) {
        if (run > 0) return run;
        layer.map.load(pageOf(block), io.loaded);
        return -1;
      }
      const kind = kindIn(page, block);
      if (kind === KIND_ABSENT) continue;
      if (kind === KIND_DATA) {
        source = layer;
        crc = crcIn(page, block);
      }
      break;
    }
    if (run === 0) io.source = source;
    else if (source !== io.source) return run;
    io.crcs[run] = crc;
  }
  return run;
}
