import { appendBlockCrc, crc32c, encodeText } from '#lib/mod.ts';

/** CRC-32C one byte at a time, for the eight bytes of a block number: a native call costs more. */
const TABLE = makeTable();

function makeTable(): Uint32Array {
  const table = new Uint32Array(256);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 1 ? (crc >>> 1) ^ 0x82f6_3b78 : crc >>> 1;
    table[byte] = crc >>> 0;
  }
  return table;
}

/**
 * The checksum of a block: crc32c of volume id ‖ u64le block number ‖ contents
 * (docs/format/store.md §4). Position and volume are in it, so a write that landed elsewhere, in
 * this volume or another, never fits: for one length of contents the seed maps one to one to the
 * result.
 */
export class BlockChecksum {
  readonly #volumeState: number;

  constructor(volume: string) {
    this.#volumeState = ~crc32c(encodeText(volume)) >>> 0;
  }

  /** What crc32c over the contents begins with. */
  seed(block: number): number {
    let low = block >>> 0;
    let high = Math.floor(block / 0x1_0000_0000);
    let state = this.#volumeState;
    for (let i = 0; i < 4; i++) {
      state = TABLE[(state ^ low) & 0xff]! ^ (state >>> 8);
      low >>>= 8;
    }
    for (let i = 0; i < 4; i++) {
      state = TABLE[(state ^ high) & 0xff]! ^ (state >>> 8);
      high >>>= 8;
    }
    return ~state >>> 0;
  }

  /** From the crc32c of the contents alone. */
  fromContentCrc(block: number, contentCrc: number): number {
    return appendBlockCrc(this.seed(block), contentCrc);
  }

  /** Gives the same checksum for every block. */
  equals(other: BlockChecksum): boolean {
    return this.#volumeState === other.#volumeState;
  }

  /** `contents` is one block. */
  of(block: number, contents: Uint8Array): number {
    return crc32c(contents, this.seed(block));
  }
}
