/**
 * The pools of this node: which directories, remembered durably, and what lies in them. A pool that
 * cannot be opened is reported with its reason and tried again by the next `ensure`.
 */
import {
  type ClusterId,
  type HoldfastError,
  HoldfastError as Failure,
  type PoolId,
  type PoolReport,
  type ReplicaId,
  type ReplicaIdentity,
  type ReplicaReport,
  type VolumeId,
} from '#api/mod.ts';
import { id, listOf, path, shape } from '#api/checks/mod.ts';
import { openFilePool, type ReplicaSummary, type StorePool } from '#data/store/mod.ts';
import { readWholeFile, replaceWholeFile, type Host, type SpaceReport } from '#host/mod.ts';
import { decodeText, encodeText, KeyedMutex } from '#lib/mod.ts';

interface KnownPool {
  readonly pool: PoolId;
  readonly directory: string;
}

const checkPools = listOf(shape<KnownPool>({ pool: id<PoolId>(), directory: path }), 1_000);

interface Entry {
  readonly pool: PoolId;
  readonly directory: string;
  store: StorePool | null;
  error: HoldfastError | null;
  look: Look | null;
}

/** What lies in a pool, as it was at a time. */
interface Look {
  readonly atMs: number;
  readonly spaceAtMs: number;
  readonly space: SpaceReport;
  readonly summaries: readonly ReplicaSummary[];
}

/**
 * Reports are asked for every few seconds, and a look opens every replica's header. What is open
 * says itself how it is; only replicas that are not open are as old as this.
 */
const LOOK_MS_MAX = 60_000;
/** A disk fills faster, and costs one call to ask. */
const SPACE_MS_MAX = 5_000;

export class PoolRegistry {
  readonly #host: Host;
  readonly #cluster: ClusterId;
  readonly #file: string;
  readonly #entries = new Map<PoolId, Entry>();
  readonly #mutex = new KeyedMutex();

  constructor(host: Host, cluster: ClusterId, file: string) {
    this.#host = host;
    this.#cluster = cluster;
    this.#file = file;
  }

  /** Opens every pool that was ever ensured here. */
  async load(): Promise<void> {
    const bytes = await readWholeFile(this.#host.disk, this.#file);
    if (bytes === undefined) return;
    for (const { pool, directory } of this.#parse(bytes)) {
      await this.#mutex
        .run(pool, () => this.#open(pool, directory, false))
        .catch((error: unknown) => {
          this.#host.log.error('Pool did not open', { pool, directory, error });
        });
    }
  }

  /** What cannot be read is asked for again by the controller, pool by pool. */
  #parse(bytes: Uint8Array): readonly KnownPool[] {
    try {
      return checkPools(JSON.parse(decodeText(bytes)), '');
    } catch (error) {
      if (!Failure.is(error) && !(error instanceof SyntaxError)) throw error;
      this.#host.log.error('List of pools cannot be read', { path: this.#file, error });
      return [];
    }
  }

  /** True when the pool was opened by this call. */
  async ensure(pool: PoolId, directory: string, create: boolean): Promise<boolean> {
    return this.#mutex.run(pool, async () => {
      const known = this.#entries.get(pool);
      if (known?.store && known.directory === directory) return false;
      await this.#open(pool, directory, create);
      await this.#remember();
      return true;
    });
  }

  async #open(pool: PoolId, directory: string, create: boolean): Promise<void> {
    const entry: Entry = { pool, directory, store: null, error: null, look: null };
    try {
      const { disk, rng, clock, log } = this.#host;
      const cluster = this.#cluster;
      const options = { disk, rng, clock, log, cluster, pool, directory, create };
      entry.store = await openFilePool(options);
    } catch (error) {
      if (!Failure.is(error)) throw error;
      entry.error = error;
      throw error;
    } finally {
      this.#entries.set(pool, entry);
    }
  }

  get(pool: PoolId): StorePool {
    const entry = this.#entries.get(pool);
    if (entry?.store) return entry.store;
    throw (
      entry?.error ?? new Failure('not-found', 'No such pool on this node', { details: { pool } })
    );
  }

  opened(): StorePool[] {
    return [...this.#entries.values()].flatMap(({ store }) => (store ? [store] : []));
  }

  async find(
    replica: ReplicaId,
  ): Promise<{ pool: StorePool; summary: ReplicaSummary } | undefined> {
    for (const pool of this.opened()) {
      const summary = await pool.findReplica(replica);
      if (summary) return { pool, summary };
    }
    return undefined;
  }

  /**
   * `describe` says what is known of a replica that is open; others are reported as they lie. Of
   * one volume alone where one is given.
   */
  async reports(
    describe: (replica: ReplicaId) => Promise<ReplicaReport | null>,
    volume?: VolumeId,
  ): Promise<PoolReport[]> {
    const entries = [...this.#entries.values()];
    return Promise.all(entries.map((entry) => this.#report(entry, describe, volume)));
  }

  async close(): Promise<void> {
    await Promise.all(this.opened().map((pool) => pool.close()));
    this.#entries.clear();
  }

  async #report(
    entry: Entry,
    describe: (replica: ReplicaId) => Promise<ReplicaReport | null>,
    volume: VolumeId | undefined,
  ): Promise<PoolReport> {
    const { pool, directory, store, error } = entry;
    const base = { pool, directory, error: error?.message ?? '', errorCode: error?.code ?? '' };
    const unknown = {
      totalBytes: 0,
      freeBytes: 0,
      filesystem: '',
      deviceName: '',
      deviceSerial: '',
    };
    if (!store) return { ...base, ...unknown, replicas: [] };
    const { space, summaries } = await this.#lookInto(entry, store);
    const replicas = await Promise.all(
      summaries
        .filter(({ identity }) => volume === undefined || mayBeOf(volume, identity))
        .map(async (summary) => {
          return (await describe(summary.identity.replica)) ?? closedReport(summary);
        }),
    );
    return { ...base, ...space, replicas };
  }

  /** A replica came or went: what is known of the pool is brought up to date, not read anew. */
  async changed(pool: PoolId, replica: ReplicaId): Promise<void> {
    const entry = this.#entries.get(pool);
    if (!entry?.store) return;
    const { store } = entry;
    await this.#looking(pool, async () => {
      const { look } = entry;
      if (look === null) return;
      const summary = await store.findReplica(replica);
      const others = look.summaries.filter(({ identity }) => identity.replica !== replica);
      entry.look = { ...look, summaries: summary ? [...others, summary] : others };
    });
  }

  /** One look or change of it at a time: none is overtaken by an older one. */
  #looking<T>(pool: PoolId, action: () => Promise<T>): Promise<T> {
    return this.#mutex.run(`look ${pool}`, action);
  }

  #lookInto(entry: Entry, store: StorePool): Promise<Look> {
    return this.#looking(entry.pool, async () => {
      const atMs = this.#host.clock.monotonicMs();
      const { look: before } = entry;
      if (before !== null && atMs - before.spaceAtMs < SPACE_MS_MAX) return before;
      const isFresh = before !== null && atMs - before.atMs < LOOK_MS_MAX;
      const [space, summaries] = await Promise.all([
        this.#host.disk.space(entry.directory),
        isFresh ? before.summaries : store.listReplicas(),
      ]);
      await store.keepReserve(space);
      entry.look = { atMs: isFresh ? before.atMs : atMs, spaceAtMs: atMs, space, summaries };
      return entry.look;
    });
  }

  async #remember(): Promise<void> {
    const pools = [...this.#entries.values()]
      .filter(({ store }) => store !== null)
      .map(({ pool, directory }) => ({ pool, directory }));
    await replaceWholeFile(this.#host.disk, this.#file, encodeText(JSON.stringify(pools)));
  }
}

/** One whose header cannot be read does not say whose it is. */
function mayBeOf(volume: VolumeId, identity: ReplicaIdentity): boolean {
  return identity.volume === volume || identity.volume === '';
}

function closedReport(summary: ReplicaSummary): ReplicaReport {
  const { identity, sizeBytes, directory, error } = summary;
  return {
    identity,
    sizeBytes,
    directory,
    address: '',
    state: null,
    usage: null,
    error: error?.message ?? 'Not open',
    errorCode: error?.code ?? '',
  };
}
