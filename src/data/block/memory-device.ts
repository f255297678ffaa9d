/**
 * A device in memory, sparse by chunks of 64 KiB. Completes every request before `submit` returns.
 *
 * With `crashable` it also keeps the durable image of every chunk that changed since the last
 * flush, so that `crash()` can take the changes back, whole or sector by sector.
 */
import { Buffer } from 'node:buffer';
import type { Rng } from '#host/mod.ts';
import { assert } from '#lib/mod.ts';
import { appendExtent } from './append-extent.ts';
import { checkRequest, closedError } from './check-request.ts';
import type {
  BlockCapabilities,
  BlockDevice,
  BlockExtent,
  BlockLimits,
  BlockRequest,
} from './mod.ts';

const CHUNK_BYTES = 64 * 1024;
const SECTOR_BYTES = 512;

export interface MemoryDeviceOptions {
  /** A multiple of `minBytes`. */
  readonly sizeBytes: number;
  /** Default 1. */
  readonly minBytes?: number;
  /** Default 32 MiB. */
  readonly maxBytes?: number;
  readonly readOnly?: boolean;
  /** Remember what is not durable. Costs a copy of 64 KiB per chunk and flush. */
  readonly crashable?: boolean;
}

export class MemoryDevice implements BlockDevice {
  readonly limits: BlockLimits;
  readonly capabilities: BlockCapabilities;
  #sizeBytes: number;
  #closed = false;
  readonly #chunks = new Map<number, Buffer>();
  /** Durable contents of the chunks that differ from them; undefined inside: a hole. */
  readonly #durable: Map<number, Buffer | undefined> | null;

  constructor(options: MemoryDeviceOptions) {
    const minBytes = options.minBytes ?? 1;
    assert(options.sizeBytes % minBytes === 0, 'size is a multiple of the smallest block');
    this.limits = {
      minBytes,
      preferredBytes: Math.max(minBytes, 4096),
      maxBytes: options.maxBytes ?? 32 * 1024 * 1024,
    };
    this.capabilities = {
      trim: true,
      zero: true,
      fastZero: true,
      flush: true,
      fua: true,
      extents: true,
      readOnly: options.readOnly ?? false,
    };
    this.#sizeBytes = options.sizeBytes;
    this.#durable = options.crashable === true ? new Map() : null;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** Bytes of memory behind the device; holes take none. */
  get allocatedBytes(): number {
    return this.#chunks.size * CHUNK_BYTES;
  }

  /** New bytes read as zero. */
  grow(sizeBytes: number): void {
    assert(sizeBytes >= this.#sizeBytes, 'a device never shrinks');
    assert(sizeBytes % this.limits.minBytes === 0, 'size is a multiple of the smallest block');
    this.#sizeBytes = sizeBytes;
  }

  submit(request: BlockRequest): void {
    const error = this.#closed ? closedError() : checkRequest(this, request);
    if (error === null) this.#execute(request);
    request.done(request, error);
  }

  async extents(offsetBytes: number, lengthBytes: number): Promise<BlockExtent[]> {
    const extents: BlockExtent[] = [];
    const end = Math.min(offsetBytes + lengthBytes, this.#sizeBytes);
    // Walks the chunks that exist, not the range: the device may be huge and empty.
    const first = Math.floor(offsetBytes / CHUNK_BYTES);
    const present = [...this.#chunks.keys()]
      .filter((chunk) => chunk >= first && chunk * CHUNK_BYTES < end)
      .toSorted((a, b) => a - b);
    let at = offsetBytes;
    for (const chunk of present) {
      const dataStart = Math.max(offsetBytes, chunk * CHUNK_BYTES);
      const dataEnd = Math.min(end, (chunk + 1) * CHUNK_BYTES);
      appendExtent(extents, at, dataStart - at, 'hole');
      appendExtent(extents, dataStart, dataEnd - dataStart, 'data');
      at = dataEnd;
    }
    appendExtent(extents, at, end - at, 'hole');
    return extents;
  }

  async close(): Promise<void> {
    this.#closed = true;
  }

  /**
   * Power loss: what was not flushed is gone. With an `rng` every sector that was not durable is
   * old or new by the toss of a coin. Only on a `crashable` device; usable again afterwards.
   */
  crash(rng?: Rng): void {
    assert(this.#durable !== null, 'crash needs a crashable device');
    for (const [chunk, durable] of this.#durable) {
      const survived = rng === undefined ? undefined : this.#chunks.get(chunk);
      const image = durable ?? (survived === undefined ? undefined : Buffer.alloc(CHUNK_BYTES));
      if (image !== undefined && rng !== undefined) {
        for (let at = 0; at < CHUNK_BYTES; at += SECTOR_BYTES) {
          if (rng.below(2) === 0) continue;
          if (survived === undefined) image.fill(0, at, at + SECTOR_BYTES);
          else survived.copy(image, at, at, at + SECTOR_BYTES);
        }
      }
      if (image === undefined) this.#chunks.delete(chunk);
      else this.#chunks.set(chunk, image);
    }
    this.#durable.clear();
    this.#closed = false;
  }

  #execute(request: BlockRequest): void {
    const { offsetBytes, lengthBytes } = request;
    switch (request.verb) {
      case 'flush':
        this.#durable?.clear();
        return;
      case 'read':
        this.#read(offsetBytes, request.data);
        return;
      case 'write':
        this.#write(offsetBytes, request.data, request.fua);
        return;
      case 'trim':
        this.#clear(offsetBytes, lengthBytes, false, request.fua);
        return;
      case 'zero':
        this.#clear(offsetBytes, lengthBytes, request.keepAllocated, request.fua);
    }
  }

  #read(offsetBytes: number, data: Uint8Array): void {
    let at = 0;
    while (at < data.byteLength) {
      const offset = offsetBytes + at;
      const within = offset % CHUNK_BYTES;
      const length = Math.min(CHUNK_BYTES - within, data.byteLength - at);
      const chunk = this.#chunks.get((offset - within) / CHUNK_BYTES);
      if (chunk === undefined) data.fill(0, at, at + length);
      else chunk.copy(data, at, within, within + length);
      at += length;
    }
  }

  #write(offsetBytes: number, data: Uint8Array, fua: boolean): void {
    let at = 0;
    while (at < data.byteLength) {
      const offset = offsetBytes + at;
      const within = offset % CHUNK_BYTES;
      const length = Math.min(CHUNK_BYTES - within, data.byteLength - at);
      const index = (offset - within) / CHUNK_BYTES;
      this.#remember(index);
      let chunk = this.#chunks.get(index);
      if (chunk === undefined) {
        chunk = Buffer.alloc(CHUNK_BYTES);
        this.#chunks.set(index, chunk);
      }
      chunk.set(length === data.byteLength ? data : data.subarray(at, at + length), within);
      if (fua) this.#settle(index, within, length);
      at += length;
    }
  }

  #clear(offsetBytes: number, lengthBytes: number, keepAllocated: boolean, fua: boolean): void {
    const end = offsetBytes + lengthBytes;
    const first = Math.floor(offsetBytes / CHUNK_BYTES);
    const last = Math.floor((end - 1) / CHUNK_BYTES);
    // A wide range over an almost empty device touches only the chunks that exist.
    const sparse = !keepAllocated && last - first > this.#chunks.size;
    const indexes = sparse
      ? [...this.#chunks.keys()].filter((index) => index >= first && index <= last)
      : Array.from({ length: last - first + 1 }, (_, n) => first + n);
    for (const index of indexes) {
      const from = Math.max(0, offsetBytes - index * CHUNK_BYTES);
      const to = Math.min(CHUNK_BYTES, end - index * CHUNK_BYTES);
      const chunk = this.#chunks.get(index);
      if (chunk === undefined && !keepAllocated) continue;
      this.#remember(index);
      if (chunk === undefined) this.#chunks.set(index, Buffer.alloc(CHUNK_BYTES));
      else if (to - from === CHUNK_BYTES && !keepAllocated) this.#chunks.delete(index);
      else chunk.fill(0, from, to);
      if (fua) this.#settle(index, from, to - from);
    }
    // FUA covers the whole range, also where the durable image is older than a hole.
    if (fua && sparse && this.#durable !== null) {
      for (const index of this.#durable.keys()) {
        const from = Math.max(0, offsetBytes - index * CHUNK_BYTES);
        const to = Math.min(CHUNK_BYTES, end - index * CHUNK_BYTES);
        if (to > from) this.#settle(index, from, to - from);
      }
    }
  }

  /** Keeps the durable image before the first change after a flush. */
  #remember(index: number): void {
    if (this.#durable === null || this.#durable.has(index)) return;
    const chunk = this.#chunks.get(index);
    this.#durable.set(index, chunk === undefined ? undefined : Buffer.from(chunk));
  }

  /** Carries a range into the durable image. */
  #settle(index: number, within: number, length: number): void {
    if (this.#durable === null || !this.#durable.has(index)) return;
    const durable = this.#durable.get(index) ?? Buffer.alloc(CHUNK_BYTES);
    const chunk = this.#chunks.get(index);
    if (chunk === undefined) durable.fill(0, within, within + length);
    else chunk.copy(durable, within, within, within + length);
    this.#durable.set(index, durable);
  }
}
