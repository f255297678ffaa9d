/**
 * A file of 4 KiB pages behind a header page (docs/format/store.md §4): a layer's map or a
 * replica's stamps. Pages are read on demand into the pool's cache and change in memory; only a
 * checkpoint writes them.
 *
 * - A page that is pinned or dirty stays in memory; any other may leave at the next load.
 * - A page of zeroes, or beyond the end of the file, was never written.
 */
import { HoldfastError } from '#api/mod.ts';
import type { DiskFile } from '#host/mod.ts';
import {
  hex8Bytes,
  isPageIntact,
  PAGE_BYTES,
  PAGED_HEADER_BYTES,
  pageIdCrc,
  sealPage,
} from './format.ts';
import { Page, type PageCache } from './page-cache.ts';

type PageWaiter = (page: Page | null, error: HoldfastError | null) => void;

const WRITE_PAGES_MAX = 64;

export class PagedFile {
  readonly id: string;
  readonly idBytes: Uint8Array;
  readonly file: DiskFile;
  /** Pages with entries that no flush has gathered yet. */
  changedPages: Page[] = [];
  readonly dirtyPages = new Set<Page>();
  readonly #idCrc: number;
  readonly #cache: PageCache;
  readonly #pages = new Map<number, Page>();
  readonly #loading = new Map<number, PageWaiter[]>();
  /** The page that was asked for last: most questions come in runs. */
  #last: Page | null = null;
  #pageCount: number;

  constructor(id: string, file: DiskFile, fileBytes: number, cache: PageCache) {
    this.id = id;
    this.idBytes = hex8Bytes(id);
    this.file = file;
    this.#idCrc = pageIdCrc(id);
    this.#cache = cache;
    this.#pageCount = Math.max(0, Math.floor((fileBytes - PAGED_HEADER_BYTES) / PAGE_BYTES));
  }

  /** Pages that the file has room for; those beyond were never written. */
  get pageCount(): number {
    return this.#pageCount;
  }

  /** The page if it is in memory. Use it before the next load, or pin it. */
  peek(index: number): Page | undefined {
    const last = this.#last;
    if (last !== null && last.index === index) return last;
    const page = this.#pages.get(index);
    if (page === undefined) return undefined;
    page.referenced = true;
    this.#last = page;
    return page;
  }

  /** Calls back, perhaps at once, with the page pinned: the caller takes one from `pins`. */
  load(index: number, waiter: PageWaiter): void {
    const page = this.peek(index);
    if (page !== undefined) {
      page.pins++;
      waiter(page, null);
      return;
    }
    const waiters = this.#loading.get(index);
    if (waiters !== undefined) {
      waiters.push(waiter);
      return;
    }
    this.#loading.set(index, [waiter]);
    void this.#read(index).then(
      (fresh) => this.#loaded(index, fresh, null),
      (error: unknown) => {
        if (!HoldfastError.is(error)) throw error;
        this.#loaded(index, null, error);
      },
    );
  }

  /** The promise form of `load`. */
  async acquire(index: number): Promise<Page> {
    return new Promise((resolve, reject) => {
      this.load(index, (page, error) => {
        if (page === null) reject(error as HoldfastError);
        else resolve(page);
      });
    });
  }

  /** For replay: a page whose contents come from a log image, whatever the file holds. */
  adopt(index: number, image: Uint8Array): Page {
    let page = this.#pages.get(index);
    if (page === undefined) {
      page = new Page(this, index);
      this.#pages.set(index, page);
      page.dirty = true;
      this.#cache.admit(page);
      this.dirtyPages.add(page);
    }
    page.bytes.set(image);
    return page;
  }

  noteChangedPage(page: Page): void {
    this.changedPages.push(page);
  }

  noteDirtyPage(page: Page): void {
    page.dirty = true;
    this.dirtyPages.add(page);
  }

  /** The cache drops it. */
  forget(page: Page): void {
    this.#pages.delete(page.index);
    if (this.#last === page) this.#last = null;
  }

  /** Fills in the header of a copy that goes into log and file. */
  seal(index: number, checkpoint: number, image: Uint8Array): void {
    sealPage(this.#idCrc, index, checkpoint, image);
  }

  isIntact(index: number, image: Uint8Array): boolean {
    return isPageIntact(this.#idCrc, index, image);
  }

  /** Writes sealed images in place, neighbours together. Durable after `file.flush`. */
  async writeImages(indexes: readonly number[], images: readonly Uint8Array[]): Promise<void> {
    const order = indexes.map((_, i) => i).sort((a, b) => indexes[a]! - indexes[b]!);
    let from = 0;
    while (from < order.length) {
      const first = indexes[order[from]!]!;
      let to = from + 1;
      while (
        to < order.length &&
        to - from < WRITE_PAGES_MAX &&
        indexes[order[to]!]! === first + to - from
      ) {
        to++;
      }
      const bytes = new Uint8Array((to - from) * PAGE_BYTES);
      for (let i = from; i < to; i++) bytes.set(images[order[i]!]!, (i - from) * PAGE_BYTES);
      await this.file.write(PAGED_HEADER_BYTES + first * PAGE_BYTES, bytes);
      this.#pageCount = Math.max(this.#pageCount, first + to - from);
      from = to;
    }
  }

  /** Makes room for `pages`; takes no space. */
  async grow(pages: number): Promise<void> {
    if (pages <= this.#pageCount) return;
    await this.file.resize(PAGED_HEADER_BYTES + pages * PAGE_BYTES);
    this.#pageCount = pages;
  }

  /**
   * The first page from `from` on that may hold something, in memory or on disk; -1 when there is
   * none. Holes of the file are skipped, so walking a sparse map costs what it holds.
   */
  async nextPresent(from: number): Promise<number> {
    let best = -1;
    for (const page of this.dirtyPages) {
      if (page.index >= from && (best < 0 || page.index < best)) best = page.index;
    }
    if (best === from) return best;
    const end = PAGED_HEADER_BYTES + this.#pageCount * PAGE_BYTES;
    let at = PAGED_HEADER_BYTES + from * PAGE_BYTES;
    // A window at a time: the answer for a densely written map would be long.
    while (at < end) {
      const length = Math.min(end - at, 1024 * PAGE_BYTES);
      for (const extent of await this.file.extents(at, length)) {
        if (extent.kind === 'hole') continue;
        const found = Math.floor((extent.offsetBytes - PAGED_HEADER_BYTES) / PAGE_BYTES);
        const page = Math.max(from, found);
        return best < 0 ? page : Math.min(best, page);
      }
      at += length;
    }
    return best;
  }

  async close(): Promise<void> {
    this.#pages.clear();
    this.#last = null;
    this.#cache.sweep(this);
    await this.file.close();
  }

  async #read(index: number): Promise<Page> {
    const page = new Page(this, index);
    if (index < this.#pageCount) {
      const bytes = await this.file.read(PAGED_HEADER_BYTES + index * PAGE_BYTES, PAGE_BYTES);
      if (!isPageIntact(this.#idCrc, index, bytes)) {
        throw new HoldfastError('checksum-mismatch', 'Map page does not match its checksum', {
          details: { path: this.file.path, page: index },
        });
      }
      page.bytes.set(bytes);
    }
    return page;
  }

  #loaded(index: number, page: Page | null, error: HoldfastError | null): void {
    const waiters = this.#loading.get(index) ?? [];
    this.#loading.delete(index);
    if (page !== null) {
      page.pins = 1;
      this.#pages.set(index, page);
      this.#cache.admit(page);
    }
    for (const waiter of waiters) {
      if (page !== null) page.pins++;
      waiter(page, error);
    }
    if (page !== null) page.pins--;
  }
}
