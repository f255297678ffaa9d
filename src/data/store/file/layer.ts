import type { SnapshotId, VolumeId } from '#api/mod.ts';
import { BLOCK_BYTES } from '#data/block/mod.ts';
import type { DiskFile } from '#host/mod.ts';
import { BlockChecksum } from './block-checksum.ts';
import type { Doubt } from './doubt.ts';
import { CRCS_WORD, KIND_DATA, MAP_ENTRIES, readKind, writeKind } from './format.ts';
import type { LayerRecord } from './metadata.ts';
import type { Page } from './page-cache.ts';
import type { PagedFile } from './paged-file.ts';

/** One layer of the stack, open: its contents, its map, and what is in doubt. */
export class Layer {
  /** As the replica's header names it; replaced when state or size change. */
  record: LayerRecord;
  readonly data: DiskFile;
  readonly map: PagedFile;
  readonly checksum: BlockChecksum;
  /** Only head and unsealed layers have blocks in doubt. */
  readonly doubt: Doubt;
  /** Contents changed since the last sync of the data file began. */
  unsynced = false;
  /** As last looked at: a figure for people. */
  allocatedBytes = 0;
  sizeBlocks: number;

  constructor(record: LayerRecord, data: DiskFile, map: PagedFile, doubt: Doubt) {
    this.record = record;
    this.data = data;
    this.map = map;
    this.doubt = doubt;
    this.checksum = new BlockChecksum(record.volume);
    this.sizeBlocks = record.sizeBytes / BLOCK_BYTES;
  }

  get id(): string {
    return this.record.layer;
  }

  get volume(): VolumeId {
    return this.record.volume;
  }

  get snapshot(): SnapshotId | null {
    return this.record.state === 'merging' ? null : this.record.snapshot;
  }

  get writable(): boolean {
    return this.record.state === 'head' || this.record.state === 'unsealed';
  }

  async close(): Promise<void> {
    await this.data.close();
    await this.map.close();
  }
}

/** Pages that a map of this many blocks has. */
export function mapPages(blocks: number): number {
  return Math.ceil(blocks / MAP_ENTRIES);
}

export function pageOf(block: number): number {
  return Math.floor(block / MAP_ENTRIES);
}

export function kindIn(page: Page, block: number): number {
  return readKind(page.bytes, block % MAP_ENTRIES);
}

export function crcIn(page: Page, block: number): number {
  return page.words[CRCS_WORD + (block % MAP_ENTRIES)]!;
}

/** Changes an entry and remembers that a flush must gather it. The page is pinned. */
export function setEntry(page: Page, block: number, kind: number, crc: number): void {
  const entry = block % MAP_ENTRIES;
  writeKind(page.bytes, entry, kind);
  page.words[CRCS_WORD + entry] = kind === KIND_DATA ? crc : 0;
  page.noteChanged(entry);
}
