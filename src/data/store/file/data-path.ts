/**
 * The hot path of a replica: read, write, trim and zero (design.md §5).
 *
 *     write:  marks durable? ─▶ pages in memory ─▶ not held? ─▶ data ─▶ entries, stamps ─▶ done
 *     read:   which layer has it? (pages in memory) ─▶ data ─▶ checksum ─▶ done
 *
 * - *Intent before data*: nothing is submitted to a data file before the marks are durable.
 * - An entry changes when its data was accepted: what a flush gathers had been written before it.
 * - No promise and no allocation in the steady state; a page that is not in memory, a missing mark
 *   and a failed write take slower ways.
 * - A write that failed half-way leaves its blocks in doubt unless reading them back tells which
 *   contents they have: what the store cannot vouch for is refused, not returned.
 */
import { HoldfastError } from '#api/mod.ts';
import { BLOCK_BYTES, type ReplicaRequest } from '#data/block/mod.ts';
import { crc32c, EMPTY_BYTES, isZero, Pool } from '#lib/mod.ts';
import { KIND_ABSENT, KIND_DATA, KIND_ZERO, MAP_ENTRIES } from './format.ts';
import { mismatch, notCurrent, poolIsFull, refusalOf } from './data-refusals.ts';
import { findRun } from './find-run.ts';
import type { FlushRounds } from './flush-rounds.ts';
import type { Health } from './health.ts';
import type { IntentSet } from './intent-set.ts';
import { crcIn, kindIn, type Layer, pageOf, setEntry } from './layer.ts';
import type { LayerStack } from './layer-stack.ts';
import { draftMark } from './map-log.ts';
import type { Page } from './page-cache.ts';
import type { PagedFile } from './paged-file.ts';
import type { RecordLog } from './record-log.ts';
import { ReplicaIo } from './replica-io.ts';
import type { PoolRoom } from './pool-reserve.ts';
import { raiseStamp, stampPageOf, type StampTable } from './stamp-table.ts';
import { WritesInFlight } from './writes-in-flight.ts';

export interface DataPathParts {
  readonly stack: LayerStack;
  readonly stamps: StampTable;
  readonly intents: IntentSet;
  readonly mapLog: RecordLog;
  readonly rounds: FlushRounds;
  readonly health: Health;
  readonly segmentBlocks: number;
  readonly room: PoolRoom;
}

const SPARE_IOS = 256;

interface MarkRun {
  readonly block: number;
  count: number;
}

export class DataPath {
  readonly #parts: DataPathParts;
  readonly #pool: Pool<ReplicaIo>;
  readonly #writes = new WritesInFlight((io) => this.#write(io));
  /** Requests that were taken and not answered, by the parity of the era they came in. */
  readonly #active = [0, 0];
  #era = 0;
  #drained: (() => void)[] = [];
  /** Set while the store takes no requests: rolled back, or closed. */
  refusal: HoldfastError | null = null;

  constructor(parts: DataPathParts) {
    this.#parts = parts;
    this.#pool = new Pool(() => new ReplicaIo(this), SPARE_IOS);
  }

  submit(request: ReplicaRequest): void {
    const refused = this.refusal ?? this.#parts.health.failed;
    if (refused !== null) {
      request.done(refused);
      return;
    }
    const level =
      request.layer === null
        ? this.#parts.stack.layers.length - 1
        : this.#parts.stack.find(request.layer);
    const layer = this.#parts.stack.layers[level];
    const refusal = refusalOf(request, layer);
    if (refusal !== null || layer === undefined) {
      request.done(refusal);
      return;
    }
    const block = request.offsetBytes / BLOCK_BYTES;
    const io = this.#pool.take();
    this.#active[this.#era & 1]!++;
    io.era = this.#era & 1;
    io.request = request;
    io.layer = layer;
    io.block = block;
    io.count = 0;
    io.triedAgain = false;
    io.endBlock = block + request.lengthBytes / BLOCK_BYTES;
    if (request.verb === 'read') this.#read(io);
    else this.#write(io);
  }

  /**
   * Waits until all requests are answered that were taken before the call: then nothing uses a
   * layer any more that left the stack before. One at a time.
   */
  async turnOver(): Promise<void> {
    const old = this.#era & 1;
    this.#era++;
    while (this.#active[old]! > 0)
      await new Promise<void>((resolve) => this.#drained.push(resolve));
  }

  /** Cold reading of the layers: `turnOver` waits for it as for a request. */
  async guard<T>(action: () => Promise<T>): Promise<T> {
    const era = this.#era & 1;
    this.#active[era]!++;
    try {
      return await action();
    } finally {
      this.#left(era);
    }
  }

  /** How many writes went on their way to the disk. */
  get changes(): number {
    return this.#writes.count;
  }

  /** A write to the segment is on its way to the disk. */
  isWriting(segment: number): boolean {
    const { segmentBlocks } = this.#parts;
    return this.#writes.touches(segment * segmentBlocks, segmentBlocks);
  }

  /**
   * Runs while no write to these blocks of the layer is in flight; later ones wait until it has
   * ended. One at a time, so: short.
   */
  async hold<T>(layer: Layer, first: number, count: number, action: () => Promise<T>): Promise<T> {
    return this.#writes.hold(layer, first, count, action);
  }

  // --- reading ---

  #read(io: ReplicaIo): void {
    const request = io.request!;
    while (io.block < io.endBlock) {
      const run = findRun(io, this.#parts.stack.layers);
      if (run < 0) return;
      if (io.loadedPages.length > 0) releaseLoaded(io);
      if (run === 0) {
        this.#finish(io, notCurrent(request));
        return;
      }
      io.count = run;
      const from = io.block * BLOCK_BYTES - request.offsetBytes;
      const whole = run * BLOCK_BYTES === request.lengthBytes;
      const data = whole ? request.data : request.data.subarray(from, from + run * BLOCK_BYTES);
      if (io.source !== null) {
        io.disk.verb = 'read';
        io.disk.offsetBytes = io.block * BLOCK_BYTES;
        io.disk.lengthBytes = run * BLOCK_BYTES;
        io.disk.data = data;
        io.source.data.submit(io.disk);
        return;
      }
      data.fill(0);
      io.block += run;
    }
    this.#finish(io, null);
  }

  #readDone(io: ReplicaIo, error: HoldfastError | null): void {
    if (error !== null) {
      this.#finish(io, error);
      return;
    }
    const { data } = io.disk;
    const { checksum } = io.source!;
    for (let i = 0; i < io.count; i++) {
      const block = io.block + i;
      const contents =
        io.count === 1 ? data : data.subarray(i * BLOCK_BYTES, (i + 1) * BLOCK_BYTES);
      if (crc32c(contents, checksum.seed(block)) !== io.crcs[i]) {
        // What was read must not be seen by anyone.
        io.request!.data.fill(0);
        this.#finish(io, mismatch(block));
        return;
      }
    }
    io.block += io.count;
    if (io.block === io.endBlock) this.#finish(io, null);
    else this.#read(io);
  }

  // --- writing ---

  /** Chunk after chunk: in a loop where the disk answers at once, else from its callback. */
  #write(io: ReplicaIo): void {
    do {
      io.again = false;
      io.submitting = true;
      this.#writeChunk(io);
      io.submitting = false;
    } while (io.again);
  }

  /** Goes as far as it can; every obstacle calls `advance` when it is gone, which begins anew. */
  #writeChunk(io: ReplicaIo): void {
    const { intents, segmentBlocks, health } = this.#parts;
    if (health.failed !== null) {
      this.#finish(io, health.failed);
      return;
    }
    const first = Math.floor(io.block / segmentBlocks);
    if (io.count === 0) {
      // A chunk lies in two neighbouring pages at most; trims of any length go chunk by chunk.
      io.count = Math.min(io.endBlock - io.block, MAP_ENTRIES);
    }
    const last = Math.floor((io.block + io.count - 1) / segmentBlocks);
    if (!intents.hasAll(first, last)) {
      intents.mark(first, Math.floor((io.endBlock - 1) / segmentBlocks), io.resume);
      return;
    }
    if (!this.#pinPages(io, first, last)) return;
    if (this.#writes.holdsBack(io)) return;
    this.#writes.add(io);
    this.#submitChunk(io);
  }

  /** False when a page is being loaded: then the write goes on later. */
  #pinPages(io: ReplicaIo, firstSegment: number, lastSegment: number): boolean {
    const { map } = io.layer!;
    const { pages } = this.#parts.stamps;
    const page = pageOf(io.block);
    if (io.mapPage === null && (io.mapPage = this.#pin(io, map, page)) === null) return false;
    if (io.mapPageNext === null && pageOf(io.block + io.count - 1) !== page) {
      if ((io.mapPageNext = this.#pin(io, map, page + 1)) === null) return false;
    }
    const stamp = stampPageOf(firstSegment);
    if (io.stampPage === null && (io.stampPage = this.#pin(io, pages, stamp)) === null)
      return false;
    if (io.stampPageNext === null && stampPageOf(lastSegment) !== stamp) {
      if ((io.stampPageNext = this.#pin(io, pages, stamp + 1)) === null) return false;
    }
    return true;
  }

  #pin(io: ReplicaIo, file: PagedFile, index: number): Page | null {
    const page = file.peek(index);
    if (page !== undefined) {
      page.pins++;
      return page;
    }
    // Too much is dirty: pages that leave memory first, then new ones.
    if (this.#parts.rounds.crowded) void this.#relieve(io);
    else file.load(index, io.loaded);
    return null;
  }

  async #relieve(io: ReplicaIo): Promise<void> {
    let failure: HoldfastError | null = null;
    try {
      await this.#parts.rounds.checkpoint();
    } catch (error) {
      if (!HoldfastError.is(error)) throw error;
      failure = error;
    }
    this.advance(io, failure);
  }

  #submitChunk(io: ReplicaIo): void {
    const request = io.request!;
    const { disk } = io;
    const layer = io.layer!;
    io.level = this.#parts.stack.layers.lastIndexOf(layer);
    disk.offsetBytes = io.block * BLOCK_BYTES;
    disk.lengthBytes = io.count * BLOCK_BYTES;
    io.marks = false;
    if (request.verb === 'write') {
      disk.verb = 'write';
      disk.data = request.data;
      this.#prepareWrite(io, request.data, layer);
      if (this.#parts.room.isFull() && this.#needsRoom(io)) {
        this.#chunkApplied(io, poolIsFull(request));
        return;
      }
    } else {
      disk.verb = request.verb === 'trim' ? 'trim' : 'zero';
      disk.data = EMPTY_BYTES;
      // Over a lower layer absent would show that layer; at the bottom a trim leaves a hole.
      const kind = io.level > 0 || request.verb === 'zero' ? KIND_ZERO : KIND_ABSENT;
      io.kinds.fill(kind, 0, io.count);
      io.crcs.fill(0, 0, io.count);
      io.marks = io.level > 0;
    }
    layer.unsynced = true;
    request.trace?.add('src/data/store', 'intent durable, data goes to the disk');
    const runs = io.marks ? this.#runsToMark(io) : [];
    if (runs.length > 0) void this.#submitMarked(io, runs);
    else layer.data.submit(disk);
  }

  /**
   * Zeroes over a lower layer: the mark comes first, else a process that dies right after the data
   * was zeroed would leave a block that shows the lower layer. No checkpoint, which makes marks
   * void, comes between mark, data and entry.
   */
  async #submitMarked(io: ReplicaIo, runs: readonly MarkRun[]): Promise<void> {
    const layer = io.layer!;
    const { mapLog } = this.#parts;
    const { record, lengthBytes } = draftMark(layer.map.idBytes, runs);
    let failure: HoldfastError | null = null;
    try {
      await mapLog.exclusive(async () => {
        await mapLog.appendInside(record, lengthBytes);
        const error = await new Promise<HoldfastError | null>((resolve) => {
          io.answered = resolve;
          layer.data.submit(io.disk);
        });
        io.answered = null;
        if (error !== null) await this.#resolveFailure(io);
        else this.#applyChunk(io);
        failure = error;
      });
    } catch (error) {
      // The mark was not appended, and nothing was submitted.
      if (!HoldfastError.is(error)) throw error;
      failure = error;
    }
    this.#chunkApplied(io, failure);
  }

  /** Blocks that the layer has are written in place. */
  #needsRoom(io: ReplicaIo): boolean {
    for (let block = io.block; block < io.block + io.count; block++) {
      if (kindIn(this.#mapPageFor(io, block), block) !== KIND_DATA) return true;
    }
    return false;
  }

  #prepareWrite(io: ReplicaIo, data: Uint8Array, layer: Layer): void {
    const { checksum } = layer;
    const given = io.request!.blockCrcs ?? null;
    for (let i = 0; i < io.count; i++) {
      const block = io.block + i;
      if (given !== null && io.level === 0) {
        io.kinds[i] = KIND_DATA;
        io.crcs[i] = checksum.fromContentCrc(block, given[i]!);
        continue;
      }
      const contents =
        io.count === 1 ? data : data.subarray(i * BLOCK_BYTES, (i + 1) * BLOCK_BYTES);
      if (io.level > 0 && isZero(contents)) {
        // After a process crash zeroes could not be told from a hole, which shows the lower layer.
        io.kinds[i] = KIND_ZERO;
        io.crcs[i] = 0;
        io.marks = true;
      } else {
        io.kinds[i] = KIND_DATA;
        io.crcs[i] = crc32c(contents, checksum.seed(block));
      }
    }
  }

  #chunkDone(io: ReplicaIo, error: HoldfastError | null): void {
    if (io.answered !== null) {
      io.answered(error);
    } else if (error === null) {
      this.#applyChunk(io);
      this.#chunkApplied(io, null);
    } else {
      void this.#resolveFailure(io)
        .then(() => (error.code === 'no-space' ? this.#parts.room.dataRanOut() : undefined))
        .then(() => this.#chunkApplied(io, error));
    }
  }

  /** Entries, doubt and stamps of a chunk whose data was accepted. */
  #applyChunk(io: ReplicaIo): void {
    const layer = io.layer!;
    const request = io.request!;
    layer.unsynced = true;
    for (let i = 0; i < io.count; i++) {
      const block = io.block + i;
      setEntry(this.#mapPageFor(io, block), block, io.kinds[i]!, io.crcs[i]!);
    }
    if (layer.doubt.any) layer.doubt.clear(io.block, io.count);
    this.#stampChunk(io, request);
  }

  #stampChunk(io: ReplicaIo, request: ReplicaRequest): void {
    const { segmentBlocks } = this.#parts;
    const last = Math.floor((io.block + io.count - 1) / segmentBlocks);
    for (let segment = Math.floor(io.block / segmentBlocks); segment <= last; segment++) {
      const page = stampPageOf(segment) === io.stampPage!.index ? io.stampPage! : io.stampPageNext!;
      raiseStamp(page, segment, request.stampEpoch, request.stampN);
    }
  }

  /** Blocks that become zero where the durable entry may still say absent. */
  #runsToMark(io: ReplicaIo): MarkRun[] {
    const runs: MarkRun[] = [];
    for (let i = 0; i < io.count; i++) {
      if (io.kinds[i] !== KIND_ZERO) continue;
      const block = io.block + i;
      const page = this.#mapPageFor(io, block);
      const known = !page.isPending(block % MAP_ENTRIES) && kindIn(page, block) !== KIND_ABSENT;
      if (known) continue;
      const run = runs.at(-1);
      if (run !== undefined && run.block + run.count === block) run.count++;
      else runs.push({ block, count: 1 });
    }
    return runs;
  }

  #mapPageFor(io: ReplicaIo, block: number): Page {
    return pageOf(block) === io.mapPage!.index ? io.mapPage! : io.mapPageNext!;
  }

  #chunkApplied(io: ReplicaIo, error: HoldfastError | null): void {
    this.#writes.delete(io);
    this.#unpin(io);
    io.block += io.count;
    io.count = 0;
    if (error !== null || io.block === io.endBlock) this.#finish(io, error);
    else if (io.submitting) io.again = true;
    else this.#write(io);
  }

  /** Which contents a failed write left: the old, the new, or neither (then it is in doubt). */
  async #resolveFailure(io: ReplicaIo): Promise<void> {
    const layer = io.layer!;
    for (let i = 0; i < io.count; i++) {
      const block = io.block + i;
      const page = this.#mapPageFor(io, block);
      let contents: Uint8Array | null = null;
      try {
        contents = await layer.data.read(block * BLOCK_BYTES, BLOCK_BYTES);
      } catch (failure) {
        if (!HoldfastError.is(failure)) throw failure;
      }
      if (contents === null) layer.doubt.add(block);
      else if (!this.#isOld(layer, page, block, contents)) {
        const isNew =
          io.kinds[i] === KIND_DATA && layer.checksum.of(block, contents) === io.crcs[i];
        if (isNew) setEntry(page, block, KIND_DATA, io.crcs[i]!);
        else layer.doubt.add(block);
      }
    }
    // The segment counts as written: its intent mark must not leave, its stamp must say so.
    this.#stampChunk(io, io.request!);
  }

  #isOld(layer: Layer, page: Page, block: number, contents: Uint8Array): boolean {
    if (layer.doubt.has(block)) return false;
    if (kindIn(page, block) !== KIND_DATA) return isZero(contents);
    return layer.checksum.of(block, contents) === crcIn(page, block);
  }

  // --- steps that requests come back to ---

  diskDone(io: ReplicaIo, error: HoldfastError | null): void {
    if (io.request!.verb === 'read') this.#readDone(io, error);
    else this.#chunkDone(io, error);
  }

  advance(io: ReplicaIo, error: HoldfastError | null): void {
    if (error !== null) {
      // Marks that may or may not be durable (W3); without space nothing was marked.
      if (error.code !== 'no-space') this.#parts.health.fail(error);
      if (error.code === 'no-space' && !io.triedAgain) {
        io.triedAgain = true;
        void this.#parts.room.metadataRanOut().then(() => this.advance(io, null));
      } else this.#finish(io, error);
      return;
    }
    if (io.request!.verb === 'read') this.#read(io);
    else this.#write(io);
  }

  pageLoaded(io: ReplicaIo, page: Page | null, error: HoldfastError | null): void {
    if (page === null) {
      this.#finish(io, error);
      return;
    }
    // Kept until the step is done: with many layers and little memory the next page that is loaded
    // would push this one out, and the step would never see both.
    io.loadedPages.push(page);
    this.advance(io, null);
  }

  // --- bookkeeping ---

  #finish(io: ReplicaIo, error: HoldfastError | null): void {
    const request = io.request!;
    this.#unpin(io);
    io.request = null;
    io.layer = null;
    io.source = null;
    io.disk.data = EMPTY_BYTES;
    const { era } = io;
    this.#pool.give(io);
    request.done(error);
    this.#left(era);
  }

  #left(era: number): void {
    if (--this.#active[era]! > 0 || this.#drained.length === 0) return;
    for (const resolve of this.#drained.splice(0)) resolve();
  }

  #unpin(io: ReplicaIo): void {
    if (io.loadedPages.length > 0) releaseLoaded(io);
    if (io.mapPage !== null) io.mapPage.pins--;
    if (io.mapPageNext !== null) io.mapPageNext.pins--;
    if (io.stampPage !== null) io.stampPage.pins--;
    if (io.stampPageNext !== null) io.stampPageNext.pins--;
    io.mapPage = null;
    io.mapPageNext = null;
    io.stampPage = null;
    io.stampPageNext = null;
  }
}

function releaseLoaded(io: ReplicaIo): void {
  for (const page of io.loadedPages) page.pins--;
  io.loadedPages.length = 0;
}
