/**
 * A StorePool in a directory (docs/format/store.md §1): creates, opens, lists and deletes replicas,
 * and keeps the files of layers for as long as any replica has them.
 */
import {
  type ClusterId,
  hasCode,
  HoldfastError,
  isId,
  parseId,
  type PoolFiles,
  type PoolId,
  type ReplicaId,
  type ReplicaIdentity,
  type VolumeId,
} from '#api/mod.ts';
import type { Disk, DiskLock, Host, SpaceReport } from '#host/mod.ts';
import { KeyedMutex } from '#lib/mod.ts';
import { FileReplica } from './file-replica.ts';
import { type FlushLimits, FlushRounds } from './flush-rounds.ts';
import { IntentSet } from './intent-set.ts';
import { LayerReferences } from './layer-references.ts';
import { readMetadata, removeQuietly, RESERVE_NAME, writeMetadata } from './metadata-file.ts';
import { decodePoolHeader, encodePoolHeader, type PoolHeader } from './metadata.ts';
import { PageCache } from './page-cache.ts';
import { readPoolFiles } from './pool-files.ts';
import { keepReserve } from './pool-reserve.ts';
import { probeDirectory } from './pool-probe.ts';
import {
  foreign,
  replicaDirectory,
  ReplicaHeaderFile,
  layerOfFile,
  replicasDirectory,
} from './replica-directory.ts';
import { checkNewReplica, createReplicaFiles, layersToClone } from './replica-create.ts';
import { openReplicaFiles } from './replica-open.ts';
import type { CreateReplicaOptions, ReplicaStore, ReplicaSummary, StorePool } from '../mod.ts';

export type StoreHost = Pick<Host, 'disk' | 'rng' | 'clock' | 'log'>;

/** The parts that tests replace by ones with a planted mistake. */
export interface StoreParts {
  readonly FlushRounds: typeof FlushRounds;
  readonly IntentSet: typeof IntentSet;
}

export interface FilePoolOptions extends StoreHost {
  readonly directory: string;
  readonly cluster: ClusterId;
  readonly pool: PoolId;
  /** Makes the directory a pool when it is none yet (default true); else `not-found`. */
  readonly create?: boolean;
  /** Pages of 4 KiB that all replicas of the pool share: each covers 3.75 MiB of a volume. */
  readonly cachePages?: number;
  readonly limits?: FlushLimits;
}

export interface FileReplicaOpenOptions extends StoreHost {
  /** `POOL/replicas/<replica-id>`. */
  readonly directory: string;
  readonly cachePages?: number;
  readonly limits?: FlushLimits;
}

const DEFAULT_PARTS: StoreParts = { FlushRounds, IntentSet };
const DEFAULT_CACHE_PAGES = 4096;
const REPLICA_CACHE_PAGES = 2048;
const DEFAULT_LIMITS: FlushLimits = { logBytes: 4 * 1024 * 1024, dirtyPages: 1024 };
const LOCK_NAME = 'holdfast-pool.lock';
const REPLICA_LOCK_NAME = 'replica.lock';

/**
 * Opens the pool in a directory, or makes one. Errors: `not-found`, `read-only`,
 * `permission-denied`, `no-space`, `no-holes`, `store-foreign`, `store-newer-format`,
 * `store-corrupt`, `store-locked`; details name field, value and remedy, and nothing is left
 * behind.
 */
export async function openFilePool(
  options: FilePoolOptions,
  parts: StoreParts = DEFAULT_PARTS,
): Promise<StorePool> {
  const { disk, directory } = options;
  parseId('cluster', options.cluster);
  parseId('pool', options.pool);
  const path = `${directory}/holdfast-pool`;
  const isPool = (await disk.stat(path)) !== undefined;
  // Somebody else's pool is left untouched: not even a lock file.
  if (isPool) checkHeader(path, await readHeader(disk, path), options);
  // A pool that is full, or on a disk that just refuses to write, must still give its data.
  if (!isPool) await probeDirectory(disk, directory);
  if (!isPool && options.create === false) {
    throw new HoldfastError('not-found', 'Directory is not a pool', {
      details: { field: 'directory', value: directory, remedy: 'Create the pool first' },
    });
  }
  const lock = await lockPool(disk, directory);
  try {
    if (!isPool) await createPool(disk, directory, options);
    const pool = new FilePool(options, lock, parts);
    await pool.start();
    return pool;
  } catch (error) {
    await lock.release();
    if (!isPool) await removePool(disk, directory);
    throw error;
  }
}

/**
 * Opens one replica by its directory, for a thread that does not own the pool. Errors: those of
 * `StorePool.openReplica`. One opener at a time, wherever it runs.
 */
export async function openFileReplica(
  options: FileReplicaOpenOptions,
  parts: StoreParts = DEFAULT_PARTS,
): Promise<ReplicaStore> {
  const { disk, rng, clock, log, directory } = options;
  const [, pool, replica] = /^(.*)\/replicas\/([^/]+)\/*$/.exec(directory) ?? [];
  if (pool === undefined) {
    throw new HoldfastError('invalid-argument', 'Directory is not that of a replica', {
      details: { field: 'directory', value: directory, remedy: 'Give POOL/replicas/REPLICA' },
    });
  }
  const header = await readHeader(disk, `${pool}/holdfast-pool`);
  return openReplica(
    { disk, rng, clock, log },
    pool,
    header,
    parseId<ReplicaId>('replica', replica),
    new PageCache(options.cachePages ?? REPLICA_CACHE_PAGES),
    options.limits ?? DEFAULT_LIMITS,
    parts,
    () => undefined,
  );
}

async function openReplica(
  host: StoreHost,
  pool: string,
  header: PoolHeader,
  replica: ReplicaId,
  cache: PageCache,
  limits: FlushLimits,
  parts: StoreParts,
  onClosed: () => void,
): Promise<ReplicaStore> {
  const lock = await lockReplica(host.disk, pool, replica);
  try {
    const references = new LayerReferences(host.disk, pool);
    const files = await openReplicaFiles(host, pool, header, replica, cache, parts, references);
    return new FileReplica({ host, pool, cache, limits, references, parts, lock, onClosed }, files);
  } catch (error) {
    await lock.release();
    throw error;
  }
}

async function lockReplica(disk: Disk, pool: string, replica: ReplicaId): Promise<DiskLock> {
  const directory = replicaDirectory(pool, replica);
  if ((await disk.stat(`${directory}/replica`)) === undefined) {
    throw new HoldfastError('not-found', 'Replica does not exist', {
      details: { field: 'replica', value: replica, remedy: 'List the replicas of the pool' },
    });
  }
  try {
    return await disk.lock(`${directory}/${REPLICA_LOCK_NAME}`);
  } catch (error) {
    if (!hasCode(error, 'store-locked')) throw error;
    throw new HoldfastError('store-locked', 'Replica is open already', {
      details: { field: 'replica', value: replica, remedy: 'Close it first' },
      cause: error,
    });
  }
}

async function lockPool(disk: Disk, directory: string): Promise<DiskLock> {
  try {
    return await disk.lock(`${directory}/${LOCK_NAME}`);
  } catch (error) {
    if (!hasCode(error, 'store-locked')) throw error;
    throw new HoldfastError('store-locked', 'Pool is open in another process', {
      details: { field: 'directory', value: directory, remedy: 'Stop the other process first' },
      cause: error,
    });
  }
}

async function readHeader(disk: Disk, path: string): Promise<PoolHeader> {
  return decodePoolHeader(path, await readMetadata(disk, path));
}

function checkHeader(path: string, header: PoolHeader, options: FilePoolOptions): void {
  if (header.cluster !== options.cluster) throw foreign(path, 'cluster', header.cluster);
  if (header.pool !== options.pool) throw foreign(path, 'pool', header.pool);
}

async function createPool(disk: Disk, directory: string, options: FilePoolOptions): Promise<void> {
  await disk.makeDirectory(replicasDirectory(directory));
  const { cluster, pool } = options;
  await writeMetadata(disk, directory, 'holdfast-pool', () => encodePoolHeader({ cluster, pool }));
}

async function removePool(disk: Disk, directory: string): Promise<void> {
  for (const name of ['replicas', 'holdfast-pool', LOCK_NAME, RESERVE_NAME]) {
    await removeQuietly(disk, `${directory}/${name}`);
  }
}

export class FilePool implements StorePool {
  readonly id: PoolId;
  readonly directory: string;
  readonly #host: StoreHost;
  readonly #header: PoolHeader;
  readonly #lock: DiskLock;
  readonly #cache: PageCache;
  readonly #limits: FlushLimits;
  readonly #parts: StoreParts;
  readonly #references: LayerReferences;
  readonly #open = new Map<ReplicaId, ReplicaStore>();
  /** Replicas come, go and are cloned one after the other. */
  readonly #mutex = new KeyedMutex();
  #closed = false;

  constructor(options: FilePoolOptions, lock: DiskLock, parts: StoreParts) {
    const { disk, rng, clock, log } = options;
    this.id = options.pool;
    this.directory = options.directory;
    this.#host = { disk, rng, clock, log };
    this.#header = { cluster: options.cluster, pool: options.pool };
    this.#lock = lock;
    this.#references = new LayerReferences(disk, options.directory);
    this.#cache = new PageCache(options.cachePages ?? DEFAULT_CACHE_PAGES);
    this.#limits = options.limits ?? DEFAULT_LIMITS;
    this.#parts = parts;
  }

  /** Removes what a crash left while a replica was created or deleted. */
  async start(): Promise<void> {
    const { disk } = this.#host;
    const root = replicasDirectory(this.directory);
    await disk.makeDirectory(root);
    for (const name of await disk.list(root)) {
      if (name.endsWith('.new')) await removeTree(disk, `${root}/${name}`);
    }
    await this.#sweep();
  }

  async createReplica(options: CreateReplicaOptions): Promise<void> {
    checkNewReplica(options, this.#header);
    await this.#alone(async () => this.#create(options));
  }

  async openReplica(replica: ReplicaId): Promise<ReplicaStore> {
    parseId('replica', replica);
    return this.#alone(async () => {
      const store = await openReplica(
        this.#host,
        this.directory,
        this.#header,
        replica,
        this.#cache,
        this.#limits,
        this.#parts,
        () => this.#open.delete(replica),
      );
      this.#open.set(replica, store);
      return store;
    });
  }

  async deleteReplica(replica: ReplicaId): Promise<void> {
    parseId('replica', replica);
    await this.#alone(async () => {
      let lock: DiskLock;
      try {
        lock = await lockReplica(this.#host.disk, this.directory, replica);
      } catch (error) {
        if (!hasCode(error, 'store-locked')) throw error;
        throw new HoldfastError('in-use', 'Replica is open', {
          details: { field: 'replica', value: replica, remedy: 'Close it first' },
          cause: error,
        });
      }
      let alone = false;
      try {
        alone = await this.#sharesNothing(replica);
        await this.#delete(replica);
      } finally {
        await lock.release();
      }
      if (alone) await this.#removeDirectory(replica);
      else await this.#sweep();
    });
  }

  async listReplicas(): Promise<ReplicaSummary[]> {
    const summaries: ReplicaSummary[] = [];
    for (const replica of await this.#replicas()) summaries.push(await this.#summarise(replica));
    return summaries;
  }

  async findReplica(replica: ReplicaId): Promise<ReplicaSummary | undefined> {
    const path = `${replicaDirectory(this.directory, replica)}/replica`;
    if ((await this.#host.disk.stat(path)) === undefined) return undefined;
    return this.#summarise(replica);
  }

  async #summarise(replica: ReplicaId): Promise<ReplicaSummary> {
    const directory = replicaDirectory(this.directory, replica);
    try {
      const { identity, sizeBytes } = await ReplicaHeaderFile.read(this.#host.disk, directory);
      let error: HoldfastError | null = null;
      if (identity.cluster !== this.#header.cluster || identity.pool !== this.id) {
        error = foreign(`${directory}/replica`, 'cluster', identity.cluster);
      }
      return { identity, sizeBytes, directory, error };
    } catch (error) {
      if (!HoldfastError.is(error)) throw error;
      // The file that would say more is the damaged one: what is known is the directory's name.
      const identity = unknownIdentity(this.#header, replica);
      return { identity, sizeBytes: 0, directory, error };
    }
  }

  async capacity(): Promise<{ readonly totalBytes: number; readonly freeBytes: number }> {
    const { totalBytes, freeBytes } = await this.#host.disk.space(this.directory);
    return { totalBytes, freeBytes };
  }

  keepReserve(space: SpaceReport): Promise<void> {
    return keepReserve(this.#host.disk, this.directory, space);
  }

  files(): Promise<PoolFiles> {
    return readPoolFiles(this.#host.disk, this.directory);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    for (const store of [...this.#open.values()]) await store.close();
    await this.#lock.release();
  }

  // --- creating ---

  async #create(options: CreateReplicaOptions): Promise<void> {
    const { disk, rng } = this.#host;
    const { replica } = options.identity;
    const pool = this.directory;
    const final = replicaDirectory(pool, replica);
    if ((await disk.stat(final)) !== undefined) {
      throw new HoldfastError('already-exists', 'Replica exists already', {
        details: { field: 'replica', value: replica, remedy: 'Use another id' },
      });
    }
    const { cloneOf, sizeBytes } = options;
    const below = cloneOf === undefined ? [] : await layersToClone(disk, pool, cloneOf, sizeBytes);
    const directory = `${final}.new`;
    await removeTree(disk, directory);
    try {
      await disk.makeDirectory(directory);
      await createReplicaFiles(disk, rng, pool, directory, options, below);
      await disk.syncDirectory(directory);
      // The source may be deleting the snapshot meanwhile: it marks the layer, then looks for
      // holders; here the new `replica` file comes first, then the marks. One of the two gives way.
      if (cloneOf !== undefined) await layersToClone(disk, pool, cloneOf, sizeBytes);
      await disk.rename(directory, final);
    } catch (error) {
      await removeTree(disk, directory);
      throw error;
    }
    await disk.syncDirectory(replicasDirectory(pool));
  }

  // --- removing ---

  async #delete(replica: ReplicaId): Promise<void> {
    const { disk } = this.#host;
    const directory = replicaDirectory(this.directory, replica);
    // Without its `replica` file the directory is no replica any more; the rest can be repeated.
    await disk.remove(`${directory}/replica`);
    await disk.syncDirectory(directory);
  }

  /**
   * Only frozen layers are shared: a replica that is its head alone, beside which no file of
   * another layer lies, is nobody's source. Its files go without a look at every other replica.
   */
  async #sharesNothing(replica: ReplicaId): Promise<boolean> {
    const { disk } = this.#host;
    const directory = replicaDirectory(this.directory, replica);
    try {
      const { layers } = await ReplicaHeaderFile.read(disk, directory);
      const names = await disk.list(directory);
      const found = names.map(layerOfFile).filter((layer) => layer !== null);
      return layers.length === 1 && found.every((layer) => layer === layers[0]?.layer);
    } catch (error) {
      if (HoldfastError.is(error)) return false;
      throw error;
    }
  }

  async #removeDirectory(replica: ReplicaId): Promise<void> {
    const { disk } = this.#host;
    const directory = replicaDirectory(this.directory, replica);
    await sweepDirectory(disk, directory, await disk.list(directory), () => false);
    await removeQuietly(disk, directory);
    await disk.syncDirectory(replicasDirectory(this.directory));
  }

  /** Directories of deleted replicas: only layers that others have stay, and in the end nothing. */
  async #sweep(): Promise<void> {
    const { disk } = this.#host;
    const root = replicasDirectory(this.directory);
    const isNeeded = await this.#references.heldByOthers(null);
    for (const name of await disk.list(root)) {
      const directory = `${root}/${name}`;
      if (!isId(name) || (await disk.stat(directory))?.kind !== 'directory') continue;
      const names = await disk.list(directory);
      if (names.includes('replica')) continue;
      const layers = await sweepDirectory(disk, directory, names, isNeeded);
      if (layers === 0) await removeQuietly(disk, directory);
    }
    await disk.syncDirectory(root);
  }

  async #replicas(): Promise<ReplicaId[]> {
    const { disk } = this.#host;
    const found: ReplicaId[] = [];
    for (const name of await disk.list(replicasDirectory(this.directory))) {
      if (!isId(name)) continue;
      const replica = name as string as ReplicaId;
      const path = `${replicaDirectory(this.directory, replica)}/replica`;
      if ((await disk.stat(path)) !== undefined) found.push(replica);
    }
    return found;
  }

  async #alone<T>(action: () => Promise<T>): Promise<T> {
    if (this.#closed) throw new HoldfastError('aborted', 'Pool is closed');
    return this.#mutex.run('pool', action);
  }
}

/** Removes all files but layers that are needed; returns how many files stay. */
async function sweepDirectory(
  disk: Disk,
  directory: string,
  names: readonly string[],
  isNeeded: (layer: string) => boolean,
): Promise<number> {
  let kept = 0;
  for (const name of names) {
    const layer = layerOfFile(name);
    if (layer !== null && isNeeded(layer)) kept++;
    else await removeQuietly(disk, `${directory}/${name}`);
  }
  return kept;
}

/** A directory of files, and itself. */
async function removeTree(disk: Disk, directory: string): Promise<void> {
  try {
    if ((await disk.stat(directory)) === undefined) return;
    for (const name of await disk.list(directory)) await disk.remove(`${directory}/${name}`);
    await disk.remove(directory);
  } catch (error) {
    if (!HoldfastError.is(error)) throw error;
  }
}

function unknownIdentity(header: PoolHeader, replica: ReplicaId): ReplicaIdentity {
  return {
    cluster: header.cluster,
    volume: '' as VolumeId,
    replica,
    pool: header.pool,
    shard: 0,
    segmentBytes: 0,
    claim: '',
  };
}
