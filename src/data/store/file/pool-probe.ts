import { HoldfastError, hasCode } from '#api/mod.ts';
import { BLOCK_BYTES } from '#data/block/mod.ts';
import type { Disk } from '#host/mod.ts';
import { isZero } from '#lib/mod.ts';
import { removeQuietly } from './metadata-file.ts';

const PROBE_BYTES = 64 * 1024 * 1024;
/** Less is called full: the metadata of a single replica would not fit. */
const FREE_BYTES_MIN = 1024 * 1024;

/**
 * Whether a directory can hold a pool: there, writable, not full, on a filesystem that keeps sparse
 * files. Leaves nothing behind. Each refusal names the field, the value and what to do.
 */
export async function probeDirectory(disk: Disk, directory: string): Promise<void> {
  const stat = await disk.stat(directory);
  if (stat?.kind !== 'directory') {
    const message =
      stat === undefined ? 'Pool directory does not exist' : 'Pool directory is not a directory';
    throw new HoldfastError(stat === undefined ? 'not-found' : 'invalid-argument', message, {
      details: field(directory, 'Create it, or mount the disk that holds it'),
    });
  }
  const { freeBytes, filesystem } = await disk.space(directory);
  if (freeBytes < FREE_BYTES_MIN) throw full(directory, freeBytes);
  const path = `${directory}/holdfast-probe.tmp`;
  await removeQuietly(disk, path);
  try {
    await probeHoles(disk, path, directory, filesystem);
  } catch (error) {
    if (hasCode(error, 'no-space')) throw full(directory, freeBytes);
    if (!hasCode(error, 'read-only') && !hasCode(error, 'permission-denied')) throw error;
    throw new HoldfastError((error as HoldfastError).code, 'Pool directory cannot be written', {
      details: field(directory, 'Mount it read-write and let this user write to it'),
      cause: error,
    });
  } finally {
    await removeQuietly(disk, path);
  }
}

async function probeHoles(
  disk: Disk,
  path: string,
  directory: string,
  filesystem: string,
): Promise<void> {
  const file = await disk.open(path, { write: true, create: 'new' });
  try {
    await file.resize(PROBE_BYTES);
    await file.write(PROBE_BYTES / 2, new Uint8Array(BLOCK_BYTES).fill(0xa5));
    await file.flush();
    const sparse = (await file.stat()).allocatedBytes < PROBE_BYTES / 4;
    if (!sparse || !(await canPunch(file))) {
      throw new HoldfastError('no-holes', 'Filesystem cannot keep sparse files', {
        details: { ...field(directory, 'Use ext4, xfs, btrfs or tmpfs'), filesystem },
      });
    }
  } finally {
    await file.close();
  }
}

async function canPunch(file: Awaited<ReturnType<Disk['open']>>): Promise<boolean> {
  try {
    await file.trim(PROBE_BYTES / 2, BLOCK_BYTES);
  } catch (error) {
    if (hasCode(error, 'unsupported')) return false;
    throw error;
  }
  return isZero(await file.read(PROBE_BYTES / 2, BLOCK_BYTES));
}

function full(directory: string, freeBytes: number): HoldfastError {
  return new HoldfastError('no-space', 'Pool directory has no space left', {
    details: { ...field(directory, 'Free some space or use another disk'), freeBytes },
  });
}

function field(value: string, remedy: string): { field: string; value: string; remedy: string } {
  return { field: 'directory', value, remedy };
}
