/**
 * PeerServer: serves the replicas of this process to nexuses of other processes.
 *
 *     const server = new PeerServer({ net, clock, log, lookup: (id) => replicas.get(id) });
 *     const address = await server.listen({ kind: 'unix', path: '/run/holdfast/peer.sock' });
 *
 * A connection is nobody until its hello was good (W8); strangers and connections are counted and
 * bounded, so that a flood costs the flooder.
 */
import type { ReplicaId } from '#api/mod.ts';
import type { Address, Clock, Conn, Listener, Log, Net, Rng } from '#host/mod.ts';
import { BufferShelf } from './buffer-shelf.ts';
import { DEFAULT_PEER_LIMITS, type PeerLimits, untilTickMs } from './peer-limits.ts';
import { PeerSession } from './peer-session.ts';
import type { Replica } from './replica.ts';

/** Buffers kept for the next requests, all connections together. */
const SHELF_BYTES = 16 * 1024 * 1024;

export interface PeerServerOptions {
  readonly net: Net;
  readonly clock: Clock;
  readonly log: Log;
  /** Not used yet: the nonces of a later authentication scheme. */
  readonly rng?: Rng;
  readonly lookup: (replica: ReplicaId) => Replica | undefined;
  readonly limits?: Partial<PeerLimits>;
}

export class PeerServer {
  readonly #options: PeerServerOptions;
  readonly #limits: PeerLimits;
  readonly #shelf = new BufferShelf(SHELF_BYTES);
  readonly #sessions = new Set<PeerSession>();
  readonly #listeners: Listener[] = [];
  #strangers = 0;
  #ticking = false;
  #closed = false;

  constructor(options: PeerServerOptions) {
    this.#options = options;
    this.#limits = { ...DEFAULT_PEER_LIMITS, ...options.limits };
  }

  get connectionCount(): number {
    return this.#sessions.size;
  }

  /**
   * The address, with the port that was chosen when 0 was asked for. May be called for several.
   * `address-in-use`, `permission-denied`.
   */
  async listen(address: Address): Promise<Address> {
    const listener = await this.#options.net.listen(address, (conn) => this.#accept(conn));
    this.#listeners.push(listener);
    return listener.address;
  }

  #accept(conn: Conn): void {
    const { connectionsMax, strangersMax } = this.#limits;
    const crowded = this.#sessions.size >= connectionsMax || this.#strangers >= strangersMax;
    if (this.#closed || crowded) {
      if (crowded) this.#options.log.warn('Too many peer connections', { peer: conn.peer });
      conn.close();
      return;
    }
    const { clock, log, lookup } = this.#options;
    let stranger = true;
    this.#strangers += 1;
    const known = (): void => {
      if (stranger) this.#strangers -= 1;
      stranger = false;
    };
    const session = new PeerSession({
      conn,
      clock,
      log,
      lookup,
      limits: this.#limits,
      shelf: this.#shelf,
      onOpen: known,
      onClosed: () => {
        known();
        this.#sessions.delete(session);
      },
    });
    this.#sessions.add(session);
    this.#tickLater();
    session.start();
  }

  /** One timer for all connections, none when there is none. */
  #tickLater(): void {
    if (this.#ticking || this.#sessions.size === 0) return;
    this.#ticking = true;
    const { clock } = this.#options;
    clock.after(untilTickMs(clock.monotonicMs(), this.#limits.serverTickMs), () => {
      this.#ticking = false;
      for (const session of [...this.#sessions]) session.tick();
      this.#tickLater();
    });
  }

  /** Ends every session; the replicas stay open. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all(this.#listeners.map((listener) => listener.close()));
    for (const session of [...this.#sessions]) session.close();
  }
}
