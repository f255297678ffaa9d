/**
 * Keeps the engine of a node running. The engine is a process of its own that outlives the node: a
 * node that starts again finds the live engine by its pid file, and starts one only when it is
 * dead.
 */
import { spawn } from 'node:child_process';
import { mkdirSync, openSync, closeSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { processStart } from '#host/node/mod.ts';
import type { Log } from '#host/mod.ts';
import type { RoleOptions } from './role-options.ts';

const LOOK_MS = 100;
const BACK_OFF_MS_MAX = 5_000;
/** An engine that lived this long starts the back-off anew. */
const HEALTHY_MS = 10_000;
const STOP_MS = 15_000;

interface EnginePid {
  readonly pid: number;
  readonly start: string;
}

export class EngineSupervisor {
  readonly #options: RoleOptions;
  readonly #log: Log;
  readonly #pidFile: string;
  #engine: EnginePid | null = null;
  #startedAtMs = 0;
  #backOffMs = 0;
  #stopping = false;
  restarts = 0;

  constructor(options: RoleOptions, log: Log) {
    this.#options = options;
    this.#log = log;
    this.#pidFile = `${options.socketPrefix}.engine.pid`;
  }

  get pid(): number {
    return this.#engine?.pid ?? 0;
  }

  /** Adopts the live engine, or starts one; then looks after it. */
  async start(): Promise<void> {
    this.#engine = await this.#findLive();
    if (this.#engine === null) await this.#spawn();
    void this.#watch();
  }

  /** Ends the engine in order: volumes are handed over to their holders. */
  async stop(): Promise<void> {
    this.#stopping = true;
    const engine = this.#engine;
    if (engine === null || !(await isLive(engine))) return;
    process.kill(engine.pid, 'SIGTERM');
    for (let waitedMs = 0; waitedMs < STOP_MS; waitedMs += LOOK_MS) {
      if (!(await isLive(engine))) return;
      await pause(LOOK_MS);
    }
    this.#log.error('Engine did not stop in time', { pid: engine.pid });
    process.kill(engine.pid, 'SIGKILL');
  }

  async #watch(): Promise<void> {
    while (!this.#stopping) {
      await pause(LOOK_MS);
      if (this.#stopping || (this.#engine !== null && (await isLive(this.#engine)))) continue;
      if (Date.now() - this.#startedAtMs > HEALTHY_MS) this.#backOffMs = 0;
      this.#log.warn('Engine ended', { pid: this.pid, restartInMs: this.#backOffMs });
      await pause(this.#backOffMs);
      this.#backOffMs = Math.min(BACK_OFF_MS_MAX, Math.max(LOOK_MS, this.#backOffMs * 2));
      this.restarts += 1;
      if (!this.#stopping) await this.#spawn();
    }
  }

  async #spawn(): Promise<void> {
    const { clusterDir, node, runDir, logFile } = this.#options;
    mkdirSync(dirname(logFile), { recursive: true });
    const output = openSync(`${logFile}.engine.out`, 'a');
    const entry = new URL('./holdfast.ts', import.meta.url).pathname;
    const args = [
      entry,
      'engine',
      '--cluster-dir',
      clusterDir,
      '--node',
      node,
      '--run-dir',
      runDir,
    ];
    const child = spawn(process.execPath, [...process.execArgv, ...args], {
      stdio: ['ignore', output, output],
      detached: true,
    });
    closeSync(output);
    child.unref();
    const pid = child.pid ?? 0;
    this.#engine = { pid, start: (await processStart(pid)) ?? '' };
    this.#startedAtMs = Date.now();
    writeFileSync(this.#pidFile, JSON.stringify(this.#engine));
  }

  async #findLive(): Promise<EnginePid | null> {
    try {
      const engine = JSON.parse(readFileSync(this.#pidFile, 'utf8')) as EnginePid;
      return (await isLive(engine)) ? engine : null;
    } catch {
      return null;
    }
  }
}

async function isLive({ pid, start }: EnginePid): Promise<boolean> {
  return pid > 1 && (await processStart(pid)) === start;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
