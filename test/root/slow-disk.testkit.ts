/** A mounted disk that becomes slow, or never answers, when it is told to. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';

const SERVER = new URL('./slow-disk-server.testkit.ts', import.meta.url).pathname;
const SIZE_BYTES = 512 * 1024 * 1024;

export class SlowDisk {
  readonly #server: ChildProcess;
  readonly #lines: Interface;
  readonly #directory: string;

  private constructor(directory: string, server: ChildProcess) {
    this.#directory = directory;
    this.#server = server;
    this.#lines = createInterface({ input: server.stdout! });
  }

  static async mount(mountPoint: string, fsType: 'xfs' | 'ext4' = 'xfs'): Promise<SlowDisk> {
    const directory = await mkdtemp(join(tmpdir(), 'hf-slow-'));
    const args = [SERVER, directory, mountPoint, String(SIZE_BYTES), fsType];
    const server = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', ...args], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const disk = new SlowDisk(directory, server);
    await disk.#answer();
    return disk;
  }

  /** From now on every request takes so long; 0 is as fast as memory. */
  async slow(delayMs: number): Promise<void> {
    await this.#tell(`slow ${delayMs}`);
  }

  async hang(): Promise<void> {
    await this.#tell('hang');
  }

  async release(): Promise<void> {
    await this.#tell('release');
  }

  /** Nobody has a file on it any more. */
  async destroy(): Promise<void> {
    const ended = new Promise((resolve) => this.#server.once('exit', resolve));
    this.#server.stdin?.end();
    await ended;
    await rm(this.#directory, { recursive: true, force: true });
  }

  async #tell(line: string): Promise<void> {
    const answered = this.#answer();
    this.#server.stdin?.write(`${line}\n`);
    await answered;
  }

  #answer(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#lines.once('line', () => resolve());
      this.#server.once('exit', () => reject(new Error('the slow disk ended')));
    });
  }
}
