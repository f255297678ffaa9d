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
  type FrontendReport,
  HoldfastError,
  type NodeId,
  type ReplicaId,
  type ReplicaReport,
  type TraceEvent,
  type VoteMethods,
} from '#api/mod.ts';
import { AlignDevice, type BlockDevice, isBlank } from '#data/block/mod.ts';
import { FuseFrontend, NbdServer } from '#data/frontend/mod.ts';
import { DEFAULT_NEXUS_POLICY, Nexus } from '#data/nexus/mod.ts';
import { PeerConnector, type Replica } from '#data/replica/mod.ts';
import { openFileReplica } from '#data/store/mod.ts';
import type { Address, FuseMounts, Host } from '#host/mod.ts';
import { Deferred, formatHex, KeyedMutex } from '#lib/mod.ts';
import { RpcClient } from '#rpc/mod.ts';
import { ControlVote } from './control-vote.ts';
import { PeerAddresses } from './peer-addresses.ts';
import { ReplicaHost } from './replica-host.ts';
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

const RESUME_ASK_MS = 3_000;
const RETRY_MS = 1_000;
/** A write with FUA goes on as a flush. */
const LAST_STEPS = new Set(['acknowledged', 'flushing']);

export class VolumeService {
  readonly #settings: VolumeSettings;
  readonly #host: Host;
  readonly #fuseMounts: FuseMounts | null;
  readonly #replicas: ReplicaHost;
  readonly #addresses: PeerAddresses;
  readonly #controller: RpcClient<VoteMethods>;
  readonly #connector: PeerConnector;
  readonly #nexus: Nexus;
  /** What NBD serves: made anew when writes were lost, so that only new sessions go on. */
  #device: BlockDevice;
  #nbd: NbdServer | null = null;
  #fuse: FuseFrontend | null = null;
  readonly #frontendErrors = new Map<'nbd' | 'fuse', string>();
  #error: HoldfastError | null = null;
  #stopped = false;
  #isListening = false;
  readonly #mutex = new KeyedMutex();
  /** As it is now: replicas and size change while it is attached. */
  #spec: AttachSpec;

  constructor(settings: VolumeSettings, host: Host, fuseMounts: FuseMounts | null) {
    this.#settings = settings;
    this.#host = host;
    this.#fuseMounts = fuseMounts;
    const { spec } = settings;
    this.#spec = spec;
    this.#replicas = new ReplicaHost(host);
    this.#addresses = new PeerAddresses(host.net, host.clock, spec.replicas);
    this.#controller = new RpcClient({
      net: host.net,
      clock: host.clock,
      address: settings.controllerAddress,
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
    this.#nexus.onLoss(() => this.#failSessions());
  }

  /**
   * Lost means failed: FUSE sessions fail by the age of their device, NBD sessions are ended here.
   */
  #failSessions(): void {
    this.#device = new AlignDevice(this.#nexus.session());
    this.#nbd?.failSessions(this.#settings.spec.volume, this.#host.clock.monotonicMs());
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
      await this.#fuse?.showSize();
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
    'volume.stop': async () => {
      await this.#stop();
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
      if (!this.#stopped) await this.#startFrontends();
    } catch (error) {
      if (!HoldfastError.is(error)) throw error;
      this.#error = error;
      this.#host.log.error('Volume does not serve', { volume: this.#settings.spec.volume, error });
    }
  }

  async #startFrontends(): Promise<void> {
    for (const kind of this.#settings.spec.frontends) {
      await this.#startFrontend(kind).catch((error: unknown) => {
        if (!HoldfastError.is(error)) throw error;
        this.#frontendErrors.set(kind, `${error.code}: ${error.message}`);
        this.#host.log.error('Frontend did not start', { kind, error, details: error.details });
        this.#host.clock.after(RETRY_MS, () => void this.#retryFrontends());
      });
    }
  }

  async #retryFrontends(): Promise<void> {
    if (!this.#stopped) await this.#startFrontends();
  }

  async #startFrontend(kind: 'nbd' | 'fuse'): Promise<void> {
    if (kind === 'nbd') this.#nbd ??= await this.#startNbd();
    else this.#fuse ??= await this.#startFuse();
    this.#frontendErrors.delete(kind);
  }

  #startNbd(): Promise<NbdServer> {
    const { volume: name, claim: description } = this.#settings.spec;
    return NbdServer.start(this.#host, {
      address: { kind: 'unix', path: this.#nbdPath() },
      exports: () => [{ name, description, device: this.#device }],
    });
  }

  #startFuse(): Promise<FuseFrontend> {
    const { spec, stateDirectory } = this.#settings;
    if (!this.#fuseMounts) {
      throw new HoldfastError('capability-missing', 'This machine cannot mount volumes', {
        details: { remedy: 'Run `holdfast doctor`; the volume is served over NBD meanwhile' },
      });
    }
    return FuseFrontend.start({
      mounts: this.#fuseMounts,
      disk: this.#host.disk,
      log: this.#host.log,
      imageFile: `${stateDirectory}/${spec.volume}.img`,
      stateFile: `${stateDirectory}/${spec.volume}.fuse.json`,
      openDevice: (sessionEpoch) => new AlignDevice(this.#nexus.session(sessionEpoch)),
      epoch: this.#nexus.epoch,
    });
  }

  #nbdPath(): string {
    return `${this.#settings.socketPrefix}.${this.#settings.spec.volume.slice(-12)}.nbd`;
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
      frontends: spec.frontends.map((kind) => this.#frontendReport(kind)),
    };
  }

  #frontendReport(kind: 'nbd' | 'fuse'): FrontendReport {
    const error = this.#frontendErrors.get(kind) ?? '';
    if (kind === 'fuse') return this.#fuse?.report() ?? { kind, url: '', error };
    const url = this.#nbd
      ? `nbd+unix:///${this.#settings.spec.volume}?socket=${this.#nbdPath()}`
      : '';
    return { kind, url, error };
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

  async #stop(): Promise<void> {
    await this.#fuse?.demandUnmounted();
    this.#stopped = true;
    await this.#nbd?.stop();
    await this.#fuse?.stop();
    await this.#nexus.close();
    await this.#closeParts();
  }

  async #handOver(): Promise<void> {
    this.#stopped = true;
    await this.#nbd?.stop();
    await this.#fuse?.handOver();
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
