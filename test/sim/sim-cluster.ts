/**
 * Three simulated machines with the production store, replica, peer protocol and nexus. Each
 * machine has one pool with one replica; one of them also runs the nexus.
 */
import {
  type ClusterId,
  type Incarnation,
  type MembershipRecord,
  parseId,
  type ReplicaId,
  type VolumeId,
} from '#api/mod.ts';
import { DEFAULT_NEXUS_POLICY, Nexus, type NexusClasses } from '#data/nexus/mod.ts';
import { PeerConnector, PeerServer, Replica } from '#data/replica/mod.ts';
import { openFilePool, type ReplicaStore } from '#data/store/mod.ts';
import type { Host } from '#host/mod.ts';
import type { SimWorld } from '#host/sim/mod.ts';
import type { Member, MemberConnector } from '#data/member/mod.ts';

export const SIM_VOLUME_BYTES = 2 * 1024 * 1024;
export const SIM_SEGMENT_BYTES = 64 * 1024;

const PEER_PORT = 7_000;
const RETRY_MS = 500;
const POOL_DIRECTORY = '/pool';
const CLUSTER = parseId<ClusterId>('cluster', 'sim');
const VOLUME = parseId<VolumeId>('volume', 'vol-sim');

/** Timeouts that are short in simulated time, so that a seed sees many of them. */
const POLICY = {
  ...DEFAULT_NEXUS_POLICY,
  memberDeadlineMs: 1_000,
  readLeaseMs: 1_000,
  generationMs: 500,
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

export interface SimSite {
  readonly node: string;
  readonly replica: ReplicaId;
  host: Host;
  running: Replica | null;
  /** True once its kernel may have dropped accepted writes: no power, or a sync that failed. */
  lostCache: boolean;
}

export class SimCluster {
  readonly world: SimWorld;
  readonly sites: readonly SimSite[];
  readonly #parts: PlantedParts;

  constructor(world: SimWorld, parts: PlantedParts) {
    this.world = world;
    this.#parts = parts;
    this.sites = ['a', 'b', 'c'].map((node) => ({
      node,
      replica: parseId<ReplicaId>('replica', `r-${node}`),
      host: world.addNode(node),
      running: null,
      lostCache: false,
    }));
  }

  site(node: string): SimSite {
    const site = this.sites.find((candidate) => candidate.node === node);
    if (!site) throw new Error(`No node ${node}`);
    return site;
  }

  /** Makes the pools and the replicas of a new volume, and starts all three. */
  async create(): Promise<void> {
    for (const site of this.sites) {
      const pool = await this.#openPool(site);
      await pool.createReplica({
        identity: {
          cluster: CLUSTER,
          volume: VOLUME,
          replica: site.replica,
          pool: pool.id,
          shard: 0,
          segmentBytes: SIM_SEGMENT_BYTES,
          claim: 'default/sim',
        },
        sizeBytes: SIM_VOLUME_BYTES,
        record: foundingRecord(this.sites.map(({ replica }) => replica)),
      });
      await pool.close();
      await this.serve(site);
    }
  }

  /** Opens the replica of a machine whose process just started, and answers for it. */
  async serve(site: SimSite): Promise<void> {
    const { host } = site;
    const pool = await this.#openPool(site);
    const opened = await pool.openReplica(site.replica).catch(async (error: unknown) => {
      await pool.close();
      throw error;
    });
    const store = this.#parts.wrapStore?.(opened) ?? opened;
    const replica = new Replica({ store, log: host.log });
    site.running = replica;
    const lookup = (id: string): Replica | undefined => (id === site.replica ? replica : undefined);
    const server = new PeerServer({ net: host.net, clock: host.clock, log: host.log, lookup });
    await server.listen({ kind: 'tcp', host: '0.0.0.0', port: PEER_PORT });
  }

  crash(site: SimSite): void {
    site.running = null;
    this.world.crashProcess(site.node);
  }

  losePower(site: SimSite): void {
    site.running = null;
    site.lostCache = true;
    this.world.powerLoss(site.node);
  }

  restart(site: SimSite): void {
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
    const connector = new PeerConnector({
      net: host.net,
      clock: host.clock,
      log: host.log,
      cluster: CLUSTER,
      volume: VOLUME,
      resolve: (replica) => this.#resolve(site, replica),
    });
    return new Nexus(
      {
        cluster: CLUSTER,
        volume: VOLUME,
        nexusId,
        sizeBytes: SIM_VOLUME_BYTES,
        segmentBytes: SIM_SEGMENT_BYTES,
        replicas: this.sites.map(({ replica }) => replica),
        localReplica: site.replica,
        connector: this.#wrapConnector(connector),
        controlPlane: null,
        policy: POLICY,
        clock: host.clock,
        rng: host.rng,
        log: host.log,
      },
      this.#parts.nexusClasses ?? {},
    );
  }

  /** Every replica's contents, as the store itself verifies them: nodes whose contents differ. */
  async differences(): Promise<string[]> {
    const views: { node: string; view: string }[] = [];
    for (const { node, running } of this.sites) {
      if (!running) return [`${node} is not running`];
      let view = '';
      for (let segment = 0; segment * SIM_SEGMENT_BYTES < SIM_VOLUME_BYTES; segment += 1) {
        const { kinds, contentCrcs, verified } = await running.store.inspect(null, segment);
        view += `${kinds.join('')}:${contentCrcs.join(',')}:${verified.includes(0) ? 'unverified' : ''};`;
      }
      views.push({ node, view });
    }
    const [first] = views;
    return views
      .filter(({ view }) => view !== first?.view)
      .map(
        ({ node, view }) =>
          `${node} differs from ${first?.node}: ${difference(first?.view ?? '', view)}`,
      );
  }

  #resolve(
    site: SimSite,
    replica: ReplicaId,
  ): ReturnType<ConstructorParameters<typeof PeerConnector>[0]['resolve']> {
    if (replica === site.replica) return site.running ?? undefined;
    const other = this.sites.find((candidate) => candidate.replica === replica);
    return other && { kind: 'tcp', host: other.node, port: PEER_PORT };
  }

  #wrapConnector(connector: MemberConnector): MemberConnector {
    const { wrapMember } = this.#parts;
    if (!wrapMember) return connector;
    return {
      connect: async (replica, options) => wrapMember(await connector.connect(replica, options)),
    };
  }

  #openPool(site: SimSite): ReturnType<typeof openFilePool> {
    const { disk, rng, clock, log } = site.host;
    return openSimPool({ disk, rng, clock, log }, site.node);
  }
}

/** Segments that differ, with what each side says. */
function difference(a: string, b: string): string {
  const [left, right] = [a.split(';'), b.split(';')];
  const segments = left.flatMap((text, index) =>
    text === right[index] ? [] : [`segment ${index}: ${text} | ${right[index]}`],
  );
  return segments.slice(0, 3).join(', ');
}

async function openSimPool(
  host: Pick<Host, 'disk' | 'rng' | 'clock' | 'log'>,
  node: string,
): ReturnType<typeof openFilePool> {
  await host.disk.makeDirectory(POOL_DIRECTORY);
  await host.disk.syncDirectory('/');
  return openFilePool({
    ...host,
    directory: POOL_DIRECTORY,
    cluster: CLUSTER,
    pool: parseId('pool', `${node}-pool`),
  });
}

function foundingRecord(replicas: readonly ReplicaId[]): MembershipRecord {
  return {
    epoch: 0,
    seq: 0,
    members: replicas.map((replica) => ({ replica, incarnation: '' as Incarnation })),
    voters: [...replicas],
    formerVoters: null,
    closed: true,
    loss: 0,
    floor: { epoch: 0, seq: 0 },
    held: [],
  };
}
