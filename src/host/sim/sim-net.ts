import { HoldfastError } from '#api/mod.ts';
import type { Address, Conn, Listener, Net } from '../mod.ts';
import type { EventLoop } from './event-loop.ts';
import { SimConn } from './sim-conn.ts';
import { LINK_DEFAULTS, LOCAL_LINK, SimLink } from './sim-link.ts';
import type { LinkOptions } from './sim-link.ts';
import { SimPipe } from './sim-pipe.ts';
import type { SimProcess } from './sim-process.ts';
import { SimRng } from './sim-rng.ts';

interface SimListener {
  readonly process: SimProcess;
  readonly onConn: (conn: Conn) => void;
}

const OWN_HOSTS = new Set(['localhost', '127.0.0.1', '::1', '0.0.0.0', '::']);

/**
 * All machines' network, from outside. A TCP address names a node as its host (or localhost, for
 * the own one); unix sockets belong to one node. Faults act between nodes, never within one.
 */
export class SimNet {
  readonly #loop: EventLoop;
  readonly #seed: number;
  readonly #rng: SimRng;
  readonly #powered: (node: string) => boolean;
  readonly #links = new Map<string, SimLink>();
  readonly #listeners = new Map<string, SimListener>();
  #conns: (readonly [SimConn, SimConn])[] = [];
  #defaults: LinkOptions = LINK_DEFAULTS;
  #ids = 1;
  #ports = 40_000;

  constructor(loop: EventLoop, seed: number, powered: (node: string) => boolean) {
    this.#loop = loop;
    this.#seed = seed;
    this.#rng = new SimRng(seed, 'net');
    this.#powered = powered;
  }

  /** The direction from one node to another; what is changed on it holds for it alone. */
  link(from: string, to: string): SimLink {
    const key = `${from}>${to}`;
    let link = this.#links.get(key);
    if (link === undefined) {
      const options = from === to ? LOCAL_LINK : this.#defaults;
      link = new SimLink(options, new SimRng(this.#seed, `link ${key}`));
      this.#links.set(key, link);
    }
    return link;
  }

  /** All links between nodes, those of later too. */
  changeLinks(options: Partial<LinkOptions>): void {
    this.#defaults = { ...this.#defaults, ...options };
    for (const [key, link] of this.#links) {
      const [from, to] = key.split('>');
      if (from !== to) link.change(options);
    }
  }

  partition(one: string, other: string): void {
    this.link(one, other).block();
    this.link(other, one).block();
  }

  /** What `from` sends to `to` does not arrive; the other way works. */
  partitionOneWay(from: string, to: string): void {
    this.link(from, to).block();
  }

  isolate(node: string, others: readonly string[]): void {
    for (const other of others) if (other !== node) this.partition(node, other);
  }

  /** Ends all partitions. What waited arrives late, or its connection is reset. */
  heal(): void {
    for (const link of this.#links.values()) link.heal();
  }

  clog(from: string, to: string, ms: number): void {
    this.link(from, to).clogUntil(this.#loop.nowMs + ms);
  }

  /** Resets every connection between two nodes. */
  reset(one: string, other: string): void {
    for (const [end] of this.#between(one, other)) end.reset();
  }

  /** Leaves every connection between two nodes open and dead: half-open on both sides. */
  halfOpen(one: string, other: string): void {
    for (const [a, b] of this.#between(one, other)) {
      a.silence();
      b.silence();
    }
  }

  attach(process: SimProcess): Net {
    return {
      listen: (address, onConn) => this.#listen(process, address, onConn),
      connect: (address, { timeoutMs }) => this.#connect(process, address, timeoutMs),
    };
  }

  #between(one: string, other: string): (readonly [SimConn, SimConn])[] {
    this.#conns = this.#conns.filter(([a, b]) => !a.closed || !b.closed);
    return this.#conns.filter(([a, b]) => {
      const nodes = [a.process.node, b.process.node];
      return (
        nodes.includes(one) && nodes.includes(other) && (one === other) === (nodes[0] === nodes[1])
      );
    });
  }

  #listen(process: SimProcess, address: Address, onConn: (conn: Conn) => void): Promise<Listener> {
    const { promise, resolve, reject } = Promise.withResolvers<Listener>();
    this.#loop.schedule(process, 'net listen', 0, 0, () => {
      const bound =
        address.kind === 'tcp' && address.port === 0
          ? { ...address, port: this.#ports++ }
          : address;
      const key = listenerKey(process.node, bound);
      if (this.#listeners.has(key)) {
        reject(new HoldfastError('address-in-use', 'The address is taken', { details: { key } }));
        return;
      }
      const listener: SimListener = { process, onConn };
      this.#listeners.set(key, listener);
      const forget = (): void => {
        if (this.#listeners.get(key) === listener) this.#listeners.delete(key);
      };
      process.onDeath(forget);
      const close = (): Promise<void> => {
        forget();
        return Promise.resolve();
      };
      resolve({ address: bound, close });
    });
    return promise;
  }

  #connect(process: SimProcess, address: Address, timeoutMs: number): Promise<Conn> {
    const { promise, resolve, reject } = Promise.withResolvers<Conn>();
    const target = targetNode(process.node, address);
    const key = listenerKey(target, address);
    const there = this.link(process.node, target);
    const back = this.link(target, process.node);
    let waiting = true;
    this.#loop.schedule(process, 'net timeout', 0, timeoutMs, () => {
      if (!waiting) return;
      waiting = false;
      reject(new HoldfastError('timed-out', 'Nobody answered in time', { details: { key } }));
    });
    const answer = (run: () => void): void => {
      this.#loop.schedule(process, 'net answer', 0, back.delayMs(this.#loop.nowMs), () => {
        if (!back.blocked) run();
      });
    };
    this.#loop.schedule(null, 'net connect', 0, there.delayMs(this.#loop.nowMs), () => {
      if (there.blocked || !this.#powered(target)) return;
      const listener = this.#listeners.get(key);
      if (listener === undefined) {
        answer(() => {
          if (!waiting) return;
          waiting = false;
          reject(new HoldfastError('refused', 'Nothing listens there', { details: { key } }));
        });
        return;
      }
      const client = this.#join(process, listener.process, address);
      const { loop } = listener.process;
      loop.schedule(listener.process, 'net accept', 0, 0, () => listener.onConn(client.server));
      answer(() => {
        if (waiting) resolve(client.conn);
        else client.conn.close();
        waiting = false;
      });
    });
    return promise;
  }

  #join(
    clientProcess: SimProcess,
    serverProcess: SimProcess,
    address: Address,
  ): { conn: SimConn; server: SimConn } {
    const from = clientProcess.node;
    const to = serverProcess.node;
    const id = this.#ids++;
    const name = address.kind === 'unix' ? `unix:${address.path}` : `tcp:${to}:${address.port}`;
    const powered = (node: string) => () => this.#powered(node);
    const conn = new SimConn(clientProcess, name, this.#rng, powered(from));
    const server = new SimConn(
      serverProcess,
      `${address.kind}:${from}#${id}`,
      this.#rng,
      powered(to),
    );
    const pipe = (link: SimLink, target: SimConn): SimPipe =>
      new SimPipe(this.#loop, link, this.#rng, id, (parcel) => target.arrive(parcel));
    conn.join(server, pipe(this.link(from, to), server));
    server.join(conn, pipe(this.link(to, from), conn));
    if (from !== to) this.#conns.push([conn, server]);
    return { conn, server };
  }
}

function targetNode(own: string, address: Address): string {
  return address.kind === 'unix' || OWN_HOSTS.has(address.host) ? own : address.host;
}

function listenerKey(node: string, address: Address): string {
  return address.kind === 'unix' ? `${node} unix ${address.path}` : `${node} tcp ${address.port}`;
}
