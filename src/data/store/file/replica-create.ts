/** The files of a new replica, in a directory that is renamed into its place when it is whole. */
import {
  HoldfastError,
  parseId,
  type ReplicaId,
  type ReplicaIdentity,
  type SnapshotId,
} from '#api/mod.ts';
import { BLOCK_BYTES } from '#data/block/mod.ts';
import type { Disk, Rng } from '#host/mod.ts';
import { formatHex8 } from './format.ts';
import { IntentSet } from './intent-set.ts';
import { createLayerFiles, newIncarnation } from './layer-files.ts';
import { writeMetadata } from './metadata-file.ts';
import {
  encodeReplicaHeader,
  isSegmentSize,
  isSize,
  type LayerRecord,
  type PoolHeader,
  type ReplicaHeader,
} from './metadata.ts';
import { RecordLog } from './record-log.ts';
import {
  createPagedFile,
  fileIdOf,
  newHex8,
  replicaDirectory,
  ReplicaHeaderFile,
  VoterFile,
} from './replica-directory.ts';
import type { CreateReplicaOptions } from '../mod.ts';

const SEGMENTS_MAX = 2 ** 32;
/** Below every stamp of a nexus, whose epochs begin at 1, and above "never written". */
const CLONE_STAMP = { epoch: 0, n: 1 };

/** `store-foreign`, `invalid-argument`. */
export function checkNewReplica(options: CreateReplicaOptions, header: PoolHeader): void {
  checkIdentity(options.identity, header);
  checkSize(options);
}

export async function createReplicaFiles(
  disk: Disk,
  rng: Rng,
  pool: string,
  directory: string,
  options: CreateReplicaOptions,
  below: readonly LayerRecord[],
): Promise<void> {
  const { identity, sizeBytes, record } = options;
  const { replica, volume, segmentBytes } = identity;
  const head = await createLayerFiles(disk, rng, directory, replica, volume, sizeBytes);
  const stamps = newHex8(rng);
  const stampsFile = await createPagedFile(
    disk,
    `${directory}/stamps-${stamps}`,
    'STMP',
    { stamps },
    0,
  );
  const completed = below.length > 0 ? CLONE_STAMP : { epoch: 0, n: 0 };
  const mapLog = await createMapLog(disk, rng, `${directory}/map-log`, completed);
  const intents = await IntentSet.createFile(disk, rng, `${directory}/intents`);
  await intents.close();
  await VoterFile.create(disk, directory, {
    replica,
    promised: 0,
    promisedTo: '',
    record,
    rebuild: '',
  });
  const header: Omit<ReplicaHeader, 'self'> = {
    identity,
    sizeBytes,
    incarnation: newIncarnation(rng),
    clean: true,
    doubt: false,
    healing: false,
    logTorn: false,
    rolledBack: false,
    cacheIdentity: await disk.cacheIdentity(pool),
    baseEpoch: completed.epoch,
    baseN: completed.n,
    baseSegments: Math.ceil((below.at(-1)?.sizeBytes ?? 0) / segmentBytes),
    stamps,
    mapLog,
    stampsFile,
    layers: [...below, head],
  };
  await writeMetadata(disk, directory, 'replica', (self) => {
    return encodeReplicaHeader({ ...header, self });
  });
}

/** The stack up to the snapshot, as layers without a name. */
export async function layersToClone(
  disk: Disk,
  pool: string,
  source: { readonly replica: ReplicaId; readonly snapshot: SnapshotId },
  sizeBytes: number,
): Promise<LayerRecord[]> {
  parseId('cloneOf.replica', source.replica);
  parseId('cloneOf.snapshot', source.snapshot);
  const directory = replicaDirectory(pool, source.replica);
  const { layers } = await ReplicaHeaderFile.read(disk, directory);
  const at = layers.findIndex(
    ({ snapshot, state }) => snapshot === source.snapshot && state === 'sealed',
  );
  const top = layers[at];
  if (top === undefined) {
    throw new HoldfastError('not-found', 'Snapshot to clone does not exist', {
      details: { field: 'cloneOf.snapshot', value: source.snapshot, remedy: 'Name a sealed one' },
    });
  }
  if (sizeBytes < top.sizeBytes) {
    throw new HoldfastError('out-of-range', 'Clone is smaller than its snapshot', {
      details: { field: 'sizeBytes', value: sizeBytes, remedy: `At least ${top.sizeBytes}` },
    });
  }
  const below = layers.slice(0, at + 1);
  if (below.some(({ state }) => state !== 'sealed')) {
    throw new HoldfastError('in-use', 'A layer below the snapshot is being merged or filled', {
      details: { field: 'cloneOf.snapshot', value: source.snapshot, remedy: 'Try again later' },
    });
  }
  return below.map((record) => ({ ...record, snapshot: null }));
}

async function createMapLog(
  disk: Disk,
  rng: Rng,
  path: string,
  completed: { epoch: number; n: number },
): Promise<{ inode: string; birthNs: string }> {
  const file = await disk.open(path, { write: true, create: 'new' });
  try {
    await RecordLog.create(file, 'MLOG', {
      salt: formatHex8(rng.bytes(8)),
      restart: 0,
      completedEpoch: completed.epoch,
      completedN: completed.n,
    });
    await file.flush();
    return await fileIdOf(file);
  } finally {
    await file.close();
  }
}

function checkIdentity(identity: ReplicaIdentity, header: PoolHeader): void {
  parseId('replica', identity.replica);
  parseId('volume', identity.volume);
  if (identity.cluster !== header.cluster || identity.pool !== header.pool) {
    throw new HoldfastError('store-foreign', 'Replica is of another cluster or pool', {
      details: { field: 'identity.pool', value: identity.pool, remedy: `Use ${header.pool}` },
    });
  }
  if (identity.shard !== 0) throw invalid('shard', identity.shard, 'Use 0');
  if (!isSegmentSize(identity.segmentBytes)) {
    throw invalid('segmentBytes', identity.segmentBytes, 'Use a power of two, 64 KiB to 1 GiB');
  }
}

function checkSize({ sizeBytes, identity }: CreateReplicaOptions): void {
  if (!isSize(sizeBytes)) {
    throw invalid('sizeBytes', sizeBytes, `Use a positive multiple of ${BLOCK_BYTES} below 2^53`);
  }
  if (sizeBytes / identity.segmentBytes > SEGMENTS_MAX) {
    throw invalid('sizeBytes', sizeBytes, 'Use larger segments');
  }
}

function invalid(field: string, value: number, remedy: string): HoldfastError {
  return new HoldfastError('invalid-argument', 'Replica cannot be created like this', {
    details: { field, value, remedy },
  });
}
