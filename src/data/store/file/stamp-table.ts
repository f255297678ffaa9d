import { compareGenerations, type Generation, type StampedSegment } from '#api/mod.ts';
import { STAMP_ENTRIES, STAMPS_WORD } from './format.ts';
import type { Page } from './page-cache.ts';
import type { PagedFile } from './paged-file.ts';

const TWO_32 = 0x1_0000_0000;

/** The stamp that segments of a clone are born with, whatever the table says. */
export interface BaseStamp {
  readonly generation: Generation;
  readonly segments: number;
}

/** Per segment of the replica the generation of its last write; one table under all layers. */
export class StampTable {
  /** Replaced by a reset. */
  pages: PagedFile;
  base: BaseStamp;

  constructor(pages: PagedFile, base: BaseStamp) {
    this.pages = pages;
    this.base = base;
  }

  async read(segment: number): Promise<Generation> {
    const page = await this.pages.acquire(stampPageOf(segment));
    page.pins--;
    return this.#stampIn(page, segment);
  }

  /** True when the segment was written, with whatever stamp, since a flush gathered it last. */
  isUnsynced(segment: number): boolean {
    // A page that changed is dirty, and dirty pages are in memory.
    return this.pages.peek(stampPageOf(segment))?.isChanged(segment % STAMP_ENTRIES) ?? false;
  }

  async raise(segment: number, stamp: Generation): Promise<void> {
    const page = await this.pages.acquire(stampPageOf(segment));
    raiseStamp(page, segment, stamp.epoch, stamp.n);
    page.pins--;
  }

  /** Ascending from `fromSegment`, at most `limit`. Reads only pages that hold something. */
  async above(
    generation: Generation,
    fromSegment: number,
    segments: number,
    limit: number,
  ): Promise<StampedSegment[]> {
    const found: StampedSegment[] = [];
    const baseCounts = compareGenerations(this.base.generation, generation) > 0;
    let segment = fromSegment;
    while (segment < segments && found.length < limit) {
      const index = stampPageOf(segment);
      if (!baseCounts || segment >= this.base.segments) {
        const present = await this.pages.nextPresent(index);
        if (present < 0) break;
        if (present > index) {
          segment = present * STAMP_ENTRIES;
          continue;
        }
      }
      const page = await this.pages.acquire(index);
      page.pins--;
      const end = Math.min(segments, (index + 1) * STAMP_ENTRIES);
      for (; segment < end && found.length < limit; segment++) {
        const stamp = this.#stampIn(page, segment);
        if (compareGenerations(stamp, generation) > 0) found.push({ segment, stamp });
      }
    }
    return found;
  }

  #stampIn(page: Page, segment: number): Generation {
    const at = STAMPS_WORD + (segment % STAMP_ENTRIES) * 4;
    const { words } = page;
    const stamp = {
      epoch: words[at + 1]! * TWO_32 + words[at]!,
      n: words[at + 3]! * TWO_32 + words[at + 2]!,
    };
    if (segment >= this.base.segments) return stamp;
    return compareGenerations(stamp, this.base.generation) >= 0 ? stamp : this.base.generation;
  }
}

export function stampPageOf(segment: number): number {
  return Math.floor(segment / STAMP_ENTRIES);
}

/** The higher stamp stays; the segment counts as unsynced either way. The page is pinned. */
export function raiseStamp(page: Page, segment: number, epoch: number, n: number): void {
  const entry = segment % STAMP_ENTRIES;
  const at = STAMPS_WORD + entry * 4;
  const { words } = page;
  const oldEpoch = words[at + 1]! * TWO_32 + words[at]!;
  const oldN = words[at + 3]! * TWO_32 + words[at + 2]!;
  if (epoch > oldEpoch || (epoch === oldEpoch && n > oldN)) {
    words[at] = epoch % TWO_32;
    words[at + 1] = Math.floor(epoch / TWO_32);
    words[at + 2] = n % TWO_32;
    words[at + 3] = Math.floor(n / TWO_32);
  }
  page.noteChanged(entry);
}
