/**
 * Engine: what runs on a node (design.md §2). It owns the pools, hosts the replicas of volumes that
 * are attached elsewhere, runs the volumes that are attached here, and answers the engine RPC.
 *
 * Invariants
 * - A replica is open in one place: here, or in the runner of its volume while that is attached.
 * - One change at a time for each volume and each replica; different ones do not wait for each
 *   other.
 */
import {
  type AttachmentReport,
  type AttachSpec,
  type ClusterId,
  CONTROL_PLANE,
  type EngineMethods,
  type EngineReport,
  type Handlers,
  hasCode,
  HoldfastError,
  type Incarnation,
  type LayerUse,
  type MembershipRecord,
  type NodeId,
  type ParamsOf,
  type PoolId,
  type PoolSpace,
  parseId,
  type ReplicaId,
  type ReplicaReport,
  type VolumeId,
} from '#api/mod.ts';
import type { Host } from '#host/mod.ts';
import { KeyedMutex } from '#lib/mod.ts';
import { AttachmentStore } from './attachment-store.ts';
import { PoolRegistry } from './pool-registry.ts';
import { ReplicaHost } from './replica-host.ts';
import type { VolumeMethods, VolumeRunner } from './volume-methods.ts';
import type { VolumeSettings } from './volume-service.ts';

export interface EngineOptions {
  readonly host: Host;
  readonly node: NodeId;
  readonly cluster: ClusterId;
  readonly version: string;
  readonly processId: number;
  /** Prefix of every socket of this node. */
  readonly socketPrefix: string;
  readonly stateDirectory: string;
  readonly controllerAddress: string;
  /** Makes the runner of a volume, in a thread of its own or in this one. */
  readonly createRunner: (settings: VolumeSettings, onExit: (error: Error) => void) => VolumeRunner;
  readonly onStop: () => void;
}

/** So long the maps of a pool may be read for those who ask for its space. */
const MAPS_MS_MAX = 40_000;

interface Attachment {
  readonly spec: AttachSpec;
  readonly runner: VolumeRunner;
  readonly localReplica: ReplicaId | null;
}

export class Engine {
  readonly #options: EngineOptions;
  readonly #pools: PoolRegistry;
  readonly #replicas: ReplicaHost;
  readonly #store: AttachmentStore;
  readonly #attached = new Map<VolumeId, Attachment>();
  readonly #mutex = new KeyedMutex();

  constructor(options: EngineOptions) {
    this.#options = options;
    const { host, cluster, stateDirectory } = options;
    this.#pools = new PoolRegistry(host, cluster, `${stateDirectory}/pools.json`);
    this.#replicas = new ReplicaHost(host);
    this.#store = new AttachmentStore(host.disk, `${stateDirectory}/attachments`, host.log);
  }

  /** Opens what was here before, and serves the volumes that were attached here. */
  async start(): Promise<void> {
    const { host, stateDirectory, socketPrefix } = this.#options;
    await host.disk.makeDirectory(stateDirectory);
    await this.#replicas.listen({ kind: 'unix', path: `${socketPrefix}.peer` });
    const [specs] = await Promise.all([this.#store.load(), this.#pools.load()]);
    // Volumes first, for somebody waits for them, and each opens its local replica itself.
    for (const spec of specs) void this.#resume(spec);
    const theirs = new Set(specs.map((spec) => this.#localReplica(spec)));
    await this.#openReplicas((replica) => !theirs.has(replica));
  }

  readonly handlers: Handlers<EngineMethods> = {
    'engine.describe': () => this.#describe(),
    'engine.describeVolume': ({ volume }) => this.#describe(parseId('volume', volume)),
    'engine.ping': () => Promise.resolve({}),
    'pool.ensure': async ({ pool, directory, create }) => {
      const opened = await this.#pools.ensure(parseId('pool', pool), directory, create);
      if (opened) await this.#openReplicas();
      const reports = await this.#pools.reports((replica) => this.#findReport(replica));
      const report = reports.find((candidate) => candidate.pool === pool);
      if (!report)
        throw new HoldfastError('not-found', 'No such pool on this node', { details: { pool } });
      return report;
    },
    'pool.space': ({ pool }) => this.#poolSpace(parseId('pool', pool)),
    'replica.create': (params) => this.#createReplica(params),
    'replica.delete': async ({ replica }) => {
      await this.#deleteReplica(parseId('replica', replica));
      return {};
    },
    'replica.describe': async ({ replica }) => this.#describeReplica(parseId('replica', replica)),
    'replica.scrub': async ({ replica, budgetBlocks }) => {
      const hosted = this.#replicas.find(parseId('replica', replica));
      if (hosted) return hosted.scrub(budgetBlocks);
      throw new HoldfastError('in-use', 'Replica belongs to an attached volume', {
        details: { replica, remedy: 'Scrub the volume instead' },
      });
    },
    'volume.attach': (spec) => this.#attach(spec, false),
    'volume.detach': async ({ volume }) => {
      await this.#detach(parseId('volume', volume));
      return {};
    },
    'volume.describe': ({ volume }) => this.#report(volume),
    'volume.setReplicas': async ({ volume, replicas }) => {
      await this.#get(volume).runner.call('volume.replicas', { replicas });
      const { localReplica: before } = this.#get(volume);
      await this.#noteChange(volume, { replicas });
      // A local replica that was taken out of the volume is this engine's again.
      if (this.#get(volume).localReplica !== before) await this.#takeBack(before);
      return this.#report(volume);
    },
    'volume.createSnapshot': (params) =>
      this.#get(params.volume).runner.call('volume.createSnapshot', params),
    'volume.deleteSnapshot': (params) =>
      this.#get(params.volume).runner.call('volume.deleteSnapshot', params),
    'volume.grow': async (params) => {
      const report = await this.#get(params.volume).runner.call('volume.grow', params);
      await this.#noteChange(params.volume, { sizeBytes: params.sizeBytes });
      return report;
    },
    'volume.rebuild': (params) => this.#get(params.volume).runner.call('volume.rebuild', params),
    'volume.scrub': (params) => this.#get(params.volume).runner.call('volume.scrub', params),
    'volume.isBlank': (params) => this.#get(params.volume).runner.call('volume.isBlank', params),
    'volume.trace': (params) => this.#get(params.volume).runner.call('volume.trace', params),
    'engine.stop': async () => {
      await this.stop();
      this.#options.onStop();
      return {};
    },
  };

  async #describe(only?: VolumeId): Promise<EngineReport> {
    const { node, cluster, version, processId: pid } = this.#options;
    const volumes = [...this.#attached.keys()].filter(
      (volume) => only === undefined || volume === only,
    );
    const [pools, attachments] = await Promise.all([
      this.#pools.reports((replica) => this.#findReport(replica), only),
      Promise.all(volumes.map((volume) => this.#report(volume))),
    ]);
    return { node, cluster, version, pid, pools, attachments };
  }

  /** A planned end: filesystems stay mounted and wait for the next engine. */
  async stop(): Promise<void> {
    await Promise.all(
      [...this.#attached.values()].map(({ runner }) => runner.call('volume.handOver', {})),
    );
    this.#attached.clear();
    await this.#replicas.close();
    await this.#pools.close();
  }

  // --- replicas --------------------------------------------------------------------------------

  /** Opens every replica that is not open: here, or by the volume that runs it. */
  async #openReplicas(wanted: (replica: ReplicaId) => boolean = () => true): Promise<void> {
    for (const pool of this.#pools.opened()) {
      for (const { identity, directory, error } of await pool.listReplicas()) {
        const { replica } = identity;
        if (!error && wanted(replica)) await this.#openReplica(replica, directory);
      }
    }
  }

  #openReplica(replica: ReplicaId, directory: string): Promise<void> {
    return this.#mutex.run(replica, async () => {
      if (this.#replicas.find(replica)) return;
      try {
        const runner = this.#runnerOf(replica);
        if (runner) {
          await runner.call('volume.openReplica', { directory });
          return;
        }
        const found = await this.#pools.find(replica);
        if (found) this.#replicas.add(await found.pool.openReplica(replica), directory);
      } catch (error) {
        if (!HoldfastError.is(error)) throw error;
        this.#options.host.log.error('Replica did not open', {
          replica,
          error,
          details: error.details,
        });
      }
    });
  }

  #runnerOf(replica: ReplicaId): VolumeRunner | undefined {
    return [...this.#attached.values()].find(({ localReplica }) => localReplica === replica)
      ?.runner;
  }

  async #describeReplica(replica: ReplicaId): Promise<ReplicaReport> {
    const report = await this.#findReport(replica);
    if (report) return report;
    throw new HoldfastError('not-found', 'Replica is not open on this node', {
      details: { replica },
    });
  }

  async #findReport(replica: ReplicaId): Promise<ReplicaReport | null> {
    const runner = this.#runnerOf(replica);
    if (runner) return runner.call('volume.replica', {});
    return this.#replicas.find(replica) ? this.#replicas.report(replica) : null;
  }

  async #poolSpace(pool: PoolId): Promise<PoolSpace> {
    const store = this.#pools.get(pool);
    const { totalBytes, freeBytes, usedBytes } = await this.#options.host.disk.space(
      store.directory,
    );
    const files = await store.files();
    const uses: PoolSpace['uses'][number][] = [];
    const { clock } = this.#options.host;
    const endMs = clock.monotonicMs() + MAPS_MS_MAX;
    for (const { replica } of files.replicas) {
      const layers = await this.#layerUses(replica, Math.max(0, endMs - clock.monotonicMs()));
      if (layers.length > 0) uses.push({ replica, layers });
    }
    return { pool, totalBytes, freeBytes, usedBytes, ...files, uses };
  }

  /** Nothing of what is in trouble: its files are counted all the same. */
  async #layerUses(replica: ReplicaId, budgetMs: number): Promise<readonly LayerUse[]> {
    try {
      const runner = this.#runnerOf(replica);
      return await (runner?.call('volume.layerUses', { budgetMs }) ??
        this.#replicas.layerUses(replica, budgetMs));
    } catch (error) {
      if (HoldfastError.is(error)) return [];
      throw error;
    }
  }

  async #createReplica(params: ParamsOf<EngineMethods, 'replica.create'>): Promise<ReplicaReport> {
    const { identity, sizeBytes, founders, cloneOf } = params;
    const replica = parseId<ReplicaId>('replica', identity.replica);
    const existing = await this.#findReport(replica);
    if (existing) return existing;
    const pool = this.#pools.get(parseId('pool', params.pool));
    await pool.createReplica({
      identity,
      sizeBytes,
      record: founders === null ? null : foundingRecord(founders),
      ...(cloneOf === null ? {} : { cloneOf }),
    });
    await this.#pools.changed(pool.id, replica);
    const found = await this.#pools.find(replica);
    await this.#openReplica(replica, found?.summary.directory ?? '');
    return this.#describeReplica(replica);
  }

  async #deleteReplica(replica: ReplicaId): Promise<void> {
    if (this.#runnerOf(replica)) {
      throw new HoldfastError('in-use', 'Replica belongs to an attached volume', {
        details: { replica, remedy: 'Detach the volume, or remove the replica from it' },
      });
    }
    await this.#mutex.run(replica, async () => {
      await this.#replicas.release(replica);
      const found = await this.#pools.find(replica);
      if (!found) return;
      await found.pool.deleteReplica(replica);
      await this.#pools.changed(found.pool.id, replica);
    });
  }

  // --- attachments -----------------------------------------------------------------------------

  #get(volume: VolumeId): Attachment {
    const attachment = this.#attached.get(parseId('volume', volume));
    if (attachment) return attachment;
    throw new HoldfastError('not-found', 'Volume is not attached to this node', {
      details: { volume },
    });
  }

  async #report(volume: VolumeId): Promise<AttachmentReport> {
    return this.#get(volume).runner.call('volume.report', {});
  }

  /** What a running volume was changed to, for the next engine too. */
  async #noteChange(
    volume: VolumeId,
    change: Partial<Pick<AttachSpec, 'replicas' | 'sizeBytes'>>,
  ): Promise<void> {
    const attachment = this.#get(volume);
    const spec = { ...attachment.spec, ...change };
    const has = spec.replicas.some(({ replica }) => replica === attachment.localReplica);
    const localReplica = has ? attachment.localReplica : null;
    this.#attached.set(volume, { ...attachment, spec, localReplica });
    await this.#store.put(spec);
  }

  async #attach(spec: AttachSpec, resume: boolean): Promise<AttachmentReport> {
    parseId('volume', spec.volume);
    await this.#mutex.run(spec.volume, async () => {
      if (this.#attached.has(spec.volume)) return;
      const local = this.#localReplica(spec);
      const found = local === null ? undefined : await this.#pools.find(local);
      const start = async (): Promise<VolumeRunner> => {
        if (local !== null) await this.#replicas.release(local);
        const runner = this.#options.createRunner(
          this.#settings(spec, found?.summary.directory ?? null),
          (error) => this.#onRunnerExit(spec.volume, error),
        );
        this.#attached.set(spec.volume, { spec, runner, localReplica: local });
        return runner;
      };
      // Nobody opens the replica between its release and the runner.
      const runner = await (local === null ? start() : this.#mutex.run(local, start));
      try {
        // Before anything of it is on this machine: an engine that comes after knows what to end.
        if (!resume) await this.#store.put(spec);
        await runner.call('volume.start', { resume });
      } catch (error) {
        await this.#giveUp(spec.volume, hasCode(error, 'fenced'));
        throw error;
      }
    });
    return this.#report(spec.volume);
  }

  #localReplica(spec: AttachSpec): ReplicaId | null {
    return spec.replicas.find(({ node }) => node === this.#options.node)?.replica ?? null;
  }

  #settings(spec: AttachSpec, localDirectory: string | null): VolumeSettings {
    const { node, processId, socketPrefix, stateDirectory, controllerAddress } = this.#options;
    return {
      spec,
      node,
      processId,
      socketPrefix,
      stateDirectory,
      controllerAddress,
      localDirectory,
    };
  }

  async #detach(volume: VolumeId): Promise<void> {
    await this.#mutex.run(volume, async () => {
      if (this.#attached.has(volume)) await this.#drop(volume, 'volume.stop', { force: false });
      await this.#store.remove(volume);
    });
  }

  /**
   * It did not start. A volume that moved has nothing to give to what is mounted here but errors;
   * any other is tried again, and its session waits.
   */
  async #giveUp(volume: VolumeId, moved: boolean): Promise<void> {
    if (moved) await this.#drop(volume, 'volume.stop', { force: true });
    else await this.#drop(volume, 'volume.handOver', {});
  }

  /** Ends the runner in order and takes the local replica back. */
  async #drop<End extends 'volume.stop' | 'volume.handOver'>(
    volume: VolumeId,
    end: End,
    params: ParamsOf<VolumeMethods, End>,
  ): Promise<void> {
    const { runner, localReplica } = this.#get(volume);
    const stop = async (): Promise<void> => {
      await runner.call(end, params);
      this.#attached.delete(volume);
    };
    // Nobody asks a runner that ends to open the replica: it would be open in it for ever.
    await (localReplica === null ? stop() : this.#mutex.run(localReplica, stop));
    await this.#takeBack(localReplica);
  }

  /** Opens a replica here that a volume had; other volumes' replicas are not waited for. */
  async #takeBack(replica: ReplicaId | null): Promise<void> {
    const found = replica === null ? undefined : await this.#pools.find(replica);
    if (!found || found.summary.error) return;
    await this.#openReplica(found.summary.identity.replica, found.summary.directory);
  }

  async #resume(spec: AttachSpec): Promise<void> {
    try {
      await this.#attach(spec, true);
    } catch (error) {
      if (!HoldfastError.is(error)) throw error;
      this.#options.host.log.warn('Attachment was not resumed', { volume: spec.volume, error });
      if (error.code === 'fenced') await this.#store.remove(spec.volume);
      // Without the volume its local replica is served to whoever has it now.
      if (!this.#attached.has(spec.volume)) await this.#takeBack(this.#localReplica(spec));
    }
  }

  /** One volume's thread died: the others do not notice, and it is served again. */
  #onRunnerExit(volume: VolumeId, error: Error): void {
    const attachment = this.#attached.get(volume);
    if (!attachment) return;
    this.#attached.delete(volume);
    this.#options.host.log.error('Volume thread ended', { volume, error });
    void this.#resume(attachment.spec);
  }
}

/** The record that the replicas of a new volume begin with: all in sync, nothing to reconcile. */
function foundingRecord(founders: readonly ReplicaId[]): MembershipRecord {
  const even = founders.length % 2 === 0;
  return {
    epoch: 0,
    seq: 0,
    members: founders.map((replica) => ({ replica, incarnation: '' as Incarnation })),
    voters: even ? [...founders, CONTROL_PLANE] : [...founders],
    formerVoters: null,
    closed: true,
    loss: 0,
    floor: { epoch: 0, seq: 0 },
    held: [],
  };
}
