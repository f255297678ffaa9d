import { assert } from '#lib/mod.ts';
import type { Host } from '../mod.ts';
import { EventLoop } from './event-loop.ts';
import { guardGlobals } from './global-guard.ts';
import { MachineClock, SimClock } from './sim-clock.ts';
import { DISK_DEFAULTS, SimDisk } from './sim-disk.ts';
import type { SimDiskOptions } from './sim-disk.ts';
import { SimExec } from './sim-exec.ts';
import type { SimProgram } from './sim-exec.ts';
import { LogBook, SimLog } from './sim-log.ts';
import type { LogLine } from './sim-log.ts';
import { SimNet } from './sim-net.ts';
import { SimProcess } from './sim-process.ts';
import { SimRng } from './sim-rng.ts';

export interface SimOptions {
  readonly disk?: Partial<SimDiskOptions>;
  /** Largest deviation of a machine's clock: 0.05 draws each rate from 0.95 to 1.05. */
  readonly driftMax?: number;
  /** Largest offset of a machine's wall clock. */
  readonly wallOffsetMsMax?: number;
  /** Let the real globals alone: for debugging only. */
  readonly guard?: boolean;
  readonly logLinesMax?: number;
}

export interface RunLimits {
  /** World time at which to stop. */
  readonly untilMs?: number;
  /** How long from now. */
  readonly forMs?: number;
  /** Asked after every event. */
  readonly until?: () => boolean;
}

interface Machine {
  readonly clock: MachineClock;
  readonly disk: SimDisk;
  readonly lives: { count: number };
  powered: boolean;
  process: SimProcess | undefined;
}

/**
 * A seeded world of machines, each with one process. Nothing happens by itself: `run` moves the
 * time. All that happens follows from the seed and from what the test does.
 */
export class SimWorld {
  readonly seed: number;
  readonly net: SimNet;
  readonly #loop = new EventLoop();
  readonly #options: SimOptions;
  readonly #machines = new Map<string, Machine>();
  readonly #programs = new Map<string, SimProgram>();
  readonly #logBook: LogBook;
  #hasOutside = false;

  constructor(seed: number, options: SimOptions = {}) {
    this.seed = seed;
    this.#options = options;
    this.#logBook = new LogBook(options.logLinesMax ?? 1000);
    this.net = new SimNet(this.#loop, seed, (node) => this.#machines.get(node)?.powered === true);
  }

  /** World time: no machine sees it. */
  get nowMs(): number {
    return this.#loop.nowMs;
  }

  /** Events that ran so far. */
  get events(): number {
    return this.#loop.events;
  }

  get nodes(): readonly string[] {
    return [...this.#machines.keys()];
  }

  get logs(): readonly LogLine[] {
    return this.#logBook.lines;
  }

  traceHash(): string {
    return this.#loop.trace.format();
  }

  /** Randomness for the test itself: workload, fault plan. */
  rng(stream: string): SimRng {
    return new SimRng(this.seed, `test ${stream}`);
  }

  /** Adds a machine and starts its process. */
  addNode(node: string): Host {
    assert(!this.#machines.has(node), 'a node is added once');
    const rng = new SimRng(this.seed, `machine ${node}`);
    const { driftMax = 0, wallOffsetMsMax = 0 } = this.#options;
    const clock = new MachineClock(
      1 + rng.between(-driftMax, driftMax),
      Math.floor(rng.between(0, 1e9)),
      rng.between(-wallOffsetMsMax, wallOffsetMsMax),
    );
    const diskOptions = { ...DISK_DEFAULTS, ...this.#options.disk };
    const disk = new SimDisk(this.#loop, node, new SimRng(this.seed, `disk ${node}`), diskOptions);
    const lives = { count: 0 };
    this.#machines.set(node, { clock, disk, lives, powered: true, process: undefined });
    return this.restart(node);
  }

  disk(node: string): SimDisk {
    return this.#machine(node).disk;
  }

  isRunning(node: string): boolean {
    return this.#machine(node).process?.alive === true;
  }

  /** kill -9: what was written stays, flushed or not. */
  crashProcess(node: string): void {
    const machine = this.#machine(node);
    machine.process?.die();
    machine.process = undefined;
  }

  /** Unflushed data is lost in part, connections die without a sign. */
  powerLoss(node: string): void {
    const machine = this.#machine(node);
    machine.powered = false;
    this.crashProcess(node);
    machine.disk.losePower();
  }

  /** A new life: power on where it was off, and a Host that shares nothing with earlier ones. */
  restart(node: string): Host {
    const machine = this.#machine(node);
    this.crashProcess(node);
    machine.powered = true;
    const life = ++machine.lives.count;
    const process = new SimProcess(this.#loop, node, life);
    machine.process = process;
    return {
      clock: new SimClock(process, machine.clock),
      rng: new SimRng(this.seed, `process ${process.name}`),
      disk: machine.disk.attach(process),
      net: this.net.attach(process),
      exec: new SimExec(process, this.#programs),
      log: new SimLog(process, this.#logBook),
    };
  }

  /** Stops the process (SIGSTOP, a long collection); then it goes on as if nothing had been. */
  pause(node: string, ms: number): void {
    this.#machine(node).process?.pauseUntil(this.nowMs + ms);
  }

  /** 1.05: the machine's seconds are short. */
  setDrift(node: string, rate: number): void {
    this.#machine(node).clock.setRate(rate, this.nowMs);
  }

  jumpWall(node: string, ms: number): void {
    this.#machine(node).clock.jumpWall(ms);
  }

  /** A program that Exec finds on every node. */
  addProgram(name: string, program: SimProgram): void {
    this.#programs.set(name, program);
  }

  /**
   * The world talks to something real: it stands still while `settled` waits. Such a world has no
   * guard, and no trace that could be repeated.
   */
  awaitOutside(settled: () => Promise<void>): void {
    this.#hasOutside = true;
    this.#loop.awaitOutside(settled);
  }

  /** Calls `action` in the world's own time: for fault plans. */
  at(timeMs: number, action: () => void): void {
    this.#loop.schedule(null, 'plan', 0, Math.max(0, timeMs - this.nowMs), action);
  }

  /**
   * Runs until a limit is reached or nothing is left to happen. True when `until` came true, or
   * when there is none.
   */
  async run(limits: RunLimits): Promise<boolean> {
    const { untilMs = Infinity, forMs = Infinity, until } = limits;
    const isFree = this.#hasOutside || this.#options.guard === false;
    const restore = isFree ? undefined : guardGlobals();
    try {
      return await this.#loop.run(Math.min(untilMs, this.nowMs + forMs), until);
    } finally {
      restore?.();
    }
  }

  /**
   * Runs until the promise settles and gives its outcome. Throws when it has not within the time,
   * or when nothing is left that could settle it.
   */
  async finish<T>(promise: Promise<T>, withinMs = 600_000): Promise<T> {
    let settled = false;
    const note = (): void => {
      settled = true;
    };
    promise.then(note, note);
    if (!(await this.run({ forMs: withinMs, until: () => settled }))) {
      throw new Error(`Seed ${this.seed}: not finished at world time ${this.nowMs} ms`);
    }
    return promise;
  }

  #machine(node: string): Machine {
    const machine = this.#machines.get(node);
    assert(machine !== undefined, `the node ${node} was added`);
    return machine;
  }
}
