/**
 * Flushes and checkpoints, one after the other (docs/format/store.md §9).
 *
 *     flush:       gather changes ─▶ sync data ─▶ append to the map log ─▶ sync the log
 *     checkpoint:  copy dirty pages ─▶ sync data ─▶ append images, sync ─▶ write pages, sync ─▶
 *     restart
 *
 * - A round covers what had completed when it *began*; who asks while one runs waits for the next.
 * - Data before log: an entry in the log never speaks of contents that a power loss could take.
 * - A failed sync fails the store (W3). Running out of space fails the round and changes nothing.
 *
 * The protected methods are the steps that a planted mistake leaves out (model.test.ts).
 */
import { compareGenerations, type Generation, HoldfastError } from '#api/mod.ts';
import type { Log, Rng } from '#host/mod.ts';
import type { Health } from './health.ts';
import type { LayerStack } from './layer-stack.ts';
import {
  draftFlush,
  draftImages,
  type GatheredPage,
  gatherChanges,
  giveBackChanges,
  type PageImage,
  settleChanges,
} from './map-log.ts';
import type { PagedFile } from './paged-file.ts';
import type { RecordLog } from './record-log.ts';
import type { StampTable } from './stamp-table.ts';

export interface FlushLimits {
  /** A checkpoint follows a flush that made the log longer than this. */
  readonly logBytes: number;
  /** Or when so many pages are dirty. */
  readonly dirtyPages: number;
}

export interface FlushParts {
  readonly stack: LayerStack;
  readonly stamps: StampTable;
  readonly mapLog: RecordLog;
  readonly health: Health;
  readonly rng: Rng;
  readonly log: Log;
  readonly limits: FlushLimits;
  /** As the log says it now. */
  readonly completed: Generation;
}

export class FlushRounds {
  protected readonly parts: FlushParts;
  #completed: Generation;
  /** What the log holds durably. */
  #loggedCompleted: Generation;
  #tail: Promise<void> = Promise.resolve();
  #nextFlush: Promise<void> | null = null;
  #nextCheckpoint: Promise<void> | null = null;
  /** After a checkpoint ran out of space: the log may grow this long before the next attempt. */
  #retryLogBytes = 0;

  constructor(parts: FlushParts) {
    this.parts = parts;
    this.#completed = parts.completed;
    this.#loggedCompleted = parts.completed;
  }

  get completed(): Generation {
    return this.#completed;
  }

  get loggedCompleted(): Generation {
    return this.#loggedCompleted;
  }

  /** True while so much is dirty that new pages should wait for a checkpoint. */
  get crowded(): boolean {
    return this.#dirtyPages() >= 2 * this.parts.limits.dirtyPages;
  }

  raiseCompleted(generation: Generation): void {
    if (compareGenerations(generation, this.#completed) > 0) this.#completed = generation;
  }

  /** After a reset, which emptied the log. */
  forgetCompleted(): void {
    this.#completed = { epoch: 0, n: 0 };
    this.#loggedCompleted = this.#completed;
  }

  flush(): Promise<void> {
    // A checkpoint that has not begun yet does all that a flush does.
    if (this.#nextCheckpoint !== null) return this.#nextCheckpoint;
    this.#nextFlush ??= this.alone(async () => {
      this.#nextFlush = null;
      await this.#flushRound();
    });
    return this.#nextFlush;
  }

  checkpoint(): Promise<void> {
    this.#nextCheckpoint ??= this.alone(async () => {
      this.#nextCheckpoint = null;
      await this.#checkpointRound();
    });
    return this.#nextCheckpoint;
  }

  /** Runs alone among the rounds: for changes of the stack. */
  async alone<T>(action: () => Promise<T>): Promise<T> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const before = this.#tail;
    this.#tail = promise;
    await before;
    try {
      return await action();
    } finally {
      resolve();
    }
  }

  /** Within `alone`: a checkpoint right now. */
  async checkpointAlone(): Promise<void> {
    await this.#checkpointRound();
  }

  /** When the limits say so; its errors are the next flush's business. */
  checkpointIfNeeded(): void {
    const { limits, mapLog, health } = this.parts;
    if (health.failed !== null || this.#nextCheckpoint !== null) return;
    const full = mapLog.sizeBytes > Math.max(limits.logBytes, this.#retryLogBytes);
    if (!full && this.#dirtyPages() < limits.dirtyPages) return;
    this.checkpoint().catch((error: unknown) => {
      if (!HoldfastError.is(error)) throw error;
      this.parts.log.warn('Checkpoint failed', { error });
    });
  }

  /** Step 1 of durability: contents of all layers that were written. */
  protected async syncData(): Promise<void> {
    for (const layer of this.parts.stack.layers) {
      // The head always: a flush without changes is honest too.
      if (!layer.unsynced && layer.record.state !== 'head') continue;
      layer.unsynced = false;
      await this.sync(layer.data);
    }
  }

  /**
   * Whatever the reason, a sync that failed leaves an unknown state: also when it says no space.
   */
  protected async sync(target: { flush(): Promise<void> }): Promise<void> {
    try {
      await target.flush();
    } catch (error) {
      this.parts.health.fail(error);
      throw error;
    }
  }

  protected async appendChanges(record: Uint8Array, lengthBytes: number): Promise<void> {
    await this.parts.mapLog.append(record, lengthBytes);
    await this.sync(this.parts.mapLog);
  }

  /** Order of the two halves of a flush, apart for the same reason. */
  protected async makeDurable(append: (() => Promise<void>) | null): Promise<void> {
    await this.syncData();
    if (append !== null) await append();
  }

  /** Images of the pages that are about to be written in place. */
  protected async protectPages(images: readonly PageImage[]): Promise<void> {
    const { mapLog } = this.parts;
    for (const { record, lengthBytes } of draftImages(images, this.#completed)) {
      await mapLog.appendInside(record, lengthBytes);
    }
    await this.sync(mapLog);
  }

  async #flushRound(): Promise<void> {
    this.parts.health.check();
    const { stack, stamps } = this.parts;
    const completed = this.#completed;
    const raised = compareGenerations(completed, this.#loggedCompleted) > 0;
    const maps = stack.layers.map((layer) => ({
      file: layer.map,
      pages: gatherChanges(layer.map),
    }));
    const stampPages = gatherChanges(stamps.pages);
    const draft = draftFlush(
      maps,
      { file: stamps.pages, pages: stampPages },
      raised ? completed : null,
    );
    const gathered = [...maps.flatMap(({ pages }) => pages), ...stampPages];
    try {
      const append =
        draft === null
          ? null
          : async (): Promise<void> => this.appendChanges(draft.record, draft.lengthBytes);
      await this.makeDurable(append);
    } catch (error) {
      throw this.#failedRound(error, gathered);
    }
    settleChanges(gathered);
    if (raised) this.#loggedCompleted = completed;
    this.checkpointIfNeeded();
  }

  async #checkpointRound(): Promise<void> {
    const { stack, stamps, mapLog, health, rng } = this.parts;
    health.check();
    const files = [...stack.layers.map((layer) => layer.map), stamps.pages];
    await mapLog.exclusive(async () => {
      const completed = this.#completed;
      const gathered = files.flatMap((file) => gatherChanges(file));
      const images = files.flatMap((file) => this.#takeImages(file, mapLog.restarts + 1));
      try {
        await this.syncData();
        if (images.length > 0) await this.protectPages(images);
        for (const file of files) await this.#writePages(file, images);
        await mapLog.restartInside(rng.bytes(8), completed);
      } catch (error) {
        throw this.#failedRound(error, gathered);
      }
      settleChanges(gathered);
      this.#loggedCompleted = completed;
      this.#retryLogBytes = 0;
      for (const { file, index } of images) this.#clean(file, index);
    });
  }

  #takeImages(file: PagedFile, checkpoint: number): PageImage[] {
    return [...file.dirtyPages].map((page) => {
      const bytes = page.bytes.slice();
      file.seal(page.index, checkpoint, bytes);
      return { file, index: page.index, bytes };
    });
  }

  async #writePages(file: PagedFile, images: readonly PageImage[]): Promise<void> {
    const own = images.filter((image) => image.file === file);
    if (own.length === 0) return;
    await file.writeImages(
      own.map((image) => image.index),
      own.map((image) => image.bytes),
    );
    await this.sync(file.file);
  }

  /** Pages that changed since their image was taken stay dirty. */
  #clean(file: PagedFile, index: number): void {
    const page = file.peek(index);
    if (page === undefined || page.changedCount > 0) return;
    page.dirty = false;
    file.dirtyPages.delete(page);
  }

  /**
   * Without space nothing is lost and the store goes on; any other error leaves an unknown state.
   */
  #failedRound(error: unknown, gathered: readonly GatheredPage[]): unknown {
    if (!HoldfastError.is(error)) return error;
    giveBackChanges(gathered);
    this.#retryLogBytes = this.parts.mapLog.sizeBytes * 2;
    if (error.code !== 'no-space') this.parts.health.fail(error);
    return error;
  }

  #dirtyPages(): number {
    return this.parts.stack.dirtyPages() + this.parts.stamps.pages.dirtyPages.size;
  }
}
