/**
 * Clients of one nexus: each keeps one request in flight, writes values that nobody wrote before,
 * and notes what it was told, when. When their nexus is gone, what was in flight has an unknown
 * outcome.
 */
import type { HoldfastError } from '#api/mod.ts';
import {
  BLOCK_BYTES,
  type BlockDevice,
  type BlockRequest,
  createRequest,
} from '#data/block/mod.ts';
import type { SimRng, SimWorld } from '#host/sim/mod.ts';
import { BlockHistory } from './block-history.ts';
import { fillBlock, readBlock } from './block-payload.ts';

const BLOCKS_PER_REQUEST_MAX = 8;
const THINK_MS_MAX = 40;
const NONE = new Uint8Array(0);

/** Everything that all clients of a volume ever did. */
export class Ledger {
  readonly blocks: BlockHistory[];
  operations = 0;
  errors = 0;
  flushes = 0;
  /** What was wrong in an era that is over. */
  #problem: string | null = null;
  #lastValue = 0;
  #time = 0;
  /** When the last acknowledged flush was invoked. */
  flushInvokedAt = -1;

  constructor(blocks: number) {
    this.blocks = Array.from({ length: blocks }, () => new BlockHistory());
  }

  /** One order of all invocations and completions: later is larger. */
  tick(): number {
    this.#time += 1;
    return this.#time;
  }

  nextValue(): number {
    this.#lastValue += 1;
    return this.#lastValue;
  }

  lose(): void {
    const at = this.tick();
    for (const [block, history] of this.blocks.entries()) {
      const problem = history.lose(at, this.flushInvokedAt);
      if (problem !== null) this.#problem ??= `block ${block}: ${problem}`;
    }
  }

  /** The first thing that is wrong; null when nothing is. */
  check(): string | null {
    if (this.#problem !== null) return this.#problem;
    for (const [block, history] of this.blocks.entries()) {
      const problem = history.check();
      if (problem !== null) return `block ${block}: ${problem}`;
    }
    return null;
  }
}

export class Client {
  readonly #world: SimWorld;
  readonly #device: BlockDevice;
  readonly #ledger: Ledger;
  readonly #rng: SimRng;
  readonly #request: BlockRequest = createRequest();
  #stopped = false;
  idle = true;

  constructor(world: SimWorld, device: BlockDevice, ledger: Ledger, rng: SimRng) {
    this.#world = world;
    this.#device = device;
    this.#ledger = ledger;
    this.#rng = rng;
  }

  start(): void {
    this.#think();
  }

  stop(): void {
    this.#stopped = true;
  }

  #think(): void {
    this.#world.at(this.#world.nowMs + this.#rng.below(THINK_MS_MAX), () => {
      if (!this.#stopped) this.#next();
    });
  }

  #next(): void {
    const dice = this.#rng.below(100);
    const length = 1 + this.#rng.below(BLOCKS_PER_REQUEST_MAX);
    const places = this.#ledger.blocks.length - length + 1;
    // Low blocks are written often, high ones hardly ever: a wrong block that is overwritten before
    // anyone looks is not found.
    if (dice < 45) this.#write(this.#rng.below(1 + this.#rng.below(places)), length);
    else if (dice < 85) this.#read(this.#rng.below(places), length);
    else if (dice < 92) this.#flush();
    else this.#scratch();
  }

  #write(block: number, length: number): void {
    const data = new Uint8Array(length * BLOCK_BYTES);
    const at = this.#ledger.tick();
    const writes = Array.from({ length }, (_, index) => {
      const value = this.#ledger.nextValue();
      fillBlock(
        data.subarray(index * BLOCK_BYTES, (index + 1) * BLOCK_BYTES),
        block + index,
        value,
      );
      return this.#ledger.blocks[block + index]?.invoke(value, at);
    });
    this.#submit('write', block, length, data, (error, done) => {
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

  /** Blocks beyond the ledger: all replicas must end equal there too, trims and zeroes included. */
  #scratch(): void {
    const dice = this.#rng.below(3);
    const length = 1 + this.#rng.below(BLOCKS_PER_REQUEST_MAX);
    const blocks = this.#device.sizeBytes / BLOCK_BYTES - this.#ledger.blocks.length;
    const block = this.#ledger.blocks.length + this.#rng.below(blocks - length + 1);
    if (dice > 0) return this.#submit(dice === 1 ? 'trim' : 'zero', block, length, NONE, () => {});
    const data = new Uint8Array(length * BLOCK_BYTES).fill(1 + this.#rng.below(255));
    this.#submit('write', block, length, data, () => {});
  }

  #flush(): void {
    const at = this.#ledger.tick();
    this.#submit('flush', 0, 0, NONE, (error) => {
      if (error !== null) return;
      this.#ledger.flushes += 1;
      this.#ledger.flushInvokedAt = Math.max(this.#ledger.flushInvokedAt, at);
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
    this.idle = false;
    request.done = (_request, error) => {
      this.idle = true;
      if (error === null) this.#ledger.operations += 1;
      else this.#ledger.errors += 1;
      onDone(error, this.#ledger.tick());
      if (!this.#stopped) this.#think();
    };
    this.#device.submit(request);
  }
}
