/**
 * Several replicas in memory with a MemberConnector over them, for tests of the nexus:
 *
 *     const cluster = new MemoryCluster({ replicas: ['r-1', 'r-2', 'r-3'], sizeBytes: 8 * MiB });
 *     const member = await cluster.connect(cluster.ids[0], { timeoutMs: 1000 });
 *     cluster.crash('r-2'); cluster.start('r-2'); cluster.cut('r-3'); cluster.heal('r-3');
 *
 * `wrap` puts a Member of the test's own around each session: to delay, to lose, to count.
 */
import { HoldfastError, type MembershipRecord, parseId, type ReplicaId } from '#api/mod.ts';
import type { Member, MemberConnector } from '#data/member/mod.ts';
import type { LocalMember } from './local-member.ts';
import {
  MemoryReplicaDisk,
  type MemoryStore,
  type MemoryStoreOptions,
} from './memory-store.testkit.ts';
import { Replica } from './replica.ts';

export interface MemoryClusterOptions {
  readonly replicas: readonly string[];
  readonly sizeBytes: number;
  readonly segmentBytes?: number;
  readonly record?: MembershipRecord | null;
  readonly store?: MemoryStoreOptions;
  readonly wrap?: (member: LocalMember) => Member;
}

interface Site {
  readonly disk: MemoryReplicaDisk;
  replica: Replica | null;
  cut: boolean;
  readonly sessions: Set<LocalMember>;
}

export class MemoryCluster implements MemberConnector {
  readonly ids: readonly ReplicaId[];
  readonly #sites = new Map<string, Site>();
  readonly #options: MemoryClusterOptions;

  /** All replicas are started. */
  constructor(options: MemoryClusterOptions) {
    this.#options = options;
    this.ids = options.replicas.map((name) => parseId<ReplicaId>('replica', name));
    for (const replica of options.replicas) {
      const disk = new MemoryReplicaDisk({
        replica,
        sizeBytes: options.sizeBytes,
        record: options.record ?? null,
        ...(options.segmentBytes === undefined ? {} : { segmentBytes: options.segmentBytes }),
      });
      this.#sites.set(replica, { disk, replica: null, cut: false, sessions: new Set() });
      this.start(replica);
    }
  }

  #site(replica: string): Site {
    const site = this.#sites.get(replica);
    if (site === undefined) throw new HoldfastError('not-found', 'No such replica');
    return site;
  }

  disk(replica: string): MemoryReplicaDisk {
    return this.#site(replica).disk;
  }

  /** The open store; throws when the process is down. */
  store(replica: string): MemoryStore {
    const { store } = this.#site(replica).disk;
    if (store === null || store.gone) throw new HoldfastError('not-found', 'Replica is down');
    return store;
  }

  replica(replica: string): Replica | null {
    return this.#site(replica).replica;
  }

  start(replica: string): void {
    const site = this.#site(replica);
    site.replica ??= new Replica({ store: site.disk.open(this.#options.store) });
  }

  /** kill -9 of the replica's process: sessions are lost, accepted writes stay. */
  crash(replica: string): void {
    this.#down(replica);
    this.#site(replica).disk.processCrash();
  }

  powerLoss(replica: string, chance: { below(bound: number): number }): void {
    this.#down(replica);
    this.#site(replica).disk.powerLoss(chance);
  }

  #down(replica: string): void {
    const site = this.#site(replica);
    // First the store, or its last answers would still come.
    site.disk.store?.vanish();
    site.replica?.fail(disconnected());
    site.replica = null;
  }

  /** Loses every session and refuses new ones: a partition that is noticed at once. */
  cut(replica: string): void {
    const site = this.#site(replica);
    site.cut = true;
    for (const session of site.sessions) session.endBy(disconnected());
    site.sessions.clear();
  }

  heal(replica: string): void {
    this.#site(replica).cut = false;
  }

  connect(replica: ReplicaId, _options: { readonly timeoutMs: number }): Promise<Member> {
    const site = this.#site(replica);
    if (site.replica === null || site.cut) {
      return Promise.reject(new HoldfastError('refused', 'Replica is not reachable'));
    }
    try {
      const session = site.replica.openSession();
      site.sessions.add(session);
      return Promise.resolve(this.#options.wrap?.(session) ?? session);
    } catch (error) {
      return Promise.reject(error as Error);
    }
  }
}

function disconnected(): HoldfastError {
  return new HoldfastError('disconnected', 'Replica went away', { effect: 'unknown' });
}
