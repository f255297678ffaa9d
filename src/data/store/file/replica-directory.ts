/**
 * The files of one replica by name, and its two metadata files (docs/format/store.md §1 and §3).
 * Paths are made only from ids that were checked and from hex8 ids.
 */
import { HoldfastError, parseId, type ReplicaId } from '#api/mod.ts';
import type { Disk, DiskFile, Rng } from '#host/mod.ts';
import { corrupt, encodeHeaderPage, formatHex8, PAGED_HEADER_BYTES, PAGE_BYTES } from './format.ts';
import { readMetadata, writeMetadata } from './metadata-file.ts';
import {
  checkPagedHeader,
  decodeReplicaHeader,
  decodeVoterHeader,
  encodeReplicaHeader,
  encodeVoterHeader,
  type FileId,
  type ReplicaHeader,
  type VoterHeader,
} from './metadata.ts';
import { PagedFile } from './paged-file.ts';
import type { PageCache } from './page-cache.ts';

export function replicasDirectory(pool: string): string {
  return `${pool}/replicas`;
}

export function replicaDirectory(pool: string, replica: ReplicaId): string {
  return `${pool}/replicas/${parseId<ReplicaId>('replica', replica)}`;
}

/** The layer that a file of this name belongs to, or null. */
export function layerOfFile(name: string): string | null {
  return /^([0-9a-f]{16})\.(data|map)$/.exec(name)?.[1] ?? null;
}

export function newHex8(rng: Rng): string {
  return formatHex8(rng.bytes(8));
}

export async function fileIdOf(file: DiskFile): Promise<FileId> {
  const { inode, birthNs } = await file.stat();
  return { inode, birthNs };
}

/** A sparse, empty data file, synced. */
export async function createDataFile(disk: Disk, path: string, sizeBytes: number): Promise<FileId> {
  const file = await disk.open(path, { write: true, create: 'new' });
  try {
    await file.resize(sizeBytes);
    await file.flush();
    return await fileIdOf(file);
  } finally {
    await file.close();
  }
}

/** An empty map or stamps file with room for `pages`, synced. */
export async function createPagedFile(
  disk: Disk,
  path: string,
  kind: 'LMAP' | 'STMP',
  payload: object,
  pages: number,
): Promise<FileId> {
  const file = await disk.open(path, { write: true, create: 'new' });
  try {
    await file.resize(PAGED_HEADER_BYTES + pages * PAGE_BYTES);
    await file.write(0, encodeHeaderPage(kind, payload));
    await file.flush();
    return await fileIdOf(file);
  } finally {
    await file.close();
  }
}

/** Opens a map or stamps file after a look at its header. */
export async function openPagedFile(
  disk: Disk,
  path: string,
  kind: 'LMAP' | 'STMP',
  id: string,
  cache: PageCache,
  opened: DiskFile[],
): Promise<{ pages: PagedFile; file: FileId }> {
  const file = await disk.open(path, { write: true });
  opened.push(file);
  const stat = await file.stat();
  if (stat.sizeBytes < PAGED_HEADER_BYTES) throw corrupt(path, 'shorter than its header');
  checkPagedHeader(path, kind, id, await file.read(0, PAGED_HEADER_BYTES));
  return {
    pages: new PagedFile(id, file, stat.sizeBytes, cache),
    file: { inode: stat.inode, birthNs: stat.birthNs },
  };
}

/** The `replica` file: who the replica is and which layers it has. Changes one after the other. */
export class ReplicaHeaderFile {
  readonly #disk: Disk;
  readonly #directory: string;
  #header: ReplicaHeader;
  #tail: Promise<unknown> = Promise.resolve();

  constructor(disk: Disk, directory: string, header: ReplicaHeader) {
    this.#disk = disk;
    this.#directory = directory;
    this.#header = header;
  }

  static async read(disk: Disk, directory: string): Promise<ReplicaHeader> {
    const path = `${directory}/replica`;
    return decodeReplicaHeader(path, await readMetadata(disk, path));
  }

  get header(): ReplicaHeader {
    return this.#header;
  }

  /** Durable when it resolves. `change` sees the header as it is when its turn has come. */
  async update(change: (header: ReplicaHeader) => Partial<ReplicaHeader>): Promise<void> {
    const turn = this.#tail.then(async () => {
      const next = { ...this.#header, ...change(this.#header) };
      await writeMetadata(this.#disk, this.#directory, 'replica', (self) => {
        return encodeReplicaHeader({ ...next, self });
      });
      this.#header = next;
    });
    this.#tail = turn.catch(() => undefined);
    await turn;
  }
}

/** The `voter` file: promise, record, rebuild. */
export class VoterFile {
  readonly #disk: Disk;
  readonly #directory: string;
  #header: VoterHeader;
  #tail: Promise<unknown> = Promise.resolve();

  constructor(disk: Disk, directory: string, header: VoterHeader) {
    this.#disk = disk;
    this.#directory = directory;
    this.#header = header;
  }

  static async read(disk: Disk, directory: string, replica: ReplicaId): Promise<VoterHeader> {
    const path = `${directory}/voter`;
    const header = decodeVoterHeader(path, await readMetadata(disk, path));
    if (header.replica !== replica) throw foreign(path, 'replica', header.replica);
    return header;
  }

  static async create(disk: Disk, directory: string, header: VoterHeader): Promise<void> {
    await writeMetadata(disk, directory, 'voter', () => encodeVoterHeader(header));
  }

  get header(): VoterHeader {
    return this.#header;
  }

  async update(change: Partial<VoterHeader>): Promise<void> {
    const turn = this.#tail.then(async () => {
      const next = { ...this.#header, ...change };
      await VoterFile.create(this.#disk, this.#directory, next);
      this.#header = next;
    });
    this.#tail = turn.catch(() => undefined);
    await turn;
  }
}

export function foreign(path: string, field: string, value: string): HoldfastError {
  return new HoldfastError('store-foreign', 'Store belongs to someone else', {
    details: { path, field, value, remedy: 'Use another directory, or the cluster that owns it' },
  });
}
