/** Runs a script of kubectl commands against one API server. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type ApiAddress, callApi } from './api-call.testkit.ts';
import type { KubectlCommand } from './kubectl-script.testkit.ts';
import { kubeconfigOf } from './real-apiserver.testkit.ts';

export interface KubectlResult {
  /** Null of a watch, which we stop. */
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

const COMMAND_MS = 60_000;
const WATCH_MS = 20_000;
const GONE_MS = 20_000;
const UID_TRIES = 3;

interface Running {
  readonly child: ChildProcess;
  readonly output: { out: string; err: string };
  readonly ended: Promise<number | null>;
}

export class KubectlRunner {
  readonly #kubectl: string;
  readonly #server: ApiAddress;
  readonly #namespace: string;
  readonly #environment: NodeJS.ProcessEnv;
  #watch: { readonly title: string; readonly running: Running } | undefined;

  /**
   * `home` is a folder of this runner: kubectl caches there what it discovered. kubectl talks to
   * `address`, a proxy perhaps; our own questions go to the server.
   */
  constructor(
    kubectl: string,
    server: ApiAddress,
    home: string,
    address: ApiAddress = server,
    namespace = 'team-a',
  ) {
    this.#kubectl = kubectl;
    this.#server = server;
    this.#namespace = namespace;
    mkdirSync(home, { recursive: true });
    const kubeconfig = join(home, 'kubeconfig');
    writeFileSync(kubeconfig, kubeconfigOf(address, namespace), { mode: 0o600 });
    this.#environment = { PATH: '/usr/bin:/bin', HOME: home, KUBECONFIG: kubeconfig, LANG: 'C' };
  }

  /**
   * Results by title. `after` is called when a command ended and no watch runs any more: what it
   * takes then, the exchanges of a proxy say, belongs to the commands since its last call.
   */
  async runAll(
    commands: readonly KubectlCommand[],
    after: (titles: readonly string[]) => Promise<void> = async () => {},
  ): Promise<Map<string, KubectlResult>> {
    const results = new Map<string, KubectlResult>();
    let titles: string[] = [];
    for (const command of commands) {
      const { title, begunAfterLines, endsWatchAfterLines, goneFirst } = command;
      titles.push(title);
      if (goneFirst !== undefined) await this.#awaitGone(goneFirst);
      if (begunAfterLines === undefined) {
        results.set(title, await this.run(command));
      } else {
        this.#watch = { title, running: this.#spawn(command, command.input) };
        await awaitLines(this.#watch.running, begunAfterLines);
      }
      if (endsWatchAfterLines !== undefined && this.#watch !== undefined) {
        results.set(this.#watch.title, await endWatch(this.#watch.running, endsWatchAfterLines));
        this.#watch = undefined;
      }
      if (this.#watch !== undefined) continue;
      await after(titles);
      titles = [];
    }
    return results;
  }

  async run(command: KubectlCommand): Promise<KubectlResult> {
    const running = this.#spawn(command, await this.#withUids(command.input));
    const timer = setTimeout(() => running.child.kill('SIGKILL'), COMMAND_MS);
    const exitCode = await running.ended;
    clearTimeout(timer);
    return { exitCode, stdout: running.output.out, stderr: running.output.err };
  }

  async #awaitGone(path: string): Promise<void> {
    const untilMs = performance.now() + GONE_MS;
    while ((await callApi(this.#server, { path })).status !== 404) {
      if (performance.now() > untilMs) throw new Error(`${path} is still there`);
      await new Promise((done) => setTimeout(done, 20));
    }
  }

  async #withUids(input: string): Promise<string> {
    const match = /UID\(([a-z]+)\/([\w-]+)\)/.exec(input);
    if (match === null) return input;
    const path = `/api/v1/namespaces/${this.#namespace}/${match[1]}s/${match[2]}`;
    let text = '';
    // A busy machine has let the real server answer 504 once.
    for (let attempt = 0; attempt < UID_TRIES; attempt += 1) {
      ({ text } = await callApi(this.#server, { path }));
      const object = JSON.parse(text) as { readonly metadata?: { readonly uid?: string } };
      const uid = object.metadata?.uid;
      if (uid !== undefined) return input.replaceAll(/UID\([^)]*\)/g, uid);
    }
    throw new Error(`${path} has no uid: ${text}`);
  }

  #spawn({ args }: KubectlCommand, input: string): Running {
    const child = spawn(this.#kubectl, args, { env: this.#environment, stdio: 'pipe' });
    const output = { out: '', err: '' };
    child.stdout.on('data', (chunk: Buffer) => void (output.out += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => void (output.err += chunk.toString()));
    // A command that refuses its arguments never reads.
    child.stdin.on('error', () => {});
    child.stdin.end(input);
    const { promise, resolve, reject } = Promise.withResolvers<number | null>();
    child.on('error', reject);
    child.on('close', resolve);
    return { child, output, ended: promise };
  }
}

function lineCount({ output }: Running): number {
  return output.out.split('\n').length - 1;
}

async function awaitLines(running: Running, count: number): Promise<void> {
  const untilMs = performance.now() + WATCH_MS;
  while (lineCount(running) < count && performance.now() < untilMs) {
    if (running.child.exitCode !== null) return;
    await new Promise((done) => setTimeout(done, 10));
  }
}

async function endWatch(running: Running, lines: number): Promise<KubectlResult> {
  await awaitLines(running, lines);
  running.child.kill('SIGINT');
  const timer = setTimeout(() => running.child.kill('SIGKILL'), 2_000);
  await running.ended;
  clearTimeout(timer);
  return { exitCode: null, stdout: running.output.out, stderr: running.output.err };
}
