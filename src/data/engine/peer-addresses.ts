/** Finds where a replica's peer protocol answers now, by asking the engine that holds it. */
import { type EngineMethods, HoldfastError, type ReplicaId, type ReplicaPlace } from '#api/mod.ts';
import type { Address, Clock, Net } from '#host/mod.ts';
import { parseAddress, RpcClient } from '#rpc/mod.ts';

/** Each volume asks each engine, rarely: hundreds of them would hold hundreds of connections. */
const IDLE_MS = 2_000;

export class PeerAddresses {
  readonly #net: Net;
  readonly #clock: Clock;
  #places: readonly ReplicaPlace[];
  readonly #clients = new Map<string, RpcClient<EngineMethods>>();

  constructor(net: Net, clock: Clock, places: readonly ReplicaPlace[]) {
    this.#net = net;
    this.#clock = clock;
    this.#places = places;
  }

  setPlaces(places: readonly ReplicaPlace[]): void {
    this.#places = places;
  }

  /** `not-found` when the volume has no such replica, or it is not open there. */
  async resolve(replica: ReplicaId, timeoutMs: number): Promise<Address> {
    const place = this.#places.find((candidate) => candidate.replica === replica);
    if (!place) {
      throw new HoldfastError('not-found', 'Replica has no place', { details: { replica } });
    }
    const report = await this.#client(place.engine).call(
      'replica.describe',
      { replica },
      { timeoutMs },
    );
    if (report.address !== '') return parseAddress(report.address);
    throw new HoldfastError('replica-failed', 'Replica is not open on its node', {
      details: { replica, node: place.node, reason: report.error },
    });
  }

  close(): void {
    for (const client of this.#clients.values()) client.close();
    this.#clients.clear();
  }

  #client(address: string): RpcClient<EngineMethods> {
    const known = this.#clients.get(address);
    if (known) return known;
    const client = new RpcClient<EngineMethods>({
      net: this.#net,
      clock: this.#clock,
      address,
      idleMs: IDLE_MS,
    });
    this.#clients.set(address, client);
    return client;
  }
}
