/**
 * Opens a replica: metadata, condition, replay, intents, healing (docs/format/store.md §6). Reads
 * what a crash left in the logs, never a whole map.
 */
import {
  compareGenerations,
  type Generation,
  HoldfastError,
  type OpenCondition,
  type ReplicaId,
} from '#api/mod.ts';
import { BLOCK_BYTES } from '#data/block/mod.ts';
import type { DiskFile } from '#host/mod.ts';
import { corrupt } from './format.ts';
import type { StoreHost, StoreParts } from './file-pool.ts';
import type { IntentSet } from './intent-set.ts';
import type { Layer } from './layer.ts';
import { newIncarnation, openLayer } from './layer-files.ts';
import type { LayerReferences } from './layer-references.ts';
import { LayerStack } from './layer-stack.ts';
import { replayMapLog } from './map-log.ts';
import { removeQuietly } from './metadata-file.ts';
import { type PoolHeader, type ReplicaHeader, sameFile } from './metadata.ts';
import type { PageCache } from './page-cache.ts';
import { RecordLog } from './record-log.ts';
import {
  fileIdOf,
  foreign,
  layerOfFile,
  openPagedFile,
  replicaDirectory,
  ReplicaHeaderFile,
  VoterFile,
} from './replica-directory.ts';
import { StampTable } from './stamp-table.ts';
import { healTornBlocks } from './torn-blocks.ts';

export interface OpenedReplica {
  readonly directory: string;
  readonly headerFile: ReplicaHeaderFile;
  readonly voterFile: VoterFile;
  readonly condition: OpenCondition;
  readonly stack: LayerStack;
  readonly stamps: StampTable;
  readonly mapLog: RecordLog;
  readonly intents: IntentSet;
  readonly completed: Generation;
}

export async function openReplicaFiles(
  host: StoreHost,
  pool: string,
  poolHeader: PoolHeader,
  replica: ReplicaId,
  cache: PageCache,
  parts: StoreParts,
  references: LayerReferences,
): Promise<OpenedReplica> {
  const opened: DiskFile[] = [];
  try {
    return await new Opening(host, pool, poolHeader, replica, cache, parts, opened).run(references);
  } catch (error) {
    for (const file of opened) await closeQuietly(file);
    // Within a directory that has a replica, a missing file is damage.
    if (HoldfastError.is(error) && error.code === 'not-found') {
      const path = String(error.details['path'] ?? replica);
      if (!path.endsWith('/replica') && opened.length > 0) throw corrupt(path, 'file is missing');
    }
    throw error;
  }
}

class Opening {
  readonly #host: StoreHost;
  readonly #pool: string;
  readonly #poolHeader: PoolHeader;
  readonly #replica: ReplicaId;
  readonly #cache: PageCache;
  readonly #parts: StoreParts;
  readonly #opened: DiskFile[];
  readonly #directory: string;

  constructor(
    host: StoreHost,
    pool: string,
    poolHeader: PoolHeader,
    replica: ReplicaId,
    cache: PageCache,
    parts: StoreParts,
    opened: DiskFile[],
  ) {
    this.#host = host;
    this.#pool = pool;
    this.#poolHeader = poolHeader;
    this.#replica = replica;
    this.#cache = cache;
    this.#parts = parts;
    this.#opened = opened;
    this.#directory = replicaDirectory(pool, replica);
  }

  async run(references: LayerReferences): Promise<OpenedReplica> {
    const { disk, rng } = this.#host;
    const header = await ReplicaHeaderFile.read(disk, this.#directory);
    this.#checkIdentity(header);
    const voter = await VoterFile.read(disk, this.#directory, this.#replica);
    await this.#removeLeftovers(header, references);
    const segmentBlocks = header.identity.segmentBytes / BLOCK_BYTES;
    let original = await this.#isOriginal(`${this.#directory}/replica`, header.self);
    const layers: Layer[] = [];
    for (const record of header.layers) {
      const { layer, original: same } = await openLayer(
        disk,
        this.#pool,
        record,
        segmentBlocks,
        this.#cache,
        this.#opened,
      );
      original &&= same;
      layers.push(layer);
    }
    const stampsFile = await openPagedFile(
      disk,
      `${this.#directory}/stamps-${header.stamps}`,
      'STMP',
      header.stamps,
      this.#cache,
      this.#opened,
    );
    original &&= sameFile(stampsFile.file, header.stampsFile);
    const logFile = await disk.open(`${this.#directory}/map-log`, { write: true });
    this.#opened.push(logFile);
    original &&= sameFile(await fileIdOf(logFile), header.mapLog);

    const cacheIdentity = await disk.cacheIdentity(this.#pool);
    const condition = conditionOf(header, original, cacheIdentity);
    const stamps = new StampTable(stampsFile.pages, {
      generation: { epoch: header.baseEpoch, n: header.baseN },
      segments: header.baseSegments,
    });
    const mapLog = await RecordLog.open(logFile, 'MLOG');
    const { records, torn } = await mapLog.scan();
    if (condition === 'clean' && (torn || records.length > 0)) {
      throw corrupt(logFile.path, 'a cleanly closed log is not empty');
    }
    const replayed = await replayMapLog(logFile.path, records, {
      maps: new Map(layers.map((layer) => [layer.id, layer.map])),
      stamps: stampsFile.pages,
    });
    const completed =
      compareGenerations(replayed, mapLog.completed) > 0 ? replayed : mapLog.completed;
    const intents = await this.#parts.IntentSet.open(disk, rng, this.#directory);
    this.#opened.push(...intents.files());
    if (condition !== 'clean') doubtIntents(layers, intents);

    const lost = condition === 'cache-lost' || condition === 'rolled-back';
    const healing = header.healing || condition === 'cache-lost';
    const headerFile = new ReplicaHeaderFile(disk, this.#directory, header);
    await headerFile.update(() => ({
      clean: false,
      doubt: false,
      healing,
      logTorn: (header.logTorn && condition !== 'clean') || torn,
      rolledBack: condition === 'rolled-back',
      cacheIdentity,
      incarnation: lost ? newIncarnation(rng) : header.incarnation,
    }));
    if (healing && condition !== 'rolled-back') {
      await heal(layers);
      await headerFile.update(() => ({ healing: false }));
    }
    return {
      directory: this.#directory,
      headerFile,
      voterFile: new VoterFile(disk, this.#directory, voter),
      condition,
      stack: new LayerStack(layers),
      stamps,
      mapLog,
      intents,
      completed,
    };
  }

  #checkIdentity({ identity }: ReplicaHeader): void {
    const path = `${this.#directory}/replica`;
    const { cluster, pool } = this.#poolHeader;
    if (identity.cluster !== cluster) throw foreign(path, 'cluster', identity.cluster);
    if (identity.pool !== pool) throw foreign(path, 'pool', identity.pool);
    if (identity.replica !== this.#replica) throw foreign(path, 'replica', identity.replica);
    if (identity.shard !== 0) {
      throw new HoldfastError('store-newer-format', 'Store was written by a newer version', {
        details: { path, reason: 'shard' },
      });
    }
  }

  async #isOriginal(path: string, id: { inode: string; birthNs: string }): Promise<boolean> {
    const stat = await this.#host.disk.stat(path);
    return stat !== undefined && sameFile(stat, id);
  }

  /** Files of changes that a crash cut short; layers only when no clone has them. */
  async #removeLeftovers(header: ReplicaHeader, references: LayerReferences): Promise<void> {
    const { disk } = this.#host;
    const own = new Set(header.layers.map(({ layer }) => layer));
    const names = await disk.list(this.#directory);
    const strange = names.filter((name) => {
      const layer = layerOfFile(name);
      if (layer !== null) return !own.has(layer);
      return (
        name.endsWith('.tmp') || (name.startsWith('stamps-') && name !== `stamps-${header.stamps}`)
      );
    });
    if (strange.length === 0) return;
    const isNeeded = await references.heldByOthers(this.#replica);
    for (const name of strange) {
      const layer = layerOfFile(name);
      if (layer === null || !isNeeded(layer))
        await removeQuietly(disk, `${this.#directory}/${name}`);
    }
  }
}

function conditionOf(
  header: ReplicaHeader,
  original: boolean,
  cacheIdentity: string,
): OpenCondition {
  if (!original || header.rolledBack) return 'rolled-back';
  if (header.clean) return header.doubt ? 'process-crash' : 'clean';
  return header.cacheIdentity === cacheIdentity ? 'process-crash' : 'cache-lost';
}

function doubtIntents(layers: readonly Layer[], intents: IntentSet): void {
  for (const segment of intents.segments()) {
    for (const layer of layers) {
      if (layer.writable && segment * layer.doubt.segmentBlocks < layer.sizeBlocks) {
        layer.doubt.addSegment(segment);
      }
    }
  }
}

async function heal(layers: readonly Layer[]): Promise<void> {
  for (let level = 0; level < layers.length; level++) {
    if (!layers[level]!.doubt.any) continue;
    await healTornBlocks(layers, level);
    await layers[level]!.data.flush();
  }
}

export async function closeQuietly(file: DiskFile): Promise<void> {
  try {
    await file.close();
  } catch (error) {
    if (!HoldfastError.is(error)) throw error;
  }
}
