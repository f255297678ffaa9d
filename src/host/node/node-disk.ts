import { constants, fstat, open } from 'node:fs';
import { mkdir, readdir, readFile, rename, rmdir, stat, statfs, unlink } from 'node:fs/promises';
import { promisify } from 'node:util';
import { HoldfastError } from '#api/mod.ts';
import type { Disk, DiskFile, DiskLock, FileStat, OpenOptions, SpaceReport } from '../mod.ts';
import { DiskLanes } from './disk-lanes.ts';
import { EAGAIN, fromErrno, fromNodeError } from './errno-error.ts';
import { FileLedger } from './file-ledger.ts';
import { statOf } from './file-stat.ts';
import { deviceSerial, findMount } from './mount-table.ts';
import type { DiskMode } from './node-disk-file.ts';
import { NodeDiskFile } from './node-disk-file.ts';
import { lockExclusive, uniqueMountId } from './syscalls.ts';

const MEMORY_FILESYSTEMS = new Set([0x01021994, 0x858458f6]); // tmpfs, ramfs

/**
 * The real disks. Reads, writes, flushes, holes and directory syncs take the lanes of their device;
 * the other cold operations take Node's thread pool.
 */
export class NodeDisk implements Disk {
  readonly #mode: DiskMode;
  readonly #ledger: FileLedger;
  /** By device number: a disk that hangs keeps only its own lanes waiting. */
  readonly #lanes = new Map<string, DiskLanes>();

  constructor(mode: DiskMode, ledger: FileLedger = new FileLedger(null)) {
    this.#mode = mode;
    this.#ledger = ledger;
  }

  open(path: string, options: OpenOptions): Promise<DiskFile> {
    const access = options.write ? constants.O_RDWR : constants.O_RDONLY;
    const create = options.create === 'new' ? constants.O_CREAT | constants.O_EXCL : 0;
    return attempt(path, () => this.#open(path, access | create, options.write));
  }

  stat(path: string): Promise<FileStat | undefined> {
    return attempt(path, async () => {
      try {
        return statOf(await stat(path, { bigint: true }));
      } catch (error) {
        if (fromNodeError(error, {}).code === 'not-found') return undefined;
        throw error;
      }
    });
  }

  list(path: string): Promise<string[]> {
    return attempt(path, async () => (await readdir(path)).sort());
  }

  makeDirectory(path: string): Promise<void> {
    return attempt(path, async () => void (await mkdir(path, { recursive: true, mode: 0o700 })));
  }

  rename(from: string, to: string): Promise<void> {
    return attempt(from, () => rename(from, to));
  }

  remove(path: string): Promise<void> {
    return attempt(path, async () => {
      const found = await this.stat(path);
      if (found === undefined) return;
      await (found.kind === 'directory' ? rmdir(path) : unlink(path));
    });
  }

  syncDirectory(path: string): Promise<void> {
    return attempt(path, async () => {
      const directory = await this.#open(path, constants.O_RDONLY | constants.O_DIRECTORY, false);
      try {
        await directory.flush();
      } finally {
        await directory.close();
      }
    });
  }

  space(path: string): Promise<SpaceReport> {
    return attempt(path, async () => {
      const [usage, mount] = await Promise.all([statfs(path), findMount(path)]);
      return {
        totalBytes: usage.blocks * usage.bsize,
        freeBytes: usage.bavail * usage.bsize,
        usedBytes: (usage.blocks - usage.bfree) * usage.bsize,
        totalInodes: usage.files,
        freeInodes: usage.ffree,
        filesystem: mount.filesystem,
        deviceName: mount.source,
        deviceSerial: await deviceSerial(mount.device),
      };
    });
  }

  lock(path: string): Promise<DiskLock> {
    return attempt(path, async () => {
      const fd = await promisify(open)(path, constants.O_RDWR | constants.O_CREAT, 0o600);
      this.#ledger.note(fd);
      const result = lockExclusive(fd);
      if (result < 0) {
        await this.#ledger.close(fd);
        if (result !== -EAGAIN) throw fromErrno(-result, 'none', { path });
        throw new HoldfastError('store-locked', 'Another process holds the lock', {
          details: { path, remedy: 'Stop the other process first' },
        });
      }
      let held = true;
      const release = async (): Promise<void> => {
        if (!held) return;
        held = false;
        await this.#ledger.close(fd);
      };
      return { release };
    });
  }

  /**
   * Boot id and mount. From Linux 6.8 on the kernel numbers mounts without ever using a number
   * again. Before, the number of /proc/self/mountinfo may come back when a filesystem is unmounted
   * and another is mounted, and then only device and source can differ. That is harmless after an
   * orderly umount, which writes everything out, and a store also compares inode and birth time of
   * its files (protocol.md rule 16). A container that is started again has new mounts and so a new
   * identity although nothing was lost: that costs a comparison with the other replicas, no data.
   */
  cacheIdentity(path: string): Promise<string> {
    return attempt(path, async () => {
      const [boot, mount] = await Promise.all([
        readFile('/proc/sys/kernel/random/boot_id', 'utf8'),
        findMount(path),
      ]);
      const number = uniqueMountId(path) ?? `reusable-${mount.id}`;
      return `${boot.trim()}/${number}/${mount.device}/${mount.source}`;
    });
  }

  async #open(path: string, flags: number, writable: boolean): Promise<NodeDiskFile> {
    const fd = await promisify(open)(path, flags, 0o600);
    this.#ledger.note(fd);
    try {
      const [{ dev }, { type }] = await Promise.all([
        promisify(fstat)(fd, { bigint: true }),
        statfs(`/proc/self/fd/${fd}`),
      ]);
      const lanes = this.#lanesOf(dev.toString());
      const inMemory = MEMORY_FILESYSTEMS.has(type);
      return new NodeDiskFile(path, fd, this.#ledger, writable, lanes, this.#mode, inMemory);
    } catch (error) {
      await this.#ledger.close(fd);
      throw error;
    }
  }

  #lanesOf(device: string): DiskLanes {
    let lanes = this.#lanes.get(device);
    if (lanes === undefined) {
      lanes = new DiskLanes();
      this.#lanes.set(device, lanes);
    }
    return lanes;
  }
}

async function attempt<T>(path: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    throw HoldfastError.is(error) ? error : fromNodeError(error, { path });
  }
}
