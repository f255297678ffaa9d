/**
 * A log of checksummed records behind a header in two slots (docs/format/store.md §5): the map log
 * and the intents are both one.
 *
 * - Appends have one order. A failed append changes nothing: the next one takes its place.
 * - `restart` makes all records void at once and begins again at the front of the same file, so
 *   that
 *   later syncs overwrite blocks that the filesystem has allocated already.
 */
import type { Generation } from '#api/mod.ts';
import type { DiskFile } from '#host/mod.ts';
import {
  alignUp,
  corrupt,
  decodeRecord,
  type EnvelopeKind,
  encodeHeaderPage,
  formatHex8,
  hex8Bytes,
  LOG_HEADER_BYTES,
  looksLikeRecord,
  PAGED_HEADER_BYTES,
  RECORD_ALIGN,
  type RecordHeader,
  sealRecord,
} from './format.ts';
import { decodeLogHeader, type LogHeader } from './metadata.ts';

/** What lies in the file is kept for the next records up to this size. */
const KEPT_BYTES_MAX = 16 * 1024 * 1024;

export interface LogScan {
  /** Whole records, header included, in order. */
  readonly records: readonly Uint8Array[];
  /** A record was begun behind the last valid one. */
  readonly torn: boolean;
}

export class RecordLog {
  readonly file: DiskFile;
  readonly kind: EnvelopeKind;
  #header: LogHeader;
  #salt: Uint8Array;
  #endBytes = LOG_HEADER_BYTES;
  #fileBytes: number;
  #sequence = 0;
  #synced = 0;
  #previousCrc = 0;
  #tail: Promise<unknown> = Promise.resolve();

  constructor(file: DiskFile, kind: EnvelopeKind, header: LogHeader, fileBytes: number) {
    this.file = file;
    this.kind = kind;
    this.#header = header;
    this.#salt = hex8Bytes(header.salt);
    this.#fileBytes = fileBytes;
  }

  /** Writes both slots into a new file; the caller syncs. */
  static async create(file: DiskFile, kind: EnvelopeKind, header: LogHeader): Promise<RecordLog> {
    const page = encodeHeaderPage(kind, header);
    await file.write(0, page);
    await file.write(PAGED_HEADER_BYTES, page);
    return new RecordLog(file, kind, header, LOG_HEADER_BYTES);
  }

  /** Reads the header; `scan` must follow before the first append. */
  static async open(file: DiskFile, kind: EnvelopeKind): Promise<RecordLog> {
    const { sizeBytes } = await file.stat();
    if (sizeBytes < LOG_HEADER_BYTES) throw corrupt(file.path, 'shorter than its header');
    const bytes = await file.read(0, LOG_HEADER_BYTES);
    const a = decodeLogHeader(file.path, kind, bytes.subarray(0, PAGED_HEADER_BYTES));
    const b = decodeLogHeader(file.path, kind, bytes.subarray(PAGED_HEADER_BYTES));
    const header = newest(a, b);
    if (header === undefined) throw corrupt(file.path, 'both headers are damaged');
    if (a?.restart !== b?.restart) {
      // A crash between the two slots, or a damaged one: two good copies again before going on.
      await file.write(a === header ? PAGED_HEADER_BYTES : 0, encodeHeaderPage(kind, header));
      await file.flush();
    }
    return new RecordLog(file, kind, header, sizeBytes);
  }

  get completed(): Generation {
    return { epoch: this.#header.completedEpoch, n: this.#header.completedN };
  }

  get restarts(): number {
    return this.#header.restart;
  }

  /** Bytes of records since the restart. */
  get sizeBytes(): number {
    return this.#endBytes - LOG_HEADER_BYTES;
  }

  get totalBytes(): number {
    return this.#fileBytes;
  }

  /** Finds the valid records of an ordered log and cuts the rest off; durable when it resolves. */
  async scan(): Promise<LogScan> {
    const bytes = await this.#readAll();
    const records: Uint8Array[] = [];
    let at = 0;
    for (;;) {
      const header = this.#next(bytes, at);
      if (header === undefined) break;
      records.push(bytes.subarray(at, at + header.lengthBytes));
      this.#sequence = header.sequence;
      this.#previousCrc = header.crc;
      at += alignUp(header.lengthBytes, RECORD_ALIGN);
    }
    this.#endBytes = LOG_HEADER_BYTES + at;
    const torn = at < bytes.byteLength && looksLikeRecord(bytes, at, this.#salt);
    this.#refuseDamage(bytes, at);
    if (at < bytes.byteLength) {
      await this.file.resize(this.#endBytes);
      this.#fileBytes = this.#endBytes;
    }
    // What a process left unsynced was replayed: nothing new may rest on it before it is durable.
    await this.file.flush();
    this.#synced = this.#sequence;
    return { records, torn };
  }

  /** For a log whose records mean the same in any order: every valid one, wherever it lies. */
  async scanAll(): Promise<Uint8Array[]> {
    const bytes = await this.#readAll();
    const records: Uint8Array[] = [];
    let end = 0;
    for (let at = 0; at < bytes.byteLength; at += RECORD_ALIGN) {
      const header = decodeRecord(bytes, at, this.#salt);
      if (header === undefined) continue;
      records.push(bytes.subarray(at, at + header.lengthBytes));
      end = at + alignUp(header.lengthBytes, RECORD_ALIGN);
      this.#sequence = Math.max(this.#sequence, header.sequence);
      this.#previousCrc = header.crc;
    }
    this.#endBytes = LOG_HEADER_BYTES + end;
    await this.file.flush();
    this.#synced = this.#sequence;
    return records;
  }

  /** Runs alone among the appends. Inside, only `appendInside`, `flush` and `restartInside`. */
  async exclusive<T>(action: () => Promise<T>): Promise<T> {
    const before = this.#tail;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#tail = promise;
    try {
      await before;
      return await action();
    } finally {
      resolve();
    }
  }

  /** Appends one record (from `allocateRecord`); not durable before `flush`. */
  async append(record: Uint8Array, lengthBytes: number): Promise<void> {
    await this.exclusive(async () => this.appendInside(record, lengthBytes));
  }

  async appendInside(record: Uint8Array, lengthBytes: number): Promise<void> {
    const sequence = this.#sequence + 1;
    const crc = sealRecord(
      record,
      lengthBytes,
      this.#salt,
      sequence,
      this.#synced,
      this.#previousCrc,
    );
    await this.file.write(this.#endBytes, record);
    this.#sequence = sequence;
    this.#previousCrc = crc;
    this.#endBytes += record.byteLength;
    this.#fileBytes = Math.max(this.#fileBytes, this.#endBytes);
  }

  /** Makes every record whose append has resolved durable. */
  async flush(): Promise<void> {
    const covered = this.#sequence;
    const { salt } = this.#header;
    await this.file.flush();
    // A restart in between made sequences begin again: then they say nothing of the new records.
    if (salt === this.#header.salt) this.#synced = Math.max(this.#synced, covered);
  }

  async restartInside(salt: Uint8Array, completed: Generation): Promise<void> {
    const header: LogHeader = {
      salt: formatHex8(salt),
      restart: this.#header.restart + 1,
      completedEpoch: completed.epoch,
      completedN: completed.n,
    };
    const page = encodeHeaderPage(this.kind, header);
    await this.file.write(0, page);
    await this.file.flush();
    // Durable from here on. The second slot only follows: it must be the same before new records
    // count, else a rotten first slot would bring the old salt back.
    this.#header = header;
    this.#salt = hex8Bytes(header.salt);
    this.#sequence = 0;
    this.#synced = 0;
    this.#previousCrc = 0;
    this.#endBytes = LOG_HEADER_BYTES;
    await this.file.write(PAGED_HEADER_BYTES, page);
    await this.file.flush();
    if (this.#fileBytes <= KEPT_BYTES_MAX) return;
    await this.file.resize(LOG_HEADER_BYTES);
    this.#fileBytes = LOG_HEADER_BYTES;
  }

  /** Gives the room behind an empty log back: the next open reads the whole file. */
  async shrink(): Promise<void> {
    await this.exclusive(async () => {
      if (this.sizeBytes > 0 || this.#fileBytes === LOG_HEADER_BYTES) return;
      await this.file.resize(LOG_HEADER_BYTES);
      this.#fileBytes = LOG_HEADER_BYTES;
      await this.file.flush();
    });
  }

  async close(): Promise<void> {
    await this.exclusive(async () => this.file.close());
  }

  async #readAll(): Promise<Uint8Array> {
    const length = this.#fileBytes - LOG_HEADER_BYTES;
    return length === 0 ? new Uint8Array(0) : this.file.read(LOG_HEADER_BYTES, length);
  }

  #next(bytes: Uint8Array, at: number): RecordHeader | undefined {
    const header = decodeRecord(bytes, at, this.#salt);
    if (header === undefined || header.sequence !== this.#sequence + 1) return undefined;
    return header.previousCrc === this.#previousCrc ? header : undefined;
  }

  /** A later record that knew of a missing one as durable: that is rot, not a torn tail. */
  #refuseDamage(bytes: Uint8Array, end: number): void {
    const missing = this.#sequence + 1;
    for (let at = end; at < bytes.byteLength; at += RECORD_ALIGN) {
      const header = decodeRecord(bytes, at, this.#salt);
      if (header !== undefined && header.sequence > missing && header.synced >= missing) {
        throw corrupt(this.file.path, 'a durable record is damaged');
      }
    }
  }
}

function newest(a: LogHeader | undefined, b: LogHeader | undefined): LogHeader | undefined {
  if (a === undefined) return b;
  if (b === undefined) return a;
  return a.restart >= b.restart ? a : b;
}
