import { HoldfastError } from '#api/mod.ts';
import type { Disk, DiskFile, DiskLock, FileStat, OpenOptions, SpaceReport } from '../mod.ts';
import type { DiskFaultVerb } from './disk-fault.ts';
import type { DiskRequests } from './disk-requests.ts';
import type { SimDisk } from './sim-disk.ts';
import { SimDiskFile } from './sim-disk-file.ts';
import type { SimProcess } from './sim-process.ts';
import { statOf } from './sim-stat.ts';

/** The Disk that one life of a process sees. */
export class SimProcessDisk implements Disk {
  readonly #disk: SimDisk;
  readonly #process: SimProcess;
  readonly #requests: DiskRequests;

  constructor(disk: SimDisk, process: SimProcess, requests: DiskRequests) {
    this.#disk = disk;
    this.#process = process;
    this.#requests = requests;
    process.onDeath(() => {
      for (const [path, holder] of disk.locks) if (holder === process) disk.locks.delete(path);
    });
  }

  open(path: string, options: OpenOptions): Promise<DiskFile> {
    return this.#act('open', path, () => {
      const file =
        options.create === 'new'
          ? this.#disk.tree.createFile(path, this.#disk.loop.nowMs)
          : this.#disk.tree.getFile(path);
      return new SimDiskFile(path, file, options.write, this.#disk, this.#requests);
    });
  }

  stat(path: string): Promise<FileStat | undefined> {
    return this.#act('stat', path, () => {
      const node = this.#disk.tree.find(path);
      return node === undefined ? undefined : statOf(node, this.#disk);
    });
  }

  list(path: string): Promise<string[]> {
    return this.#act('list', path, () =>
      [...this.#disk.tree.getDirectory(path).entries.keys()].sort(),
    );
  }

  makeDirectory(path: string): Promise<void> {
    return this.#act('makeDirectory', path, () =>
      this.#disk.tree.makeDirectory(path, this.#disk.loop.nowMs),
    );
  }

  rename(from: string, to: string): Promise<void> {
    return this.#act('rename', from, () => this.#disk.tree.rename(from, to));
  }

  remove(path: string): Promise<void> {
    return this.#act('remove', path, () => this.#disk.tree.remove(path));
  }

  syncDirectory(path: string): Promise<void> {
    return this.#act('syncDirectory', path, () => this.#disk.tree.sync(path));
  }

  space(path: string): Promise<SpaceReport> {
    return this.#act('space', path, () => {
      this.#disk.tree.getDirectory(path);
      const totalBytes = this.#disk.options.capacityBytes;
      return {
        totalBytes,
        freeBytes: Math.max(0, totalBytes - this.#disk.usedBytes()),
        usedBytes: this.#disk.usedBytes(),
        totalInodes: 0,
        freeInodes: 0,
        filesystem: 'simfs',
        deviceName: `/dev/sim-${this.#disk.node}`,
        deviceSerial: `SIM-${this.#disk.node}`,
      };
    });
  }

  lock(path: string): Promise<DiskLock> {
    return this.#act('lock', path, () => {
      const { locks } = this.#disk;
      if (locks.has(path)) {
        throw new HoldfastError('store-locked', 'Another process holds the lock', {
          details: { path },
        });
      }
      if (this.#disk.tree.find(path) === undefined) {
        this.#disk.tree.createFile(path, this.#disk.loop.nowMs);
      }
      locks.set(path, this.#process);
      const release = (): Promise<void> => {
        if (this.#process.alive && locks.get(path) === this.#process) locks.delete(path);
        return Promise.resolve();
      };
      return { release };
    });
  }

  cacheIdentity(path: string): Promise<string> {
    return this.#act('stat', path, () => {
      this.#disk.tree.getDirectory(path);
      return this.#disk.cacheIdentity();
    });
  }

  #act<T>(verb: DiskFaultVerb, path: string, action: () => T): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    let result: T;
    this.#requests.perform(
      { verb, path, offsetBytes: 0, lengthBytes: 0 },
      () => {
        result = action();
      },
      (error) => {
        if (error === null) resolve(result);
        else reject(error);
      },
    );
    return promise;
  }
}
