/**
 * PeerConnector: opens sessions for one volume's nexus. It asks `resolve` where a replica is, now:
 * in this process, or behind an address. An address is never an identity: whoever answers there has
 * to be (cluster, volume, replica), or the connection ends.
 */
import {
  type ClusterId,
  HoldfastError,
  type ReplicaId,
  type ReplicaIdentity,
  type VolumeId,
} from '#api/mod.ts';
import type { Member, MemberConnector } from '#data/member/mod.ts';
import type { Address, Clock, Log, Net, Rng } from '#host/mod.ts';
import { DEFAULT_PEER_LIMITS, type PeerLimits } from './peer-limits.ts';
import { RemoteMember } from './remote-member.ts';
import { Replica } from './replica.ts';

/** Undefined: nobody knows such a replica, `not-found`. */
type Place = Address | Replica | undefined;

export interface PeerConnectorOptions {
  readonly net: Net;
  readonly clock: Clock;
  readonly log: Log;
  /** Not used yet: the nonces of a later authentication scheme. */
  readonly rng?: Rng;
  readonly cluster: ClusterId;
  readonly volume: VolumeId;
  readonly resolve: (replica: ReplicaId, timeoutMs: number) => Place | Promise<Place>;
  /** For the replica's logs: node and nexus. */
  readonly client?: string;
  readonly limits?: Partial<PeerLimits>;
}

export class PeerConnector implements MemberConnector {
  readonly #options: PeerConnectorOptions;
  readonly #limits: PeerLimits;

  constructor(options: PeerConnectorOptions) {
    this.#options = options;
    this.#limits = { ...DEFAULT_PEER_LIMITS, ...options.limits };
  }

  async connect(replica: ReplicaId, options: { readonly timeoutMs: number }): Promise<Member> {
    const { clock, log, net, cluster, volume, client = '', resolve } = this.#options;
    const endMs = clock.monotonicMs() + options.timeoutMs;
    const leftMs = (): number => Math.max(1, endMs - clock.monotonicMs());
    const place = await resolve(replica, options.timeoutMs);
    if (place === undefined) {
      throw new HoldfastError('not-found', 'Replica has no place', { details: { replica } });
    }
    if (place instanceof Replica) {
      this.#demandIdentity(replica, place.state().identity);
      return place.openSession();
    }
    const conn = await net.connect(place, { timeoutMs: leftMs() });
    return RemoteMember.open(
      { conn, clock, log, limits: this.#limits, cluster, volume, replica, client },
      leftMs(),
    );
  }

  #demandIdentity(replica: ReplicaId, identity: ReplicaIdentity): void {
    const { cluster, volume } = this.#options;
    if (
      identity.replica !== replica ||
      identity.volume !== volume ||
      identity.cluster !== cluster
    ) {
      throw new HoldfastError('wrong-identity', 'Replica belongs to another volume or cluster', {
        details: { replica, volume, cluster },
      });
    }
  }
}
