import { writeSync } from 'node:fs';
import { inspect } from 'node:util';
import { getEnvironmentData, isMainThread, setEnvironmentData, Worker } from 'node:worker_threads';
import { assert } from '#lib/mod.ts';
import {
  CONTROL,
  createLaneRing,
  FIELD,
  LANE_VERBS,
  LANES_MAX,
  SLOT_FIELDS,
  SLOTS,
} from './lane-ring.ts';
import type { LaneStart, LaneVerb } from './lane-ring.ts';
import { exitNow } from './syscalls.ts';

/** One call on its way through the lanes. Its owner uses it again. */
export interface LaneCall {
  verb: LaneVerb;
  fd: number;
  /** Of memory that somebody holds until `finish`. */
  address: number;
  length: number;
  offset: number;
  /** What the kernel returned, or minus the error number. */
  finish(result: number): void;
}

const VERB_NUMBER = new Map<LaneVerb, number>(LANE_VERBS.map((verb, number) => [verb, number]));

/** Calls under way, of all threads: those that are started later inherit the memory. */
const UNDER_WAY = 'holdfast disk calls under way';
const inherited = getEnvironmentData(UNDER_WAY);
const underWayInProcess =
  inherited instanceof Int32Array ? inherited : new Int32Array(new SharedArrayBuffer(4));
setEnvironmentData(UNDER_WAY, underWayInProcess);

/** One lane is always left for what is quick. */
const FLUSHES_MAX = LANES_MAX - 1;

/** After so many rounds of results the event loop gets its turn. */
const ROUNDS_MAX = 8;

/**
 * A lane costs about 10 MiB and goes when there was nothing to do for so long; the first one later,
 * for the next request of an idle volume then waits for its start.
 */
export interface LaneIdle {
  readonly firstMs: number;
  readonly otherMs: number;
}

const DEFAULT_IDLE: LaneIdle = { firstMs: 20_000, otherMs: 5_000 };

/**
 * The threads that block for one disk, so that nobody else has to (docs/design/0003-disk-io.md).
 * The first starts with the first request, others only while calls that really wait (flush, a read
 * that missed the page cache) occupy those that are there; idle ones go, and none ever spins.
 */
export class DiskLanes {
  readonly #idle: LaneIdle;
  readonly #ring = createLaneRing();
  readonly #calls: (LaneCall | null)[] = Array.from({ length: SLOTS }, () => null);
  readonly #freeSlots: number[] = Array.from({ length: SLOTS }, (_, i) => SLOTS - 1 - i);
  readonly #overflow: LaneCall[] = [];
  readonly #workers: (Worker | null)[] = Array.from({ length: LANES_MAX }, () => null);
  #lanes = 0;
  readonly #heldFlushes: LaneCall[] = [];
  #flushes = 0;
  #slow = 0;
  #underWay = 0;

  constructor(idle: LaneIdle = DEFAULT_IDLE) {
    this.#idle = idle;
  }

  /** How many there are now. */
  get lanes(): number {
    return this.#lanes;
  }

  submit(call: LaneCall): void {
    if (call.verb === 'flush') {
      if (this.#flushes === FLUSHES_MAX) {
        this.#heldFlushes.push(call);
        return;
      }
      this.#flushes++;
    }
    this.#place(call);
  }

  #place(call: LaneCall): void {
    const slot = this.#freeSlots.pop();
    if (slot === undefined) {
      this.#overflow.push(call);
      return;
    }
    const { control, submissions, slots } = this.#ring;
    if (this.#underWay++ === 0) for (const worker of this.#workers) worker?.ref();
    Atomics.add(underWayInProcess, 0, 1);
    if (call.verb !== 'write') this.#slow++;
    if (this.#lanes < this.#wanted()) this.#startLane();
    this.#calls[slot] = call;
    const at = slot * SLOT_FIELDS;
    slots[at + FIELD.verb] = VERB_NUMBER.get(call.verb)!;
    slots[at + FIELD.fd] = call.fd;
    slots[at + FIELD.address] = call.address;
    slots[at + FIELD.length] = call.length;
    slots[at + FIELD.offset] = call.offset;
    const tail = control[CONTROL.submitTail]!;
    submissions[tail & (SLOTS - 1)] = slot;
    Atomics.store(control, CONTROL.submitTail, (tail + 1) | 0);
    if (Atomics.load(control, CONTROL.sleepers) > 0) Atomics.notify(control, CONTROL.submitTail, 1);
  }

  #wanted(): number {
    return Math.min(LANES_MAX, 1 + this.#slow);
  }

  #startLane(): void {
    const lane = this.#workers.indexOf(null);
    const idleMs = lane === 0 ? this.#idle.firstMs : this.#idle.otherMs;
    const start: LaneStart = { ring: this.#ring, lane, idleMs };
    const worker = new Worker(new URL('./disk-lane.ts', import.meta.url), {
      workerData: start,
      name: 'disk-lane',
      // Descriptors here belong to others.
      trackUnmanagedFds: false,
      // Flags of the process (as --input-type) may not fit a file.
      execArgv: [],
      // It allocates next to nothing: small heaps keep a lane at a few MiB.
      resourceLimits: { maxYoungGenerationSizeMb: 1, maxOldGenerationSizeMb: 16, stackSizeMb: 1 },
    });
    worker.on('message', () => this.#wake());
    worker.on('error', (error) => {
      throw error;
    });
    // It went because it had nothing to do; a call that came just then needs another.
    worker.on('exit', () => {
      this.#workers[lane] = null;
      this.#lanes--;
      if (this.#underWay > 0 && this.#lanes < this.#wanted()) this.#startLane();
    });
    // Only calls under way keep the process alive.
    this.#workers[lane] = worker;
    this.#lanes++;
    Atomics.store(this.#ring.control, CONTROL.armed, 1);
  }

  #wake(): void {
    const { control } = this.#ring;
    for (let round = 0; ; round++) {
      Atomics.store(control, CONTROL.armed, 0);
      const any = this.#reap();
      if (any && round >= ROUNDS_MAX) {
        // Callers that submit from `done` could keep us here for ever.
        setImmediate(() => this.#wake());
        return;
      }
      if (any) continue;
      Atomics.store(control, CONTROL.armed, 1);
      // A result that came before the flag was up has sent no message.
      if (!this.#anyCompleted() || Atomics.exchange(control, CONTROL.armed, 0) === 0) break;
    }
    if (this.#underWay === 0) for (const worker of this.#workers) worker?.unref();
  }

  #anyCompleted(): boolean {
    const { control } = this.#ring;
    for (let lane = 0; lane < LANES_MAX; lane++) {
      const at = CONTROL.lanes + 2 * lane;
      if (Atomics.load(control, at) !== control[at + 1]) return true;
    }
    return false;
  }

  /** False when there was nothing. */
  #reap(): boolean {
    const { control, slots } = this.#ring;
    let any = false;
    for (let lane = 0; lane < LANES_MAX; lane++) {
      const at = CONTROL.lanes + 2 * lane;
      const tail = Atomics.load(control, at);
      const completions = this.#ring.completions[lane]!;
      for (let head = control[at + 1]!; head !== tail; head = (head + 1) | 0) {
        const slot = completions[head & (SLOTS - 1)]!;
        control[at + 1] = (head + 1) | 0;
        any = true;
        this.#complete(slot, slots[slot * SLOT_FIELDS + FIELD.result]!);
      }
    }
    return any;
  }

  #complete(slot: number, result: number): void {
    const call = this.#calls[slot];
    assert(call !== null && call !== undefined, 'a completed slot was submitted');
    this.#calls[slot] = null;
    this.#freeSlots.push(slot);
    this.#underWay--;
    Atomics.sub(underWayInProcess, 0, 1);
    if (call.verb !== 'write') this.#slow--;
    const next = this.#overflow.shift();
    if (next !== undefined) this.#place(next);
    if (call.verb === 'flush') {
      this.#flushes--;
      const flush = this.#heldFlushes.shift();
      if (flush !== undefined) this.submit(flush);
    }
    call.finish(result);
  }
}

/**
 * Node joins its threads at exit, and a thread in a call on a dead disk never ends. The kernel does
 * not care: with calls under way, on whichever thread they were made, the process leaves by _exit.
 */
if (isMainThread) {
  let uncaught: unknown;
  process.on('uncaughtExceptionMonitor', (error) => {
    uncaught = error;
  });
  process.on('exit', (code) => {
    if (Atomics.load(underWayInProcess, 0) === 0) return;
    // Node would print it only after this.
    if (uncaught !== undefined) writeSync(2, `${inspect(uncaught)}\n`);
    exitNow(code);
  });
}
