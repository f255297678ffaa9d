/**
 * Contents of a block that say who wrote them: every sector carries the value, its place and a
 * check.
 */
import { BLOCK_BYTES, SECTOR_BYTES } from '#data/block/mod.ts';
import { crc32c } from '#lib/mod.ts';

const MAGIC = 0x484f4c44;
const SECTORS = BLOCK_BYTES / SECTOR_BYTES;

/** Value 0 is a block of zeroes. */
export function fillBlock(bytes: Uint8Array, block: number, value: number): void {
  if (value === 0) {
    bytes.fill(0);
    return;
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, BLOCK_BYTES);
  for (let at = 0; at < BLOCK_BYTES; at += 4) view.setUint32(at, value, true);
  for (let sector = 0; sector < SECTORS; sector += 1) {
    const at = sector * SECTOR_BYTES;
    view.setUint32(at, MAGIC, true);
    view.setUint32(at + 4, block * SECTORS + sector, true);
    view.setUint32(at + 8, value, true);
    view.setUint32(at + 12, crc32c(bytes.subarray(at + 16, at + SECTOR_BYTES)), true);
  }
}

/** The value in each sector; -1 where the contents are nobody's. */
export function readBlock(bytes: Uint8Array, block: number): number[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, BLOCK_BYTES);
  return Array.from({ length: SECTORS }, (_, sector) => {
    const at = sector * SECTOR_BYTES;
    const body = bytes.subarray(at, at + SECTOR_BYTES);
    if (body.every((byte) => byte === 0)) return 0;
    const good =
      view.getUint32(at, true) === MAGIC &&
      view.getUint32(at + 4, true) === block * SECTORS + sector &&
      view.getUint32(at + 12, true) === crc32c(body.subarray(16));
    return good ? view.getUint32(at + 8, true) : -1;
  });
}
