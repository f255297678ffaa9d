/**
 * Shows a staged filesystem, or a block device, at the paths of the pods that use it: bind mounts.
 * It remembers nothing: the kernel's mount table is what is published.
 */
import { hasCode, HoldfastError } from '#api/mod.ts';
import type { Disk, Exec } from '#host/mod.ts';
import type { MountEntry } from './mount-table.ts';
import { readMounts } from './mount-table.ts';

const TIMEOUT_MS = 60_000;

export type PublishSource =
  | { readonly kind: 'directory'; readonly path: string }
  | { readonly kind: 'device'; readonly path: string };

export class PublishedVolumes {
  readonly #disk: Disk;
  readonly #exec: Exec;

  constructor(disk: Disk, exec: Exec) {
    this.#disk = disk;
    this.#exec = exec;
  }

  /** Idempotent. `in-use` when something else is mounted at the target. */
  async publish(source: PublishSource, target: string, readOnly: boolean): Promise<void> {
    const table = await readMounts(this.#exec);
    const present = table.findLast((entry) => entry.path === target);
    if (present !== undefined) {
      if (isShownBy(table, source, present)) return;
      throw new HoldfastError('in-use', 'Something else is mounted there', {
        details: { path: target, device: present.device, remedy: 'Unmount it first' },
      });
    }
    if (source.kind === 'device') await this.#ensureFile(target);
    else await this.#ensureDirectory(target);
    await this.#demand(['mount', '--bind', source.path, target]);
    if (!readOnly) return;
    try {
      await this.#demand(['mount', '-o', 'remount,bind,ro', target]);
    } catch (error) {
      await this.#exec.run(['umount', target], { timeoutMs: TIMEOUT_MS });
      throw error;
    }
  }

  /**
   * Whether the kernel lets anybody write to the device: a read-only bind mount says nothing of the
   * device behind it. A loop device keeps it for the volume that gets it next.
   */
  setAccess(device: string, access: 'ro' | 'rw'): Promise<void> {
    return this.#demand(['blockdev', `--set${access}`, device]);
  }

  /** Idempotent: neither mounted nor there afterwards. */
  async unpublish(target: string): Promise<void> {
    for (;;) {
      const table = await readMounts(this.#exec);
      if (!table.some((entry) => entry.path === target)) break;
      const result = await this.#exec.run(['umount', target], { timeoutMs: TIMEOUT_MS });
      if (result.exitCode === 0) continue;
      throw new HoldfastError('in-use', 'Volume cannot be unmounted', {
        details: {
          path: target,
          stderr: result.stderr.trim(),
          remedy: 'End the programs that use it',
        },
      });
    }
    await this.#disk.remove(target);
  }

  /** Where the source is shown, apart from itself. */
  async targetsOf(source: PublishSource): Promise<string[]> {
    const table = await readMounts(this.#exec);
    return table
      .filter((entry) => entry.path !== source.path && isShownBy(table, source, entry))
      .map((entry) => entry.path);
  }

  /** The device shown at a path, of a filesystem or as itself; undefined when nothing is. */
  async deviceAt(path: string): Promise<string | undefined> {
    const found = (await readMounts(this.#exec)).findLast((entry) => entry.path === path);
    if (found === undefined) return undefined;
    if (found.device.startsWith('/dev/')) return found.device;
    return found.root.startsWith('/dev/') ? found.root : `/dev${found.root}`;
  }

  async #ensureDirectory(path: string): Promise<void> {
    try {
      await this.#disk.makeDirectory(path);
    } catch (error) {
      if (!hasCode(error, 'already-exists')) throw error;
      throw new HoldfastError('in-use', 'Path is not a directory', {
        details: { path, remedy: 'Move the file away, or choose another path' },
        cause: error,
      });
    }
  }

  async #ensureFile(path: string): Promise<void> {
    await this.#disk.makeDirectory(path.slice(0, path.lastIndexOf('/')) || '/');
    try {
      await (await this.#disk.open(path, { write: true, create: 'new' })).close();
    } catch (error) {
      if (!hasCode(error, 'already-exists')) throw error;
    }
  }

  async #demand(argv: readonly string[]): Promise<void> {
    const result = await this.#exec.run(argv, { timeoutMs: TIMEOUT_MS });
    if (result.exitCode === 0) return;
    throw new HoldfastError('io-error', 'Program failed', {
      details: { program: argv.join(' '), exitCode: result.exitCode, stderr: result.stderr.trim() },
    });
  }
}

/** A bind mount shows the source's device; that of a device node shows a file of devtmpfs. */
function isShownBy(
  table: readonly MountEntry[],
  source: PublishSource,
  entry: MountEntry,
): boolean {
  if (source.kind === 'device') {
    // In a container /dev may be a tmpfs, mounted there or a directory of another one.
    const isDevices = entry.fsType === 'devtmpfs' || entry.fsType === 'tmpfs';
    return isDevices && [entry.root, `/dev${entry.root}`].includes(source.path);
  }
  const staged = table.findLast((candidate) => candidate.path === source.path);
  return staged !== undefined && staged.device === entry.device && staged.root === entry.root;
}
