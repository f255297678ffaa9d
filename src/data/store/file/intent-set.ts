/**
 * The durable set of intent segments: *Intent before data*. A set bit in memory means that the mark
 * is on the disk; a segment that is not in the set waits for one append that takes all that wait.
 *
 * Marks leave only by `drop`, which replaces the file as a whole. The bits go before the file does:
 * a write that comes meanwhile is marked anew, behind the replacement.
 */
import { HoldfastError } from '#api/mod.ts';
import type { Disk, DiskFile, Rng } from '#host/mod.ts';
import { Bitmap, viewOf } from '#lib/mod.ts';
import {
  allocateRecord,
  alignUp,
  decodeSections,
  corrupt,
  formatHex8,
  putSection,
  RECORD_HEADER_BYTES,
  SECTION_SEGMENTS,
} from './format.ts';
import { removeQuietly } from './metadata-file.ts';
import { RecordLog } from './record-log.ts';

type MarkWaiter = (error: HoldfastError | null) => void;

/** Segments per chunk of the set: a set of a few segments of a huge volume takes a few KiB. */
const CHUNK_SEGMENTS = 32_768;
/** The file is written anew when marks that left or were doubled have made it this long. */
const COMPACT_BYTES = 1024 * 1024;

export class IntentSet {
  readonly #disk: Disk;
  readonly #rng: Rng;
  readonly #directory: string;
  readonly #chunks: (Bitmap | undefined)[] = [];
  #log: RecordLog;
  #size = 0;
  #waiting = new Set<number>();
  #waiters: MarkWaiter[] = [];
  #busy = false;
  /** After a failed sync or replacement nothing is marked any more (W3). */
  #broken: HoldfastError | null = null;
  #idle: (() => void)[] = [];

  protected constructor(disk: Disk, rng: Rng, directory: string, log: RecordLog) {
    this.#disk = disk;
    this.#rng = rng;
    this.#directory = directory;
    this.#log = log;
  }

  /** A new, empty file under `name`; the caller syncs the directory. */
  static async createFile(
    disk: Disk,
    rng: Rng,
    path: string,
    segments: readonly number[] = [],
  ): Promise<DiskFile> {
    const file = await disk.open(path, { write: true, create: 'new' });
    try {
      const log = await RecordLog.create(file, 'INTS', {
        salt: formatHex8(rng.bytes(8)),
        restart: 0,
        completedEpoch: 0,
        completedN: 0,
      });
      if (segments.length > 0) await appendTwice(log, segments);
      await file.flush();
      return file;
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  static async open(disk: Disk, rng: Rng, directory: string): Promise<IntentSet> {
    const path = `${directory}/intents`;
    const file = await disk.open(path, { write: true });
    const log = await RecordLog.open(file, 'INTS');
    const set = new this(disk, rng, directory, log);
    for (const record of await log.scanAll()) {
      for (const { type, body } of decodeSections(path, record)) {
        if (type !== SECTION_SEGMENTS) throw corrupt(path, 'unknown section');
        const view = viewOf(body);
        for (let at = 0; at + 8 <= body.byteLength; at += 8) {
          const first = view.getUint32(at, true);
          const end = first + view.getUint32(at + 4, true);
          for (let segment = first; segment < end; segment++) set.#set(segment);
        }
      }
    }
    return set;
  }

  get size(): number {
    return this.#size;
  }

  /** For an open that fails later. */
  files(): readonly DiskFile[] {
    return [this.#log.file];
  }

  get fileBytes(): number {
    return this.#log.totalBytes;
  }

  has(segment: number): boolean {
    const chunk = this.#chunks[Math.floor(segment / CHUNK_SEGMENTS)];
    return chunk !== undefined && chunk.test(segment % CHUNK_SEGMENTS);
  }

  hasAll(first: number, last: number): boolean {
    for (let segment = first; segment <= last; segment++) if (!this.has(segment)) return false;
    return true;
  }

  segments(): number[] {
    const all: number[] = [];
    this.#chunks.forEach((chunk, index) => {
      if (chunk === undefined) return;
      for (const run of chunk.runs()) {
        for (let i = 0; i < run.count; i++) all.push(index * CHUNK_SEGMENTS + run.index + i);
      }
    });
    return all;
  }

  /** Calls back when the marks of all segments from `first` to `last` are durable. */
  mark(first: number, last: number, waiter: MarkWaiter): void {
    for (let segment = first; segment <= last; segment++) {
      if (!this.has(segment)) this.#waiting.add(segment);
    }
    this.#waiters.push(waiter);
    if (!this.#busy) void this.#drain();
  }

  /** Takes marks out, durably; the bits are gone at once. On error the file keeps them: no harm. */
  async drop(segments: readonly number[]): Promise<void> {
    for (const segment of segments) this.#clear(segment);
    await this.#alone(async () => this.#rewrite());
  }

  /** An append after many others has made the file long. */
  async compactIfLong(): Promise<void> {
    if (this.#log.sizeBytes < COMPACT_BYTES) return;
    await this.#alone(async () => {
      if (this.#log.sizeBytes >= COMPACT_BYTES) await this.#rewrite();
    });
  }

  async close(): Promise<void> {
    await this.#alone(async () => this.#log.close());
  }

  /** The append itself, apart so that a test can plant a store that forgets it. */
  protected async append(segments: readonly number[]): Promise<void> {
    await appendTwice(this.#log, segments);
    try {
      await this.#log.flush();
    } catch (error) {
      this.#broken = unknownState(error);
      throw this.#broken;
    }
  }

  async #drain(): Promise<void> {
    this.#busy = true;
    while (this.#waiters.length > 0) {
      const waiters = this.#waiters;
      const segments = [...this.#waiting].sort((a, b) => a - b);
      this.#waiters = [];
      this.#waiting = new Set();
      let failure: HoldfastError | null = null;
      try {
        if (this.#broken !== null) failure = this.#broken;
        else if (segments.length > 0) await this.append(segments);
      } catch (error) {
        if (!HoldfastError.is(error)) throw error;
        failure = error;
      }
      if (failure === null) for (const segment of segments) this.#set(segment);
      for (const waiter of waiters) waiter(failure);
    }
    this.#busy = false;
    this.#idle.shift()?.();
  }

  /** Runs while no append does; marks that come meanwhile wait. */
  async #alone(action: () => Promise<void>): Promise<void> {
    if (this.#busy) await new Promise<void>((resolve) => this.#idle.push(resolve));
    this.#busy = true;
    try {
      await action();
    } finally {
      this.#busy = false;
      if (this.#idle.length > 0) this.#idle.shift()?.();
      else if (this.#waiters.length > 0) void this.#drain();
    }
  }

  async #rewrite(): Promise<void> {
    const path = `${this.#directory}/intents`;
    const temporary = `${path}.tmp`;
    await this.#disk.remove(temporary);
    try {
      const segments = this.segments();
      const file = await IntentSet.createFile(this.#disk, this.#rng, temporary, segments);
      await file.close();
    } catch (error) {
      await removeQuietly(this.#disk, temporary);
      throw error;
    }
    try {
      await this.#disk.rename(temporary, path);
      await this.#disk.syncDirectory(this.#directory);
      await this.#log.close();
      this.#log = await RecordLog.open(await this.#disk.open(path, { write: true }), 'INTS');
      await this.#log.scanAll();
    } catch (error) {
      // Which file counts is not known any more: a mark in either could be lost.
      this.#broken = unknownState(error);
      throw this.#broken;
    }
  }

  #set(segment: number): void {
    const index = Math.floor(segment / CHUNK_SEGMENTS);
    const chunk = (this.#chunks[index] ??= new Bitmap(CHUNK_SEGMENTS));
    const bit = segment % CHUNK_SEGMENTS;
    if (chunk.test(bit)) return;
    chunk.set(bit);
    this.#size++;
  }

  #clear(segment: number): void {
    const chunk = this.#chunks[Math.floor(segment / CHUNK_SEGMENTS)];
    const bit = segment % CHUNK_SEGMENTS;
    if (chunk === undefined || !chunk.test(bit)) return;
    chunk.clear(bit);
    this.#size--;
  }
}

/** Whatever the reason was: whoever sees this fails the store. */
function unknownState(cause: unknown): HoldfastError {
  return new HoldfastError('io-error', 'Intents may not be durable', { effect: 'unknown', cause });
}

/** Two records of the same marks: no flipped bit can lose one (docs/format/store.md §5). */
async function appendTwice(log: RecordLog, segments: readonly number[]): Promise<void> {
  const runs = runsOf(segments);
  const body = runs.length * 4;
  for (let copy = 0; copy < 2; copy++) {
    const record = allocateRecord(8 + alignUp(body, 8));
    const view = viewOf(record);
    const end = putSection(view, RECORD_HEADER_BYTES, SECTION_SEGMENTS, body);
    runs.forEach((value, i) => view.setUint32(RECORD_HEADER_BYTES + 8 + i * 4, value, true));
    await log.append(record, end);
  }
}

/** First and count of each run of ascending segments, one after the other. */
function runsOf(segments: readonly number[]): number[] {
  const runs: number[] = [];
  for (const segment of segments) {
    const last = runs.length - 2;
    if (last >= 0 && runs[last]! + runs[last + 1]! === segment) runs[last + 1]!++;
    else runs.push(segment, 1);
  }
  return runs;
}
