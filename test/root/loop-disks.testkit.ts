/**
 * A disk for each pool: XFS on a loop image. The images lie on an XFS of their own, so that a copy
 * of one is taken at one instant (reflink) while it is written to: what such a copy holds is what a
 * power loss at that instant leaves. Dirty pages of the pool are not in it.
 */
import { mkdir, mkdtemp, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);
const STORE_BYTES = 4 * 1024 ** 3;
const DISK_BYTES = 384 * 1024 ** 2;

export class LoopDisks {
  readonly directory: string;
  readonly #mounted = new Map<string, { readonly device: string; readonly path: string }>();
  #store = '';

  private constructor(directory: string) {
    this.directory = directory;
  }

  static async create(): Promise<LoopDisks> {
    const disks = new LoopDisks(await mkdtemp(join(tmpdir(), 'hf-disks-')));
    const store = join(disks.directory, 'store');
    await writeFile(store, '');
    await truncate(store, STORE_BYTES);
    await mkdir(join(disks.directory, 'images'));
    await run('mkfs.xfs', ['-q', '-m', 'reflink=1', store]);
    disks.#store = await attachLoop(store);
    await run('mount', [disks.#store, join(disks.directory, 'images')]);
    return disks;
  }

  /** Makes an empty disk and mounts it. */
  async create(name: string, path: string, sizeBytes = DISK_BYTES): Promise<void> {
    const image = this.#image(name);
    await writeFile(image, '');
    await truncate(image, sizeBytes);
    // mkfs.ext4 asks every mounted loop device for its file and hangs where one is not served.
    await run('mkfs.xfs', ['-q', image]);
    await this.mount(name, path);
  }

  async mount(name: string, path: string): Promise<void> {
    const device = await attachLoop(this.#image(name));
    // A copy has the same id as the disk that it was.
    await run('mount', ['-o', 'nouuid', device, path]);
    this.#mounted.set(name, { device, path });
  }

  async unmount(name: string): Promise<void> {
    const mounted = this.#mounted.get(name);
    if (!mounted) return;
    await run('umount', [mounted.path]);
    await run('losetup', ['-d', mounted.device]);
    this.#mounted.delete(name);
  }

  /** At one instant, also while the disk is written to. */
  async copy(name: string, copyName: string): Promise<void> {
    await run('cp', ['--reflink=always', this.#image(name), this.#image(copyName)]);
  }

  /** The disk becomes what its copy was: the filesystem replays its journal as after a cut. */
  async putBack(name: string, copyName: string): Promise<void> {
    const path = this.#mounted.get(name)?.path ?? '';
    await this.unmount(name);
    await rename(this.#image(copyName), this.#image(name));
    await this.mount(name, path);
  }

  async destroy(): Promise<void> {
    for (const name of [...this.#mounted.keys()]) await this.unmount(name);
    await run('umount', [join(this.directory, 'images')]);
    await run('losetup', ['-d', this.#store]);
    await rm(this.directory, { recursive: true });
  }

  #image(name: string): string {
    return join(this.directory, 'images', `${name}.img`);
  }
}

async function attachLoop(file: string): Promise<string> {
  const { stdout } = await run('losetup', ['-f', '--show', file]);
  return stdout.trim();
}
