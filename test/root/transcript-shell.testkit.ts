/**
 * A bash in a directory of its own that looks like a checkout, which types the commands of
 * transcripts one after another, and hands back what a terminal would show.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run, waitFor } from './real-cluster.testkit.ts';

const TREE = new URL('../../', import.meta.url).pathname;
/** What `npm start` and `bin/holdfast` need of a checkout. */
const LINKED = ['bin', 'package.json', 'scripts', 'src'];
const COMMAND_MS_MAX = 150_000;
const END_MS_MAX = 60_000;
const LEFT_MS_MAX = 15_000;
/** Where documents say that it ran. */
const SHOWN_DIRECTORY = '/srv/holdfast';

export class TranscriptShell {
  readonly directory: string;
  readonly #bash: ChildProcess;
  readonly #terminals: ChildProcess[] = [];
  #output = '';

  constructor() {
    // Short, because sockets in it have names of 107 bytes at most.
    const parent = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
    this.directory = mkdtempSync(join(parent, 'hf-doc-'));
    for (const name of LINKED) symlinkSync(join(TREE, name), join(this.directory, name));
    mkdirSync(join(this.directory, 'tmp'));
    this.#bash = this.#spawn('exec 2>&1; exec bash --norc --noprofile');
    this.#bash.stdout?.on('data', (text: Buffer) => void (this.#output += text.toString()));
  }

  addFile(name: string, text: string): void {
    writeFileSync(join(this.directory, name), this.#meant(text));
  }

  /** The lines that it printed; the last one says the exit code where that is not 0. */
  async type(command: string): Promise<string[]> {
    const mark = `--end of command ${Math.random()}--`;
    const quoted = this.#meant(command).replaceAll("'", String.raw`'\''`);
    this.#output = '';
    this.#bash.stdin?.write(`eval '${quoted}' </dev/null; printf '%s %s\\n' '${mark}' $?\n`);
    await waitFor(`the end of: ${command}`, COMMAND_MS_MAX, () => {
      if (this.#bash.exitCode !== null) throw new Error(`bash ended: ${this.#output}`);
      return hasLineWith(this.#output, mark);
    });
    const at = this.#output.indexOf(mark);
    const code = Number(this.#output.slice(at + mark.length));
    const lines = this.#shown(this.#output.slice(0, at));
    return code === 0 ? lines : [...lines, `(exit code ${code})`];
  }

  /** In a terminal of its own, where it stays until the end; what it printed up to a line. */
  async keepTyped(command: string, until: string): Promise<string[]> {
    const terminal = this.#spawn(`exec 2>&1; exec ${this.#meant(command)}`);
    this.#terminals.push(terminal);
    let output = '';
    terminal.stdout?.on('data', (text: Buffer) => void (output += text.toString()));
    await waitFor(`"${until}" of: ${command}`, COMMAND_MS_MAX, () => {
      if (terminal.exitCode !== null) throw new Error(`It ended: ${command}\n${output}`);
      return hasLineWith(output, until);
    });
    const shown = this.#shown(output);
    return shown.slice(0, shown.findIndex((line) => line.includes(until)) + 1);
  }

  /** Stops what runs in terminals, and the cluster. Says what was left behind, and removes it. */
  async close(): Promise<void> {
    const wrong: string[] = [];
    const note = (error: unknown): void => void wrong.push(String(error));
    for (const terminal of this.#terminals) await interrupt(terminal).catch(note);
    this.#bash.stdin?.end();
    const cluster = join(this.directory, '.holdfast');
    if (existsSync(cluster)) {
      await run(join(TREE, 'bin/holdfast'), ['down', cluster], END_MS_MAX).catch(note);
    }
    const isEmpty = (): boolean =>
      mountsIn(this.directory).length + processesIn(this.directory).length === 0;
    await waitFor('the end of all processes and mounts', LEFT_MS_MAX, isEmpty).catch(note);
    for (const pid of processesIn(this.directory)) {
      wrong.push(`Process ${pid} was left`);
      await run('kill', ['-KILL', String(pid)], END_MS_MAX).catch(note);
    }
    for (const point of mountsIn(this.directory).toReversed()) {
      wrong.push(`${point} was left mounted`);
      await run('umount', ['-l', point], END_MS_MAX).catch(note);
    }
    await rm(this.directory, { recursive: true, force: true });
    if (wrong.length > 0) throw new Error(wrong.join('\n'));
  }

  #spawn(script: string): ChildProcess {
    const TMPDIR = join(this.directory, 'tmp');
    const env: NodeJS.ProcessEnv = { ...process.env, LC_ALL: 'C.UTF-8', NO_COLOR: '1', TMPDIR };
    // Else npm says first what it starts, and how depends on its version.
    env['npm_config_loglevel'] = 'silent';
    // The last is of the test runner: programs that a test starts would report to it.
    for (const name of ['HOLDFAST_CLUSTER', 'NODE_TEST_CONTEXT']) delete env[name];
    return spawn('bash', ['-c', script], {
      cwd: this.directory,
      env,
      stdio: ['pipe', 'pipe', 'inherit'],
      detached: true,
    });
  }

  #meant(text: string): string {
    return text.replaceAll(SHOWN_DIRECTORY, this.directory);
  }

  #shown(output: string): string[] {
    const text = output
      .replaceAll(join(this.directory, 'tmp'), '/tmp')
      .replaceAll(this.directory, SHOWN_DIRECTORY)
      .replace(/\n+$/, '');
    return text === '' ? [] : text.split('\n').map((line) => line.trimEnd());
  }
}

/** To the program alone: it hands the signal on, and a third one would end it without order. */
async function interrupt(terminal: ChildProcess): Promise<void> {
  terminal.kill('SIGINT');
  const hasEnded = (): boolean => terminal.exitCode !== null || terminal.signalCode !== null;
  await waitFor('the end of what was stopped', END_MS_MAX, hasEnded);
}

/** Which were started with a path below the directory. */
function processesIn(directory: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && commandLineOf(name).includes(`${directory}/`))
    .map(Number);
}

function commandLineOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return '';
  }
}

function hasLineWith(output: string, text: string): boolean {
  const at = output.indexOf(text);
  return at !== -1 && output.includes('\n', at);
}

function mountsIn(directory: string): string[] {
  const lines = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  return lines
    .map((line) => line.split(' ')[4] ?? '')
    .filter((point) => point.startsWith(`${directory}/`));
}
