/**
 * VolumeService: everything of one attached volume that lives on one thread: its nexus, its
 * frontends, and the local replica, whose peer protocol it answers meanwhile.
 *
 *     NBD, FUSE ─▶ AlignDevice ─▶ Nexus ─┬▶ LocalMember ─▶ store
 *                                        └▶ RemoteMember ─▶ other engines
 *
 * Invariants
 * - Frontends are started only after the nexus serves: no request is taken that cannot be answered.
 * - *One writer*: a resumed attachment opens only when no other node was promised an epoch
 *   meanwhile.
 */
import {
  type AttachmentReport,
  type AttachSpec,
  HoldfastError,
  type NodeId,
  type ReplicaId,
  type ReplicaReport,
  type TraceEvent,
  type VoteMethods,
} from '#api/mod.ts';
import { AlignDevice, type BlockDevice, isBlank } from '#data/block/mod.ts';
import { DEFAULT_NEXUS_POLICY, Nexus } from '#data/nexus/mod.ts';
import { PeerConnector, type Replica } from '#data/replica/mod.ts';
import { openFileReplica } from '#data/store/mod.ts';
import type { Address, FuseMounts, Host } from '#host/mod.ts';
import { Deferred, formatHex, KeyedMutex } from '#lib/mod.ts';
import { RpcClient } from '#rpc/mod.ts';
import { ControlVote } from './control-vote.ts';
import { PeerAddresses } from './peer-addresses.ts';
import { ReplicaHost } from './replica-host.ts';
import { VolumeFrontends } from './volume-frontends.ts';
import type { VolumeHandlers } from './volume-methods.ts';

/** All that a volume needs to run; plain values, so that it crosses to another thread. */
export interface VolumeSettings {
  readonly spec: AttachSpec;
  readonly node: NodeId;
  readonly processId: number;
  /** Sockets of this node, by prefix: `RUN/node`. */
  readonly socketPrefix: string;
  /** Where the sessions of frontends are remembered. */
  readonly stateDirectory: string;
  readonly controllerAddress: string;
  /** Directory of the local replica; null when this node has none. */
  readonly localDirectory: string | null;
}

/** The vote is asked for when a volume opens or loses a member. */
const VOTE_IDLE_MS = 2_000;
const RESUME_ASK_MS = 3_000;
/** A write with FUA goes on as a flush. */
const LAST_STEPS = new Set(['acknowledged', 'flushing']);

export class VolumeService {
  readonly #settings: VolumeSettings;
  readonly #host: Host;
  readonly #replicas: ReplicaHost;
  readonly #addresses: PeerAddresses;
  readonly #controller: RpcClient<VoteMethods>;
  readonly #connector: PeerConnector;
  readonly #nexus: Nexus;
  /** What NBD serves: made anew when writes were lost, so that only new sessions go on. */
  #device: BlockDevice;
  readonly #frontends: VolumeFrontends;
  #error: HoldfastError | null = null;
  #stopped = false;
  #isListening = false;
  readonly #mutex = new KeyedMutex();
  /** As it is now: replicas and size change while it is attached. */
  #spec: AttachSpec;

  constructor(settings: VolumeSettings, host: Host, fuseMounts: FuseMounts | null) {
    this.#settings = settings;
    this.#host = host;
    const { spec } = settings;
    this.#spec = spec;
    this.#replicas = new ReplicaHost(host);
    this.#addresses = new PeerAddresses(host.net, host.clock, spec.replicas);
    this.#controller = new RpcClient({
      net: host.net,
      clock: host.clock,
      address: settings.controllerAddress,
      idleMs: VOTE_IDLE_MS,
    });
    this.#connector = new PeerConnector({
      net: host.net,
      clock: host.clock,
      log: host.log,
      client: settings.node,
      cluster: spec.cluster,
      volume: spec.volume,
      resolve: (replica, timeoutMs) => this.#resolve(replica, timeoutMs),
    });
    this.#nexus = this.#createNexus();
    this.#device = new AlignDevice(this.#nexus);
    this.#frontends = new VolumeFrontends({
      host,
      fuseMounts,
      spec,
      nbdPath: `${settings.socketPrefix}.${spec.volume.slice(-12)}.nbd`,
      stateDirectory: settings.stateDirectory,
      nbdDevice: () => this.#device,
      openSession: (sessionEpoch) => new AlignDevice(this.#nexus.session(sessionEpoch)),
      epoch: () => this.#nexus.epoch,
    });
    this.#nexus.onLoss(() => this.#failSessions());
  }

  /**
   * Lost means failed: FUSE sessions fail by the age of their device, NBD sessions are ended here.
   */
  #failSessions(): void {
    this.#device = new AlignDevice(this.#nexus.session());
    this.#frontends.failNbdSessions();
  }

  readonly handlers: VolumeHandlers = {
    'volume.start': async ({ resume }) => {
      await this.#start(resume);
      return {};
    },
    'volume.report': () => Promise.resolve(this.#report()),
    'volume.replica': () => this.#replicaReport(),
    'volume.layerUses': ({ budgetMs }) =>
      this.#replicas.layerUses(this.#replicas.ids()[0], budgetMs),
    'volume.openReplica': async ({ directory }) => {
      await this.#openLocal(directory);
      return {};
    },
    'volume.replicas': ({ replicas }) => this.#setReplicas(replicas),
    'volume.createSnapshot': async ({ snapshot }) => {
      await this.#nexus.createSnapshot(snapshot);
      const info = this.#nexus.listSnapshots().find(({ id }) => id === snapshot);
      return info?.generation ?? this.#nexus.status().generation;
    },
    'volume.deleteSnapshot': async ({ snapshot }) => {
      await this.#nexus.deleteSnapshot(snapshot);
      return {};
    },
    'volume.grow': async ({ sizeBytes }) => {
      await this.#nexus.grow(sizeBytes);
      this.#spec = { ...this.#spec, sizeBytes };
      await this.#frontends.showSize();
      return this.#report();
    },
    'volume.rebuild': ({ replica, full }) => {
      this.#nexus.rebuild(replica, { full });
      return Promise.resolve({});
    },
    'volume.scrub': async () => {
      const { checkedBlocks, repairedBlocks, unrepaired } = await this.#nexus.scrub();
      return { checkedBlocks, repairedBlocks, unhealableBlocks: unrepaired.length };
    },
    'volume.isBlank': async () => ({ isBlank: await isBlank(this.#nexus) }),
    'volume.trace': ({ timeoutMs }) => this.#trace(timeoutMs),
    'volume.stop': async ({ force }) => {
      await this.#stop(force);
      return {};
    },
    'volume.handOver': async () => {
      await this.#handOver();
      return {};
    },
  };

  #createNexus(): Nexus {
    const { spec, node, processId } = this.#settings;
    const { clock, rng, log } = this.#host;
    return new Nexus({
      cluster: spec.cluster,
      volume: spec.volume,
      nexusId: `${node}/${processId}/${formatHex(rng.bytes(8))}`,
      sizeBytes: spec.sizeBytes,
      segmentBytes: spec.segmentBytes,
      replicas: spec.replicas.map(({ replica }) => replica),
      localReplica: this.#localReplica(),
      connector: this.#connector,
      controlPlane: new ControlVote(this.#controller, spec.volume),
      policy: { ...DEFAULT_NEXUS_POLICY, onQuorumLoss: spec.onQuorumLoss },
      clock,
      rng,
      log,
    });
  }

  #localReplica(): ReplicaId | null {
    const { spec, node } = this.#settings;
    return spec.replicas.find((place) => place.node === node)?.replica ?? null;
  }

  /**
   * Opens the local replica, then the volume in the background; `volume.report` tells the progress.
   */
  async #start(resume: boolean): Promise<void> {
    const { localDirectory } = this.#settings;
    const local = this.#localReplica();
    const remote = this.#settings.spec.replicas.flatMap(({ replica }) =>
      replica === local ? [] : [replica],
    );
    await Promise.all([
      localDirectory === null ? null : this.#openLocal(localDirectory),
      resume ? this.#demandNotMoved(remote) : null,
    ]);
    if (resume && local !== null) await this.#demandNotMoved([local]);
    void this.#serve();
  }

  /** A local replica that does not open is an absent member: the volume serves from the others. */
  #openLocal(directory: string): Promise<void> {
    const { disk, rng, clock, log } = this.#host;
    return this.#mutex.run('local replica', async () => {
      if (this.#stopped || this.#replicas.ids().length > 0) return;
      try {
        await this.#listen();
        const store = await openFileReplica({ disk, rng, clock, log, directory });
        this.#replicas.add(store, directory);
      } catch (error) {
        if (!HoldfastError.is(error)) throw error;
        log.error('Local replica did not open', { directory, error, details: error.details });
      }
    });
  }

  /** Once, when there is a replica to be asked for. */
  async #listen(): Promise<void> {
    if (this.#isListening) return;
    const { socketPrefix, spec } = this.#settings;
    const path = `${socketPrefix}.${spec.volume.slice(-12)}.peer`;
    await this.#replicas.listen({ kind: 'unix', path });
    this.#isListening = true;
  }

  /** Throws `fenced` when another node was promised an epoch since this node served the volume. */
  async #demandNotMoved(replicas: readonly ReplicaId[]): Promise<void> {
    const own = `${this.#settings.node}/`;
    const askOne = async (replica: ReplicaId): Promise<void> => {
      const member = await this.#connector
        .connect(replica, { timeoutMs: RESUME_ASK_MS })
        .catch(() => null);
      if (!member) return;
      const { promised, promisedTo } = member.state;
      member.close();
      if (promised > 0 && !promisedTo.startsWith(own)) {
        throw new HoldfastError('fenced', 'Volume moved to another node', {
          details: { volume: this.#settings.spec.volume, promisedTo },
        });
      }
    };
    await Promise.all(replicas.map(askOne));
  }

  async #serve(): Promise<void> {
    try {
      await this.#nexus.start();
      if (!this.#stopped) await this.#frontends.start();
    } catch (error) {
      if (!HoldfastError.is(error)) throw error;
      this.#error = error;
      this.#host.log.error('Volume does not serve', { volume: this.#settings.spec.volume, error });
    }
  }

  #resolve(replica: ReplicaId, timeoutMs: number): Promise<Address> | Replica {
    return this.#replicas.find(replica) ?? this.#addresses.resolve(replica, timeoutMs);
  }

  #report(): AttachmentReport {
    const spec = this.#spec;
    const status = this.#nexus.status();
    const error = status.error ?? this.#error;
    return {
      volume: spec.volume,
      spec,
      status: { ...status, error: error && { code: error.code, message: error.message } },
      frontends: this.#frontends.reports(),
    };
  }

  async #replicaReport(): Promise<ReplicaReport | null> {
    const [replica] = this.#replicas.ids();
    return replica === undefined ? null : this.#replicas.report(replica);
  }

  async #setReplicas(replicas: AttachSpec['replicas']): Promise<Record<string, never>> {
    this.#addresses.setPlaces(replicas);
    const wanted = new Set(replicas.map(({ replica }) => replica));
    const present = new Set(this.#nexus.status().members.map(({ replica }) => replica));
    for (const replica of wanted) if (!present.has(replica)) this.#nexus.addReplica(replica);
    for (const replica of present)
      if (!wanted.has(replica)) await this.#nexus.removeReplica(replica);
    // The engine has the local one again: it may be deleted.
    for (const replica of this.#replicas.ids())
      if (!wanted.has(replica)) await this.#replicas.release(replica);
    this.#spec = { ...this.#spec, replicas };
    return {};
  }

  /** The last step of a write is its acknowledgement. */
  async #trace(timeoutMs: number): Promise<{ events: TraceEvent[] }> {
    const events: TraceEvent[] = [];
    const traced = new Deferred<{ events: TraceEvent[] }>();
    const timer = this.#host.clock.after(timeoutMs, () => {
      const details = { timeoutMs };
      traced.reject(new HoldfastError('timed-out', 'No write came to be traced', { details }));
    });
    this.#nexus.traceNext((event) => {
      events.push(event);
      if (LAST_STEPS.has(event.step)) traced.resolve({ events });
    });
    return traced.promise.finally(() => timer.cancel());
  }

  async #stop(force: boolean): Promise<void> {
    await this.#frontends.stop(force);
    this.#stopped = true;
    await this.#nexus.close();
    await this.#closeParts();
  }

  async #handOver(): Promise<void> {
    this.#stopped = true;
    await this.#frontends.handOver();
    await this.#nexus.close();
    await this.#closeParts();
  }

  async #closeParts(): Promise<void> {
    // After an opening that is under way, so that nothing is open once this has returned.
    await this.#mutex.run('local replica', () => this.#replicas.close());
    this.#addresses.close();
    this.#controller.close();
  }
}
