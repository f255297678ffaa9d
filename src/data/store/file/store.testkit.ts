/** A pool and a replica on a simulated disk, with what tests do to them again and again. */
import type {
  ClusterId,
  Generation,
  HoldfastError,
  LayerRef,
  PoolId,
  ReplicaId,
  ReplicaIdentity,
  VolumeId,
} from '#api/mod.ts';
import { BLOCK_BYTES, type ReplicaRequest, type ReplicaVerb } from '#data/block/mod.ts';
import type { Host } from '#host/mod.ts';
import { type SimOptions, SimWorld } from '#host/sim/mod.ts';
import type { ReplicaStore, StorePool } from '../mod.ts';
import { type FilePoolOptions, openFilePool, type StoreParts } from './file-pool.ts';
import { FlushRounds } from './flush-rounds.ts';
import { IntentSet } from './intent-set.ts';

export const CLUSTER = 'c1' as ClusterId;
export const POOL = 'p1' as PoolId;
export const REPLICA = 'r1' as ReplicaId;
export const VOLUME = 'v1' as VolumeId;
export const DIRECTORY = '/pool';
export const SEGMENT_BYTES = 64 * 1024;
export const SEGMENT_BLOCKS = SEGMENT_BYTES / BLOCK_BYTES;

export const SOUND_PARTS: StoreParts = { FlushRounds, IntentSet };

export function identityOf(
  replica = REPLICA,
  volume = VOLUME,
  segmentBytes = SEGMENT_BYTES,
): ReplicaIdentity {
  return {
    cluster: CLUSTER,
    pool: POOL,
    replica,
    volume,
    shard: 0,
    segmentBytes,
    claim: 'default/demo',
  };
}

export interface BenchOptions {
  readonly sizeBytes?: number;
  readonly seed?: number;
  readonly sim?: SimOptions;
  readonly parts?: StoreParts;
  readonly pool?: Partial<FilePoolOptions>;
  readonly segmentBytes?: number;
}

/** One machine with a pool and a replica; `run` moves the world's time until a promise settles. */
export class StoreBench {
  readonly world: SimWorld;
  readonly options: BenchOptions;
  host: Host;
  pool!: StorePool;
  store!: ReplicaStore;

  private constructor(options: BenchOptions) {
    this.options = options;
    this.world = new SimWorld(options.seed ?? 1, options.sim);
    this.host = this.world.addNode('a');
  }

  static async create(options: BenchOptions = {}): Promise<StoreBench> {
    const bench = new StoreBench(options);
    await bench.run(bench.host.disk.makeDirectory(DIRECTORY));
    await bench.run(bench.host.disk.syncDirectory('/'));
    await bench.openPool();
    await bench.run(
      bench.pool.createReplica({
        identity: identityOf(REPLICA, VOLUME, options.segmentBytes),
        sizeBytes: options.sizeBytes ?? 8 * 1024 * 1024,
        record: null,
      }),
    );
    await bench.openStore();
    return bench;
  }

  run<T>(promise: Promise<T>): Promise<T> {
    return this.world.finish(promise);
  }

  async openPool(): Promise<void> {
    const { disk, rng, clock, log } = this.host;
    const { pool, parts } = this.options;
    const options = { disk, rng, clock, log, cluster: CLUSTER, pool: POOL, directory: DIRECTORY };
    this.pool = await this.run(openFilePool({ ...options, ...pool }, parts ?? SOUND_PARTS));
  }

  async openStore(replica = REPLICA): Promise<ReplicaStore> {
    this.store = await this.run(this.pool.openReplica(replica));
    return this.store;
  }

  /** Closed in order and opened again. */
  async reopen(): Promise<void> {
    await this.run(this.pool.close());
    await this.openPool();
    await this.openStore();
  }

  async crashProcess(): Promise<void> {
    this.host = this.world.restart('a');
    await this.openPool();
    await this.openStore();
  }

  async powerLoss(): Promise<void> {
    this.world.powerLoss('a');
    await this.crashProcess();
  }

  submit(
    verb: ReplicaVerb,
    block: number,
    data: Uint8Array,
    blocks = data.byteLength / BLOCK_BYTES,
    stamp: Generation = { epoch: 1, n: 1 },
    layer: LayerRef = null,
  ): Promise<void> {
    return submitTo(this.store, verb, block, data, blocks, stamp, layer);
  }

  write(block: number, data: Uint8Array, stamp?: Generation, layer?: LayerRef): Promise<void> {
    return this.run(this.submit('write', block, data, undefined, stamp, layer));
  }

  async read(block: number, blocks = 1, layer: LayerRef = null): Promise<Uint8Array> {
    const data = new Uint8Array(blocks * BLOCK_BYTES);
    await this.run(this.submit('read', block, data, blocks, undefined, layer));
    return data;
  }

  trim(block: number, blocks: number): Promise<void> {
    return this.run(this.submit('trim', block, new Uint8Array(0), blocks));
  }

  zero(block: number, blocks: number): Promise<void> {
    return this.run(this.submit('zero', block, new Uint8Array(0), blocks));
  }

  flush(): Promise<void> {
    return this.run(this.store.flush());
  }

  /** As a nexus of one replica would: what lies there is accepted. */
  async settleAll(stamp: Generation = { epoch: 2, n: 0 }): Promise<void> {
    for (const segment of this.store.intents()) {
      const found = await this.run(this.store.inspect(null, segment));
      await this.run(this.store.settle(segment, found.kinds, found.contentCrcs, stamp));
    }
    await this.flush();
  }

  path(name: string, replica = REPLICA): string {
    return `${DIRECTORY}/replicas/${replica}/${name}`;
  }

  /** Path of the only (or nth) file with this ending in the replica's directory. */
  async find(ending: string, nth = 0, replica = REPLICA): Promise<string> {
    const names = await this.run(this.host.disk.list(`${DIRECTORY}/replicas/${replica}`));
    return this.path(names.filter((name) => name.endsWith(ending))[nth]!, replica);
  }
}

export function submitTo(
  store: ReplicaStore,
  verb: ReplicaVerb,
  block: number,
  data: Uint8Array,
  blocks: number,
  stamp: Generation = { epoch: 1, n: 1 },
  layer: LayerRef = null,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const request: ReplicaRequest = {
      verb,
      layer,
      offsetBytes: block * BLOCK_BYTES,
      lengthBytes: blocks * BLOCK_BYTES,
      data,
      stampEpoch: stamp.epoch,
      stampN: stamp.n,
      done: (error: HoldfastError | null) => {
        if (error === null) resolve();
        else reject(error);
      },
    };
    store.submit(request);
  });
}

/** Blocks of one byte, never zero: told apart at a glance. */
export function filled(byte: number, blocks = 1): Uint8Array {
  return new Uint8Array(blocks * BLOCK_BYTES).fill(byte);
}
