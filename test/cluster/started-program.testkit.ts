/** A program that a test starts, waits for, and ends by its pid. */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';

const LOOK_MS = 50;
const TERM_GRACE_MS = 5_000;
const LOG_LINES = 30;

export class StartedProgram {
  readonly name: string;
  readonly #child: ChildProcess;
  readonly #logPath: string;
  readonly #ended: Promise<void>;

  constructor(name: string, path: string, args: readonly string[], logPath: string) {
    this.name = name;
    this.#logPath = logPath;
    const log = openSync(logPath, 'a');
    const child = spawn(path, args, { stdio: ['ignore', log, log] });
    closeSync(log);
    this.#child = child;
    const { promise, resolve } = Promise.withResolvers<void>();
    child.on('exit', () => resolve());
    child.on('error', () => resolve());
    this.#ended = promise;
  }

  get pid(): number {
    const { pid } = this.#child;
    if (pid === undefined) throw new Error(`${this.name} did not start`);
    return pid;
  }

  /** Polls `isReady`; what it throws counts as not yet. */
  async waitUntil(isReady: () => Promise<boolean>, timeoutMs: number): Promise<void> {
    const untilMs = performance.now() + timeoutMs;
    for (;;) {
      if (await isReady().catch(() => false)) return;
      const { exitCode, signalCode } = this.#child;
      if (exitCode !== null || signalCode !== null) {
        throw new Error(`${this.name} ended with ${exitCode ?? signalCode}:\n${this.lastLines()}`);
      }
      if (performance.now() > untilMs) {
        throw new Error(`${this.name} is not ready after ${timeoutMs} ms:\n${this.lastLines()}`);
      }
      await pause(LOOK_MS);
    }
  }

  lastLines(): string {
    return readFileSync(this.#logPath, 'utf8').trimEnd().split('\n').slice(-LOG_LINES).join('\n');
  }

  /** kube-apiserver ends slowly on SIGTERM; nothing that it holds is worth the wait. */
  async stop(graceMs = TERM_GRACE_MS): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      this.#child.kill(graceMs === 0 ? 'SIGKILL' : 'SIGTERM');
      const timer = setTimeout(() => this.#child.kill('SIGKILL'), graceMs);
      await this.#ended;
      clearTimeout(timer);
    }
  }
}

/** A port of the loopback address that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer();
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  server.on('error', reject);
  server.listen(0, '127.0.0.1', () => {
    const address = server.address();
    server.close(() => resolve(typeof address === 'object' && address ? address.port : 0));
  });
  return promise;
}
