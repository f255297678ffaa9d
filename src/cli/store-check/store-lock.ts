/**
 * The store's own locks, held while it is read: nobody opens it meanwhile, so what is seen stands
 * still. A lock file that is not there is not made, and where it cannot be taken (a read-only
 * filesystem) reading goes on without it.
 */
import { hasCode, HoldfastError } from '#api/mod.ts';
import type { Disk } from '#host/mod.ts';

export interface StoreLock {
  /**
   * `none`: no lock file, or it cannot be locked here. `taken`: another process has the store open.
   */
  readonly state: 'held' | 'taken' | 'none';
  release(): Promise<void>;
}

const NOTHING = (): Promise<void> => Promise.resolve();

export async function lockStore(disk: Disk, path: string): Promise<StoreLock> {
  if ((await disk.stat(path)) === undefined) return { state: 'none', release: NOTHING };
  try {
    const lock = await disk.lock(path);
    return { state: 'held', release: () => lock.release() };
  } catch (error) {
    if (!HoldfastError.is(error)) throw error;
    return { state: hasCode(error, 'store-locked') ? 'taken' : 'none', release: NOTHING };
  }
}
