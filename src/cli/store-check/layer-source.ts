/** One layer of a replica: its map through the log, its data file, and which of it is in doubt. */
import { crc32c, encodeText, viewOf, writeU64Le } from '#lib/mod.ts';
import type { Findings } from './findings.ts';
import { ENTRIES_PER_PAGE } from './map-replay.ts';
import { type MapPage, type PagedSource, readMapPage } from './paged-source.ts';
import type { LayerPayload } from './payloads.ts';
import type { SourceFile } from './source-file.ts';

export const BLOCK_BYTES = 4096;
export const PAGE_DATA_BYTES = ENTRIES_PER_PAGE * BLOCK_BYTES;

export interface LayerOptions {
  readonly layer: LayerPayload;
  readonly map: PagedSource;
  readonly data: SourceFile;
  readonly findings: Findings;
  /** Whether a block of this layer is in doubt. */
  readonly inDoubt: (block: number) => boolean;
}

/**
 * What lies under a map page in the data file; `unreadable`: indices of blocks that gave an error.
 */
export interface PageContents {
  readonly bytes: Uint8Array;
  readonly unreadable: ReadonlySet<number>;
}

export class LayerSource {
  readonly layer: LayerPayload;
  readonly map: PagedSource;
  readonly data: SourceFile;
  readonly inDoubt: (block: number) => boolean;
  readonly #findings: Findings;
  readonly #seed: number;
  readonly #number = new Uint8Array(8);

  constructor(options: LayerOptions) {
    this.layer = options.layer;
    this.map = options.map;
    this.data = options.data;
    this.inDoubt = options.inDoubt;
    this.#findings = options.findings;
    this.#seed = crc32c(encodeText(options.layer.volume));
  }

  get blocks(): number {
    return this.layer.sizeBytes / BLOCK_BYTES;
  }

  get pages(): number {
    return Math.ceil(this.blocks / ENTRIES_PER_PAGE);
  }

  entries(page: number): Promise<MapPage | 'never' | 'bad'> {
    return readMapPage(this.map, page, this.#findings);
  }

  /** Undefined when the file has only holes there. */
  async contents(page: number): Promise<PageContents | undefined> {
    const start = page * PAGE_DATA_BYTES;
    const ranges = await this.data.allocated(start, PAGE_DATA_BYTES);
    if (ranges.length === 0) return undefined;
    const bytes = new Uint8Array(PAGE_DATA_BYTES);
    const unreadable = new Set<number>();
    for (const { at, end } of ranges) {
      try {
        bytes.set(await this.data.read(at, end - at), at - start);
      } catch {
        await this.#readOneByOne(start, at, end, bytes, unreadable);
      }
    }
    return { bytes, unreadable };
  }

  fits(block: number, contents: Uint8Array, checksum: number): boolean {
    writeU64Le(viewOf(this.#number), 0, block);
    return crc32c(contents, crc32c(this.#number, this.#seed)) === checksum;
  }

  async #readOneByOne(
    start: number,
    at: number,
    end: number,
    bytes: Uint8Array,
    unreadable: Set<number>,
  ): Promise<void> {
    const first = Math.floor(at / BLOCK_BYTES) * BLOCK_BYTES;
    for (let offset = first; offset < end; offset += BLOCK_BYTES) {
      try {
        bytes.set(await this.data.read(offset, BLOCK_BYTES), offset - start);
      } catch {
        unreadable.add((offset - start) / BLOCK_BYTES);
      }
    }
  }
}

export function blockOf(bytes: Uint8Array, index: number): Uint8Array {
  return bytes.subarray(index * BLOCK_BYTES, (index + 1) * BLOCK_BYTES);
}
