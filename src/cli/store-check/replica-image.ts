/**
 * A replica as its metadata describes it: docs/format/store.md "Opening, in order", steps 1 to 5,
 * without writing anything. Whatever does not fit is a finding; what depends on it stays undefined.
 */
import { HoldfastError } from '#api/mod.ts';
import type { Disk } from '#host/mod.ts';
import { basename, dirname } from 'node:path/posix';
import type { z } from 'zod';
import { decodeEnvelope, type EnvelopeKind, takeEnvelope } from './envelope.ts';
import type { Findings } from './findings.ts';
import { LayerSource, PAGE_DATA_BYTES } from './layer-source.ts';
import { type MapReplay, replayMapLog, segmentsOf } from './map-replay.ts';
import { PagedSource, readStamps, type StampsSummary } from './paged-source.ts';
import {
  checkLayers,
  type LayerPayload,
  mapPayload,
  parsePayload,
  type poolPayload,
  type ReplicaPayload,
  replicaPayload,
  stampsPayload,
  type VoterPayload,
  voterPayload,
} from './payloads.ts';
import { type LogImage, readIntentLog, readMapLog } from './record-log.ts';
import { readWhole, SourceFile } from './source-file.ts';

/** Far above what a log or an envelope grows to: such a file is not read into memory. */
const METADATA_BYTES_MAX = 1024 * 1024 * 1024;

export type PoolHeader = z.infer<typeof poolPayload>;

/** As the next engine on this machine would find it, were the files its own (file ids apart). */
export type Condition = 'clean' | 'process-crash' | 'cache-lost' | 'rolled-back';

export interface ReplicaImage {
  readonly directory: string;
  readonly header: ReplicaPayload;
  readonly voter: VoterPayload | undefined;
  readonly condition: Condition;
  /** False: a copy, or files that were put back. */
  readonly fileIdsFit: boolean;
  readonly replay: MapReplay;
  readonly mapLog: LogImage;
  readonly intents: ReadonlySet<number>;
  /** Whether the intent segments are in doubt now. */
  readonly doubt: boolean;
  readonly healing: boolean;
  readonly stamps: StampsSummary | undefined;
  /** Bottom first; undefined when the files of one of them cannot be used. */
  readonly layers: readonly LayerSource[] | undefined;
  close(): Promise<void>;
}

export interface ImageOptions {
  readonly disk: Disk;
  readonly directory: string;
  readonly pool: PoolHeader | undefined;
  readonly findings: Findings;
}

/** Undefined when there is no telling what the replica is. */
export async function readReplica(options: ImageOptions): Promise<ReplicaImage | undefined> {
  const { disk, directory, findings } = options;
  const path = `${directory}/replica`;
  const header = await readPayload(options, path, 'REPL', replicaPayload);
  if (header === undefined || !checkLayers(header.value, path, findings)) return undefined;
  checkIdentity(options, header.value, path);
  const voter = await readVoter(options, header.value.replica);
  const reader = new ImageReader(options, header.value);
  const logs = await reader.readLogs();
  if (logs === undefined) return undefined;
  const { replay, mapLog, intents } = logs;
  const condition = await conditionOf(disk, directory, header.value);
  const doubt = condition !== 'clean';
  const stamps = await reader.readStamps(replay);
  const layers = await reader.openLayers(replay, intents, doubt);
  const fileIdsFit = reader.idsFit && header.file.is(header.value.self);
  if (!fileIdsFit) {
    findings.note(path, 'File ids differ: a copy, or an older one that came back');
  }
  return {
    directory,
    header: header.value,
    voter,
    condition,
    fileIdsFit,
    replay,
    mapLog,
    intents,
    doubt,
    healing: header.value.healing || condition === 'cache-lost',
    stamps,
    layers,
    close: () => reader.close(),
  };
}

/** The payload of a file that is one envelope; undefined after a finding. */
export async function readPayload<T>(
  { disk, findings }: Pick<ImageOptions, 'disk' | 'findings'>,
  path: string,
  kind: EnvelopeKind,
  schema: z.ZodType<T>,
): Promise<{ readonly value: T; readonly file: SourceFile } | undefined> {
  const found = await readGuarded(disk, path, findings);
  if (found === undefined) return undefined;
  const payload = takeEnvelope(decodeEnvelope(found.bytes, kind, 'exact'), path, 'exact', findings);
  if (payload === undefined) return undefined;
  const value = parsePayload(schema, payload, path, findings);
  return value === undefined ? undefined : { value, file: found.file };
}

/** A whole file; undefined after a finding. */
async function readGuarded(
  disk: Disk,
  path: string,
  findings: Findings,
): Promise<{ readonly bytes: Uint8Array; readonly file: SourceFile } | undefined> {
  try {
    const found = await readWhole(disk, path, METADATA_BYTES_MAX);
    if (found === undefined) findings.corruption(path, 'The file is missing');
    return found;
  } catch (error) {
    if (!HoldfastError.is(error)) throw error;
    findings.corruption(path, 'The file cannot be read', { code: error.code });
    return undefined;
  }
}

function checkIdentity(
  { directory, pool, findings }: ImageOptions,
  header: ReplicaPayload,
  path: string,
): void {
  if (pool === undefined) return;
  if (header.replica !== basename(directory)) {
    findings.corruption(path, 'The directory has the name of another replica', {
      replica: header.replica,
    });
  }
  if (header.cluster !== pool.cluster || header.pool !== pool.pool) {
    findings.corruption(path, 'It belongs to another pool', {
      cluster: header.cluster,
      pool: header.pool,
    });
  }
}

async function readVoter(
  options: ImageOptions,
  replica: string,
): Promise<VoterPayload | undefined> {
  const path = `${options.directory}/voter`;
  const voter = (await readPayload(options, path, 'VOTE', voterPayload))?.value;
  if (voter !== undefined && voter.replica !== replica) {
    options.findings.corruption(path, 'It belongs to another replica', { replica: voter.replica });
  }
  return voter;
}

async function conditionOf(
  disk: Disk,
  directory: string,
  header: ReplicaPayload,
): Promise<Condition> {
  if (header.rolledBack) return 'rolled-back';
  if (header.clean) return header.doubt ? 'process-crash' : 'clean';
  const identity = await disk.cacheIdentity(directory);
  return identity === header.cacheIdentity ? 'process-crash' : 'cache-lost';
}

/** The parts that need the header. */
class ImageReader {
  readonly #options: ImageOptions;
  readonly #header: ReplicaPayload;
  readonly #open: SourceFile[] = [];
  idsFit = true;

  constructor(options: ImageOptions, header: ReplicaPayload) {
    this.#options = options;
    this.#header = header;
  }

  async readLogs(): Promise<
    { replay: MapReplay; mapLog: LogImage; intents: Set<number> } | undefined
  > {
    const { disk, directory, findings } = this.#options;
    const { clean } = this.#header;
    const mapPath = `${directory}/map-log`;
    const intentPath = `${directory}/intents`;
    const map = await readGuarded(disk, mapPath, findings);
    const marks = await readGuarded(disk, intentPath, findings);
    if (map !== undefined && !map.file.is(this.#header.mapLog)) this.idsFit = false;
    const mapLog = map && readMapLog({ bytes: map.bytes, file: mapPath, findings, clean });
    const intentLog =
      marks && readIntentLog({ bytes: marks.bytes, file: intentPath, findings, clean });
    const replay = mapLog && replayMapLog(mapLog, mapPath, findings);
    const intents = intentLog && segmentsOf(intentLog, intentPath, findings);
    if (mapLog === undefined || replay === undefined || intents === undefined) return undefined;
    return { replay, mapLog, intents };
  }

  async readStamps(replay: MapReplay): Promise<StampsSummary | undefined> {
    const { findings, directory } = this.#options;
    const { stamps: id, clean, sizeBytes, segmentBytes, stampsFile } = this.#header;
    const file = await this.#openFile(`${directory}/stamps-${id}`);
    if (file === undefined) return undefined;
    if (!file.is(stampsFile)) this.idsFit = false;
    const source = new PagedSource({ file, id, changes: replay.changesOf(id), findings, clean });
    const payload = await source.header('STMP');
    const header = parsePayload(stampsPayload, payload, file.path, findings);
    if (header === undefined) return undefined;
    if (header.stamps !== id)
      findings.corruption(file.path, 'It belongs to another replica', header);
    return readStamps(source, Math.ceil(sizeBytes / segmentBytes));
  }

  async openLayers(
    replay: MapReplay,
    intents: ReadonlySet<number>,
    doubt: boolean,
  ): Promise<LayerSource[] | undefined> {
    const { segmentBytes } = this.#header;
    const inDoubt = (block: number): boolean =>
      intents.has(Math.floor((block * 4096) / segmentBytes));
    const layers: LayerSource[] = [];
    for (const layer of this.#header.layers) {
      const open = layer.state === 'head' || layer.state === 'unsealed';
      const source = await this.#openLayer(layer, replay, doubt && open ? inDoubt : () => false);
      if (source !== undefined) layers.push(source);
    }
    return layers.length === this.#header.layers.length ? layers : undefined;
  }

  async close(): Promise<void> {
    for (const file of this.#open.splice(0)) await file.close();
  }

  async #openLayer(
    layer: LayerPayload,
    replay: MapReplay,
    inDoubt: (block: number) => boolean,
  ): Promise<LayerSource | undefined> {
    const { findings, directory } = this.#options;
    const own = layer.home === this.#header.replica;
    const home = own ? directory : `${dirname(directory)}/${layer.home}`;
    const data = await this.#openFile(`${home}/${layer.layer}.data`);
    const file = await this.#openFile(`${home}/${layer.layer}.map`);
    if (data === undefined || file === undefined) return undefined;
    if (!data.is(layer.data) || !file.is(layer.map)) this.idsFit = false;
    const id = layer.layer;
    const { clean } = this.#header;
    const map = new PagedSource({ file, id, changes: replay.changesOf(id), findings, clean });
    const payload = await map.header('LMAP');
    const header = parsePayload(mapPayload, payload, file.path, findings);
    if (header === undefined) return undefined;
    if (header.layer !== id || header.volume !== layer.volume) {
      findings.corruption(file.path, 'It is the map of another layer', header);
      return undefined;
    }
    const pagesBytes = 4096 * (1 + Math.ceil(layer.sizeBytes / PAGE_DATA_BYTES));
    this.#checkLength(data, layer.sizeBytes);
    this.#checkLength(file, pagesBytes);
    return new LayerSource({ layer, map, data, findings, inDoubt });
  }

  /**
   * Pages behind the end count as never written, so a map that was cut would read as an older one.
   */
  #checkLength(file: SourceFile, lengthBytes: number): void {
    if (file.sizeBytes >= lengthBytes) return;
    const { findings } = this.#options;
    const details = { sizeBytes: file.sizeBytes, expectedBytes: lengthBytes };
    if (this.#header.clean)
      findings.damage(file.path, 'The file is shorter than its layer', details);
    else findings.note(file.path, 'The file is shorter than its layer', details);
  }

  async #openFile(path: string): Promise<SourceFile | undefined> {
    const { disk, findings } = this.#options;
    try {
      const file = await SourceFile.open(disk, path);
      if (file === undefined) findings.corruption(path, 'The file is missing');
      else this.#open.push(file);
      return file;
    } catch (error) {
      if (!HoldfastError.is(error)) throw error;
      findings.corruption(path, 'The file cannot be read', { code: error.code });
      return undefined;
    }
  }
}
