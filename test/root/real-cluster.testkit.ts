/**
 * A cluster of three nodes as a user starts it (`holdfast up`), in a scratch directory on tmpfs
 * where there is one, with claims that are mounted or served over NBD, and processes to kill.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';

const exec = promisify(execFile);

const ENTRY = new URL('../../src/cmd/holdfast.ts', import.meta.url).pathname;
const FLAGS = ['--disable-warning=ExperimentalWarning'];
const START_MS = 120_000;
const COMMAND_MS = 120_000;
const LOOK_MS = 50;

/** Why tests with real devices cannot run here; false when they can. */
export function whyNotHere(programs: readonly string[]): string | false {
  if (process.getuid?.() !== 0) return 'needs root';
  const devices = ['/dev/fuse', '/dev/loop-control'].filter((name) => !existsSync(name));
  const folders = ['/usr/bin', '/usr/sbin', '/bin', '/sbin'];
  const missing = programs.filter(
    (name) => !folders.some((folder) => existsSync(`${folder}/${name}`)),
  );
  const all = [...devices, ...missing];
  return all.length === 0 ? false : `not here: ${all.join(', ')}`;
}

export class RealCluster {
  readonly directory: string;
  #up: ChildProcess | null = null;
  #output = '';

  private constructor(directory: string) {
    this.directory = directory;
  }

  static async start(name: string, nodes = 3): Promise<RealCluster> {
    const parent = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
    const cluster = new RealCluster(await mkdtemp(path.join(parent, `hf-${name}-`)));
    try {
      await cluster.#start(nodes);
      return cluster;
    } catch (error) {
      await cluster.stop();
      throw error;
    }
  }

  async #start(nodes: number): Promise<void> {
    const args = [...FLAGS, ENTRY, 'up', this.directory, '--nodes', String(nodes)];
    // A group of its own: Ctrl-C reaches the test alone, which stops the cluster in order.
    const up = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'], detached: true });
    this.#up = up;
    const onText = (text: Buffer): void => void (this.#output += text.toString());
    up.stdout.on('data', onText);
    up.stderr.on('data', onText);
    await waitFor('the cluster', START_MS, () => {
      if (up.exitCode !== null) throw new Error(`The cluster ended: ${this.#output}`);
      return this.#output.includes('cluster runs');
    });
  }

  holdfast(...args: readonly string[]): Promise<string> {
    const argv = [...FLAGS, ENTRY, '--cluster', this.directory, ...args];
    return run(process.execPath, argv, COMMAND_MS);
  }

  /** A claim of three replicas. */
  async claim(name: string, size: string, fsType: 'ext4' | 'xfs' = 'ext4'): Promise<void> {
    const manifest = path.join(this.directory, 'manifests', `${name}.yaml`);
    const text = `
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: { name: three-${fsType} }
provisioner: csi.holdfast.dev
parameters: { replicas: "3", csi.storage.k8s.io/fstype: ${fsType} }
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: { name: ${name} }
spec:
  storageClassName: three-${fsType}
  accessModes: [ReadWriteOnce]
  resources: { requests: { storage: ${size} } }
`;
    await writeFile(manifest, text);
    await this.holdfast('apply', '-f', manifest);
  }

  /** Resolves to where it is mounted. */
  async mount(name: string): Promise<string> {
    await this.holdfast('mount', name);
    return path.join(this.directory, 'mnt', name);
  }

  /** Resolves to the NBD address. */
  async attach(name: string): Promise<string> {
    const url = (await this.holdfast('volume', 'attach', name)).trim();
    if (!url.startsWith('nbd+unix:')) throw new Error(`The claim is not served: ${url}`);
    return url;
  }

  async volumes(): Promise<readonly RunningVolume[]> {
    const list = JSON.parse(await this.holdfast('get', 'volumes', '-o', 'json')) as
      | { readonly items: readonly RunningVolume[] }
      | RunningVolume;
    return 'items' in list ? list.items : [list];
  }

  /** Name of the node whose engine serves the claim. */
  async servingNode(claim: string): Promise<string> {
    const volume = (await this.volumes()).find(({ spec }) => spec.claimRef?.name === claim);
    const node = volume?.status?.attachment?.nodeName;
    if (node === undefined) throw new Error(`${claim} is attached nowhere`);
    return node;
  }

  /** Every replica is there and current. */
  async isWhole(claim: string): Promise<boolean> {
    const volume = (await this.volumes()).find(({ spec }) => spec.claimRef?.name === claim);
    const members = volume?.status?.members ?? [];
    return members.length === 3 && members.every(({ phase }) => phase === 'in-sync');
  }

  poolOf(node: string): string {
    return path.join(this.directory, 'nodes', node, 'pool');
  }

  /** Kills with SIGKILL and resolves to when that was; what is dead is nobody's fault. */
  kill(node: string, role: 'engine' | 'node' | 'both'): number {
    const files = { engine: `${node}.engine.pid`, node: `${node}.pid` };
    // The node first, else it would start another engine before it dies.
    const names = role === 'both' ? [files.node, files.engine] : [files[role]];
    const pids = names.map((name) => this.#pid(name));
    const atMs = Date.now();
    for (const pid of pids) process.kill(pid, 'SIGKILL');
    return atMs;
  }

  #pid(name: string): number {
    const text = readFileSync(path.join(this.directory, 'run', name), 'utf8');
    const { pid } = JSON.parse(text) as { readonly pid: number };
    if (!(pid > 1)) throw new Error(`${name} names no process`);
    return pid;
  }

  /** In order: volumes are unmounted and detached. Says what was left behind. */
  async stop(): Promise<void> {
    const up = this.#up;
    if (up !== null && up.exitCode === null && up.signalCode === null) {
      const exited = new Promise((resolve) => up.once('exit', resolve));
      up.kill('SIGTERM');
      await exited;
    }
    const left = mountsIn(this.directory);
    for (const mountPoint of left.toReversed()) {
      await run('umount', ['-l', mountPoint], 20_000).catch(() => undefined);
    }
    await rm(this.directory, { recursive: true, force: true });
    if (left.length > 0) throw new Error(`Mounts were left: ${left.join(' ')}\n${this.#output}`);
  }
}

interface RunningVolume {
  readonly metadata: { readonly name: string };
  readonly spec: { readonly claimRef?: { readonly name: string } };
  readonly status?: {
    readonly attachment?: { readonly nodeName?: string };
    readonly members?: readonly { readonly phase?: string }[];
  };
}

function mountsIn(directory: string): string[] {
  const lines = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  return lines
    .map((line) => line.split(' ')[4] ?? '')
    .filter((point) => point.startsWith(`${directory}/`));
}

export async function run(
  program: string,
  args: readonly string[],
  timeoutMs: number,
): Promise<string> {
  try {
    const { stdout } = await exec(program, args, { timeout: timeoutMs, maxBuffer: 64 << 20 });
    return stdout;
  } catch (error) {
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string };
    const said = `${stdout}\n${stderr}`.slice(-4000);
    throw new Error(`${program} ${args.join(' ')} failed:\n${said}`, { cause: error });
  }
}

export async function waitFor(
  what: string,
  timeoutMs: number,
  look: () => boolean | Promise<boolean>,
): Promise<void> {
  const endMs = performance.now() + timeoutMs;
  while (!(await look())) {
    if (performance.now() > endMs) throw new Error(`Waited too long for ${what}`);
    await pause(LOOK_MS);
  }
}
