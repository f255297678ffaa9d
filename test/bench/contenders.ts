/**
 * The servers that are compared, each with a volume of the same size below the same directory, with
 * the page cache, over a unix socket. What was started is stopped, also when a start fails.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, truncate, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ContenderName } from './figures.ts';
import { HoldfastCluster } from './holdfast-cluster.ts';

const START_MS = 10_000;

export interface Contender {
  readonly name: ContenderName;
  readonly uri: string;
}

/** Programs that the comparison needs beside fio. */
export const OTHER_PROGRAMS = ['nbdkit', 'qemu-storage-daemon'] as const;

export class Contenders {
  readonly all: Contender[] = [];
  readonly #directory: string;
  readonly #sizeBytes: number;
  readonly #children: ChildProcess[] = [];
  #cluster: HoldfastCluster | null = null;

  constructor(directory: string, sizeBytes: number) {
    this.#directory = directory;
    this.#sizeBytes = sizeBytes;
  }

  async start(): Promise<void> {
    await this.#startNbdkit();
    await this.#startHoldfast();
    await this.#startQuorum('qemu quorum 3xNBD', 'remote', (child) => this.#startChild(child));
    await this.#startQuorum('qemu quorum 3 files', 'files', (child) => this.#fileChild(child));
  }

  async stop(): Promise<void> {
    await this.#cluster?.stop();
    for (const child of this.#children) {
      if (child.exitCode === null && child.signalCode === null) {
        const exited = new Promise((resolve) => child.once('exit', resolve));
        child.kill('SIGTERM');
        await exited;
      }
    }
  }

  async #startNbdkit(): Promise<void> {
    const image = await this.#image('nbdkit');
    const socket = `${this.#directory}/nbdkit.sock`;
    await this.#serve('nbdkit', ['--foreground', '--unix', socket, 'file', image], socket);
    this.all.push({ name: 'nbdkit-file', uri: `nbd+unix:///?socket=${socket}` });
  }

  /** A block driver's options for each of the children that `startChild` makes. */
  async #startQuorum(
    name: ContenderName,
    node: string,
    startChild: (child: string) => Promise<string>,
  ): Promise<void> {
    const socket = `${this.#directory}/${node}.sock`;
    const args: string[] = [];
    for (let child = 0; child < 3; child++) {
      const driver = await startChild(`${node}-${child}`);
      args.push('--blockdev', `node-name=child${child},${driver}`);
    }
    const children = [0, 1, 2].map((child) => `children.${child}=child${child}`).join(',');
    args.push('--blockdev', `driver=quorum,node-name=quorum,vote-threshold=2,${children}`);
    args.push('--nbd-server', `addr.type=unix,addr.path=${socket}`);
    args.push('--export', 'type=nbd,id=quorum,node-name=quorum,name=quorum,writable=on');
    await this.#serve('qemu-storage-daemon', args, socket);
    this.all.push({ name, uri: `nbd+unix:///quorum?socket=${socket}` });
  }

  async #fileChild(child: string): Promise<string> {
    return `driver=file,filename=${await this.#image(child)}`;
  }

  /** A file behind an NBD server of its own. */
  async #startChild(child: string): Promise<string> {
    const image = await this.#image(child);
    const socket = `${this.#directory}/${child}.sock`;
    const args = ['--blockdev', `driver=file,node-name=file,filename=${image}`];
    args.push('--nbd-server', `addr.type=unix,addr.path=${socket}`);
    args.push('--export', 'type=nbd,id=file,node-name=file,name=file,writable=on');
    await this.#serve('qemu-storage-daemon', args, socket);
    return `driver=nbd,server.type=unix,server.path=${socket},export=file`;
  }

  async #startHoldfast(): Promise<void> {
    const path = `${this.#directory}/cluster`;
    await mkdir(path);
    this.#cluster = new HoldfastCluster(path);
    await this.#cluster.start();
    for (const replicas of [1, 3] as const) {
      const uri = await this.#cluster.serve(replicas, this.#sizeBytes);
      this.all.push({ name: `holdfast x${replicas}`, uri });
    }
  }

  async #image(name: string): Promise<string> {
    const path = `${this.#directory}/${name}.img`;
    await writeFile(path, '');
    await truncate(path, this.#sizeBytes);
    return path;
  }

  async #serve(program: string, args: readonly string[], socket: string): Promise<void> {
    const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'inherit'] });
    this.#children.push(child);
    const failures: Error[] = [];
    child.on('error', (error) => failures.push(error));
    for (let waitedMs = 0; !existsSync(socket); waitedMs += 50) {
      for (const failure of failures) throw failure;
      if (child.exitCode !== null || waitedMs > START_MS) {
        throw new Error(`${program} does not serve: ${args.join(' ')}`);
      }
      await sleep(50);
    }
  }
}
