/**
 * Clients of one nexus: each keeps one request in flight, writes values that nobody wrote before,
 * and notes what it was told, when. When their nexus is gone, what was in flight has an unknown
 * outcome.
 */
import type { HoldfastError } from '#api/mod.ts';
import { BLOCK_BYTES, type BlockRequest, createRequest } from '#data/block/mod.ts';
import type { ClientSession, Nexus } from '#data/nexus/mod.ts';
import type { SimRng, SimWorld } from '#host/sim/mod.ts';
import { fillBlock, readBlock } from './block-payload.ts';
import type { Ledger } from './ledger.ts';

const CLIENTS = 6;
const BLOCKS_PER_REQUEST_MAX = 8;
const THINK_MS_MAX = 60;
const READERS = 4;
const READER_THINK_MS_MAX = 16;
const NONE = new Uint8Array(0);

/** All clients of one nexus: one session after another, as they are lost. */
export class ClientGroup {
  readonly nexus: Nexus;
  readonly #world: SimWorld;
  readonly #ledger: Ledger;
  readonly #rng: SimRng;
  #clients: Client[] = [];
  #session: ClientSession | null = null;

  constructor(world: SimWorld, nexus: Nexus, ledger: Ledger, rng: SimRng) {
    this.#world = world;
    this.nexus = nexus;
    this.#ledger = ledger;
    this.#rng = rng;
  }

  /** `sinceEpoch`: of a session that outlived the nexus before. */
  start(sinceEpoch?: number): void {
    this.stop();
    const session = this.nexus.session(sinceEpoch);
    this.#session = session;
    this.#clients = Array.from({ length: CLIENTS }, () => this.#client(session));
    for (const client of this.#clients) client.start();
  }

  stop(): void {
    for (const client of this.#clients) client.stop();
  }

  get sinceEpoch(): number | undefined {
    return this.#session?.sinceEpoch;
  }

  get serving(): boolean {
    return this.#session !== null && !this.#session.lost;
  }

  get idle(): boolean {
    return this.#clients.every(({ idle }) => idle);
  }

  get writesInFlight(): number {
    return this.#clients.filter(({ isWriting }) => isWriting).length;
  }

  /** So many writes at once, beside the others. */
  burst(writes: number): void {
    const session = this.#session;
    if (session === null) return;
    for (let i = 0; i < writes; i += 1) {
      const client = this.#client(session);
      this.#clients.push(client);
      client.writeOnce();
    }
  }

  /** Clients that do nothing but read often written blocks, until `untilMs`. */
  readersUntil(untilMs: number, readers = READERS, thinkMs = READER_THINK_MS_MAX): void {
    const session = this.#session;
    if (session === null) return;
    for (let i = 0; i < readers; i += 1) {
      const client = this.#client(session);
      this.#clients.push(client);
      client.readUntil(untilMs, thinkMs);
    }
  }

  #client(session: ClientSession): Client {
    // A session that lost writes is over; the application begins anew.
    const onLost = (): void => {
      if (session === this.#session) this.start();
    };
    return new Client(this.#world, this.nexus, session, this.#ledger, this.#rng, onLost);
  }
}

class Client {
  readonly #world: SimWorld;
  readonly #nexus: Nexus;
  readonly #session: ClientSession;
  readonly #ledger: Ledger;
  readonly #rng: SimRng;
  readonly #onLost: () => void;
  readonly #request: BlockRequest = createRequest();
  #stopped = false;
  /** Of a client that only reads; else 0. */
  #readsUntilMs = 0;
  #thinkMs = THINK_MS_MAX;
  idle = true;

  constructor(
    world: SimWorld,
    nexus: Nexus,
    session: ClientSession,
    ledger: Ledger,
    rng: SimRng,
    onLost: () => void,
  ) {
    this.#world = world;
    this.#nexus = nexus;
    this.#session = session;
    this.#ledger = ledger;
    this.#rng = rng;
    this.#onLost = onLost;
  }

  get isWriting(): boolean {
    return !this.idle && this.#request.verb === 'write';
  }

  start(): void {
    this.#think();
  }

  stop(): void {
    this.#stopped = true;
  }

  writeOnce(): void {
    this.#stopped = true;
    this.#write(this.#rng.below(this.#ledger.blocks.length), 1);
  }

  readUntil(untilMs: number, thinkMs: number): void {
    this.#readsUntilMs = untilMs;
    this.#thinkMs = thinkMs;
    this.#think();
  }

  #think(): void {
    this.#world.at(this.#world.nowMs + this.#rng.below(this.#thinkMs), () => {
      if (!this.#stopped) this.#next();
    });
  }

  #next(): void {
    if (this.#readsUntilMs > 0) {
      if (this.#world.nowMs >= this.#readsUntilMs) return;
      return this.#read(this.#lowPlace(this.#ledger.blocks.length), 1);
    }
    const dice = this.#rng.below(100);
    const length = 1 + this.#rng.below(BLOCKS_PER_REQUEST_MAX);
    const places = this.#ledger.blocks.length - length + 1;
    // Low blocks are written often, high ones hardly ever: a wrong block that is overwritten before
    // anyone looks is not found.
    if (dice < 40) this.#write(this.#lowPlace(places), length);
    else if (dice < 45) this.#clear(this.#lowPlace(places), length);
    else if (dice < 85) this.#read(this.#rng.below(places), length);
    else if (dice < 93) this.#flush();
    else this.#scratch();
  }

  #lowPlace(places: number): number {
    return this.#rng.below(1 + this.#rng.below(places));
  }

  #write(block: number, length: number): void {
    const data = new Uint8Array(length * BLOCK_BYTES);
    const values = Array.from({ length }, (_, index) => {
      const value = this.#ledger.nextValue();
      const at = index * BLOCK_BYTES;
      fillBlock(data.subarray(at, at + BLOCK_BYTES), block + index, value);
      return value;
    });
    this.#change('write', block, data, values);
  }

  /** Trims or zeroes. */
  #clear(block: number, length: number): void {
    const verb = this.#rng.chance(0.5) ? 'trim' : 'zero';
    this.#change(verb, block, NONE, new Array<number>(length).fill(0));
  }

  #change(
    verb: 'write' | 'trim' | 'zero',
    block: number,
    data: Uint8Array,
    values: readonly number[],
  ): void {
    const at = this.#ledger.tick();
    const writes = values.map((value, index) =>
      this.#ledger.blocks[block + index]?.invoke(value, at),
    );
    this.#submit(verb, block, values.length, data, (error, done) => {
      for (const write of writes) {
        if (!write) continue;
        if (error === null) write.completedAt = done;
        else if (error.effect === 'none') write.applied = false;
      }
    });
  }

  #read(block: number, length: number): void {
    const at = this.#ledger.tick();
    this.#submit('read', block, length, new Uint8Array(length * BLOCK_BYTES), (error, done) => {
      if (error !== null) return;
      for (let index = 0; index < length; index += 1) {
        const bytes = this.#request.data.subarray(index * BLOCK_BYTES, (index + 1) * BLOCK_BYTES);
        this.#ledger.blocks[block + index]?.read(readBlock(bytes, block + index), at, done);
      }
    });
  }

  /** Blocks beyond the ledger, what was added by growth too: all replicas must end equal there. */
  #scratch(): void {
    const dice = this.#rng.below(3);
    const length = 1 + this.#rng.below(BLOCKS_PER_REQUEST_MAX);
    const blocks = this.#session.sizeBytes / BLOCK_BYTES - this.#ledger.blocks.length;
    const block = this.#ledger.blocks.length + this.#rng.below(blocks - length + 1);
    if (dice > 0) return this.#submit(dice === 1 ? 'trim' : 'zero', block, length, NONE, () => {});
    const data = new Uint8Array(length * BLOCK_BYTES).fill(1 + this.#rng.below(255));
    this.#submit('write', block, length, data, () => {});
  }

  #flush(): void {
    const at = this.#ledger.tick();
    const invokedMs = this.#world.nowMs;
    this.#submit('flush', 0, 0, NONE, (error) => {
      if (error === null) this.#ledger.flushed(this.#nexus, at, invokedMs);
    });
  }

  #submit(
    verb: BlockRequest['verb'],
    block: number,
    length: number,
    data: Uint8Array,
    onDone: (error: HoldfastError | null, at: number) => void,
  ): void {
    const request = this.#request;
    request.verb = verb;
    request.offsetBytes = block * BLOCK_BYTES;
    request.lengthBytes = length * BLOCK_BYTES;
    request.data = data;
    request.keepAllocated = verb === 'zero';
    this.idle = false;
    const { lost } = this.#session;
    request.done = (_request, error) => {
      this.idle = true;
      if (error === null) this.#ledger.operations += 1;
      else this.#ledger.errors += 1;
      if (error === null && lost) this.#ledger.fail('a session that lost writes went on');
      onDone(error, this.#ledger.tick());
      if (error?.code === 'lost-writes') this.#onLost();
      else if (error !== null && isOver(error)) this.#stopped = true;
      if (!this.#stopped) this.#think();
    };
    this.#session.submit(request);
  }
}

/** The nexus serves nobody any more. */
function isOver(error: HoldfastError): boolean {
  return error.code === 'fenced' || error.code === 'aborted';
}
