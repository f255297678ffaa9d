import { assert } from '#lib/mod.ts';
import { MAP_ENTRIES, PAGE_BYTES } from './format.ts';
import type { PagedFile } from './paged-file.ts';

const CHANGED_WORDS = MAP_ENTRIES / 32;

/** One page of a map or stamps file in memory. */
export class Page {
  readonly owner: PagedFile;
  readonly index: number;
  readonly bytes: Uint8Array;
  readonly words: Uint32Array;
  /** Entries that changed since a flush gathered them last; allocated with the first change. */
  changed: Uint32Array | null = null;
  changedCount = 0;
  /** Entries that a flush has gathered and not logged yet. */
  gathered: Uint32Array | null = null;
  /** Differs from the file: stays until a checkpoint wrote it. */
  dirty = false;
  /** Held by requests that will change it. */
  pins = 0;
  /** Used since the clock's hand passed. */
  referenced = true;

  constructor(owner: PagedFile, index: number) {
    this.owner = owner;
    this.index = index;
    this.bytes = new Uint8Array(PAGE_BYTES);
    this.words = new Uint32Array(this.bytes.buffer);
  }

  isChanged(entry: number): boolean {
    return this.changed !== null && ((this.changed[entry >>> 5]! >>> (entry & 31)) & 1) === 1;
  }

  /** What the log says of the entry may be older than what memory says. */
  isPending(entry: number): boolean {
    if (this.isChanged(entry)) return true;
    return this.gathered !== null && ((this.gathered[entry >>> 5]! >>> (entry & 31)) & 1) === 1;
  }

  noteChanged(entry: number): void {
    if (this.changed === null) this.changed = new Uint32Array(CHANGED_WORDS);
    const word = entry >>> 5;
    const bit = 1 << (entry & 31);
    if ((this.changed[word]! & bit) !== 0) return;
    this.changed[word]! |= bit;
    if (this.changedCount++ === 0) this.owner.noteChangedPage(this);
    if (!this.dirty) this.owner.noteDirtyPage(this);
  }
}

/**
 * The pages of all maps of a pool: at most `capacity`, the least used go first (clock). Dirty and
 * pinned pages stay, so the bound is soft: owners checkpoint long before dirty pages fill it.
 */
export class PageCache {
  readonly #capacity: number;
  readonly #slots: Page[] = [];
  #hand = 0;

  constructor(capacity: number) {
    assert(capacity >= 8, 'a page cache holds at least eight pages');
    this.#capacity = capacity;
  }

  get size(): number {
    return this.#slots.length;
  }

  /** Takes a new page in; may make others leave their files. */
  admit(page: Page): void {
    if (this.#slots.length < this.#capacity) {
      this.#slots.push(page);
      return;
    }
    // Two rounds: the first takes the second chance away, the second finds what can go.
    for (let step = 0; step < 2 * this.#slots.length; step++) {
      if (this.#hand >= this.#slots.length) this.#hand = 0;
      const other = this.#slots[this.#hand]!;
      if (other.dirty || other.pins > 0) {
        this.#hand++;
      } else if (other.referenced) {
        other.referenced = false;
        this.#hand++;
      } else {
        other.owner.forget(other);
        this.#slots[this.#hand++] = page;
        return;
      }
    }
    this.#slots.push(page);
  }

  /** Shrinks to the capacity after an overflow, and drops the pages of a file that is closed. */
  sweep(closed: PagedFile | null): void {
    let kept = 0;
    let excess = this.#slots.length - this.#capacity;
    for (const page of this.#slots) {
      const idle = !page.dirty && page.pins === 0;
      if (page.owner === closed) continue;
      if (excess > 0 && idle) {
        page.owner.forget(page);
        excess--;
      } else {
        this.#slots[kept++] = page;
      }
    }
    this.#slots.length = kept;
    this.#hand = 0;
  }
}
