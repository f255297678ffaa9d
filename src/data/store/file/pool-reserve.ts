/**
 * Room for metadata in a pool that is full: a file whose blocks are given up when the filesystem
 * has none left. Promises, records, marks and logs fit then, so that a volume without space for
 * data refuses writes and stays open. The file says nothing: it may be absent at any time.
 *
 * The engine keeps it (`keepReserve`); whoever has no room for metadata gives it up, in whatever
 * thread. A replica whose data met a full disk refuses all that needs new blocks from then on,
 * until there is room for twice as much as is kept.
 */
import { HoldfastError } from '#api/mod.ts';
import type { Clock, Disk, SpaceReport } from '#host/mod.ts';
import { giveUpReserve, removeQuietly, RESERVE_NAME } from './metadata-file.ts';

const RESERVE_BYTES_MAX = 16 * 1024 * 1024;
const RESERVE_BYTES_MIN = 256 * 1024;
const SHARE = 64;
const LOOK_MS = 1_000;

function reserveBytesOf({ totalBytes }: SpaceReport): number {
  const share = Math.floor(totalBytes / SHARE / 4096) * 4096;
  return Math.min(RESERVE_BYTES_MAX, Math.max(RESERVE_BYTES_MIN, share));
}

/** Makes the file where it is not, and there is room. Several may try at once. */
export async function keepReserve(disk: Disk, pool: string, space: SpaceReport): Promise<void> {
  const path = `${pool}/${RESERVE_NAME}`;
  const bytes = reserveBytesOf(space);
  const stat = await disk.stat(path);
  if (stat !== undefined && stat.allocatedBytes >= bytes) return;
  if (space.freeBytes < bytes * 2) return;
  try {
    if (stat !== undefined) await disk.remove(path);
    const file = await disk.open(path, { write: true, create: 'new' });
    try {
      await file.write(0, noise(bytes));
      await file.flush();
    } finally {
      await file.close();
    }
  } catch (error) {
    if (!HoldfastError.is(error)) throw error;
    // That of another one stays.
    if (error.code !== 'already-exists') await removeQuietly(disk, path);
  }
}

/** What no filesystem makes smaller. */
function noise(bytes: number): Uint8Array {
  const words = new Uint32Array(bytes / 4);
  let word = 0x9e3779b9;
  for (let i = 0; i < words.length; i += 1) {
    word ^= word << 13;
    word ^= word >>> 17;
    word ^= word << 5;
    words[i] = word;
  }
  return new Uint8Array(words.buffer);
}

/** What one open replica knows of the room in its pool. */
export class PoolRoom {
  readonly #disk: Disk;
  readonly #clock: Clock;
  readonly #pool: string;
  #isFull = false;
  #lookedMs = 0;

  constructor(disk: Disk, clock: Clock, pool: string) {
    this.#disk = disk;
    this.#clock = clock;
    this.#pool = pool;
  }

  /** Data that needs new blocks is refused. Asked while it is so, it looks again now and then. */
  isFull(): boolean {
    if (!this.#isFull) return false;
    const nowMs = this.#clock.monotonicMs();
    if (nowMs - this.#lookedMs >= LOOK_MS) {
      this.#lookedMs = nowMs;
      void this.#look();
    }
    return true;
  }

  /** Data did not fit. What is kept stays kept: writes under way would take it. */
  async dataRanOut(): Promise<void> {
    this.#isFull = true;
    this.#lookedMs = this.#clock.monotonicMs();
    await this.#look();
  }

  /** Metadata did not fit. */
  async metadataRanOut(): Promise<void> {
    this.#isFull = true;
    await giveUpReserve(this.#disk, this.#pool);
    await this.dataRanOut();
  }

  /** For what may be repeated: metadata gets a second try in the room that was kept for it. */
  async withReserve<T>(action: () => Promise<T>): Promise<T> {
    try {
      return await action();
    } catch (error) {
      if (!HoldfastError.is(error) || error.code !== 'no-space') throw error;
      await this.metadataRanOut();
      return action();
    }
  }

  async #look(): Promise<void> {
    try {
      const space = await this.#disk.space(this.#pool);
      const isFull = space.freeBytes < 2 * reserveBytesOf(space);
      if (!isFull) await keepReserve(this.#disk, this.#pool, space);
      this.#isFull = isFull;
    } catch (error) {
      if (!HoldfastError.is(error)) throw error;
    }
  }
}
