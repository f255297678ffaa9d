/**
 * One process that is kept running: started again when it ends by itself, with back-off when it
 * does not live long; told apart from strangers by pid and start time, never by name.
 *
 * One that outlives us (an engine) is adopted: whoever starts next finds the live one by its pid
 * file, and starts another only when it is dead. The end of a child is told by the kernel at once;
 * an adopted process is looked at now and then.
 */
import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { processStart } from '#host/node/mod.ts';

export interface SupervisedOptions {
  readonly name: string;
  /** Most that new objects may take before a collection, in MiB: idle memory against work. */
  readonly youngMib: number;
  /** Arguments of `holdfast`. */
  readonly args: readonly string[];
  readonly outputFile: string;
  readonly pidFile: string;
  /** It goes on without us, and is adopted; else it is told of our end by its standard input. */
  readonly outlivesUs: boolean;
  readonly onLine: (text: string) => void;
}

interface Running {
  readonly pid: number;
  readonly start: string;
  readonly sinceMs: number;
  readonly ended: Promise<string>;
}

const YOUNG_FLAG = '--max-semi-space-size';
/**
 * Heaps of a few MiB, one for each volume: what V8 does for large ones while nothing happens, and
 * with helper threads, costs ten idle volumes more than everything else together.
 */
const QUIET_FLAGS = ['--no-memory-reducer', '--single-threaded-gc'];
const BACK_OFF_FIRST_MS = 100;
const BACK_OFF_MAX_MS = 5_000;
/** One that lived this long is started again at once. */
const HEALTHY_MS = 3_000;
const ADOPTED_LOOK_MS = 1_000;
const STOP_LOOK_MS = 50;

export class SupervisedProcess {
  readonly name: string;
  readonly #options: SupervisedOptions;
  #running: Running | null = null;
  #backOffMs = 0;
  #stopping = false;
  #restarts = 0;
  #fastFailures = 0;

  constructor(options: SupervisedOptions) {
    this.#options = options;
    this.name = options.name;
  }

  get pid(): number {
    return this.#running?.pid ?? 0;
  }

  get restarts(): number {
    return this.#restarts;
  }

  /** How often it ended within seconds of its start, in a row. */
  get fastFailures(): number {
    return this.#fastFailures;
  }

  /** Adopts the live one where that is wanted, or starts one; then looks after it. */
  async start(): Promise<void> {
    const adopted = this.#options.outlivesUs ? await this.#findLive() : null;
    this.#follow(adopted ?? (await this.#spawn()));
  }

  /** SIGTERM, then SIGKILL after `timeoutMs`. */
  async stop(timeoutMs: number): Promise<void> {
    this.#stopping = true;
    const running = this.#running;
    if (running === null) return;
    signal(running.pid, 'SIGTERM');
    const timer = setTimeout(() => {
      this.#options.onLine(`${this.name} did not stop in ${timeoutMs / 1000} s: killed`);
      signal(running.pid, 'SIGKILL');
    }, timeoutMs);
    await Promise.race([running.ended, untilGone(running, STOP_LOOK_MS)]);
    clearTimeout(timer);
  }

  /** It does not answer any more: killed, and started again like one that ended by itself. */
  restart(why: string): void {
    if (this.#running === null || this.#stopping) return;
    this.#options.onLine(`${this.name} ${why}: killed`);
    signal(this.#running.pid, 'SIGKILL');
  }

  kill(): void {
    this.#stopping = true;
    if (this.#running !== null) signal(this.#running.pid, 'SIGKILL');
  }

  /** The end of what it wrote, for a person. */
  lastOutput(): string {
    try {
      const text = readFileSync(this.#options.outputFile, 'utf8');
      return text.trimEnd().split('\n').slice(-12).join('\n');
    } catch {
      return '';
    }
  }

  #follow(running: Running): void {
    this.#running = running;
    void running.ended.then((why) => this.#onEnd(running, why));
  }

  async #onEnd({ sinceMs }: Running, why: string): Promise<void> {
    this.#running = null;
    rmSync(this.#options.pidFile, { force: true });
    if (this.#stopping) return;
    const isHealthy = performance.now() - sinceMs > HEALTHY_MS;
    this.#fastFailures = isHealthy ? 0 : this.#fastFailures + 1;
    this.#backOffMs = isHealthy
      ? 0
      : Math.min(BACK_OFF_MAX_MS, Math.max(BACK_OFF_FIRST_MS, this.#backOffMs * 2));
    this.#options.onLine(`${this.name} ended (${why}), started again in ${this.#backOffMs} ms`);
    if (this.#backOffMs > 0) await pause(this.#backOffMs);
    if (this.#stopping) return;
    this.#restarts += 1;
    this.#follow(await this.#spawn());
  }

  async #spawn(): Promise<Running> {
    const { args, outputFile, pidFile, outlivesUs, name, youngMib } = this.#options;
    mkdirSync(dirname(outputFile), { recursive: true });
    const output = openSync(outputFile, 'a');
    const entry = new URL('./holdfast.ts', import.meta.url).pathname;
    const flags = [...ownFlags(), ...QUIET_FLAGS, `${YOUNG_FLAG}=${youngMib}`];
    const sinceMs = performance.now();
    const child = spawn(process.execPath, [...flags, entry, ...args], {
      // The pipe at its standard input tells it that we live.
      stdio: [outlivesUs ? 'ignore' : 'pipe', output, output],
      // A group of its own: Ctrl-C in a terminal reaches us alone, and we stop things in order.
      detached: true,
      env: { ...process.env, HOLDFAST_PARENT_WATCH: outlivesUs ? '' : '1' },
    });
    closeSync(output);
    const ended = new Promise<string>((resolve) => {
      child.on('error', (error) => {
        this.#options.onLine(`${name} did not start: ${error.message}`);
        if (child.pid === undefined) resolve('not started');
      });
      child.on('exit', (code, bySignal) => resolve(bySignal ?? `exit code ${code ?? 'unknown'}`));
    });
    if (outlivesUs) child.unref();
    const pid = child.pid ?? 0;
    const start = (await processStart(pid)) ?? '';
    if (pid > 0) writeFileSync(pidFile, JSON.stringify({ pid, start }));
    return { pid, start, sinceMs, ended };
  }

  async #findLive(): Promise<Running | null> {
    try {
      const found = JSON.parse(readFileSync(this.#options.pidFile, 'utf8')) as Running;
      if (!(await isLive(found))) return null;
      const { pid, start } = found;
      const ended = untilGone(found, ADOPTED_LOOK_MS).then(() => 'gone');
      return { pid, start, sinceMs: performance.now(), ended };
    } catch {
      return null;
    }
  }
}

/** Those that we were started with, but for the ones that each process gets here. */
function ownFlags(): string[] {
  return process.execArgv.filter(
    (flag) => !flag.startsWith(YOUNG_FLAG) && !QUIET_FLAGS.includes(flag),
  );
}

async function isLive({ pid, start }: Pick<Running, 'pid' | 'start'>): Promise<boolean> {
  return pid > 1 && (await processStart(pid)) === start;
}

async function untilGone(process: Pick<Running, 'pid' | 'start'>, lookMs: number): Promise<void> {
  while (await isLive(process)) await pause(lookMs);
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    if (pid > 1) process.kill(pid, name);
  } catch {
    // It ended between the look and the signal.
  }
}
