/**
 * Three simulated machines with the production store, replica, peer protocol and nexus. Each
 * machine has one pool; the volume has a replica on two or three of them, and any machine may run
 * the nexus.
 */
import {
  type ClusterId,
  CONTROL_PLANE,
  type Incarnation,
  type MembershipRecord,
  parseId,
  type ReplicaId,
  type ReplicaIdentity,
  type VolumeId,
} from '#api/mod.ts';
import type { Member, MemberConnector } from '#data/member/mod.ts';
import {
  DEFAULT_NEXUS_POLICY,
  Nexus,
  type NexusClasses,
  type NexusPolicy,
} from '#data/nexus/mod.ts';
import { PeerConnector, PeerServer, Replica } from '#data/replica/mod.ts';
import { openFilePool, type ReplicaStore, type StorePool } from '#data/store/mod.ts';
import type { Host } from '#host/mod.ts';
import type { SimWorld } from '#host/sim/mod.ts';
import { SimControlPlane } from './control-plane.ts';

export const SIM_VOLUME_BYTES = 2 * 1024 * 1024;
export const SIM_SEGMENT_BYTES = 64 * 1024;
export const SIM_NODES = ['a', 'b', 'c'] as const;

const RETRY_MS = 500;
const CLUSTER = parseId<ClusterId>('cluster', 'sim');

/** Timeouts that are short in simulated time, so that a seed sees many of them. */
const SHORT_POLICY: Partial<NexusPolicy> = {
  memberDeadlineMs: 1_000,
  readLeaseMs: 1_000,
  generationMs: 500,
  handOverVoteMs: 1_500,
  reconnectMs: 20,
  reconnectMaxMs: 200,
  clockDrift: 0.1,
};

/** Broken parts that a test plants; none of them is reachable from shipped code. */
export interface PlantedParts {
  readonly nexusClasses?: Partial<NexusClasses>;
  readonly wrapStore?: (store: ReplicaStore) => ReplicaStore;
  readonly wrapMember?: (member: Member) => Member;
}

export interface SimClusterOptions {
  readonly parts?: PlantedParts;
  /** Machines that hold a replica at first; all by default. */
  readonly replicaNodes?: readonly string[];
  /** With an even number of replicas there has to be one. */
  readonly controlPlane?: boolean;
  readonly policy?: Partial<NexusPolicy>;
  readonly volume?: string;
  readonly directory?: string;
  readonly port?: number;
  /** A second volume of the same processes. */
  readonly beside?: SimCluster;
}

export interface SimSite {
  readonly node: string;
  host: Host;
  pool: StorePool | null;
  readonly running: Map<ReplicaId, Replica>;
  /** True once its kernel may have dropped accepted writes: no power, or a sync that failed. */
  lostCache: boolean;
}

export class SimCluster {
  readonly world: SimWorld;
  readonly sites: readonly SimSite[];
  readonly controlPlane: SimControlPlane | null;
  readonly directory: string;
  /** The replicas that the volume should have: what the control plane wants. */
  wanted: ReplicaId[] = [];
  /** The largest size that a client was told. */
  sizeBytes = SIM_VOLUME_BYTES;
  readonly #homes = new Map<ReplicaId, SimSite>();
  readonly #parts: PlantedParts;
  readonly #options: SimClusterOptions;
  readonly #volume: VolumeId;
  readonly #port: number;
  #replicas = 0;

  constructor(world: SimWorld, options: SimClusterOptions = {}) {
    this.world = world;
    this.#options = options;
    this.#parts = options.parts ?? {};
    this.#volume = parseId<VolumeId>('volume', options.volume ?? 'vol-sim');
    this.#port = options.port ?? 7_000;
    this.directory = options.directory ?? '/pool';
    const { beside } = options;
    this.sites = SIM_NODES.map((node) => ({
      node,
      host: beside?.site(node).host ?? world.addNode(node),
      pool: null,
      running: new Map<ReplicaId, Replica>(),
      lostCache: false,
    }));
    this.controlPlane =
      options.controlPlane === true ? new SimControlPlane(world, this.#volume) : null;
  }

  site(node: string): SimSite {
    const site = this.sites.find((candidate) => candidate.node === node);
    if (!site) throw new Error(`No node ${node}`);
    return site;
  }

  homeOf(replica: ReplicaId): SimSite | undefined {
    return this.#homes.get(replica);
  }

  replicasAt(site: SimSite): ReplicaId[] {
    return [...this.#homes].filter(([, home]) => home === site).map(([replica]) => replica);
  }

  replicaDirectory(replica: ReplicaId): string {
    return `${this.directory}/replicas/${replica}`;
  }

  /** Makes the pools and the replicas of a new volume, and starts every machine. */
  async create(): Promise<void> {
    const nodes = this.#options.replicaNodes ?? SIM_NODES;
    this.wanted = nodes.map((node) => this.#nextReplica(node));
    await this.controlPlane?.create(nodes.length);
    const record = foundingRecord(
      this.wanted,
      this.controlPlane !== null && nodes.length % 2 === 0,
    );
    for (const site of this.sites) {
      const pool = await this.#openPool(site);
      const replica = this.wanted[nodes.indexOf(site.node)];
      if (replica !== undefined) {
        const identity = this.#identity(pool, replica);
        await pool.createReplica({ identity, sizeBytes: this.sizeBytes, record });
        this.#homes.set(replica, site);
      }
      await pool.close();
      await this.serve(site);
    }
  }

  /** Opens what a machine whose process just started holds, and answers for it. */
  async serve(site: SimSite): Promise<void> {
    const { host, running } = site;
    const pool = await this.#openPool(site);
    try {
      for (const replica of this.replicasAt(site)) await this.#openReplica(site, pool, replica);
    } catch (error) {
      for (const replica of running.values()) await replica.close().catch(() => undefined);
      running.clear();
      await pool.close();
      throw error;
    }
    site.pool = pool;
    const lookup = (id: string): Replica | undefined => running.get(id as ReplicaId);
    const server = new PeerServer({ net: host.net, clock: host.clock, log: host.log, lookup });
    await server.listen({ kind: 'tcp', host: '0.0.0.0', port: this.#port });
  }

  async #openReplica(site: SimSite, pool: StorePool, replica: ReplicaId): Promise<void> {
    const opened = await pool.openReplica(replica);
    const store = this.#parts.wrapStore?.(opened) ?? opened;
    site.running.set(replica, new Replica({ store, log: site.host.log }));
  }

  /** A new, empty replica on a running machine; wanted from then on. */
  async addReplica(site: SimSite): Promise<void> {
    const { pool } = site;
    if (pool === null) return;
    const replica = this.#nextReplica(site.node);
    const identity = this.#identity(pool, replica);
    await pool.createReplica({ identity, sizeBytes: this.sizeBytes, record: null });
    this.#homes.set(replica, site);
    await this.#openReplica(site, pool, replica);
    this.wanted.push(replica);
  }

  /** The nexus let go of it: its files go. */
  async deleteReplica(replica: ReplicaId): Promise<void> {
    const site = this.#homes.get(replica);
    this.#homes.delete(replica);
    const running = site?.running.get(replica);
    if (!site || !running) return;
    site.running.delete(replica);
    await running.close();
    await site.pool?.deleteReplica(replica);
  }

  crash(site: SimSite): void {
    this.#stopped(site);
    this.world.crashProcess(site.node);
  }

  losePower(site: SimSite): void {
    this.#stopped(site);
    site.lostCache = true;
    this.world.powerLoss(site.node);
  }

  #stopped(site: SimSite): void {
    site.running.clear();
    site.pool = null;
  }

  restart(site: SimSite): void {
    this.#stopped(site);
    site.host = this.world.restart(site.node);
    this.#serveUntilDone(site, site.host);
  }

  /** As the engine's supervisor does: a disk that refused once is tried again. */
  #serveUntilDone(site: SimSite, host: Host): void {
    this.serve(site).catch((error: unknown) => {
      host.log.warn('Replica did not start', { error });
      const again = (): void => {
        if (site.host === host && this.world.isRunning(site.node)) this.#serveUntilDone(site, host);
      };
      this.world.at(this.world.nowMs + RETRY_MS, again);
    });
  }

  createNexus(site: SimSite, nexusId: string): Nexus {
    const { host } = site;
    const { clock, rng, log } = host;
    const connector = new PeerConnector({
      net: host.net,
      clock,
      log,
      cluster: CLUSTER,
      volume: this.#volume,
      resolve: (replica) => this.#resolve(site, replica),
    });
    return new Nexus(
      {
        cluster: CLUSTER,
        volume: this.#volume,
        nexusId,
        sizeBytes: this.sizeBytes,
        segmentBytes: SIM_SEGMENT_BYTES,
        replicas: [...this.wanted],
        localReplica: this.wanted.find((replica) => this.#homes.get(replica) === site) ?? null,
        connector: this.#wrapConnector(connector),
        controlPlane: this.controlPlane?.voter(site.node, host) ?? null,
        policy: { ...DEFAULT_NEXUS_POLICY, ...(this.#options.policy ?? SHORT_POLICY) },
        ...{ clock, rng, log },
      },
      this.#parts.nexusClasses ?? {},
    );
  }

  /** The open store of a wanted replica; undefined when its machine does not serve it. */
  storeOf(replica: ReplicaId): ReplicaStore | undefined {
    return this.#homes.get(replica)?.running.get(replica)?.store;
  }

  #resolve(
    site: SimSite,
    replica: ReplicaId,
  ): ReturnType<ConstructorParameters<typeof PeerConnector>[0]['resolve']> {
    const home = this.#homes.get(replica);
    if (home === site) return site.running.get(replica);
    return home && { kind: 'tcp', host: home.node, port: this.#port };
  }

  #wrapConnector(connector: MemberConnector): MemberConnector {
    const { wrapMember } = this.#parts;
    if (!wrapMember) return connector;
    return {
      connect: async (replica, options) => wrapMember(await connector.connect(replica, options)),
    };
  }

  #nextReplica(node: string): ReplicaId {
    this.#replicas += 1;
    return parseId<ReplicaId>('replica', `r-${node}-${this.#replicas}`);
  }

  #identity(pool: StorePool, replica: ReplicaId): ReplicaIdentity {
    return {
      cluster: CLUSTER,
      volume: this.#volume,
      replica,
      pool: pool.id,
      shard: 0,
      segmentBytes: SIM_SEGMENT_BYTES,
      claim: 'default/sim',
    };
  }

  async #openPool(site: SimSite): Promise<StorePool> {
    const { disk, rng, clock, log } = site.host;
    await disk.makeDirectory(this.directory);
    await disk.syncDirectory('/');
    return openFilePool({
      ...{ disk, rng, clock, log },
      directory: this.directory,
      cluster: CLUSTER,
      pool: parseId('pool', `${site.node}-pool`),
    });
  }
}

function foundingRecord(replicas: readonly ReplicaId[], controlPlane: boolean): MembershipRecord {
  return {
    epoch: 0,
    seq: 0,
    members: replicas.map((replica) => ({ replica, incarnation: '' as Incarnation })),
    voters: controlPlane ? [...replicas, CONTROL_PLANE] : [...replicas],
    formerVoters: null,
    closed: true,
    loss: 0,
    floor: { epoch: 0, seq: 0 },
    held: [],
  };
}
