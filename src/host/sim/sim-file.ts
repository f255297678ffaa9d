import type { FileRange } from '../mod.ts';
import { assert } from '#lib/mod.ts';
import type { SimRng } from './sim-rng.ts';

export const PAGE_BYTES = 4096;
export const SECTOR_BYTES = 512;
const ALL_SECTORS = 0xff;

interface Page {
  readonly bytes: Uint8Array;
  /** Which of the eight sectors this layer changed. */
  sectors: number;
  hole: boolean;
  /** When this round first put data into it. */
  sinceMs: number;
}

/**
 * Changes on their way to the disk. `phantom`: a flush failed and the kernel forgot that these
 * pages are dirty: they can be read as long as the power lasts and will never be written.
 */
export interface FlushRound {
  readonly pages: Map<number, Page>;
  sizeBytes: number;
  state: 'dirty' | 'flushing' | 'phantom';
}

/**
 * Contents of one file: what the platter holds (`stable`) and above it the page cache in rounds,
 * oldest first. A flush takes the newest round out and moves its sectors down when it completes, so
 * what is written in the meantime waits for the next flush.
 *
 *     newest   dirty      writes go here
 *              flushing   a flush is under way
 *     oldest   phantom    a flush failed
 *     ------   stable     survives a power loss
 */
export class SimFile {
  readonly kind = 'file';
  readonly inode: number;
  readonly birthMs: number;
  #stable = new Map<number, Uint8Array>();
  #stableSizeBytes = 0;
  #rounds: FlushRound[] = [];
  #top: FlushRound;
  /** Byte offsets of sectors that cannot be read until they are written again. */
  readonly #broken = new Set<number>();
  #pages = 0;

  constructor(inode: number, birthMs: number) {
    this.inode = inode;
    this.birthMs = birthMs;
    this.#top = this.#newRound(0);
  }

  get sizeBytes(): number {
    return this.#top.sizeBytes;
  }

  /** Pages behind the visible contents. */
  get allocatedPages(): number {
    return this.#pages;
  }

  /** Whether a power loss now could change anything. */
  get dirty(): boolean {
    return (
      this.#rounds.length > 1 ||
      this.#top.pages.size > 0 ||
      this.#top.sizeBytes !== this.#stableSizeBytes
    );
  }

  /** Since when some data has waited for a sync; Infinity when none has. Holes do not count. */
  unsyncedSinceMs(): number {
    let sinceMs = Infinity;
    for (const { pages, state } of this.#rounds) {
      if (state === 'phantom') continue;
      for (const page of pages.values()) {
        if (!page.hole && page.sinceMs < sinceMs) sinceMs = page.sinceMs;
      }
    }
    return sinceMs;
  }

  /** How many pages a write would add. */
  pagesMissing(offsetBytes: number, lengthBytes: number): number {
    let missing = 0;
    for (const index of pageIndexes(offsetBytes, lengthBytes))
      if (!this.#holdsData(index)) missing++;
    return missing;
  }

  read(offsetBytes: number, into: Uint8Array): void {
    assert(offsetBytes + into.byteLength <= this.sizeBytes, 'a read ends within the file');
    for (let at = 0; at < into.byteLength; ) {
      const index = Math.floor((offsetBytes + at) / PAGE_BYTES);
      const inPage = (offsetBytes + at) % PAGE_BYTES;
      const count = Math.min(PAGE_BYTES - inPage, into.byteLength - at);
      const bytes = this.#visible(index);
      if (bytes === undefined) into.fill(0, at, at + count);
      else into.set(bytes.subarray(inPage, inPage + count), at);
      at += count;
    }
  }

  write(offsetBytes: number, data: Uint8Array, nowMs = 0): void {
    for (let at = 0; at < data.byteLength; ) {
      const index = Math.floor((offsetBytes + at) / PAGE_BYTES);
      const inPage = (offsetBytes + at) % PAGE_BYTES;
      const count = Math.min(PAGE_BYTES - inPage, data.byteLength - at);
      const page = this.#pageToChange(index, count === PAGE_BYTES, nowMs);
      page.bytes.set(data.subarray(at, at + count), inPage);
      if (page.hole) page.sinceMs = nowMs;
      page.hole = false;
      page.sectors |= sectorMask(inPage, count);
      at += count;
    }
    this.#mend(offsetBytes, data.byteLength);
    this.#top.sizeBytes = Math.max(this.#top.sizeBytes, offsetBytes + data.byteLength);
  }

  /** Zeroes within the file; whole pages become holes. */
  punch(offsetBytes: number, lengthBytes: number): void {
    const end = Math.min(offsetBytes + lengthBytes, this.sizeBytes);
    for (let at = offsetBytes; at < end; ) {
      const index = Math.floor(at / PAGE_BYTES);
      const inPage = at % PAGE_BYTES;
      // The last page of the file counts as whole: nothing lies behind its end.
      const toEnd = end === this.sizeBytes ? PAGE_BYTES - inPage : end - at;
      const count = Math.min(PAGE_BYTES - inPage, toEnd);
      if (this.#visible(index) !== undefined) {
        const page = this.#pageToChange(index, count === PAGE_BYTES);
        page.bytes.fill(0, inPage, inPage + count);
        page.sectors |= sectorMask(inPage, count);
        if (count === PAGE_BYTES) {
          page.hole = true;
          this.#pages--;
        }
      }
      at += count;
    }
    this.#mend(offsetBytes, lengthBytes);
  }

  resize(sizeBytes: number): void {
    if (sizeBytes < this.sizeBytes) this.punch(sizeBytes, this.sizeBytes - sizeBytes);
    this.#top.sizeBytes = sizeBytes;
  }

  extents(offsetBytes: number, lengthBytes: number): FileRange[] {
    const ranges: { offsetBytes: number; lengthBytes: number; kind: 'data' | 'hole' }[] = [];
    for (let at = offsetBytes; at < offsetBytes + lengthBytes; ) {
      const index = Math.floor(at / PAGE_BYTES);
      const count = Math.min((index + 1) * PAGE_BYTES, offsetBytes + lengthBytes) - at;
      const kind = at < this.sizeBytes && this.#holdsData(index) ? 'data' : 'hole';
      const last = ranges.at(-1);
      if (last?.kind === kind) last.lengthBytes += count;
      else ranges.push({ offsetBytes: at, lengthBytes: count, kind });
      at += count;
    }
    return ranges;
  }

  beginFlush(): FlushRound {
    const round = this.#top;
    round.state = 'flushing';
    this.#top = this.#newRound(round.sizeBytes);
    return round;
  }

  completeFlush(round: FlushRound): void {
    for (const earlier of this.#roundsUpTo(round)) {
      for (const [index, page] of earlier.pages) this.#store(index, page, page.sectors);
      this.#setStableSize(earlier.sizeBytes);
    }
    const done = new Set(this.#roundsUpTo(round));
    this.#rounds = this.#rounds.filter((one) => !done.has(one));
  }

  /** The kernel reports the error once and marks the pages clean; some are evicted at once. */
  failFlush(round: FlushRound, rng: SimRng): void {
    for (const earlier of this.#roundsUpTo(round)) {
      for (const index of earlier.pages.keys()) if (rng.chance(0.5)) earlier.pages.delete(index);
      earlier.state = 'phantom';
    }
    this.#recount();
  }

  /** The kernel writes back when it likes: an older version can be what survives. */
  writeBack(offsetBytes: number, lengthBytes: number): void {
    for (const index of pageIndexes(offsetBytes, lengthBytes)) {
      const page = this.#top.pages.get(index);
      if (page !== undefined && !page.hole) {
        this.#store(index, { ...page, bytes: page.bytes.slice() }, page.sectors);
      }
    }
  }

  /** Every sector that was not flushed survives with probability `keep`. */
  losePower(rng: SimRng, keep: number): void {
    for (const round of this.#rounds) {
      if (round.state === 'phantom') continue;
      for (const [index, page] of round.pages) {
        let kept = 0;
        for (let bit = 1; bit <= ALL_SECTORS; bit <<= 1) {
          if ((page.sectors & bit) !== 0 && rng.chance(keep)) kept |= bit;
        }
        if (kept !== 0) this.#store(index, page, kept);
      }
      if (rng.chance(keep)) this.#setStableSize(round.sizeBytes);
    }
    this.#cutStable();
    this.#rounds = [];
    this.#top = this.#newRound(this.#stableSizeBytes);
    this.#recount();
  }

  /** Bit rot: on the platter and, when the page is cached, in what is read now. */
  flipBit(offsetBytes: number, bit: number): void {
    const index = Math.floor(offsetBytes / PAGE_BYTES);
    const inPage = offsetBytes % PAGE_BYTES;
    const copies = [this.#stable.get(index)];
    for (const round of this.#rounds) copies.push(round.pages.get(index)?.bytes);
    for (const bytes of copies) if (bytes !== undefined) bytes[inPage]! ^= 1 << (bit & 7);
  }

  breakSectors(offsetBytes: number, lengthBytes: number): void {
    const first = offsetBytes - (offsetBytes % SECTOR_BYTES);
    for (let at = first; at < offsetBytes + lengthBytes; at += SECTOR_BYTES) this.#broken.add(at);
  }

  isBroken(offsetBytes: number, lengthBytes: number): boolean {
    for (const at of this.#broken) {
      if (at < offsetBytes + lengthBytes && offsetBytes < at + SECTOR_BYTES) return true;
    }
    return false;
  }

  /** A fresh file with the same contents, everything durable. */
  copy(inode: number, birthMs: number, contents: 'visible' | 'durable'): SimFile {
    const file = new SimFile(inode, birthMs);
    const indexes = contents === 'durable' ? this.#stable.keys() : this.#indexes();
    for (const index of indexes) {
      const bytes = contents === 'durable' ? this.#stable.get(index) : this.#visible(index);
      if (bytes !== undefined) file.#stable.set(index, bytes.slice());
    }
    file.#stableSizeBytes = contents === 'durable' ? this.#stableSizeBytes : this.sizeBytes;
    file.#top.sizeBytes = file.#stableSizeBytes;
    file.#recount();
    return file;
  }

  #newRound(sizeBytes: number): FlushRound {
    const round: FlushRound = { pages: new Map(), sizeBytes, state: 'dirty' };
    this.#rounds.push(round);
    return round;
  }

  /** Rounds that are being flushed, up to and with this one. */
  #roundsUpTo(round: FlushRound): FlushRound[] {
    const end = this.#rounds.indexOf(round);
    return this.#rounds.slice(0, end + 1).filter((one) => one.state === 'flushing');
  }

  /** Undefined for a hole. */
  #visible(index: number): Uint8Array | undefined {
    for (let i = this.#rounds.length - 1; i >= 0; i--) {
      const page = this.#rounds[i]!.pages.get(index);
      if (page !== undefined) return page.hole ? undefined : page.bytes;
    }
    return this.#stable.get(index);
  }

  #holdsData(index: number): boolean {
    return this.#visible(index) !== undefined;
  }

  /** `whole`: the caller replaces all of it. */
  #pageToChange(index: number, whole: boolean, nowMs = Infinity): Page {
    const visible = this.#visible(index);
    if (visible === undefined) this.#pages++;
    const page = this.#top.pages.get(index);
    if (page !== undefined) return page;
    const keeps = !whole && visible !== undefined;
    const bytes = keeps ? visible.slice() : new Uint8Array(PAGE_BYTES);
    const fresh: Page = { bytes, sectors: 0, hole: false, sinceMs: nowMs };
    this.#top.pages.set(index, fresh);
    return fresh;
  }

  /** The page's bytes become those of the platter: its round is gone afterwards. */
  #store(index: number, page: Page, sectors: number): void {
    if (page.hole && sectors === ALL_SECTORS) {
      this.#stable.delete(index);
    } else if (sectors === ALL_SECTORS) {
      this.#stable.set(index, page.bytes);
    } else {
      const bytes = this.#stable.get(index) ?? new Uint8Array(PAGE_BYTES);
      copySectors(page.bytes, bytes, sectors);
      this.#stable.set(index, bytes);
    }
    // A page that was forgotten below must not show again what was just replaced.
    for (const round of this.#rounds) {
      if (round.state !== 'phantom') continue;
      const forgotten = round.pages.get(index);
      if (forgotten === undefined) continue;
      copySectors(page.bytes, forgotten.bytes, sectors);
      // Nor hide it: a forgotten hole that was written over is a hole no more.
      forgotten.hole = page.hole;
    }
  }

  #setStableSize(sizeBytes: number): void {
    const shorter = sizeBytes < this.#stableSizeBytes;
    this.#stableSizeBytes = sizeBytes;
    if (shorter) this.#cutStable();
  }

  /** Sectors behind the end are lost with it. */
  #cutStable(): void {
    for (const [index, bytes] of this.#stable) {
      const inPage = this.#stableSizeBytes - index * PAGE_BYTES;
      if (inPage <= 0) this.#stable.delete(index);
      else if (inPage < PAGE_BYTES) bytes.fill(0, inPage);
    }
  }

  #mend(offsetBytes: number, lengthBytes: number): void {
    for (const at of this.#broken) {
      if (at < offsetBytes + lengthBytes && offsetBytes < at + SECTOR_BYTES)
        this.#broken.delete(at);
    }
  }

  #indexes(): Set<number> {
    const indexes = new Set(this.#stable.keys());
    for (const round of this.#rounds) for (const index of round.pages.keys()) indexes.add(index);
    return indexes;
  }

  #recount(): void {
    this.#pages = 0;
    for (const index of this.#indexes()) if (this.#holdsData(index)) this.#pages++;
  }
}

function* pageIndexes(offsetBytes: number, lengthBytes: number): Generator<number> {
  const last = Math.floor((offsetBytes + lengthBytes - 1) / PAGE_BYTES);
  for (let index = Math.floor(offsetBytes / PAGE_BYTES); index <= last; index++) yield index;
}

function sectorMask(inPage: number, count: number): number {
  const first = Math.floor(inPage / SECTOR_BYTES);
  const last = Math.floor((inPage + count - 1) / SECTOR_BYTES);
  return ((1 << (last - first + 1)) - 1) << first;
}

function copySectors(from: Uint8Array, to: Uint8Array, sectors: number): void {
  for (let sector = 0; sector < 8; sector++) {
    if ((sectors & (1 << sector)) === 0) continue;
    const at = sector * SECTOR_BYTES;
    to.set(from.subarray(at, at + SECTOR_BYTES), at);
  }
}
