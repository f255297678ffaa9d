/**
 * What tests of the nexus are built of: replicas in memory behind it, a clock that the test winds
 * or the seeded world's, and a client that knows what it may read.
 */
import {
  type ClusterId,
  type MembershipRecord,
  parseId,
  type ReplicaId,
  type VoterId,
  CONTROL_PLANE,
  type VolumeId,
  type VoterState,
  comparePositions,
  HoldfastError,
} from '#api/mod.ts';
import type { Member, MemberConnector, Voter } from '#data/member/mod.ts';
import type { LocalMember } from '#data/replica/mod.ts';
import { MemoryCluster, type MemoryClusterOptions } from '#data/replica/memory-cluster.testkit.ts';
import type { Host } from '#host/mod.ts';
import { SimWorld } from '#host/sim/mod.ts';
import { DEFAULT_NEXUS_POLICY, type NexusOptions, type NexusPolicy } from './mod.ts';
import { Nexus } from './nexus.ts';
import type { NexusClasses } from './nexus-classes.ts';

export const KIB = 1024;
export const MIB = 1024 * KIB;

/** The record of a volume that was never opened (docs/design/0007-nexus.md, "A new volume"). */
export function initialRecord(names: readonly string[], controlPlane = false): MembershipRecord {
  const replicas = names.map((name) => parseId<ReplicaId>('replica', name));
  const voters: VoterId[] = controlPlane ? [...replicas, CONTROL_PLANE] : replicas;
  return {
    epoch: 0,
    seq: 0,
    members: replicas.map((replica) => ({ replica, incarnation: '' as never })),
    voters,
    formerVoters: null,
    closed: true,
    loss: 0,
    floor: { epoch: 0, seq: 0 },
    held: [],
  };
}

/** The control plane's vote, in memory. */
export class MemoryVoter implements Voter {
  readonly voter = CONTROL_PLANE;
  promised = 0;
  promisedTo = '';
  record: MembershipRecord | null = null;
  /** Answers nothing but `disconnected`. */
  down = false;
  calls = 0;

  #check(): void {
    this.calls++;
    if (this.down) throw new HoldfastError('disconnected', 'API server is down');
  }

  #answer(granted: boolean): VoterState {
    return { granted, promised: this.promised, record: this.record };
  }

  // oxlint-disable-next-line typescript/require-await -- the contract is a promise
  async promise(epoch: number, nexus: string): Promise<VoterState> {
    this.#check();
    if (epoch < this.promised) return this.#answer(false);
    if (epoch === this.promised && nexus !== this.promisedTo) return this.#answer(false);
    this.promised = epoch;
    this.promisedTo = nexus;
    return this.#answer(true);
  }

  // oxlint-disable-next-line typescript/require-await -- the contract is a promise
  async commit(record: MembershipRecord): Promise<VoterState> {
    this.#check();
    if (record.epoch !== this.promised) return this.#answer(false);
    if (this.record !== null && comparePositions(record, this.record) < 0) {
      return this.#answer(false);
    }
    this.record = record;
    return this.#answer(true);
  }

  // oxlint-disable-next-line typescript/require-await -- the contract is a promise
  async confirm(epoch: number): Promise<boolean> {
    this.#check();
    return epoch === this.promised;
  }
}

/** What one nexus can reach: another one may reach others. */
export class Link implements MemberConnector {
  readonly #cluster: MemoryCluster;
  readonly #away = new Set<string>();
  readonly #sessions = new Map<Member, string>();

  constructor(cluster: MemoryCluster) {
    this.#cluster = cluster;
  }

  cut(...names: string[]): void {
    for (const name of names) {
      this.#away.add(name);
      for (const [session, replica] of this.#sessions) {
        if (replica !== name) continue;
        this.#sessions.delete(session);
        const error = new HoldfastError('disconnected', 'Link is cut', { effect: 'unknown' });
        (session as LocalMember).endBy(error);
      }
    }
  }

  heal(...names: string[]): void {
    for (const name of names) this.#away.delete(name);
  }

  async connect(replica: ReplicaId, options: { readonly timeoutMs: number }): Promise<Member> {
    if (this.#away.has(replica)) throw new HoldfastError('refused', 'Link is cut');
    const session = await this.#cluster.connect(replica, options);
    this.#sessions.set(session, replica);
    return session;
  }
}

export interface RigOptions extends Partial<Omit<MemoryClusterOptions, 'replicas'>> {
  readonly replicas?: readonly string[];
  readonly controlPlane?: Voter | null;
  readonly policy?: Partial<NexusPolicy>;
  readonly classes?: Partial<NexusClasses>;
  readonly seed?: number;
  /** How long a member's request takes; 1 ms when not given. */
  readonly latencyMs?: number;
}

/** A volume in a seeded world: replicas, and nexuses opened on it one after another. */
export class Rig {
  readonly world: SimWorld;
  readonly host: Host;
  readonly cluster: MemoryCluster;
  readonly controlPlane: Voter | null;
  readonly names: readonly string[];
  readonly #options: RigOptions;
  #opened = 0;

  constructor(options: RigOptions = {}) {
    this.#options = options;
    this.names = options.replicas ?? ['r-1', 'r-2', 'r-3'];
    this.world = new SimWorld(options.seed ?? 1);
    this.host = this.world.addNode('n-1');
    this.controlPlane = options.controlPlane ?? null;
    const latencyMs = options.latencyMs ?? 1;
    this.cluster = new MemoryCluster({
      sizeBytes: 8 * MIB,
      segmentBytes: 64 * KIB,
      record: initialRecord(this.names, this.controlPlane !== null && this.names.length % 2 === 0),
      store: { clock: this.host.clock, latencyMs: () => latencyMs },
      ...options,
      replicas: this.names,
    });
  }

  nexus(
    overrides: Partial<NexusOptions> = {},
    classes: Partial<NexusClasses> = this.#options.classes ?? {},
  ): Nexus {
    const first = this.cluster.disk(this.names[0] as string);
    this.#opened++;
    return new Nexus(
      {
        cluster: first.identity.cluster satisfies ClusterId,
        volume: first.identity.volume satisfies VolumeId,
        nexusId: `nexus-${this.#opened}`,
        sizeBytes: this.#options.sizeBytes ?? 8 * MIB,
        segmentBytes: first.identity.segmentBytes,
        replicas: this.cluster.ids.slice(0, this.names.length),
        localReplica: this.cluster.ids[0] ?? null,
        connector: this.cluster satisfies MemberConnector,
        controlPlane: this.controlPlane,
        policy: { ...DEFAULT_NEXUS_POLICY, ...this.#options.policy },
        clock: this.host.clock,
        rng: this.host.rng,
        log: this.host.log,
        ...overrides,
      },
      classes,
    );
  }

  /** Runs the world until the scenario is over. */
  run<T>(scenario: () => Promise<T>): Promise<T> {
    return this.world.finish(scenario());
  }

  sleep(ms: number): Promise<void> {
    return this.host.clock.sleep(ms);
  }

  /** Waits until something holds; fails with what it was waiting for. */
  async until(what: string, holds: () => boolean, limitMs = 60_000): Promise<void> {
    const endMs = this.host.clock.monotonicMs() + limitMs;
    while (!holds()) {
      if (this.host.clock.monotonicMs() > endMs) throw new Error(`Never happened: ${what}`);
      await this.sleep(5);
    }
  }
}

/** A block full of one byte. */
export function filled(byte: number, lengthBytes = 4096): Uint8Array {
  return new Uint8Array(lengthBytes).fill(byte);
}

/** The phase of each member, in order. */
export function phases(nexus: Nexus): string {
  return nexus
    .status()
    .members.map((member) => member.phase)
    .join(' ');
}

/** How many members the committed record has. */
export function members(nexus: Nexus): number {
  return nexus.status().record?.members.length ?? 0;
}
