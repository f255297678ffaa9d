/**
 * FileLedger: the open files of one thread, written where the thread that started it can read them
 * after its death. Node can close what a thread left open (`trackUnmanagedFds`), but it also closes
 * numbers that the thread handed to a socket: by then they are files of others. Here only files
 * that the host opened are noted, and each is struck out before it is closed.
 */
import { close, closeSync } from 'node:fs';
import { promisify } from 'node:util';
import { assert } from '#lib/mod.ts';

/** A replica has a file for each layer and a few more; far beyond what one volume can have. */
const FILES_MAX = 16_384;
const NONE = 0;

/** Shared between the two threads: descriptor + 1 for each open file. */
export type FileSlots = Int32Array<SharedArrayBuffer>;

export function createFileSlots(): FileSlots {
  return new Int32Array(new SharedArrayBuffer(FILES_MAX * Int32Array.BYTES_PER_ELEMENT));
}

export class FileLedger {
  readonly #slots: FileSlots | null;
  readonly #free: number[] = [];
  readonly #slotOf = new Map<number, number>();
  #used = 0;

  /** Null when nobody will ask: the process ends with the thread. */
  constructor(slots: FileSlots | null) {
    this.#slots = slots;
  }

  note(fd: number): void {
    if (!this.#slots) return;
    const slot = this.#free.pop() ?? this.#used++;
    assert(slot < FILES_MAX, 'a thread has fewer open files than its ledger has lines');
    this.#slotOf.set(fd, slot);
    this.#slots[slot] = fd + 1;
  }

  async close(fd: number): Promise<void> {
    const slot = this.#slotOf.get(fd);
    if (this.#slots && slot !== undefined) {
      this.#slots[slot] = NONE;
      this.#slotOf.delete(fd);
      this.#free.push(slot);
    }
    await promisify(close)(fd);
  }
}

/**
 * Closes what a thread that is gone left open, and so gives up its locks. Nothing of the thread may
 * still run, its disk lanes included: that is so once its worker has told its exit.
 */
export function closeLeftOpen(slots: FileSlots): void {
  for (const [slot, value] of slots.entries()) {
    if (value === NONE) continue;
    slots[slot] = NONE;
    closeSync(value - 1);
  }
}
