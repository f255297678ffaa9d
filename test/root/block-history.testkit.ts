/**
 * BlockHistory: a client that writes, flushes, and remembers what it was told. Every block of 4 KiB
 * says which block and which version it is, so that what is read after a crash can be judged:
 *
 *     floor ≤ version read ≤ issued        floor: acknowledged, or covered by an answered flush
 *
 * One write of a block is in flight at a time; so the versions of a block have one order.
 */
import { ok } from 'node:assert/strict';
import { type HoldfastError } from '#api/mod.ts';
import { type BlockDevice, createRequest, flushDevice, readDevice } from '#data/block/mod.ts';
import { patternBytes, randomBelow } from '#data/block/block-device.testkit.ts';

export const BLOCK = 4096;
const LENGTHS = [1, 1, 1, 1, 1, 1, 2, 4, 16] as const;
const HEADER = 16;
const READ_BLOCKS = 256;

export interface LoadOptions {
  /** Writes in flight at any time. */
  readonly depth: number;
  /** Pause between the answer of a flush and the next flush; null: none is sent. */
  readonly flushEveryMs: number | null;
  /** Pause of each writer between an answer and its next write; none when absent. */
  readonly pauseMs?: number;
  /** Right when a flush was answered, other writes being in flight. */
  readonly onFlushed?: () => void;
}

export class BlockHistory {
  readonly blocks: number;
  readonly issued: Uint32Array;
  readonly acknowledged: Uint32Array;
  readonly flushed: Uint32Array;
  writes = 0;
  flushes = 0;
  readonly #below: (limit: number) => number;
  readonly #noise: Uint8Array;

  constructor(blocks: number, seed: number) {
    this.blocks = blocks;
    this.issued = new Uint32Array(blocks);
    this.acknowledged = new Uint32Array(blocks);
    this.flushed = new Uint32Array(blocks);
    this.#below = randomBelow(seed);
    this.#noise = patternBytes(2 * BLOCK, seed);
  }

  /** Starts a load on one connection; it goes on until `stop`, or until the device fails. */
  load(device: BlockDevice, options: LoadOptions): Load {
    return new Load(this, device, options, this.#below);
  }

  fill(target: Uint8Array, block: number, version: number): void {
    const from = (block * 31 + version * 17) % BLOCK;
    target.set(this.#noise.subarray(from, from + BLOCK));
    const view = new DataView(target.buffer, target.byteOffset, HEADER);
    view.setUint32(0, 0x484f4c44);
    view.setUint32(4, block);
    view.setUint32(8, version);
  }

  /**
   * Reads everything and throws at what must not be; then what was read is what is expected, so
   * that the next load can go on.
   */
  async verify(device: BlockDevice, floor: 'acknowledged' | 'flushed'): Promise<void> {
    const problems: string[] = [];
    const expected = Buffer.alloc(BLOCK);
    for (let first = 0; first < this.blocks; first += READ_BLOCKS) {
      const count = Math.min(READ_BLOCKS, this.blocks - first);
      const bytes = Buffer.from(await readDevice(device, first * BLOCK, count * BLOCK));
      for (let i = 0; i < count; i += 1) {
        const found = bytes.subarray(i * BLOCK, (i + 1) * BLOCK);
        const problem = this.#judge(first + i, found, this[floor][first + i] ?? 0, expected);
        if (problem !== '') problems.push(problem);
      }
    }
    const told = problems.slice(0, 5).join('; ');
    ok(problems.length === 0, `${problems.length} blocks are wrong: ${told}`);
  }

  /** After `verify`: everything that was read counts as acknowledged, and is flushed now. */
  async settle(device: BlockDevice): Promise<void> {
    await flushDevice(device);
    this.flushed.set(this.acknowledged);
  }

  #judge(block: number, found: Buffer, floor: number, expected: Buffer): string {
    const version = found.readUInt32BE(0) === 0x484f4c44 ? found.readUInt32BE(8) : 0;
    const issued = this.issued[block] ?? 0;
    if (version === 0) expected.fill(0);
    else this.fill(expected, block, version);
    if (Buffer.compare(found, expected) !== 0) return `block ${block} is not version ${version}`;
    if (version < floor) return `block ${block} is ${version}, older than ${floor}`;
    if (version > issued) return `block ${block} is ${version}, never written (${issued})`;
    this.acknowledged[block] = version;
    return '';
  }
}

export interface Sample {
  readonly startedMs: number;
  readonly tookMs: number;
}

export class Load {
  /** Why it ended before it was stopped. */
  error: HoldfastError | null = null;
  inFlight = 0;
  /** Of every write that was answered. */
  readonly samples: Sample[] = [];
  /** Of every flush that was answered. */
  readonly flushSamples: Sample[] = [];
  readonly #history: BlockHistory;
  readonly #device: BlockDevice;
  readonly #options: LoadOptions;
  readonly #below: (limit: number) => number;
  readonly #busy: Uint8Array;
  readonly #done = Promise.withResolvers<void>();
  #stopped = false;
  #parts: number;

  constructor(
    history: BlockHistory,
    device: BlockDevice,
    options: LoadOptions,
    below: (limit: number) => number,
  ) {
    this.#history = history;
    this.#device = device;
    this.#options = options;
    this.#below = below;
    this.#busy = new Uint8Array(history.blocks);
    this.#parts = options.depth + 1;
    for (let n = 0; n < options.depth; n += 1) this.#write();
    this.#flush();
  }

  /** Waits for what is in flight. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#done.promise;
  }

  /** Resolves when it ended, also by an error. */
  async ended(): Promise<void> {
    await this.#done.promise;
  }

  #end(): void {
    this.#parts -= 1;
    if (this.#parts === 0) this.#done.resolve();
  }

  #write(): void {
    if (this.#stopped || this.error) return this.#end();
    const { first, count } = this.#pick();
    const history = this.#history;
    const data = new Uint8Array(count * BLOCK);
    for (let i = 0; i < count; i += 1) {
      const version = (history.issued[first + i] ?? 0) + 1;
      history.issued[first + i] = version;
      history.fill(data.subarray(i * BLOCK, (i + 1) * BLOCK), first + i, version);
    }
    this.#busy.fill(1, first, first + count);
    this.inFlight += 1;
    const startedMs = performance.now();
    this.#device.submit({
      ...createRequest(),
      verb: 'write',
      offsetBytes: first * BLOCK,
      lengthBytes: data.byteLength,
      data,
      done: (_request, error) => {
        this.inFlight -= 1;
        if (error) this.error ??= error;
        else this.#acknowledge(first, count);
        this.samples.push({ startedMs, tookMs: performance.now() - startedMs });
        // A turn of its own: an answer may come within `submit`.
        const { pauseMs } = this.#options;
        if (pauseMs === undefined) setImmediate(() => this.#write());
        else setTimeout(() => this.#write(), pauseMs);
      },
    });
  }

  #acknowledge(first: number, count: number): void {
    const history = this.#history;
    history.writes += 1;
    this.#busy.fill(0, first, first + count);
    for (let i = first; i < first + count; i += 1) history.acknowledged[i] = history.issued[i] ?? 0;
  }

  #pick(): { first: number; count: number } {
    for (;;) {
      const count = LENGTHS[this.#below(LENGTHS.length)] ?? 1;
      const first = this.#below(this.#history.blocks - count);
      if (!this.#busy.subarray(first, first + count).includes(1)) return { first, count };
    }
  }

  #flush(): void {
    const { flushEveryMs } = this.#options;
    if (flushEveryMs === null || this.#stopped || this.error) return this.#end();
    const history = this.#history;
    const covered = history.acknowledged.slice();
    const startedMs = performance.now();
    this.#device.submit({
      ...createRequest(),
      done: (_request, error) => {
        this.flushSamples.push({ startedMs, tookMs: performance.now() - startedMs });
        if (error) this.error ??= error;
        else {
          history.flushes += 1;
          history.flushed.set(covered);
          this.#options.onFlushed?.();
        }
        setTimeout(() => this.#flush(), flushEveryMs);
      },
    });
  }
}
