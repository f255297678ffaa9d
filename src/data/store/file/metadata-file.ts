import { hasCode, HoldfastError } from '#api/mod.ts';
import type { Disk } from '#host/mod.ts';
import { corrupt } from './format.ts';
import type { FileId } from './metadata.ts';

/** Blocks that are given up for metadata when the filesystem has none left (pool-reserve.ts). */
export const RESERVE_NAME = 'holdfast-pool.reserve';

/** Longer files are not metadata of ours. */
const METADATA_BYTES_MAX = 17 * 1024 * 1024;

/**
 * Replaces a file as a whole: temporary name, sync, rename, directory synced. After a crash the old
 * or the new version is there. `encode` gets the identity that the new file has on disk, so that a
 * file can name itself. On an error with effect `none` the old version stays and nothing is left
 * behind; with `unknown` the rename may have happened, durably or not.
 */
export async function writeMetadata(
  disk: Disk,
  directory: string,
  name: string,
  encode: (self: FileId) => Uint8Array,
): Promise<void> {
  const path = `${directory}/${name}`;
  const temporary = `${path}.tmp`;
  await disk.remove(temporary);
  try {
    await writeTemporary(disk, temporary, encode).catch(async (error: unknown) => {
      if (!hasCode(error, 'no-space')) throw error;
      // In the room that the pool keeps for it.
      await giveUpReserve(disk, directory.replace(/\/replicas\/[^/]+$/, ''));
      await disk.remove(temporary);
      await writeTemporary(disk, temporary, encode);
    });
  } catch (error) {
    await removeQuietly(disk, temporary);
    throw error;
  }
  try {
    await disk.rename(temporary, path);
    await disk.syncDirectory(directory);
  } catch (error) {
    if (!HoldfastError.is(error)) throw error;
    throw new HoldfastError(error.code, 'Metadata may have been replaced or not', {
      effect: 'unknown',
      details: { path },
      cause: error,
    });
  }
}

async function writeTemporary(
  disk: Disk,
  path: string,
  encode: (self: FileId) => Uint8Array,
): Promise<void> {
  const file = await disk.open(path, { write: true, create: 'new' });
  try {
    const { inode, birthNs } = await file.stat();
    await file.write(0, encode({ inode, birthNs }));
    await file.flush();
  } catch (error) {
    if (!HoldfastError.is(error)) throw error;
    throw new HoldfastError(error.code, 'Metadata was not written', {
      details: { path },
      cause: error,
    });
  } finally {
    await file.close();
  }
}

/** The whole file; `not-found` when there is none. */
export async function readMetadata(disk: Disk, path: string): Promise<Uint8Array> {
  const file = await disk.open(path, { write: false });
  try {
    const { sizeBytes } = await file.stat();
    if (sizeBytes > METADATA_BYTES_MAX) throw corrupt(path, 'file is too long');
    return sizeBytes === 0 ? new Uint8Array(0) : await file.read(0, sizeBytes);
  } finally {
    await file.close();
  }
}

/** For clean-up after another error, which is the one that is reported. */
export async function removeQuietly(disk: Disk, path: string): Promise<void> {
  try {
    await disk.remove(path);
  } catch (error) {
    if (!HoldfastError.is(error)) throw error;
  }
}

/** Frees the room that a pool keeps for metadata. Nothing where it was freed already. */
export async function giveUpReserve(disk: Disk, pool: string): Promise<void> {
  await removeQuietly(disk, `${pool}/${RESERVE_NAME}`);
}
