/**
 * Mounts, holders and loop devices (docs/design/0008-fuse.md). Programs are mount(8), losetup(8),
 * setsid(1) and umount(8), run without a shell and without waiting in a synchronous call: the files
 * that they look at are served by this very process.
 */
import { spawn, type StdioOptions } from 'node:child_process';
import { closeSync, constants, openSync } from 'node:fs';
import { access, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import koffi from 'koffi';
import { HoldfastError } from '#api/mod.ts';
import type { Exec, ExecResult } from '../mod.ts';
import type { FuseChannel, FuseMountState, FuseMounts } from '../fuse.ts';
import { NodeFuseChannel } from './fuse-channel.ts';
import { type Mount, readMountTable } from './mount-table.ts';

/** Room for a 1 MiB WRITE and its headers. */
const RECEIVE_BYTES = 1024 * 1024 + 4096;
const HOLDER_FD = 3;
const PROGRAM_TIMEOUT_MS = 20_000;
/** Prints its own pid, then becomes a sleeper that only keeps descriptor 3. */
const HOLDER_SCRIPT = 'echo $$; exec sleep 2147483647 >/dev/null 2>&1';
/** In the environment of a holder: what it holds, for those who find no state. */
const HOLDER_IMAGE = 'HOLDFAST_IMAGE';
/** A session is mounted on one that an engine did not know of: two, rarely. */
const MOUNTS_ON_IMAGE_MAX = 16;
const FUSECTL = '/sys/fs/fuse/connections';

const SYS_pidfd_open = 434;
const SYS_pidfd_getfd = 438;

export class NodeFuseMounts implements FuseMounts {
  readonly #exec: Exec;
  /** Programs that were there once: every node is asked for what it misses every few seconds. */
  readonly #found = new Set<string>();

  constructor(exec: Exec) {
    this.#exec = exec;
  }

  async missing(): Promise<string[]> {
    const missing: string[] = [];
    if (process.getuid?.() !== 0) missing.push('root: run as root, or use the NBD address instead');
    for (const [path, remedy] of [
      ['/dev/fuse', 'load the fuse module, or run the container with the device'],
      ['/dev/loop-control', 'load the loop module, or run the container with the device'],
    ] as const) {
      if (!(await exists(path))) missing.push(`${path}: ${remedy}`);
    }
    for (const [program, remedy] of [
      ['mount', 'install the package mount'],
      ['losetup', 'install the package mount'],
      ['setsid', 'install the package util-linux'],
    ] as const) {
      if (!(await this.#has(program))) missing.push(`${program}: ${remedy}`);
    }
    return missing;
  }

  async mount(imageFile: string): Promise<{ channel: FuseChannel; state: FuseMountState }> {
    await mkdir(dirname(imageFile), { recursive: true });
    if (!(await exists(imageFile))) await writeFile(imageFile, '');
    const fd = openSync('/dev/fuse', constants.O_RDWR | constants.O_NONBLOCK);
    let holderPid = 0;
    try {
      await mountWith(fd, imageFile);
      holderPid = await startHolder(fd, imageFile);
      const state: FuseMountState = {
        imageFile,
        holderPid,
        holderStart: (await processStart(holderPid)) ?? '',
        holderFd: HOLDER_FD,
        connection: await connectionOf(imageFile),
      };
      return { channel: new NodeFuseChannel(fd, RECEIVE_BYTES), state };
    } catch (error) {
      if (holderPid > 0) killIfAlive(holderPid);
      closeSync(fd);
      await this.#run(['umount', '-l', imageFile]);
      throw error;
    }
  }

  async takeOver(state: FuseMountState): Promise<FuseChannel> {
    if ((await processStart(state.holderPid)) !== state.holderStart) {
      throw new HoldfastError('not-found', 'FUSE holder is gone', {
        details: { pid: state.holderPid, imageFile: state.imageFile },
      });
    }
    return new NodeFuseChannel(takeDescriptor(state.holderPid, state.holderFd), RECEIVE_BYTES);
  }

  async attachLoop(imageFile: string): Promise<string> {
    const argv = ['losetup', '--direct-io=on', '-f', '--show', imageFile];
    const device = (await this.#demand(argv)).stdout.trim();
    // A number keeps what somebody who had it before told it (BLKROSET).
    if (await isReadOnly(device)) await this.#demand(['blockdev', '--setrw', device]);
    return device;
  }

  /** From sysfs: no program is run, and no file is asked that a session may not serve. */
  async findLoops(imageFile: string): Promise<string[]> {
    const names = (await readdir('/sys/block')).filter((name) => name.startsWith('loop'));
    const found = await Promise.all(
      names.map(async (name) => {
        const path = `/sys/block/${name}/loop/backing_file`;
        const file = await readFile(path, 'utf8').catch(() => '');
        return file.trimEnd() === imageFile;
      }),
    );
    return names.filter((_, at) => found[at]).map((name) => `/dev/${name}`);
  }

  async resizeLoop(device: string): Promise<void> {
    await this.#demand(['losetup', '-c', device]);
  }

  async detachLoop(device: string): Promise<void> {
    await this.#run(['losetup', '-d', device]);
  }

  async findMountPoints(device: string): Promise<string[]> {
    const mounts = await readMountTable();
    return mounts.filter(({ source }) => source === device).map(({ mountPoint }) => mountPoint);
  }

  async unmount(state: FuseMountState): Promise<void> {
    const result = await this.#run(['umount', state.imageFile], 3_000);
    if (result === null || result.exitCode !== 0) await this.#abort(state);
    if ((await processStart(state.holderPid)) === state.holderStart) killIfAlive(state.holderPid);
  }

  async clearUnknown(imageFile: string): Promise<void> {
    const loops = await this.findLoops(imageFile);
    if (loops.length === 0 && (await mountOn(imageFile)) === undefined) return;
    for (let count = 0; count < MOUNTS_ON_IMAGE_MAX; count++) {
      if ((await mountOn(imageFile)) === undefined) break;
      await this.#abort({ imageFile, connection: await connectionOf(imageFile) });
    }
    for (const device of loops) await this.detachLoop(device);
    for (const pid of await holdersOf(imageFile)) killIfAlive(pid);
  }

  /** The end that never waits for a server: abort the connection, then unmount lazily. */
  async #abort(session: Pick<FuseMountState, 'imageFile' | 'connection'>): Promise<void> {
    const { imageFile, connection } = session;
    if ((await mountOn(imageFile)) === undefined) return;
    if (!(await exists(`${FUSECTL}/${connection}`))) {
      await this.#run(['mount', '-t', 'fusectl', 'fusectl', FUSECTL]);
    }
    await writeFile(`${FUSECTL}/${connection}/abort`, '1').catch(() => undefined);
    await this.#run(['umount', '-l', imageFile]);
  }

  async #has(program: string): Promise<boolean> {
    if (this.#found.has(program)) return true;
    const found = await Promise.all(
      ['/usr/sbin', '/usr/bin', '/sbin', '/bin'].map((folder) => exists(`${folder}/${program}`)),
    );
    if (found.includes(true)) this.#found.add(program);
    return this.#found.has(program);
  }

  /** Null when it could not run or ran out of time. */
  async #run(argv: readonly string[], timeoutMs = PROGRAM_TIMEOUT_MS): Promise<ExecResult | null> {
    return this.#exec.run(argv, { timeoutMs }).catch(() => null);
  }

  async #demand(argv: readonly string[]): Promise<ExecResult> {
    const result = await this.#exec.run(argv, { timeoutMs: PROGRAM_TIMEOUT_MS });
    if (result.exitCode === 0) return result;
    throw new HoldfastError('io-error', 'Program failed', {
      details: { program: argv.join(' '), exitCode: result.exitCode, stderr: result.stderr.trim() },
    });
  }
}

/** mount(8) inherits the descriptor as 3; `-i` keeps it from looking for a helper. */
function mountWith(fd: number, imageFile: string): Promise<void> {
  const options = 'fd=3,rootmode=100000,user_id=0,group_id=0,allow_other';
  const argv = ['-i', '-t', 'fuse', '-o', options, 'holdfast', imageFile];
  return new Promise((resolve, reject) => {
    const child = spawn('mount', argv, { stdio: ['ignore', 'ignore', 'pipe', fd] });
    let stderr = '';
    child.stderr?.on('data', (bytes) => (stderr += String(bytes)));
    child.on('error', reject);
    child.on('close', (exitCode) => {
      if (exitCode === 0) return resolve();
      const details = { imageFile, exitCode: exitCode ?? -1, stderr: stderr.trim() };
      reject(new HoldfastError('io-error', 'FUSE mount failed', { details }));
    });
  });
}

/** setsid --fork leaves the holder to init: it is a child of neither engine nor node. */
function startHolder(fd: number, imageFile: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const argv = ['--fork', 'sh', '-c', HOLDER_SCRIPT];
    const env = { PATH: process.env['PATH'], [HOLDER_IMAGE]: imageFile };
    const stdio: StdioOptions = ['ignore', 'pipe', 'ignore', fd];
    const child = spawn('setsid', argv, { stdio, env, cwd: '/' });
    let stdout = '';
    child.stdout?.on('data', (bytes) => (stdout += String(bytes)));
    child.on('error', reject);
    child.on('close', () => {
      const pid = Number(stdout.trim());
      if (Number.isInteger(pid) && pid > 1) resolve(pid);
      else reject(new HoldfastError('io-error', 'FUSE holder did not start'));
    });
  });
}

type NativeFunction = ReturnType<ReturnType<typeof koffi.load>['func']>;
let syscall: NativeFunction | null = null;
/** Node's own complains in a thread about descriptors that it did not open. */
let closeDescriptor: NativeFunction | null = null;

function takeDescriptor(pid: number, fd: number): number {
  syscall ??= koffi.load(null).func('long syscall(long number, long a, long b, long c)');
  closeDescriptor ??= koffi.load(null).func('int close(int fd)');
  const pidfd = Number(syscall(SYS_pidfd_open, pid, 0, 0));
  if (pidfd < 0) throw new HoldfastError('not-found', 'FUSE holder is gone', { details: { pid } });
  try {
    const taken = Number(syscall(SYS_pidfd_getfd, pidfd, fd, 0));
    if (taken >= 0) return taken;
    throw new HoldfastError('permission-denied', 'FUSE descriptor cannot be taken', {
      details: { pid, errno: koffi.errno() },
    });
  } finally {
    closeDescriptor(pidfd);
  }
}

/** Start time of a live process in ticks since boot; undefined when it is gone or a zombie. */
export async function processStart(pid: number): Promise<string | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return text === '' || fields[0] === 'Z' ? undefined : fields[19];
}

function killIfAlive(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It ended between the look and the kill.
  }
}

/** Holders that say so themselves; processes that end meanwhile are passed over. */
async function holdersOf(imageFile: string): Promise<number[]> {
  const pids = (await readdir('/proc')).map(Number).filter((pid) => pid > 1);
  const wanted = `${HOLDER_IMAGE}=${imageFile}`;
  const found = await Promise.all(
    pids.map(async (pid) => {
      const environment = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '');
      return environment.split('\0').includes(wanted);
    }),
  );
  return pids.filter((_, at) => found[at]);
}

async function mountOn(imageFile: string): Promise<Mount | undefined> {
  return (await readMountTable()).findLast(({ mountPoint }) => mountPoint === imageFile);
}

/** The connection's number is the minor number of the mount's device. */
async function connectionOf(imageFile: string): Promise<number> {
  const device = (await mountOn(imageFile))?.device ?? '';
  return Number(device.split(':')[1] ?? -1);
}

async function isReadOnly(device: string): Promise<boolean> {
  const file = `/sys/block/${basename(device)}/ro`;
  return (await readFile(file, 'utf8').catch(() => '')).trim() === '1';
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () =>
      stat(path).then(
        () => true,
        () => false,
      ),
  );
}
