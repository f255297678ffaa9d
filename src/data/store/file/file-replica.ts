/**
 * A ReplicaStore in files: puts the parts together and orders the cold verbs.
 *
 *     submit ─▶ DataPath ─▶ Layer (data file, map pages) ─┐
 *     flush ──▶ FlushRounds ─▶ map log, pages ◀───────────┴─ StampTable, IntentSet
 *
 * Cold verbs that change layers run one after the other; a merge does its copying outside of that
 * order, so that snapshots and rebuilds do not wait for it.
 */
import {
  type Generation,
  HoldfastError,
  compareGenerations,
  type LayerRef,
  type LayerUse,
  type MembershipRecord,
  type OpenCondition,
  type ReplicaState,
  type ReplicaUsage,
  type ScrubReport,
  type SegmentInspection,
  type SnapshotId,
  type StampedSegment,
  parseId,
} from '#api/mod.ts';
import { BLOCK_BYTES, type BlockExtent, type ReplicaRequest } from '#data/block/mod.ts';
import type { DiskLock } from '#host/mod.ts';
import { BlockChecksum } from './block-checksum.ts';
import { DataPath } from './data-path.ts';
import type { StoreHost, StoreParts } from './file-pool.ts';
import type { FlushLimits, FlushRounds } from './flush-rounds.ts';
import { Health } from './health.ts';
import { InspectedSegments } from './inspected-segments.ts';
import {
  acceptAsFound,
  acceptCompared,
  acceptConfirmed,
  checkSettlement,
  inspectBlocks,
  toInspection,
} from './inspection.ts';
import { type Layer, mapPages } from './layer.ts';
import type { LayerReferences } from './layer-references.ts';
import { layerUses } from './layer-uses.ts';
import { Merges } from './merges.ts';
import type { LayerState } from './metadata.ts';
import type { PageCache } from './page-cache.ts';
import { PoolRoom } from './pool-reserve.ts';
import { ReplicaLayers } from './replica-layers.ts';
import { resetReplica } from './replica-reset.ts';
import { usageOf } from './replica-usage.ts';
import type { OpenedReplica } from './replica-open.ts';
import { cannotShrink, checkRange, checkSize, inDoubt, rolledBack } from './replica-refusals.ts';
import { Scrub } from './scrub.ts';
import { viewExtents } from './view-extents.ts';
import type { ReplicaStore } from '../mod.ts';

export interface FileReplicaOptions {
  readonly host: StoreHost;
  readonly pool: string;
  readonly cache: PageCache;
  readonly limits: FlushLimits;
  readonly references: LayerReferences;
  readonly parts: StoreParts;
  readonly lock: DiskLock;
  readonly onClosed: () => void;
}

/** What a merge or a checkpoint changes without being told; a copy at rest is not asked at all. */
const USAGE_MS_MAX = 60_000;

export class FileReplica implements ReplicaStore {
  readonly #options: FileReplicaOptions;
  readonly #files: OpenedReplica;
  readonly #health: Health;
  readonly #rounds: FlushRounds;
  readonly #room: PoolRoom;
  readonly #dataPath: DataPath;
  readonly #layers: ReplicaLayers;
  readonly #merges: Merges;
  readonly #scrub: Scrub;
  readonly #segmentBlocks: number;
  readonly #reference: BlockChecksum;
  readonly #inspected = new InspectedSegments();
  /** Cold verbs that began or ended. */
  #moves = 0;
  #usage: { readonly changes: number; readonly atMs: number; readonly usage: ReplicaUsage } | null =
    null;
  #condition: OpenCondition;
  #cold: Promise<unknown> = Promise.resolve();
  #closing = false;
  /** The header says that the cache may have lost something. */
  #distrusted = false;

  constructor(options: FileReplicaOptions, files: OpenedReplica) {
    const { host, limits, parts } = options;
    const { stack, stamps, mapLog, intents, completed, headerFile } = files;
    const { identity } = headerFile.header;
    const log = host.log.child({ volume: identity.volume, replica: identity.replica });
    this.#options = options;
    this.#files = files;
    this.#condition = files.condition;
    this.#health = new Health(log, () => void this.#distrustCache());
    this.#segmentBlocks = identity.segmentBytes / BLOCK_BYTES;
    this.#reference = new BlockChecksum(identity.volume);
    const health = this.#health;
    this.#rounds = new parts.FlushRounds({
      stack,
      stamps,
      mapLog,
      health,
      rng: host.rng,
      log,
      limits,
      completed,
    });
    this.#room = new PoolRoom(host.disk, host.clock, options.pool);
    this.#dataPath = new DataPath({
      stack,
      stamps,
      intents,
      mapLog,
      rounds: this.#rounds,
      health,
      segmentBlocks: this.#segmentBlocks,
      room: this.#room,
    });
    this.#layers = new ReplicaLayers(options, files, health, this.#rounds);
    this.#merges = new Merges(this.#layers, this.#dataPath, async (action) =>
      this.#inOrder(action),
    );
    this.#scrub = new Scrub(stack, this.#dataPath);
    if (this.#condition === 'rolled-back') this.#dataPath.refusal = rolledBack();
  }

  /** As long as it stays the same, so did the contents. */
  get #changes(): number {
    return this.#dataPath.changes + this.#moves;
  }

  get #stack(): OpenedReplica['stack'] {
    return this.#files.stack;
  }

  state(): ReplicaState {
    const { header } = this.#files.headerFile;
    const voter = this.#files.voterFile.header;
    return {
      identity: header.identity,
      incarnation: header.incarnation,
      condition: this.#condition,
      sizeBytes: header.sizeBytes,
      promised: voter.promised,
      promisedTo: voter.promisedTo,
      record: voter.record,
      completed: this.#rounds.loggedCompleted,
      snapshots: this.#stack.layers.flatMap((layer) => {
        const id = layer.snapshot;
        if (id === null) return [];
        const { epoch, n, sizeBytes, state } = layer.record;
        const { allocatedBytes } = layer;
        const generation = { epoch, n };
        return [{ id, generation, sizeBytes, sealed: state === 'sealed', allocatedBytes }];
      }),
      rebuild: voter.rebuild,
      failed: this.#health.failed,
    };
  }

  submit(request: ReplicaRequest): void {
    this.#dataPath.submit(request);
  }

  async flush(): Promise<void> {
    this.#checkOpen();
    await this.#room.withReserve(async () => this.#rounds.flush());
    await this.#layers.failing(async () => this.#files.intents.compactIfLong());
  }

  // --- voter ---

  async setPromised(epoch: number, promisedTo: string): Promise<void> {
    this.#checkOpen();
    await this.#files.voterFile.update({ promised: epoch, promisedTo });
  }

  async setRecord(record: MembershipRecord): Promise<void> {
    this.#checkOpen();
    await this.#files.voterFile.update({ record });
  }

  setCompleted(generation: Generation): void {
    this.#rounds.raiseCompleted(generation);
  }

  async setRebuild(text: string): Promise<void> {
    this.#checkOpen();
    await this.#files.voterFile.update({ rebuild: text });
  }

  // --- what a rebuild asks ---

  intents(): number[] {
    return this.#files.intents.segments();
  }

  async stampedSince(
    generation: Generation,
    fromSegment: number,
    limit: number,
  ): Promise<StampedSegment[]> {
    this.#checkOpen();
    return this.#dataPath.guard(async () => {
      const segments = this.#segmentCount(this.#stack.head);
      return this.#files.stamps.above(generation, fromSegment, segments, limit);
    });
  }

  async inspect(layer: LayerRef, segment: number): Promise<SegmentInspection> {
    this.#checkServing();
    return this.#dataPath.guard(async () => {
      const changes = this.#changes;
      const quiet = layer === null && !this.#dataPath.isWriting(segment);
      const found = await this.#inspect(this.#stack.get(layer), segment);
      if (quiet) this.#inspected.remember(segment, found, changes);
      return toInspection(segment, found, await this.#files.stamps.read(segment));
    });
  }

  async settle(
    segment: number,
    kinds: Uint8Array,
    contentCrcs: Uint32Array,
    stamp: Generation,
  ): Promise<void> {
    await this.#inOrder(async () => {
      this.#checkServing();
      const { layers, head } = this.#stack;
      const found =
        this.#inspected.take(segment, this.#changes) ??
        (await this.#inspect(layers.length - 1, segment));
      checkSettlement(found, kinds, contentCrcs, segment * this.#segmentBlocks);
      if (head.doubt.touches(segment)) {
        const alone = layers.length === 1 && this.#reference.equals(head.checksum);
        if (alone) await acceptAsFound(head, segment, found);
        else await acceptCompared(head, segment, { kinds, contentCrcs }, this.#reference);
      }
      await this.#files.stamps.raise(segment, stamp);
    }, true);
  }

  async clearIntents(all: boolean): Promise<void> {
    await this.#inOrder(async () => {
      this.#checkOpen();
      const { intents, stamps } = this.#files;
      const maybe = await this.#clearable(intents.segments(), all, this.#rounds.completed);
      if (maybe.length === 0) return;
      // Only what a checkpoint holds may leave (docs/format/store.md §7). No flush runs until the
      // marks are gone: what is written from now on shows as unsynced.
      await this.#rounds.alone(async () => {
        await this.#rounds.checkpointAlone();
        const sure = await this.#clearable(maybe, all, this.#rounds.loggedCompleted);
        await this.#layers.failing(async () =>
          intents.drop(
            sure.filter(
              (segment) => !stamps.isUnsynced(segment) && !this.#dataPath.isWriting(segment),
            ),
          ),
        );
      });
    });
  }

  /** Rule 14, as far as it can be seen without a sync. */
  async #clearable(
    segments: readonly number[],
    all: boolean,
    completed: Generation,
  ): Promise<number[]> {
    const found: number[] = [];
    for (const segment of segments) {
      if (this.#stack.layers.some((layer) => layer.doubt.touches(segment))) continue;
      const stamp = await this.#files.stamps.read(segment);
      if (all || compareGenerations(stamp, completed) <= 0) found.push(segment);
    }
    return found;
  }

  async reset(sizeBytes: number): Promise<void> {
    checkSize(sizeBytes);
    await this.#merges.stop();
    await this.#inOrder(async () => {
      this.#checkOpen();
      await this.#rounds.alone(async () => {
        await resetReplica(this.#layers, this.#dataPath, sizeBytes, () => {
          this.#condition = 'clean';
        });
      });
    });
  }

  // --- snapshots, growth, scrub ---

  async createSnapshot(id: SnapshotId, generation: Generation): Promise<void> {
    await this.#pushHead(id, generation, 'sealed');
  }

  async beginSnapshotInstall(id: SnapshotId, generation: Generation): Promise<void> {
    await this.#pushHead(id, generation, 'unsealed');
  }

  async #pushHead(id: SnapshotId, generation: Generation, state: LayerState): Promise<void> {
    parseId('snapshot', id);
    await this.#inOrder(async () => {
      this.#checkServing();
      const there = this.#stack.layers[this.#stack.find(id)];
      if (there !== undefined) {
        const { epoch, n } = there.record;
        if (epoch === generation.epoch && n === generation.n) return;
        throw new HoldfastError('already-exists', 'Snapshot exists with another generation', {
          details: { snapshot: id },
        });
      }
      if (state === 'sealed' && this.#stack.head.doubt.any) throw inDoubt();
      await this.#rounds.alone(async () => {
        await this.#rounds.checkpointAlone();
        const { epoch, n } = generation;
        await this.#layers.addHead({ ...this.#stack.head.record, state, snapshot: id, epoch, n });
      });
    });
  }

  async sealSnapshot(id: SnapshotId): Promise<void> {
    await this.#inOrder(async () => {
      this.#checkServing();
      const layer = this.#stack.layers[this.#stack.get(id)]!;
      if (layer.record.state !== 'unsealed') return;
      for (const segment of layer.doubt.segments()) await acceptConfirmed(layer, segment);
      await this.#freeze(layer, 'sealed');
    });
  }

  /** A frozen layer is never in doubt: it has to be whole on the disk before it is one. */
  async #freeze(unsealed: Layer, state: LayerState): Promise<void> {
    await this.#rounds.alone(async () => {
      await this.#rounds.checkpointAlone();
      await this.#layers.changeLayer(unsealed, { state });
    });
  }

  async deleteSnapshot(id: SnapshotId): Promise<void> {
    await this.#inOrder(async () => {
      this.#checkServing();
      const level = this.#stack.find(id);
      const layer = this.#stack.layers[level];
      if (layer === undefined) return;
      if (!layer.writable) return this.#layers.changeLayer(layer, { state: 'merging' });
      // Its rebuild was broken off: also what that one still had on the way is in.
      await this.#dataPath.turnOver();
      for (const segment of layer.doubt.segments()) {
        await acceptCompared(layer, segment, await this.#inspect(level, segment), this.#reference);
      }
      await this.#freeze(layer, 'merging');
    });
    await this.#merges.run();
  }

  async grow(sizeBytes: number): Promise<void> {
    checkSize(sizeBytes);
    await this.#inOrder(async () => {
      this.#checkOpen();
      const { headerFile } = this.#files;
      const { head } = this.#stack;
      if (sizeBytes === headerFile.header.sizeBytes) return;
      if (sizeBytes < headerFile.header.sizeBytes) throw cannotShrink(sizeBytes);
      await head.data.resize(sizeBytes);
      await head.map.grow(mapPages(sizeBytes / BLOCK_BYTES));
      await head.data.flush();
      await head.map.file.flush();
      await this.#layers.updateHeader(({ layers }) => ({
        sizeBytes,
        layers: layers.map((record) =>
          record.layer === head.id ? { ...record, sizeBytes } : record,
        ),
      }));
      head.record = { ...head.record, sizeBytes };
      head.sizeBlocks = sizeBytes / BLOCK_BYTES;
    });
  }

  async scrub(budgetBlocks: number): Promise<ScrubReport> {
    return this.#inOrder(async () => {
      this.#checkServing();
      return this.#scrub.run(budgetBlocks);
    });
  }

  async usage(): Promise<ReplicaUsage> {
    this.#checkOpen();
    const { clock } = this.#options.host;
    const atMs = clock.monotonicMs();
    const known = this.#usage;
    if (known?.changes === this.#changes && atMs - known.atMs < USAGE_MS_MAX) return known.usage;
    const changes = this.#changes;
    const usage = await this.#dataPath.guard(async () => usageOf(this.#files));
    this.#usage = { changes, atMs, usage };
    return usage;
  }

  async layerUses(budgetMs: number): Promise<LayerUse[]> {
    this.#checkServing();
    const { clock } = this.#options.host;
    return this.#dataPath.guard(async () => layerUses(this.#stack.layers, clock, budgetMs));
  }

  async extents(offsetBytes: number, lengthBytes: number): Promise<BlockExtent[]> {
    this.#checkServing();
    const { sizeBytes } = this.#files.headerFile.header;
    checkRange(offsetBytes, lengthBytes, sizeBytes);
    return this.#dataPath.guard(async () => {
      const first = offsetBytes / BLOCK_BYTES;
      return viewExtents(this.#stack.layers, first, lengthBytes / BLOCK_BYTES);
    });
  }

  async close(): Promise<void> {
    if (this.#closing) return;
    this.#closing = true;
    this.#dataPath.refusal = new HoldfastError('aborted', 'Store is closed');
    await this.#merges.stop();
    await this.#inOrder(async () => {
      await this.#dataPath.turnOver();
      try {
        if (this.#health.failed === null) await this.#closeCleanly();
      } finally {
        // Before the lock is gone: the next opener writes the same file.
        if (this.#health.failed !== null) await this.#distrustCache();
        await this.#closeFiles();
      }
    });
  }

  async #closeCleanly(): Promise<void> {
    const { mapLog } = this.#files;
    await this.#rounds.alone(async () => {
      await this.#rounds.checkpointAlone();
      await mapLog.shrink();
      // Doubt outlives an orderly close; so does what a rolled-back copy is.
      const doubt = this.#stack.layers.some((layer) => layer.doubt.any);
      await this.#layers.updateHeader(() => ({ clean: true, doubt }));
    });
  }

  /**
   * After a failed sync the kernel may have dropped accepted writes, as a loss of power does: the
   * next open finds no cache identity, takes a new incarnation, and is not believed to have them
   * all. Tried again at close: the disk may have refused this too.
   */
  async #distrustCache(): Promise<void> {
    if (this.#distrusted) return;
    try {
      await this.#files.headerFile.update(() => ({ cacheIdentity: '' }));
      this.#distrusted = true;
    } catch (error) {
      if (!HoldfastError.is(error)) throw error;
      this.#options.host.log.warn('Failed store could not be marked', { error });
    }
  }

  async #closeFiles(): Promise<void> {
    const { mapLog, intents, stamps } = this.#files;
    for (const layer of this.#stack.layers) await layer.close();
    await stamps.pages.close();
    await intents.close();
    await mapLog.close();
    await this.#options.lock.release();
    this.#options.onClosed();
  }

  // --- order and checks ---

  async #inspect(level: number, segment: number): ReturnType<typeof inspectBlocks> {
    const layer = this.#stack.layers[level]!;
    const first = segment * this.#segmentBlocks;
    const count = Math.min(this.#segmentBlocks, layer.sizeBlocks - first);
    if (!Number.isSafeInteger(segment) || segment < 0 || count <= 0) {
      throw new HoldfastError('out-of-range', 'Segment is beyond the end', {
        details: { segment },
      });
    }
    const { logTorn } = this.#files.headerFile.header;
    const { layers } = this.#stack;
    return inspectBlocks(layers, level, first, count, this.#reference, logTorn);
  }

  #segmentCount(layer: Layer): number {
    return Math.ceil(layer.sizeBlocks / this.#segmentBlocks);
  }

  #checkOpen(): void {
    this.#health.check();
    if (this.#closing) throw new HoldfastError('aborted', 'Store is closed');
  }

  /** Open, and its contents are worth something. */
  #checkServing(): void {
    this.#checkOpen();
    if (this.#condition === 'rolled-back') throw rolledBack();
  }

  /** All but a settlement may move contents about behind the data path. */
  async #inOrder<T>(action: () => Promise<T>, keepsContents = false): Promise<T> {
    const turn = this.#cold.then(() => {
      if (!keepsContents) this.#moves++;
      return action().finally(() => {
        if (!keepsContents) this.#moves++;
      });
    });
    this.#cold = turn.catch(() => undefined);
    return turn;
  }
}
