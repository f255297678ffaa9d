/**
 * A replica in memory, for tests of everything above the store: the same contract as the file store
 * with the crashes that the protocol is about, and none of its files.
 *
 *     const disk = new MemoryReplicaDisk({ replica: 'r-1', sizeBytes: 64 * MiB });
 *     let store = disk.open();       // condition: clean
 *     disk.processCrash();           // accepted writes stay, maps and stamps are of the last flush
 *     disk.powerLoss(rng);           // any subset of the unsynced sectors stays; new incarnation
 *     const image = disk.image();
 *     disk.restore(image);           // yesterday's copy: condition rolled-back
 *     store = disk.open();
 *
 * The *disk* outlives its stores. What it keeps per layer: `file` (accepted: survives a process
 * crash) and `disk` (synced), and beside each the checksum map, which is durable only by flush. A
 * store that crashed never answers again, as a process that is gone.
 *
 * Deliberately simple: an intent mark is durable at once; metadata is never damaged; a flush that
 * is cut off by a crash has synced nothing.
 */
import { crc32 } from 'node:zlib';
import {
  compareGenerations,
  GENERATION_ZERO,
  type Generation,
  HoldfastError,
  type ErrorCode,
  type Incarnation,
  type LayerRef,
  type MembershipRecord,
  type OpenCondition,
  parseId,
  type ReplicaIdentity,
  type ReplicaState,
  type ReplicaUsage,
  type ScrubReport,
  type SegmentInspection,
  type SnapshotId,
  type StampedSegment,
} from '#api/mod.ts';
import type { BlockExtent, ReplicaRequest, ReplicaVerb } from '#data/block/mod.ts';
import type { ReplicaStore } from '#data/store/mod.ts';
import type { Clock } from '#host/mod.ts';

const BLOCK_BYTES = 4096;
const SECTOR_BYTES = 512;

/**
 * Contents of a block in a layer: bytes, an allocated zero, or a punched hole. Absent: not in the
 * map.
 */
type Block = Uint8Array | 'zero' | 'hole';

class Layer {
  id: SnapshotId | null = null;
  generation: Generation = GENERATION_ZERO;
  sizeBytes = 0;
  sealed = true;
  /** What the page cache and the file hold. */
  readonly file = new Map<number, Block>();
  /** What the medium holds. */
  disk = new Map<number, Block>();
  /** Checksums as known by the process; a block in `file` that is not here is unverified. */
  crcs = new Map<number, number>();
  diskCrcs = new Map<number, number>();
  /** Blocks that changed since the last flush. */
  dirty = new Set<number>();

  clone(): Layer {
    const copy = new Layer();
    copy.id = this.id;
    copy.generation = this.generation;
    copy.sizeBytes = this.sizeBytes;
    copy.sealed = this.sealed;
    for (const [block, contents] of this.file) copy.file.set(block, cloneBlock(contents));
    for (const [block, contents] of this.disk) copy.disk.set(block, cloneBlock(contents));
    copy.crcs = new Map(this.crcs);
    copy.diskCrcs = new Map(this.diskCrcs);
    copy.dirty = new Set(this.dirty);
    return copy;
  }
}

function cloneBlock(block: Block): Block {
  return typeof block === 'string' ? block : block.slice();
}

/** What a disk holds; the fields that a process keeps in memory only are named so. */
interface Contents {
  layers: Layer[];
  sizeBytes: number;
  /** Memory only. */
  stamps: Map<number, Generation>;
  diskStamps: Map<number, Generation>;
  intents: Set<number>;
  promised: number;
  promisedTo: string;
  record: MembershipRecord | null;
  /** Memory only. */
  completed: Generation;
  diskCompleted: Generation;
  rebuild: string;
  incarnation: number;
  clean: boolean;
}

export interface MemoryDiskOptions {
  readonly replica: string;
  readonly sizeBytes: number;
  /** Default `cluster-1`, `volume-1`, `pool-` + replica, 1 MiB. */
  readonly cluster?: string;
  readonly volume?: string;
  readonly pool?: string;
  readonly segmentBytes?: number;
  readonly record?: MembershipRecord | null;
}

export interface MemoryStoreOptions {
  /**
   * Requests take `latencyMs` of this clock and take effect when they complete; without a clock
   * they complete inside `submit`, and the cold verbs in a microtask.
   */
  readonly clock?: Clock;
  readonly latencyMs?: (verb: ReplicaVerb | 'flush' | 'metadata') => number;
}

/** The incarnation of a memory disk that has lost power `losses` times unclean. */
function incarnationOf(replica: string, losses: number): Incarnation {
  return parseId<Incarnation>('incarnation', `${replica.slice(0, 50)}-i${losses}`);
}

export class MemoryReplicaDisk {
  readonly identity: ReplicaIdentity;
  #contents: Contents;
  #store: MemoryStore | null = null;
  #condition: OpenCondition = 'clean';
  #rolledBack = false;

  constructor(options: MemoryDiskOptions) {
    this.identity = {
      cluster: parseId('cluster', options.cluster ?? 'cluster-1'),
      volume: parseId('volume', options.volume ?? 'volume-1'),
      replica: parseId('replica', options.replica),
      pool: parseId('pool', options.pool ?? `pool-${options.replica}`),
      shard: 0,
      segmentBytes: options.segmentBytes ?? 1024 * 1024,
      claim: '',
    };
    this.#contents = {
      layers: [newHead(options.sizeBytes)],
      sizeBytes: options.sizeBytes,
      stamps: new Map(),
      diskStamps: new Map(),
      intents: new Set(),
      promised: 0,
      promisedTo: '',
      record: options.record ?? null,
      completed: GENERATION_ZERO,
      diskCompleted: GENERATION_ZERO,
      rebuild: '',
      incarnation: 0,
      clean: true,
    };
  }

  get store(): MemoryStore | null {
    return this.#store;
  }

  /** A second open without a crash or a close between them is `store-locked`. */
  open(options: MemoryStoreOptions = {}): MemoryStore {
    if (this.#store !== null && !this.#store.gone) {
      throw new HoldfastError('store-locked', 'Replica is open elsewhere');
    }
    const condition = this.#rolledBack ? 'rolled-back' : this.#condition;
    this.#store = new MemoryStore(
      this.identity,
      this.#contents,
      condition,
      incarnationOf(this.identity.replica, this.#contents.incarnation),
      options,
      () => {
        this.#rolledBack = false;
      },
    );
    this.#condition = 'process-crash';
    return this.#store;
  }

  /**
   * The process dies: what was accepted stays in the files; maps, stamps and `completed` fall back.
   */
  processCrash(): void {
    this.#store?.vanish();
    this.#store = null;
    this.#forgetMemory();
    this.#condition = this.#contents.clean ? 'clean' : 'process-crash';
  }

  /**
   * The process dies and of each unsynced sector `chance.below(2)` says whether the new (1) or the
   * old contents (0) remain. The incarnation changes unless the store was clean.
   */
  powerLoss(chance: { below(bound: number): number }): void {
    this.#store?.vanish();
    this.#store = null;
    for (const layer of this.#contents.layers) {
      for (const block of layer.dirty) {
        const merged = mergeSectors(layer.disk.get(block), layer.file.get(block), chance);
        if (merged === undefined) {
          layer.file.delete(block);
          layer.disk.delete(block);
        } else {
          layer.file.set(block, merged);
          layer.disk.set(block, merged);
        }
      }
      layer.dirty.clear();
    }
    this.#forgetMemory();
    if (this.#contents.clean) {
      this.#condition = 'clean';
    } else {
      this.#contents.incarnation += 1;
      this.#condition = 'cache-lost';
    }
  }

  #forgetMemory(): void {
    const contents = this.#contents;
    for (const layer of contents.layers) layer.crcs = new Map(layer.diskCrcs);
    contents.stamps = new Map(contents.diskStamps);
    contents.completed = contents.diskCompleted;
  }

  /** A copy of everything, as `cp -a` of the replica's directory would take it. */
  image(): unknown {
    return copyContents(this.#contents);
  }

  /** Puts a copy back. The next open says `rolled-back`, unless it is to go unnoticed. */
  restore(image: unknown, options: { readonly unnoticed?: boolean } = {}): void {
    this.#store?.vanish();
    this.#store = null;
    this.#contents = copyContents(image as Contents);
    this.#forgetMemory();
    this.#condition = this.#contents.clean ? 'clean' : 'process-crash';
    this.#rolledBack = options.unnoticed !== true;
  }

  /**
   * Flips one bit of the head (or the layer below it that shows through) behind the store's back.
   */
  corrupt(offsetBytes: number): void {
    const block = Math.floor(offsetBytes / BLOCK_BYTES);
    for (let i = this.#contents.layers.length - 1; i >= 0; i -= 1) {
      const contents = this.#contents.layers[i]?.file.get(block);
      if (contents === undefined) continue;
      if (typeof contents === 'string') break;
      const at = offsetBytes % BLOCK_BYTES;
      contents[at] = (contents[at] ?? 0) ^ 1;
      return;
    }
    throw new HoldfastError('not-found', 'No data at this offset');
  }

  /** The bytes as an independent reader finds them, checksums ignored. */
  contents(offsetBytes: number, lengthBytes: number, layer: LayerRef = null): Uint8Array {
    const out = new Uint8Array(lengthBytes);
    const top = layerIndex(this.#contents.layers, layer);
    for (let at = 0; at < lengthBytes; at += BLOCK_BYTES) {
      const view = viewBlock(this.#contents.layers, top, (offsetBytes + at) / BLOCK_BYTES);
      if (view !== null && typeof view.contents !== 'string') {
        out.set(view.contents.subarray(0, Math.min(BLOCK_BYTES, lengthBytes - at)), at);
      }
    }
    return out;
  }
}

function newHead(sizeBytes: number): Layer {
  const head = new Layer();
  head.sizeBytes = sizeBytes;
  return head;
}

function copyContents(contents: Contents): Contents {
  return {
    ...contents,
    layers: contents.layers.map((layer) => layer.clone()),
    stamps: new Map(contents.stamps),
    diskStamps: new Map(contents.diskStamps),
    intents: new Set(contents.intents),
  };
}

function mergeSectors(
  old: Block | undefined,
  now: Block | undefined,
  chance: { below(bound: number): number },
): Block | undefined {
  if (typeof old !== 'object' && typeof now !== 'object') return chance.below(2) === 1 ? now : old;
  const out = new Uint8Array(BLOCK_BYTES);
  for (let at = 0; at < BLOCK_BYTES; at += SECTOR_BYTES) {
    const source = chance.below(2) === 1 ? now : old;
    if (typeof source === 'object') out.set(source.subarray(at, at + SECTOR_BYTES), at);
  }
  return out;
}

function layerIndex(layers: readonly Layer[], layer: LayerRef): number {
  if (layer === null) return layers.length - 1;
  return layers.findIndex((candidate) => candidate.id === layer);
}

interface BlockView {
  readonly layer: Layer;
  readonly contents: Block;
}

/** The block as the layer at `top` sees it: its own, or what shows through. */
function viewBlock(layers: readonly Layer[], top: number, block: number): BlockView | null {
  for (let i = top; i >= 0; i -= 1) {
    const layer = layers[i] as Layer;
    const contents = layer.file.get(block);
    if (contents !== undefined) return { layer, contents };
  }
  return null;
}

const never = new Promise<never>(() => {});

export class MemoryStore implements ReplicaStore {
  readonly #identity: ReplicaIdentity;
  readonly #contents: Contents;
  readonly #condition: OpenCondition;
  readonly #incarnation: Incarnation;
  readonly #options: MemoryStoreOptions;
  readonly #onReset: () => void;
  readonly #seed: number;
  readonly #segmentBlocks: number;
  #failed: HoldfastError | null = null;
  #gone = false;
  #held: (() => void)[] | null = null;
  #scrubAt = 0;
  /** Intents found at open whose segment was not stamped since: their stamp may be too old (F1). */
  readonly #stampUnknown: Set<number>;
  #failNext: {
    readonly verb: ReplicaVerb | 'flush' | 'metadata';
    readonly code: ErrorCode;
  } | null = null;
  /** How often each verb ran; `sync` counts flushes that succeeded. */
  readonly counts = { read: 0, write: 0, trim: 0, zero: 0, sync: 0 };

  constructor(
    identity: ReplicaIdentity,
    contents: Contents,
    condition: OpenCondition,
    incarnation: Incarnation,
    options: MemoryStoreOptions,
    onReset: () => void,
  ) {
    this.#identity = identity;
    this.#contents = contents;
    this.#condition = condition;
    this.#incarnation = incarnation;
    this.#options = options;
    this.#onReset = onReset;
    this.#seed = crc32(identity.volume);
    this.#segmentBlocks = identity.segmentBytes / BLOCK_BYTES;
    this.#stampUnknown = new Set(contents.intents);
  }

  // --- what tests do to it
  // ------------------------------------------------------------------------

  /** True after a crash or a close: nothing is answered any more. */
  get gone(): boolean {
    return this.#gone;
  }

  /** Never answers again. */
  vanish(): void {
    this.#gone = true;
    this.#held = [];
  }

  /**
   * From now on requests and flushes wait, and take effect only when released: a disk that hangs.
   */
  hold(): void {
    this.#held ??= [];
  }

  heldCount(): number {
    return this.#held?.length ?? 0;
  }

  /** Lets everything that waits run, in order, and ends holding. */
  release(): void {
    const held = this.#held ?? [];
    this.#held = null;
    for (const run of held) run();
  }

  /** The next request of this verb fails; a flush or metadata that fails does so for good (W3). */
  failNext(verb: ReplicaVerb | 'flush' | 'metadata', code: ErrorCode): void {
    this.#failNext = { verb, code };
  }

  /** Runs `work` when the simulated disk gets to it; not at all after a crash. */
  #later(verb: ReplicaVerb | 'flush' | 'metadata', work: () => void): void {
    const run = (): void => {
      if (!this.#gone) work();
    };
    if (this.#held !== null && verb !== 'metadata') {
      this.#held.push(run);
      return;
    }
    const { clock, latencyMs } = this.#options;
    if (clock === undefined) {
      run();
    } else {
      const ms = latencyMs?.(verb) ?? 0;
      if (ms === 0) clock.defer(run);
      else clock.after(ms, run);
    }
  }

  /** A cold verb: durable when it resolves. */
  async #cold<T>(work: () => T): Promise<T> {
    if (this.#gone) return never;
    if (this.#failed !== null) throw this.#failedError();
    await new Promise<void>((resolve) => this.#later('metadata', resolve));
    if (this.#gone) return never;
    if (this.#failed !== null) throw this.#failedError();
    if (this.#takeFailure('metadata') !== null) {
      this.#failed = new HoldfastError('io-error', 'Metadata was not written');
      throw this.#failed;
    }
    return work();
  }

  #takeFailure(verb: ReplicaVerb | 'flush' | 'metadata'): ErrorCode | null {
    if (this.#failNext?.verb !== verb) return null;
    const { code } = this.#failNext;
    this.#failNext = null;
    return code;
  }

  #failedError(): HoldfastError {
    return new HoldfastError('replica-failed', 'Replica stopped after an error', {
      cause: this.#failed,
    });
  }

  // --- the hot path
  // ---------------------------------------------------------------------------------

  state(): ReplicaState {
    const contents = this.#contents;
    return {
      identity: this.#identity,
      incarnation: this.#incarnation,
      condition: this.#condition,
      sizeBytes: contents.sizeBytes,
      promised: contents.promised,
      promisedTo: contents.promisedTo,
      record: contents.record,
      completed: contents.completed,
      snapshots: contents.layers.slice(0, -1).map((layer) => ({
        id: layer.id as SnapshotId,
        generation: layer.generation,
        sizeBytes: layer.sizeBytes,
        sealed: layer.sealed,
        allocatedBytes: layer.file.size * BLOCK_BYTES,
      })),
      rebuild: contents.rebuild,
      failed: this.#failed,
    };
  }

  submit(request: ReplicaRequest): void {
    if (this.#gone) return;
    if (this.#held === null && this.#options.clock === undefined) this.#run(request);
    else this.#later(request.verb, () => this.#run(request));
  }

  #run(request: ReplicaRequest): void {
    const { verb, offsetBytes, lengthBytes, layer } = request;
    if (this.#failed !== null) return request.done(this.#failedError());
    const failure = this.#takeFailure(verb);
    if (failure !== null) return request.done(new HoldfastError(failure, 'Planted failure'));
    if (offsetBytes % BLOCK_BYTES !== 0 || lengthBytes % BLOCK_BYTES !== 0) {
      return request.done(new HoldfastError('unaligned', 'Request is not block-aligned'));
    }
    const layers = this.#contents.layers;
    const top = layerIndex(layers, layer);
    if (top < 0) return request.done(new HoldfastError('not-found', 'No such layer'));
    const target = layers[top] as Layer;
    if (offsetBytes < 0 || offsetBytes + lengthBytes > target.sizeBytes) {
      return request.done(new HoldfastError('out-of-range', 'Request ends beyond the replica'));
    }
    if (verb !== 'read' && target.id !== null && target.sealed) {
      return request.done(new HoldfastError('read-only', 'Snapshot is read only'));
    }
    this.counts[verb] += 1;
    request.done(verb === 'read' ? this.#read(request, top) : this.#change(request, target));
  }

  #read(request: ReplicaRequest, top: number): HoldfastError | null {
    const { data } = request;
    const first = request.offsetBytes / BLOCK_BYTES;
    const count = request.lengthBytes / BLOCK_BYTES;
    for (let i = 0; i < count; i += 1) {
      const view = viewBlock(this.#contents.layers, top, first + i);
      if (view !== null && !this.#verifies(view, first + i)) {
        return new HoldfastError('checksum-mismatch', 'Block does not match its checksum', {
          details: { offsetBytes: (first + i) * BLOCK_BYTES },
        });
      }
      const at = i * BLOCK_BYTES;
      if (view !== null && typeof view.contents === 'object') data.set(view.contents, at);
      else data.fill(0, at, at + BLOCK_BYTES);
    }
    return null;
  }

  #change(request: ReplicaRequest, target: Layer): null {
    const contents = this.#contents;
    const first = request.offsetBytes / BLOCK_BYTES;
    const count = request.lengthBytes / BLOCK_BYTES;
    contents.clean = false;
    const stamp = { epoch: request.stampEpoch, n: request.stampN };
    const lastSegment = Math.floor((first + count - 1) / this.#segmentBlocks);
    for (let s = Math.floor(first / this.#segmentBlocks); s <= lastSegment; s += 1) {
      contents.intents.add(s);
      this.#stampUnknown.delete(s);
      const old = contents.stamps.get(s);
      if (old === undefined || compareGenerations(old, stamp) < 0) contents.stamps.set(s, stamp);
    }
    for (let i = 0; i < count; i += 1) {
      const block = first + i;
      target.dirty.add(block);
      if (request.verb !== 'write') {
        target.file.set(block, request.verb === 'zero' ? 'zero' : 'hole');
        target.crcs.set(block, 0);
        continue;
      }
      const at = i * BLOCK_BYTES;
      const bytes = count === 1 ? request.data : request.data.subarray(at, at + BLOCK_BYTES);
      const old = target.file.get(block);
      // In place, unless the medium still shares the old bytes.
      if (typeof old === 'object' && target.disk.get(block) !== old) old.set(bytes);
      else target.file.set(block, bytes.slice());
      target.crcs.set(block, this.#crcOf(bytes, block));
    }
    return null;
  }

  #crcOf(contents: Block, block: number): number {
    if (typeof contents === 'string') return 0;
    return crc32(contents, (this.#seed ^ Math.imul(block, 0x9e3779b1)) >>> 0);
  }

  #verifies(view: BlockView, block: number): boolean {
    return view.layer.crcs.get(block) === this.#crcOf(view.contents, block);
  }

  flush(): Promise<void> {
    if (this.#gone) return never;
    if (this.#failed !== null) return Promise.reject(this.#failedError());
    const contents = this.#contents;
    const dirty = contents.layers.map((layer) => ({ layer, blocks: [...layer.dirty] }));
    const stamps = new Map(contents.stamps);
    const completed = contents.completed;
    return new Promise((resolve, reject) => {
      this.#later('flush', () => {
        if (this.#failed !== null) return reject(this.#failedError());
        const code = this.#takeFailure('flush');
        // Without space nothing is lost: the store goes on.
        if (code === 'no-space') return reject(new HoldfastError(code, 'No space for the log'));
        if (code !== null) {
          this.#failed = new HoldfastError('io-error', 'Sync failed');
          return reject(this.#failed);
        }
        for (const { layer, blocks } of dirty) {
          for (const block of blocks) syncBlock(layer, block);
        }
        contents.diskStamps = stamps;
        if (compareGenerations(completed, contents.diskCompleted) > 0) {
          contents.diskCompleted = completed;
        }
        this.counts.sync += 1;
        resolve();
      });
    });
  }

  // --- what a voter keeps
  // ---------------------------------------------------------------------------

  setPromised(epoch: number, promisedTo: string): Promise<void> {
    return this.#cold(() => {
      this.#contents.promised = epoch;
      this.#contents.promisedTo = promisedTo;
    });
  }

  setRecord(record: MembershipRecord): Promise<void> {
    return this.#cold(() => {
      this.#contents.record = record;
    });
  }

  setCompleted(generation: Generation): void {
    if (this.#gone || this.#failed !== null) return;
    if (compareGenerations(generation, this.#contents.completed) > 0) {
      this.#contents.completed = generation;
    }
  }

  setRebuild(text: string): Promise<void> {
    return this.#cold(() => {
      this.#contents.rebuild = text;
    });
  }

  // --- what a rebuild asks
  // ----------------------------------------------------------------------------

  intents(): number[] {
    return [...this.#contents.intents].sort((a, b) => a - b);
  }

  stampedSince(
    generation: Generation,
    fromSegment: number,
    limit: number,
  ): Promise<StampedSegment[]> {
    return this.#cold(() =>
      [...this.#contents.stamps]
        .map(([segment, stamp]) => ({ segment, stamp }))
        .filter(
          (entry) =>
            entry.segment >= fromSegment && compareGenerations(entry.stamp, generation) > 0,
        )
        .sort((a, b) => a.segment - b.segment)
        .slice(0, limit),
    );
  }

  #segmentRange(segment: number, sizeBytes: number): { first: number; count: number } {
    const first = segment * this.#segmentBlocks;
    const count = Math.min(this.#segmentBlocks, sizeBytes / BLOCK_BYTES - first);
    if (segment < 0 || count <= 0) {
      throw new HoldfastError('out-of-range', 'Segment lies beyond the replica');
    }
    return { first, count };
  }

  inspect(layer: LayerRef, segment: number): Promise<SegmentInspection> {
    return this.#cold(() => {
      const { layers } = this.#contents;
      const top = layerIndex(layers, layer);
      if (top < 0) throw new HoldfastError('not-found', 'No such layer');
      const { first, count } = this.#segmentRange(segment, (layers[top] as Layer).sizeBytes);
      const kinds = new Uint8Array(count);
      const contentCrcs = new Uint32Array(count);
      const verified = new Uint8Array(count).fill(1);
      for (let i = 0; i < count; i += 1) {
        const view = viewBlock(layers, top, first + i);
        if (view === null) continue;
        kinds[i] = typeof view.contents === 'object' ? 1 : 0;
        contentCrcs[i] = this.#crcOf(view.contents, first + i);
        verified[i] = this.#verifies(view, first + i) ? 1 : 0;
      }
      const stamp = this.#contents.stamps.get(segment) ?? GENERATION_ZERO;
      return { segment, kinds, contentCrcs, verified, stamp };
    });
  }

  settle(
    segment: number,
    kinds: Uint8Array,
    contentCrcs: Uint32Array,
    stamp: Generation,
  ): Promise<void> {
    return this.#cold(() => {
      const { layers, stamps } = this.#contents;
      const top = layers.length - 1;
      const head = layers[top] as Layer;
      const { first, count } = this.#segmentRange(segment, head.sizeBytes);
      if (kinds.length !== count || contentCrcs.length !== count) {
        throw new HoldfastError('invalid-argument', 'Settle does not cover the segment');
      }
      for (let i = 0; i < count; i += 1) {
        const view = viewBlock(layers, top, first + i);
        const contents = view?.contents ?? 'hole';
        const kind = typeof contents === 'object' ? 1 : 0;
        if (kind !== kinds[i] || this.#crcOf(contents, first + i) !== contentCrcs[i]) {
          throw new HoldfastError('checksum-mismatch', 'Contents moved since they were inspected', {
            details: { offsetBytes: (first + i) * BLOCK_BYTES },
          });
        }
      }
      this.#contents.clean = false;
      for (let i = 0; i < count; i += 1) {
        const view = viewBlock(layers, top, first + i);
        if (view === null) continue;
        view.layer.crcs.set(first + i, contentCrcs[i] as number);
        view.layer.dirty.add(first + i);
      }
      this.#contents.intents.add(segment);
      this.#stampUnknown.delete(segment);
      stamps.set(segment, stamp);
    });
  }

  clearIntents(all: boolean): Promise<void> {
    return this.#cold(() => {
      const { intents, layers, diskStamps, stamps, diskCompleted } = this.#contents;
      const unsynced = new Set<number>();
      for (const layer of layers) {
        for (const block of layer.dirty) unsynced.add(Math.floor(block / this.#segmentBlocks));
      }
      for (const segment of intents) {
        const stamp = diskStamps.get(segment) ?? GENERATION_ZERO;
        const known = stamps.get(segment) ?? GENERATION_ZERO;
        if (
          this.#stampUnknown.has(segment) ||
          unsynced.has(segment) ||
          compareGenerations(stamp, known) !== 0
        )
          continue;
        if (all || compareGenerations(stamp, diskCompleted) <= 0) intents.delete(segment);
      }
    });
  }

  reset(sizeBytes: number): Promise<void> {
    return this.#cold(() => {
      const contents = this.#contents;
      contents.layers = [newHead(sizeBytes)];
      contents.sizeBytes = sizeBytes;
      contents.stamps = new Map();
      contents.diskStamps = new Map();
      contents.intents.clear();
      contents.completed = GENERATION_ZERO;
      contents.diskCompleted = GENERATION_ZERO;
      this.#onReset();
    });
  }

  // --- snapshots, growth, scrub
  // -----------------------------------------------------------------------

  createSnapshot(id: SnapshotId, generation: Generation): Promise<void> {
    return this.#freeze(id, generation, true);
  }

  beginSnapshotInstall(id: SnapshotId, generation: Generation): Promise<void> {
    return this.#freeze(id, generation, false);
  }

  #freeze(id: SnapshotId, generation: Generation, sealed: boolean): Promise<void> {
    return this.#cold(() => {
      const contents = this.#contents;
      if (layerIndex(contents.layers, id) >= 0) {
        throw new HoldfastError('already-exists', 'Snapshot exists');
      }
      const head = contents.layers[contents.layers.length - 1] as Layer;
      head.id = id;
      head.generation = generation;
      head.sealed = sealed;
      syncLayer(head);
      contents.layers.push(newHead(contents.sizeBytes));
    });
  }

  sealSnapshot(id: SnapshotId): Promise<void> {
    return this.#cold(() => {
      const layer = this.#findSnapshot(id);
      syncLayer(layer);
      layer.sealed = true;
    });
  }

  #findSnapshot(id: SnapshotId): Layer {
    const layer = this.#contents.layers.find((candidate) => candidate.id === id);
    if (layer === undefined) throw new HoldfastError('not-found', 'No such snapshot');
    return layer;
  }

  deleteSnapshot(id: SnapshotId): Promise<void> {
    return this.#cold(() => {
      const { layers } = this.#contents;
      const at = layerIndex(layers, id);
      // Gone already: a deletion that is tried again after a crash.
      if (at < 0) return;
      const layer = layers[at] as Layer;
      const child = layers[at + 1] as Layer;
      for (const [block, contents] of layer.file) {
        if (child.file.has(block)) continue;
        child.file.set(block, contents);
        child.disk.set(block, contents);
        const crc = layer.crcs.get(block);
        if (crc === undefined) continue;
        child.crcs.set(block, crc);
        child.diskCrcs.set(block, crc);
      }
      layers.splice(at, 1);
    });
  }

  grow(sizeBytes: number): Promise<void> {
    return this.#cold(() => {
      const contents = this.#contents;
      if (sizeBytes < contents.sizeBytes || sizeBytes % BLOCK_BYTES !== 0) {
        throw new HoldfastError('out-of-range', 'A replica never shrinks');
      }
      contents.sizeBytes = sizeBytes;
      (contents.layers[contents.layers.length - 1] as Layer).sizeBytes = sizeBytes;
    });
  }

  scrub(budgetBlocks: number): Promise<ScrubReport> {
    return this.#cold(() => {
      const blocks = this.#contents.sizeBytes / BLOCK_BYTES;
      const first = this.#scrubAt;
      const last = Math.min(blocks, first + budgetBlocks);
      const mismatches: { layer: LayerRef; block: number }[] = [];
      for (const layer of this.#contents.layers) {
        for (let block = first; block < last; block += 1) {
          const contents = layer.file.get(block);
          if (contents !== undefined && !this.#verifies({ layer, contents }, block)) {
            mismatches.push({ layer: layer.id, block });
          }
        }
      }
      const done = last === blocks;
      this.#scrubAt = done ? 0 : last;
      return { checkedBlocks: last - first, mismatches, done };
    });
  }

  /** Its layers are not files. */
  layerUses(): Promise<never[]> {
    return Promise.resolve([]);
  }

  usage(): Promise<ReplicaUsage> {
    return this.#cold(() => {
      const sizes = this.#contents.layers.map((layer) => dataBytes(layer));
      const headBytes = sizes.pop() ?? 0;
      const snapshotBytes = sizes.reduce((sum, bytes) => sum + bytes, 0);
      return { headBytes, snapshotBytes, metadataBytes: BLOCK_BYTES };
    });
  }

  extents(offsetBytes: number, lengthBytes: number): Promise<BlockExtent[]> {
    return this.#cold(() => {
      const { layers, sizeBytes } = this.#contents;
      if (offsetBytes < 0 || offsetBytes + lengthBytes > sizeBytes) {
        throw new HoldfastError('out-of-range', 'Range ends beyond the replica');
      }
      const out: { offsetBytes: number; lengthBytes: number; kind: BlockExtent['kind'] }[] = [];
      for (let at = offsetBytes; at < offsetBytes + lengthBytes; at += BLOCK_BYTES) {
        const contents = viewBlock(layers, layers.length - 1, at / BLOCK_BYTES)?.contents ?? 'hole';
        const kind = typeof contents === 'object' ? 'data' : contents;
        const last = out[out.length - 1];
        if (last?.kind === kind) last.lengthBytes += BLOCK_BYTES;
        else out.push({ offsetBytes: at, lengthBytes: BLOCK_BYTES, kind });
      }
      return out;
    });
  }

  async close(): Promise<void> {
    if (this.#gone) return;
    if (this.#failed === null) {
      await this.flush();
      this.#contents.clean = true;
    }
    this.#gone = true;
  }
}

function dataBytes(layer: Layer): number {
  let bytes = 0;
  for (const contents of layer.file.values())
    if (typeof contents === 'object') bytes += BLOCK_BYTES;
  return bytes;
}

function syncBlock(layer: Layer, block: number): void {
  const contents = layer.file.get(block);
  if (contents === undefined) {
    layer.disk.delete(block);
    layer.diskCrcs.delete(block);
  } else {
    layer.disk.set(block, contents);
    const crc = layer.crcs.get(block);
    if (crc !== undefined) layer.diskCrcs.set(block, crc);
  }
  layer.dirty.delete(block);
}

function syncLayer(layer: Layer): void {
  for (const block of layer.dirty) syncBlock(layer, block);
}
