/**
 * One supervised process of `up`: started again with back-off when it ends by itself, told apart
 * from strangers by pid and start time, never by name.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { processStart } from '#host/node/mod.ts';

export interface RoleProcessOptions {
  readonly name: string;
  readonly args: readonly string[];
  readonly outputFile: string;
  readonly pidFile: string;
  readonly onLine: (text: string) => void;
}

const BACK_OFF_FIRST_MS = 100;
const BACK_OFF_MAX_MS = 5_000;
const HEALTHY_MS = 10_000;

export class RoleProcess {
  readonly name: string;
  readonly #options: RoleProcessOptions;
  #child: ChildProcess | null = null;
  #startedAtMs = 0;
  #backOffMs = 0;
  #stopping = false;
  #fastFailures = 0;
  #exited: (() => void)[] = [];

  constructor(options: RoleProcessOptions) {
    this.#options = options;
    this.name = options.name;
  }

  /** How often it ended within seconds of its start, in a row. */
  get fastFailures(): number {
    return this.#fastFailures;
  }

  async start(): Promise<void> {
    const { args, outputFile, pidFile, name } = this.#options;
    const output = openSync(outputFile, 'a');
    const entry = new URL('./holdfast.ts', import.meta.url).pathname;
    const child = spawn(process.execPath, [...process.execArgv, entry, ...args], {
      // The pipe at its standard input tells it that we live.
      stdio: ['pipe', output, output],
      // A group of its own: Ctrl-C in a terminal reaches us alone, and we stop things in order.
      detached: true,
      env: { ...process.env, HOLDFAST_PARENT_WATCH: '1' },
    });
    closeSync(output);
    this.#child = child;
    this.#startedAtMs = Date.now();
    child.on('error', (error) => this.#options.onLine(`${name} did not start: ${error.message}`));
    child.on('exit', (code, signal) => this.#onExit(code, signal));
    if (child.pid !== undefined) {
      const start = await processStart(child.pid);
      writeFileSync(pidFile, JSON.stringify({ pid: child.pid, start: start ?? '' }));
    }
  }

  /** SIGTERM, then SIGKILL after `timeoutMs`. */
  async stop(timeoutMs: number): Promise<void> {
    this.#stopping = true;
    const child = this.#child;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const exited = new Promise<void>((resolve) => this.#exited.push(resolve));
    child.kill('SIGTERM');
    const timer = setTimeout(() => {
      this.#options.onLine(`${this.name} did not stop in ${timeoutMs / 1000} s: killed`);
      child.kill('SIGKILL');
    }, timeoutMs);
    await exited;
    clearTimeout(timer);
  }

  kill(): void {
    this.#stopping = true;
    this.#child?.kill('SIGKILL');
  }

  /** The end of what it wrote, for a person. */
  lastOutput(): string {
    try {
      return readFileSync(this.#options.outputFile, 'utf8')
        .trimEnd()
        .split('\n')
        .slice(-12)
        .join('\n');
    } catch {
      return '';
    }
  }

  #onExit(code: number | null, signal: NodeJS.Signals | null): void {
    rmSync(this.#options.pidFile, { force: true });
    for (const tell of this.#exited.splice(0)) tell();
    if (this.#stopping) return;
    const isHealthy = Date.now() - this.#startedAtMs > HEALTHY_MS;
    this.#fastFailures = isHealthy ? 0 : this.#fastFailures + 1;
    this.#backOffMs = isHealthy
      ? BACK_OFF_FIRST_MS
      : Math.min(BACK_OFF_MAX_MS, Math.max(BACK_OFF_FIRST_MS, this.#backOffMs * 2));
    const why = signal ?? `exit code ${code ?? 'unknown'}`;
    this.#options.onLine(`${this.name} ended (${why}), started again in ${this.#backOffMs} ms`);
    setTimeout(() => {
      if (!this.#stopping) void this.start();
    }, this.#backOffMs);
  }
}
