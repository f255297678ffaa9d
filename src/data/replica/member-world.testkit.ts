/** Worlds for the conformance suite of data/member: one replica in memory, and ways to reach it. */
import {
  type ClusterId,
  HoldfastError,
  parseId,
  type PoolId,
  type ReplicaId,
  type VolumeId,
} from '#api/mod.ts';
import { openFilePool, type ReplicaStore, type StorePool } from '#data/store/mod.ts';
import type { Member } from '#data/member/mod.ts';
import type { MemberWorld } from '#data/member/member.testkit.ts';
import type { Address, Conn, Host, Net } from '#host/mod.ts';
import { SimWorld } from '#host/sim/mod.ts';
import { MemoryReplicaDisk, type MemoryStore } from './memory-store.testkit.ts';
import { PeerConnector } from './peer-connector.ts';
import { PeerServer } from './peer-server.ts';
import { Replica, type ReplicaOptions } from './replica.ts';

export const SIZE_BYTES = 16 * 1024 * 1024;
export const CLUSTER = parseId<ClusterId>('cluster', 'cluster-1');
const POOL = parseId<PoolId>('pool', 'pool-1');
export const VOLUME = parseId<VolumeId>('volume', 'volume-1');

/** One memory replica of 16 MiB with segments of 64 KiB that can be restarted. */
export class ReplicaSite {
  readonly disk = new MemoryReplicaDisk({
    replica: 'replica-1',
    sizeBytes: SIZE_BYTES,
    segmentBytes: 64 * 1024,
  });
  readonly #create: (options: ReplicaOptions) => Replica;
  readonly #image = this.disk.image();
  store: MemoryStore;
  replica: Replica;
  #waiters: { readonly count: number; readonly resolve: () => void }[] = [];

  constructor(create: (options: ReplicaOptions) => Replica = (options) => new Replica(options)) {
    this.#create = create;
    this.store = this.disk.open();
    this.replica = this.#start();
  }

  #start(): Replica {
    const { store } = this;
    const submit = store.submit.bind(store);
    store.submit = (request) => {
      submit(request);
      const ready = this.#waiters.filter((waiter) => store.heldCount() >= waiter.count);
      this.#waiters = this.#waiters.filter((waiter) => !ready.includes(waiter));
      for (const waiter of ready) waiter.resolve();
    };
    return this.#create({ store });
  }

  held(count: number): Promise<void> {
    if (this.store.heldCount() >= count) return Promise.resolve();
    return new Promise((resolve) => this.#waiters.push({ count, resolve }));
  }

  #gone(): void {
    this.store.vanish();
    this.replica.fail(
      new HoldfastError('disconnected', 'Replica went away', { effect: 'unknown' }),
    );
  }

  crash(): void {
    this.#gone();
    this.disk.processCrash();
    this.store = this.disk.open();
    this.replica = this.#start();
  }

  rollBack(): void {
    this.#gone();
    this.disk.restore(this.#image);
    this.store = this.disk.open();
    this.replica = this.#start();
  }
}

export interface WorldOptions {
  readonly create?: (options: ReplicaOptions) => Replica;
  /** A broken member around each one: for negative controls. */
  readonly wrap?: (member: Member, site: ReplicaSite) => Member;
}

/** What every world over a ReplicaSite has. */
function siteControls(site: ReplicaSite): Omit<MemberWorld, 'connect' | 'run' | 'cut' | 'close'> {
  return {
    hold: () => site.store.hold(),
    release: () => site.store.release(),
    held: (count) => site.held(count),
    failFlush: () => site.store.failNext('flush', 'io-error'),
    corrupt: (offsetBytes) => site.disk.corrupt(offsetBytes),
    rollBack: () => Promise.resolve(site.rollBack()),
    crash: () => Promise.resolve(site.crash()),
  };
}

export async function openLocalWorld(options: WorldOptions = {}): Promise<MemberWorld> {
  const site = new ReplicaSite(options.create);
  const connect = async (): Promise<Member> => {
    const member = site.replica.openSession();
    return options.wrap?.(member, site) ?? member;
  };
  return {
    ...siteControls(site),
    connect,
    run: (body) => body,
    cut: null,
    close: async () => {},
  };
}

/** A Net that knows its connections, to break them. */
export class CuttableNet implements Net {
  readonly #net: Net;
  readonly #conns = new Set<Conn>();

  constructor(net: Net) {
    this.#net = net;
  }

  async listen(address: Address, onConn: (conn: Conn) => void): ReturnType<Net['listen']> {
    return this.#net.listen(address, (conn) => {
      this.#conns.add(conn);
      onConn(conn);
    });
  }

  async connect(address: Address, options: { readonly timeoutMs: number }): Promise<Conn> {
    return this.#net.connect(address, options);
  }

  /** The server's ends go away: the clients see their connections end. */
  cut(): void {
    for (const conn of this.#conns) conn.close();
    this.#conns.clear();
  }
}

export interface RemoteParts {
  readonly site: ReplicaSite;
  readonly server: PeerServer;
  readonly connector: PeerConnector;
  readonly address: Address;
  readonly net: CuttableNet;
}

export async function openRemoteParts(
  serverHost: Host,
  clientHost: Host,
  address: Address,
  site = new ReplicaSite(),
): Promise<RemoteParts> {
  const net = new CuttableNet(serverHost.net);
  const server = new PeerServer({
    net,
    clock: serverHost.clock,
    log: serverHost.log,
    lookup: (id) => (id === site.replica.id ? site.replica : undefined),
  });
  const listening = await server.listen(address);
  const connector = new PeerConnector({
    net: clientHost.net,
    clock: clientHost.clock,
    log: clientHost.log,
    cluster: CLUSTER,
    volume: VOLUME,
    resolve: () => listening,
    client: 'test',
  });
  return { site, server, connector, address: listening, net };
}

function remoteWorld(
  parts: RemoteParts,
  run: (body: Promise<void>) => Promise<void>,
  stop: () => Promise<void>,
  options: WorldOptions,
): MemberWorld {
  const { site, connector, net } = parts;
  return {
    ...siteControls(site),
    run,
    connect: async () => {
      const member = await connector.connect(site.replica.id, { timeoutMs: 5_000 });
      return options.wrap?.(member, site) ?? member;
    },
    cut: () => net.cut(),
    close: stop,
  };
}

let seed = 0;

/** Two machines of a simulated world; delays, and every chunk cut at a random place. */
export async function openSimWorld(options: WorldOptions = {}): Promise<MemberWorld> {
  seed += 1;
  const world = new SimWorld(seed);
  const [near, far] = [world.addNode('near'), world.addNode('far')];
  const address: Address = { kind: 'tcp', host: 'far', port: 7000 };
  const site = new ReplicaSite(options.create);
  const parts = await world.finish(openRemoteParts(far, near, address, site));
  const run = (body: Promise<void>): Promise<void> => world.finish(body);
  return remoteWorld(parts, run, async () => {}, options);
}

/** Real sockets. */
export async function openNodeWorld(
  host: Host,
  address: Address,
  options: WorldOptions = {},
): Promise<MemberWorld> {
  const parts = await openRemoteParts(host, host, address, new ReplicaSite(options.create));
  const stop = (): Promise<void> => parts.server.close();
  return remoteWorld(parts, (body) => body, stop, options);
}

/** The real store on a simulated disk, in the nexus's own process or on another machine. */
export async function openFileWorld(where: 'local' | 'remote'): Promise<MemberWorld> {
  seed += 1;
  const world = new SimWorld(seed);
  const near = world.addNode('near');
  if (where === 'remote') world.addNode('far');
  const node = where === 'remote' ? 'far' : 'near';
  const host = (): Host => (where === 'remote' ? world.restart('far') : near);
  const replicaId = parseId<ReplicaId>('replica', 'replica-1');
  let held: (() => void)[] | null = null;
  let waiters: { readonly count: number; readonly resolve: () => void }[] = [];

  const openPool = (at: Host): Promise<StorePool> =>
    openFilePool({ ...at, directory: '/pool', cluster: CLUSTER, pool: POOL });

  /** A store whose requests can be kept waiting. */
  const holdable = (store: ReplicaStore): ReplicaStore => {
    const submit = store.submit.bind(store);
    store.submit = (request) => {
      if (held === null) return submit(request);
      held.push(() => submit(request));
      const count = held.length;
      for (const waiter of waiters) if (waiter.count <= count) waiter.resolve();
      waiters = waiters.filter((waiter) => waiter.count > count);
    };
    return store;
  };

  let replica: Replica;
  let net: CuttableNet;
  const serve = async (at: Host, create: boolean): Promise<void> => {
    await at.disk.makeDirectory('/pool');
    const pool = await openPool(at);
    const identity = {
      cluster: CLUSTER,
      volume: VOLUME,
      replica: replicaId,
      pool: POOL,
      shard: 0,
      segmentBytes: 64 * 1024,
      claim: '',
    };
    if (create) await pool.createReplica({ identity, sizeBytes: SIZE_BYTES, record: null });
    replica = new Replica({ store: holdable(await pool.openReplica(replicaId)) });
    net = new CuttableNet(at.net);
    const { clock, log } = at;
    const server = new PeerServer({ net, clock, log, lookup: () => replica });
    await server.listen({ kind: 'tcp', host: node, port: 7000 });
  };
  await world.finish(serve(host(), true));
  const connector = new PeerConnector({
    ...near,
    cluster: CLUSTER,
    volume: VOLUME,
    resolve: () => (where === 'local' ? replica : { kind: 'tcp', host: node, port: 7000 }),
  });
  return {
    run: (body) => world.finish(body),
    connect: () => connector.connect(replicaId, { timeoutMs: 5_000 }),
    hold: () => {
      held ??= [];
    },
    release: () => {
      const waiting = held ?? [];
      held = null;
      for (const run of waiting) run();
    },
    held: (count) =>
      (held?.length ?? 0) >= count
        ? Promise.resolve()
        : new Promise((resolve) => waiters.push({ count, resolve })),
    failFlush: () => {
      world
        .disk(node)
        .addFault({ path: '/pool', verbs: ['flush'], effect: { kind: 'fail', code: 'io-error' } });
    },
    corrupt: null,
    rollBack: null,
    crash: where === 'local' ? null : () => serve(host(), false),
    cut: where === 'local' ? null : () => net.cut(),
    close: async () => {},
  };
}
