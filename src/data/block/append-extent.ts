import type { BlockExtent } from './mod.ts';

/**
 * Appends an extent, merged with the last one when that is of the same kind and ends where it
 * begins.
 */
export function appendExtent(
  extents: BlockExtent[],
  offsetBytes: number,
  lengthBytes: number,
  kind: BlockExtent['kind'],
): void {
  const last = extents.at(-1);
  if (last?.kind === kind && last.offsetBytes + last.lengthBytes === offsetBytes) {
    extents[extents.length - 1] = {
      offsetBytes: last.offsetBytes,
      lengthBytes: last.lengthBytes + lengthBytes,
      kind,
    };
  } else if (lengthBytes > 0) {
    extents.push({ offsetBytes, lengthBytes, kind });
  }
}
