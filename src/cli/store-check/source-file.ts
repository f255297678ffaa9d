import { HoldfastError } from '#api/mod.ts';
import type { Disk, DiskFile, FileStat } from '#host/mod.ts';
import type { FileId } from './payloads.ts';

/** A file of a store, opened to read and nothing else. Beyond its end it reads as zeroes. */
export class SourceFile {
  readonly path: string;
  readonly stat: FileStat;
  readonly #file: DiskFile;

  private constructor(path: string, file: DiskFile, stat: FileStat) {
    this.path = path;
    this.#file = file;
    this.stat = stat;
  }

  /** Undefined when there is no such file. */
  static async open(disk: Disk, path: string): Promise<SourceFile | undefined> {
    const found = await disk.stat(path);
    if (found?.kind !== 'file') return undefined;
    const file = await disk.open(path, { write: false });
    return new SourceFile(path, file, await file.stat());
  }

  get sizeBytes(): number {
    return this.stat.sizeBytes;
  }

  is(id: FileId): boolean {
    return this.stat.inode === id.inode && this.stat.birthNs === id.birthNs;
  }

  async read(offsetBytes: number, lengthBytes: number): Promise<Uint8Array> {
    const there = Math.max(0, Math.min(lengthBytes, this.sizeBytes - offsetBytes));
    if (there === 0) return new Uint8Array(lengthBytes);
    const bytes = await this.#file.read(offsetBytes, there);
    if (there === lengthBytes) return bytes;
    const padded = new Uint8Array(lengthBytes);
    padded.set(bytes);
    return padded;
  }

  readAll(): Promise<Uint8Array> {
    return this.read(0, this.sizeBytes);
  }

  /** Ranges that are not holes, in order. */
  async allocated(
    offsetBytes: number,
    lengthBytes: number,
  ): Promise<{ at: number; end: number }[]> {
    const length = Math.min(lengthBytes, this.sizeBytes - offsetBytes);
    if (length <= 0) return [];
    const ranges = await this.#file.extents(offsetBytes, length);
    return ranges
      .filter((range) => range.kind === 'data')
      .map((range) => ({ at: range.offsetBytes, end: range.offsetBytes + range.lengthBytes }));
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}

/** Everything in a small file; undefined when there is none. */
export async function readWhole(
  disk: Disk,
  path: string,
  bytesMax: number,
): Promise<{ readonly bytes: Uint8Array; readonly file: SourceFile } | undefined> {
  const file = await SourceFile.open(disk, path);
  if (file === undefined) return undefined;
  try {
    if (file.sizeBytes > bytesMax) {
      throw new HoldfastError('store-corrupt', 'A metadata file is far too long', {
        details: { path, sizeBytes: file.sizeBytes },
      });
    }
    return { bytes: await file.readAll(), file };
  } finally {
    await file.close();
  }
}
