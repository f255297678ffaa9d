/**
 * docs/format/store.md "Opening, in order", step 4: what the map log says of pages and stamps, kept
 * as a list of changes that a page is read through. A trim of a whole volume is one range here, not
 * a page each.
 */
import { ByteReader, formatHex } from '#lib/mod.ts';
import type { Findings } from './findings.ts';
import type { LogImage, Section } from './record-log.ts';

export const ENTRIES_PER_PAGE = 960;
const ENTRIES = 1;
const PAGE = 2;
const STAMPS = 3;
const COMPLETED = 4;
const MARK = 5;
const PAGE_BYTES = 4096;

export interface EntryRun {
  readonly order: number;
  readonly first: number;
  readonly count: number;
  readonly kind: number;
  /** Only of kind data. */
  readonly checksums: readonly number[];
}

export interface StampRun {
  readonly order: number;
  readonly segment: number;
  readonly stamps: readonly { readonly epoch: number; readonly n: number }[];
}

interface Mark {
  readonly order: number;
  readonly block: number;
  readonly count: number;
}

/** Changes of one layer's map, or of one stamps file. */
export class Changes {
  readonly images = new Map<number, { readonly order: number; readonly bytes: Uint8Array }>();
  readonly entries = new Map<number, EntryRun[]>();
  readonly stamps: StampRun[] = [];
  readonly marks: Mark[] = [];

  image(page: number): Uint8Array | undefined {
    return this.images.get(page)?.bytes;
  }

  /** Runs for a map page in order, those behind its last image. */
  runsOf(page: number): EntryRun[] {
    const after = this.images.get(page)?.order ?? -1;
    const start = page * ENTRIES_PER_PAGE;
    const runs = (this.entries.get(page) ?? []).filter((run) => run.order > after);
    for (const mark of this.marks) {
      const first = Math.max(mark.block, start);
      const end = Math.min(mark.block + mark.count, start + ENTRIES_PER_PAGE);
      if (mark.order <= after || first >= end) continue;
      runs.push({
        order: mark.order,
        first: first - start,
        count: end - first,
        kind: 1,
        checksums: [],
      });
    }
    return runs.toSorted((a, b) => a.order - b.order);
  }

  touches(page: number): boolean {
    return this.images.has(page) || this.runsOf(page).length > 0;
  }
}

export interface MapReplay {
  readonly completed: { readonly epoch: number; readonly n: number };
  /** By layer id or stamps id; none: no changes. */
  changesOf(id: string): Changes;
}

/** Undefined after a finding. */
export function replayMapLog(
  log: LogImage,
  file: string,
  findings: Findings,
): MapReplay | undefined {
  const replay = new Replay({ epoch: log.header.completedEpoch, n: log.header.completedN });
  for (const record of log.records) {
    for (const section of record.sections) {
      if (replay.apply(section)) continue;
      findings.corruption(file, 'A section is malformed', {
        offset: record.offset,
        type: section.type,
      });
      return undefined;
    }
  }
  return replay;
}

class Replay implements MapReplay {
  completed: { epoch: number; n: number };
  readonly #changes = new Map<string, Changes>();
  #order = 0;

  constructor(completed: { epoch: number; n: number }) {
    this.completed = completed;
  }

  changesOf(id: string): Changes {
    let changes = this.#changes.get(id);
    if (changes === undefined) {
      changes = new Changes();
      this.#changes.set(id, changes);
    }
    return changes;
  }

  /** False when the section is malformed or unknown. */
  apply({ type, body }: Section): boolean {
    this.#order++;
    const reader = new ByteReader(body, 'little');
    if (type === COMPLETED) return this.#applyCompleted(reader);
    const changes = this.changesOf(formatHex(reader.bytes(8)));
    if (type === ENTRIES)
      while (reader.ok && reader.remaining > 0) this.#applyGroup(reader, changes);
    else if (type === PAGE) this.#applyPage(reader, changes);
    else if (type === STAMPS)
      while (reader.ok && reader.remaining > 0) this.#applyStamps(reader, changes);
    else if (type === MARK)
      while (reader.ok && reader.remaining > 0) this.#applyMark(reader, changes);
    else return false;
    return reader.ok && reader.remaining === 0;
  }

  #applyCompleted(reader: ByteReader): boolean {
    const [epoch, n] = [reader.u64(), reader.u64()];
    const { completed } = this;
    if (epoch > completed.epoch || (epoch === completed.epoch && n > completed.n)) {
      this.completed = { epoch, n };
    }
    return reader.ok && reader.remaining === 0;
  }

  #applyGroup(reader: ByteReader, changes: Changes): void {
    const page = reader.u32();
    const runs = reader.u16();
    reader.u16();
    const list = changes.entries.get(page) ?? [];
    changes.entries.set(page, list);
    for (let i = 0; i < runs && reader.ok; i++) {
      const first = reader.u16();
      const word = reader.u16();
      const kind = word >>> 14;
      const count = word & 0x3fff;
      if (kind === 3 || first + count > ENTRIES_PER_PAGE) reader.skip(-1);
      const checksums: number[] = [];
      for (let j = 0; kind === 2 && j < count && reader.ok; j++) checksums.push(reader.u32());
      list.push({ order: this.#order, first, count, kind, checksums });
    }
  }

  #applyPage(reader: ByteReader, changes: Changes): void {
    const page = reader.u32();
    reader.u32();
    changes.images.set(page, { order: this.#order, bytes: reader.bytes(PAGE_BYTES) });
  }

  #applyStamps(reader: ByteReader, changes: Changes): void {
    const segment = reader.u32();
    const count = reader.u32();
    const stamps: { epoch: number; n: number }[] = [];
    for (let i = 0; i < count && reader.ok; i++) {
      stamps.push({ epoch: reader.u64(), n: reader.u64() });
    }
    changes.stamps.push({ order: this.#order, segment, stamps });
  }

  #applyMark(reader: ByteReader, changes: Changes): void {
    const block = reader.u64();
    const count = reader.u64();
    changes.marks.push({ order: this.#order, block, count });
  }
}

/** Segments of an intent log; undefined after a finding. */
export function segmentsOf(
  log: LogImage,
  file: string,
  findings: Findings,
): Set<number> | undefined {
  const segments = new Set<number>();
  for (const { sections, offset } of log.records) {
    for (const { type, body } of sections) {
      const reader = new ByteReader(body, 'little');
      while (type === 16 && reader.ok && reader.remaining > 0) {
        const first = reader.u32();
        const count = reader.u32();
        for (let i = 0; i < count && reader.ok; i++) segments.add(first + i);
      }
      if (type === 16 && reader.ok) continue;
      findings.corruption(file, 'A section is malformed', { offset, type });
      return undefined;
    }
  }
  return segments;
}
