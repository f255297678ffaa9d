/**
 * What goes into the map log and comes out of it (docs/format/store.md §5 and §6): changed entries,
 * page images, stamps, the completed generation, and marks of zeroes.
 */
import { compareGenerations, type Generation } from '#api/mod.ts';
import { ByteReader, viewOf, writeU64Le } from '#lib/mod.ts';
import {
  alignUp,
  allocateRecord,
  corrupt,
  CRCS_WORD,
  decodeSections,
  formatHex8,
  KIND_ABSENT,
  KIND_DATA,
  KIND_ZERO,
  MAP_ENTRIES,
  PAGE_BYTES,
  putSection,
  readKind,
  RECORD_HEADER_BYTES,
  SECTION_COMPLETED,
  SECTION_ENTRIES,
  SECTION_MARK,
  SECTION_PAGE,
  SECTION_STAMPS,
  STAMP_ENTRIES,
  STAMPS_WORD,
  writeKind,
} from './format.ts';
import type { Page } from './page-cache.ts';
import type { PagedFile } from './paged-file.ts';
import { raiseStamp } from './stamp-table.ts';

/** A record that is complete but for its header. */
export interface DraftRecord {
  readonly record: Uint8Array;
  readonly lengthBytes: number;
}

export interface GatheredPage {
  readonly page: Page;
  readonly changed: Uint32Array;
  readonly count: number;
}

/** Takes the changed entries of a file's pages; from now on they count as gathered. */
export function gatherChanges(file: PagedFile): GatheredPage[] {
  const pages = file.changedPages;
  file.changedPages = [];
  return pages.map((page) => {
    const gathered = { page, changed: page.changed!, count: page.changedCount };
    page.gathered = page.changed;
    page.changed = null;
    page.changedCount = 0;
    return gathered;
  });
}

/** The changes are in the log. */
export function settleChanges(pages: readonly GatheredPage[]): void {
  for (const { page } of pages) page.gathered = null;
}

/** The flush that gathered them failed: they wait for the next one. */
export function giveBackChanges(pages: readonly GatheredPage[]): void {
  for (const { page, changed } of pages) {
    page.gathered = null;
    for (let word = 0; word < changed.length; word++) {
      for (let bits = changed[word]!; bits !== 0; bits &= bits - 1) {
        page.noteChanged(word * 32 + 31 - Math.clz32(bits & -bits));
      }
    }
  }
}

/** The record of a flush, or null when nothing changed. */
export function draftFlush(
  maps: readonly { readonly file: PagedFile; readonly pages: readonly GatheredPage[] }[],
  stamps: { readonly file: PagedFile; readonly pages: readonly GatheredPage[] },
  completed: Generation | null,
): DraftRecord | null {
  // Upper bounds: an entry alone is a run of 4 bytes and a checksum; a stamp alone 24 bytes.
  let bytes = completed === null ? 0 : 24;
  for (const { pages } of maps) if (pages.length > 0) bytes += 24 + sum(pages, 8, 8);
  if (stamps.pages.length > 0) bytes += 24 + sum(stamps.pages, 0, 24);
  if (bytes === 0) return null;
  const draft = allocateRecord(bytes);
  const view = viewOf(draft);
  let at = RECORD_HEADER_BYTES;
  for (const { file, pages } of maps) {
    if (pages.length > 0) at = putEntries(draft, view, at, file, pages);
  }
  if (stamps.pages.length > 0) at = putStamps(draft, view, at, stamps.file, stamps.pages);
  if (completed !== null) at = putCompleted(view, at, completed);
  return trim(draft, at);
}

function sum(pages: readonly GatheredPage[], perPage: number, perEntry: number): number {
  let bytes = 0;
  for (const { count } of pages) bytes += perPage + perEntry * count;
  return bytes;
}

function trim(draft: Uint8Array, lengthBytes: number): DraftRecord {
  return { record: draft.subarray(0, alignUp(lengthBytes, 512)), lengthBytes };
}

function isSet(bits: Uint32Array, entry: number): boolean {
  return ((bits[entry >>> 5]! >>> (entry & 31)) & 1) === 1;
}

/** First set bit from `from` on, or `end`. */
function nextSet(bits: Uint32Array, from: number, end: number): number {
  let entry = from;
  while (entry < end) {
    const word = bits[entry >>> 5]! >>> (entry & 31);
    if (word === 0) entry = (entry | 31) + 1;
    else return entry + 31 - Math.clz32(word & -word);
  }
  return end;
}

function putEntries(
  draft: Uint8Array,
  view: DataView,
  at: number,
  file: PagedFile,
  pages: readonly GatheredPage[],
): number {
  const body = at + 8;
  draft.set(file.idBytes, body);
  let to = body + 8;
  for (const { page, changed } of pages) {
    const group = to;
    let runs = 0;
    to += 8;
    let entry = nextSet(changed, 0, MAP_ENTRIES);
    while (entry < MAP_ENTRIES) {
      const kind = readKind(page.bytes, entry);
      let end = entry + 1;
      while (end < MAP_ENTRIES && isSet(changed, end) && readKind(page.bytes, end) === kind) end++;
      view.setUint16(to, entry, true);
      view.setUint16(to + 2, (end - entry) | (kind << 14), true);
      to += 4;
      runs++;
      if (kind === KIND_DATA) {
        for (let i = entry; i < end; i++, to += 4) {
          view.setUint32(to, page.words[CRCS_WORD + i]!, true);
        }
      }
      entry = nextSet(changed, end, MAP_ENTRIES);
    }
    view.setUint32(group, page.index, true);
    view.setUint16(group + 4, runs, true);
  }
  return putSection(view, at, SECTION_ENTRIES, to - body);
}

function putStamps(
  draft: Uint8Array,
  view: DataView,
  at: number,
  file: PagedFile,
  pages: readonly GatheredPage[],
): number {
  const body = at + 8;
  draft.set(file.idBytes, body);
  let to = body + 8;
  for (const { page, changed } of pages) {
    let entry = nextSet(changed, 0, STAMP_ENTRIES);
    while (entry < STAMP_ENTRIES) {
      let end = entry + 1;
      while (end < STAMP_ENTRIES && isSet(changed, end)) end++;
      view.setUint32(to, page.index * STAMP_ENTRIES + entry, true);
      view.setUint32(to + 4, end - entry, true);
      to += 8;
      const from = (STAMPS_WORD + entry * 4) * 4;
      draft.set(page.bytes.subarray(from, from + (end - entry) * 16), to);
      to += (end - entry) * 16;
      entry = nextSet(changed, end, STAMP_ENTRIES);
    }
  }
  return putSection(view, at, SECTION_STAMPS, to - body);
}

function putCompleted(view: DataView, at: number, completed: Generation): number {
  writeU64Le(view, at + 8, completed.epoch);
  writeU64Le(view, at + 16, completed.n);
  return putSection(view, at, SECTION_COMPLETED, 16);
}

/** Blocks that became zero where a lower layer may hold data. */
export function draftMark(
  idBytes: Uint8Array,
  runs: readonly { readonly block: number; readonly count: number }[],
): DraftRecord {
  const draft = allocateRecord(16 + runs.length * 16);
  const view = viewOf(draft);
  const body = RECORD_HEADER_BYTES + 8;
  draft.set(idBytes, body);
  runs.forEach(({ block, count }, i) => {
    writeU64Le(view, body + 8 + i * 16, block);
    writeU64Le(view, body + 16 + i * 16, count);
  });
  return trim(draft, putSection(view, RECORD_HEADER_BYTES, SECTION_MARK, 8 + runs.length * 16));
}

export interface PageImage {
  readonly file: PagedFile;
  readonly index: number;
  readonly bytes: Uint8Array;
}

/** Records of page images, at most `perRecord` each, so that no record grows without bound. */
export function* draftImages(
  images: readonly PageImage[],
  completed: Generation,
  perRecord = 256,
): Generator<DraftRecord> {
  for (let from = 0; from < images.length; from += perRecord) {
    const part = images.slice(from, from + perRecord);
    const draft = allocateRecord(24 + part.length * (24 + PAGE_BYTES));
    const view = viewOf(draft);
    let at = putCompleted(view, RECORD_HEADER_BYTES, completed);
    for (const { file, index, bytes } of part) {
      draft.set(file.idBytes, at + 8);
      view.setUint32(at + 16, index, true);
      draft.set(bytes, at + 24);
      at = putSection(view, at, SECTION_PAGE, 16 + PAGE_BYTES);
    }
    yield trim(draft, at);
  }
}

// --- replay
// -------------------------------------------------------------------------------------------

interface ReplayTarget {
  readonly maps: ReadonlyMap<string, PagedFile>;
  readonly stamps: PagedFile;
}

/**
 * Applies the records to the pages; they end up dirty, none of their entries waiting for a flush.
 * Returns the highest completed generation that the records name.
 *
 * A page with an image takes its last one whatever lies in the file, which may be torn; what stands
 * in front of that image is in it already.
 */
export async function replayMapLog(
  path: string,
  records: readonly Uint8Array[],
  target: ReplayTarget,
): Promise<Generation> {
  const decoded = records.map((record) => decodeSections(path, record));
  const lastImage = new Map<string, number>();
  let ordinal = 0;
  for (const sections of decoded) {
    for (const { type, body } of sections) {
      ordinal++;
      if (type !== SECTION_PAGE) continue;
      if (body.byteLength !== 16 + PAGE_BYTES) throw corrupt(path, 'page image has no page');
      lastImage.set(`${formatHex8(body)}/${viewOf(body).getUint32(8, true)}`, ordinal);
    }
  }
  const replay = new Replay(path, target, lastImage);
  for (const sections of decoded) {
    for (const { type, body } of sections) await replay.apply(type, body);
  }
  replay.settle();
  return replay.completed;
}

class Replay {
  completed: Generation = { epoch: 0, n: 0 };
  readonly #path: string;
  readonly #target: ReplayTarget;
  readonly #lastImage: ReadonlyMap<string, number>;
  readonly #touched = new Set<PagedFile>();
  #ordinal = 0;

  constructor(path: string, target: ReplayTarget, lastImage: ReadonlyMap<string, number>) {
    this.#path = path;
    this.#target = target;
    this.#lastImage = lastImage;
  }

  async apply(type: number, body: Uint8Array): Promise<void> {
    this.#ordinal++;
    if (type === SECTION_COMPLETED) {
      const reader = new ByteReader(body, 'little');
      const completed = { epoch: reader.u64(), n: reader.u64() };
      if (!reader.ok) throw corrupt(this.#path, 'completed generation');
      if (compareGenerations(completed, this.completed) > 0) this.completed = completed;
      return;
    }
    const reader = new ByteReader(body, 'little');
    const id = formatHex8(reader.bytes(8));
    const stamps = id === this.#target.stamps.id;
    const file = stamps ? this.#target.stamps : this.#target.maps.get(id);
    switch (type) {
      case SECTION_PAGE:
        if (file !== undefined) this.#applyImage(file, body);
        break;
      case SECTION_ENTRIES:
        if (file !== undefined && !stamps) await this.#applyEntries(file, reader);
        break;
      case SECTION_STAMPS:
        if (file !== undefined && stamps) await this.#applyStamps(file, reader);
        break;
      case SECTION_MARK:
        if (file !== undefined && !stamps) await this.#applyMark(file, reader);
        break;
      default:
        throw corrupt(this.#path, 'unknown section');
    }
  }

  /** What was replayed is in the log: no flush needs to gather it, a checkpoint will write it. */
  settle(): void {
    for (const file of this.#touched) settleChanges(gatherChanges(file));
  }

  #applyImage(file: PagedFile, body: Uint8Array): void {
    const index = viewOf(body).getUint32(8, true);
    if (this.#lastImage.get(`${file.id}/${index}`) !== this.#ordinal) return;
    const image = body.subarray(16);
    if (!file.isIntact(index, image)) throw corrupt(this.#path, 'page image is damaged');
    file.adopt(index, image);
  }

  async #applyEntries(file: PagedFile, reader: ByteReader): Promise<void> {
    while (reader.remaining > 0 && reader.ok) {
      const index = reader.u32();
      const runs = reader.u16();
      reader.skip(2);
      const page = await this.#pageFor(file, index);
      for (let run = 0; run < runs && reader.ok; run++) {
        const first = reader.u16();
        const packed = reader.u16();
        const end = first + (packed & 0x3fff);
        const kind = packed >>> 14;
        if (end > MAP_ENTRIES || kind > KIND_DATA) throw corrupt(this.#path, 'run of entries');
        for (let entry = first; entry < end; entry++) {
          const crc = kind === KIND_DATA ? reader.u32() : 0;
          if (page !== null) setReplayed(page, entry, kind, crc);
        }
      }
      if (page !== null) page.pins--;
    }
    if (!reader.ok) throw corrupt(this.#path, 'entries are cut off');
  }

  async #applyStamps(file: PagedFile, reader: ByteReader): Promise<void> {
    while (reader.remaining > 0 && reader.ok) {
      const first = reader.u32();
      const end = first + reader.u32();
      for (let segment = first; segment < end && reader.ok; segment++) {
        const epoch = reader.u64();
        const n = reader.u64();
        const page = await this.#pageFor(file, Math.floor(segment / STAMP_ENTRIES));
        if (page === null) continue;
        raiseStamp(page, segment, epoch, n);
        page.pins--;
      }
    }
    if (!reader.ok) throw corrupt(this.#path, 'stamps are cut off');
  }

  async #applyMark(file: PagedFile, reader: ByteReader): Promise<void> {
    while (reader.remaining > 0 && reader.ok) {
      const first = reader.u64();
      const end = first + reader.u64();
      for (let block = first; block < end; ) {
        const index = Math.floor(block / MAP_ENTRIES);
        const pageEnd = Math.min(end, (index + 1) * MAP_ENTRIES);
        const page = await this.#pageFor(file, index);
        if (page !== null) {
          for (let at = block; at < pageEnd; at++) {
            // Where the log knows contents, their checksum tells them from zeroes.
            if (readKind(page.bytes, at % MAP_ENTRIES) !== KIND_ABSENT) continue;
            setReplayed(page, at % MAP_ENTRIES, KIND_ZERO, 0);
          }
          page.pins--;
        }
        block = pageEnd;
      }
    }
    if (!reader.ok) throw corrupt(this.#path, 'marks are cut off');
  }

  /** Pinned; null when a later image has it all. */
  async #pageFor(file: PagedFile, index: number): Promise<Page | null> {
    this.#touched.add(file);
    const image = this.#lastImage.get(`${file.id}/${index}`);
    if (image !== undefined && image > this.#ordinal) return null;
    return file.acquire(index);
  }
}

function setReplayed(page: Page, entry: number, kind: number, crc: number): void {
  writeKind(page.bytes, entry, kind);
  page.words[CRCS_WORD + entry] = crc;
  page.noteChanged(entry);
}
