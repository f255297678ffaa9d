import { fstat, ftruncate } from 'node:fs';
import { promisify } from 'node:util';
import { HoldfastError } from '#api/mod.ts';
import { Pool } from '#lib/mod.ts';
import type { DiskFile, DiskRequest, DiskVerb, FileRange, FileStat } from '../mod.ts';
import type { DiskLanes } from './disk-lanes.ts';
import { ENXIO, fromErrno, fromNodeError } from './errno-error.ts';
import { FileCall } from './file-call.ts';
import type { FileLedger } from './file-ledger.ts';
import { statOf } from './file-stat.ts';
import { addressOf, pread, preadNoWait, pwrite } from './syscalls.ts';

/**
 * How calls reach the disk. `lanes`: writes, and reads that miss the page cache, wait in a thread
 * of the disk; hits are read at once. `inline`: both run on the calling thread, for a thread that
 * serves this disk alone. A flush always takes a lane.
 */
export type DiskMode = 'lanes' | 'inline';

/** Nested deeper than this a request takes a lane: callers may submit from `done` without end. */
const INLINE_DEPTH_MAX = 32;
/** A longer copy into tmpfs is worth a lane, which runs beside what else a large write costs. */
const INLINE_WRITE_BYTES_MAX = 64 * 1024;
const NOTHING = new Uint8Array(0);

export class NodeDiskFile implements DiskFile {
  readonly path: string;
  readonly #fd: number;
  readonly #ledger: FileLedger;
  readonly #writable: boolean;
  readonly #lanes: DiskLanes;
  readonly #mode: DiskMode;
  /** Files of tmpfs have no disk to wait for, and its calls do not know RWF_NOWAIT. */
  readonly #inMemory: boolean;
  readonly #calls = new Pool<FileCall>(() => new FileCall(this), 64);
  #underWay = 0;
  #inlineDepth = 0;
  #closed = false;
  #whenIdle: (() => void) | undefined;

  constructor(
    path: string,
    fd: number,
    ledger: FileLedger,
    writable: boolean,
    lanes: DiskLanes,
    mode: DiskMode,
    inMemory: boolean,
  ) {
    this.path = path;
    this.#fd = fd;
    this.#ledger = ledger;
    this.#writable = writable;
    this.#lanes = lanes;
    this.#mode = mode;
    this.#inMemory = inMemory;
  }

  submit(request: DiskRequest): void {
    const { verb } = request;
    if (this.#closed || (verb !== 'read' && verb !== 'flush' && !this.#writable)) {
      request.done(this.#refusal());
      return;
    }
    if (this.#inlineDepth < INLINE_DEPTH_MAX && this.#doneInline(request)) {
      this.#inlineDepth++;
      request.done(null);
      this.#inlineDepth--;
      return;
    }
    this.#underWay++;
    const call = this.#calls.take();
    call.start(request, this.#fd);
    this.#lanes.submit(call);
  }

  async read(offsetBytes: number, lengthBytes: number): Promise<Uint8Array> {
    const data = new Uint8Array(lengthBytes);
    await this.#cold('read', offsetBytes, lengthBytes, data);
    return data;
  }

  write(offsetBytes: number, data: Uint8Array): Promise<void> {
    return this.#cold('write', offsetBytes, data.byteLength, data);
  }

  flush(): Promise<void> {
    return this.#cold('flush', 0, 0, NOTHING);
  }

  trim(offsetBytes: number, lengthBytes: number): Promise<void> {
    return this.#cold('trim', offsetBytes, lengthBytes, NOTHING);
  }

  zero(offsetBytes: number, lengthBytes: number): Promise<void> {
    return this.#cold('zero', offsetBytes, lengthBytes, NOTHING);
  }

  async resize(sizeBytes: number): Promise<void> {
    if (this.#closed || !this.#writable) throw this.#refusal();
    await this.#node(() => promisify(ftruncate)(this.#fd, sizeBytes));
  }

  async stat(): Promise<FileStat> {
    if (this.#closed) throw this.#refusal();
    const stats = await this.#node(() => promisify(fstat)(this.#fd, { bigint: true }));
    return statOf(stats);
  }

  async extents(offsetBytes: number, lengthBytes: number): Promise<FileRange[]> {
    const ranges: FileRange[] = [];
    const end = offsetBytes + lengthBytes;
    let at = offsetBytes;
    while (at < end) {
      const data = await this.#seek('seekData', at, end);
      if (data > at) ranges.push({ offsetBytes: at, lengthBytes: data - at, kind: 'hole' });
      if (data >= end) break;
      const hole = await this.#seek('seekHole', data, end);
      ranges.push({ offsetBytes: data, lengthBytes: hole - data, kind: 'data' });
      at = hole;
    }
    return ranges;
  }

  /** Waits for what is under way: until then its descriptor must not become another file's. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#underWay > 0) {
      await new Promise<void>((resolve) => {
        this.#whenIdle = resolve;
      });
    }
    await this.#node(() => this.#ledger.close(this.#fd));
  }

  /** Called by a FileCall that came back. */
  finished(call: FileCall, request: DiskRequest, result: number): void {
    this.#calls.give(call);
    this.#left();
    request.done(this.#errorOf(request, result));
  }

  #left(): void {
    if (--this.#underWay === 0) this.#whenIdle?.();
  }

  /** False: nothing happened that a lane could not do again. */
  #doneInline(request: DiskRequest): boolean {
    const { verb, data, offsetBytes } = request;
    const length = data.byteLength;
    if (length === 0) return false;
    const direct = this.#inMemory || this.#mode === 'inline';
    if (verb === 'read') {
      const transfer = direct ? pread : preadNoWait;
      return transfer(this.#fd, addressOf(data), length, offsetBytes) === length;
    }
    if (verb !== 'write' || !direct) return false;
    if (this.#mode === 'lanes' && length > INLINE_WRITE_BYTES_MAX) return false;
    return pwrite(this.#fd, addressOf(data), length, offsetBytes) === length;
  }

  #errorOf(request: DiskRequest, result: number): HoldfastError | null {
    const { verb, offsetBytes, data } = request;
    const details = { verb, path: this.path, offsetBytes };
    if (result < 0) return fromErrno(-result, verb === 'read' ? 'none' : 'unknown', details);
    if ((verb !== 'read' && verb !== 'write') || result === data.byteLength) return null;
    if (verb === 'read') {
      return new HoldfastError('io-error', 'Read beyond the end of the file', { details });
    }
    return new HoldfastError('no-space', 'The write was cut', { details, effect: 'unknown' });
  }

  #refusal(): HoldfastError {
    const details = { path: this.path };
    if (this.#closed) return new HoldfastError('aborted', 'The file is closed', { details });
    return new HoldfastError('read-only', 'The file was opened for reading only', { details });
  }

  #cold(verb: DiskVerb, offsetBytes: number, lengthBytes: number, data: Uint8Array): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const done = (error: HoldfastError | null): void => {
      if (error === null) resolve();
      else reject(error);
    };
    this.submit({ verb, offsetBytes, lengthBytes, data, done });
    return promise;
  }

  /** Where the next data or hole starts, at most `end`. */
  async #seek(verb: 'seekData' | 'seekHole', offset: number, end: number): Promise<number> {
    if (this.#closed) throw this.#refusal();
    this.#underWay++;
    const { promise, resolve } = Promise.withResolvers<number>();
    this.#lanes.submit({ verb, fd: this.#fd, address: 0, length: 0, offset, finish: resolve });
    const result = await promise;
    this.#left();
    // Beyond the last data, or beyond the end of the file.
    if (result === -ENXIO) return end;
    if (result < 0) throw fromErrno(-result, 'none', { verb, path: this.path });
    return Math.min(result, end);
  }

  async #node<T>(action: () => Promise<T>): Promise<T> {
    try {
      return await action();
    } catch (error) {
      throw fromNodeError(error, { path: this.path });
    }
  }
}
