/**
 * Small files that are read and replaced whole: after a crash there is the old content or the new
 * one, never a mixture.
 */
import { hasCode } from '#api/mod.ts';
import type { Disk } from './mod.ts';

/** Undefined when there is no such file. */
export async function readWholeFile(disk: Disk, path: string): Promise<Uint8Array | undefined> {
  try {
    const file = await disk.open(path, { write: false });
    try {
      return await file.read(0, (await file.stat()).sizeBytes);
    } finally {
      await file.close();
    }
  } catch (error) {
    if (hasCode(error, 'not-found')) return undefined;
    throw error;
  }
}

/** Durable when it resolves. Writers of the same path must be ordered by the caller. */
export async function replaceWholeFile(disk: Disk, path: string, bytes: Uint8Array): Promise<void> {
  const temporary = `${path}.new`;
  await disk.remove(temporary);
  const file = await disk.open(temporary, { write: true, create: 'new' });
  try {
    await file.write(0, bytes);
    await file.flush();
  } finally {
    await file.close();
  }
  await disk.rename(temporary, path);
  await disk.syncDirectory(path.slice(0, path.lastIndexOf('/')));
}
