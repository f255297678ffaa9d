import { BLOCK_BYTES } from '#data/block/mod.ts';
import type { Disk, DiskFile, OpenOptions } from '#host/mod.ts';
import { SimWorld } from '#host/sim/mod.ts';
import type { ReplicaStore, StorePool } from '../mod.ts';
import { openFilePool } from './file-pool.ts';
import { CLUSTER, filled, identityOf, POOL, REPLICA, submitTo, VOLUME } from './store.testkit.ts';

/** A pool whose disk counts what is read: for tests of what a large volume costs. */
export class FilePoolCounter {
  readBytes = 0;
  readonly #world = new SimWorld(1, { guard: false });
  readonly #sizeBytes: number;
  #disk!: Disk;
  #pool!: StorePool;
  #store!: ReplicaStore;

  private constructor(sizeBytes: number) {
    this.#sizeBytes = sizeBytes;
  }

  static async create(sizeBytes: number, segmentBytes: number): Promise<FilePoolCounter> {
    const counter = new FilePoolCounter(sizeBytes);
    const host = counter.#world.addNode('a');
    counter.#disk = counting(host.disk, (bytes) => {
      counter.readBytes += bytes;
    });
    await counter.#run(host.disk.makeDirectory('/pool'));
    counter.#pool = await counter.#run(
      openFilePool({
        ...host,
        disk: counter.#disk,
        cluster: CLUSTER,
        pool: POOL,
        directory: '/pool',
        cachePages: 256,
      }),
    );
    const identity = identityOf(REPLICA, VOLUME, segmentBytes);
    await counter.#run(counter.#pool.createReplica({ identity, sizeBytes, record: null }));
    await counter.open();
    return counter;
  }

  heapBytes(): number {
    globalThis.gc?.();
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    return heapUsed + arrayBuffers;
  }

  async open(): Promise<void> {
    this.#store = await this.#run(this.#pool.openReplica(REPLICA));
  }

  async close(): Promise<void> {
    await this.#run(this.#store.close());
  }

  async writeFarApart(count: number): Promise<void> {
    for (let i = 0; i < count; i++) {
      const block = Math.floor((this.#sizeBytes / BLOCK_BYTES / count) * i);
      await this.#run(submitTo(this.#store, 'write', block, filled(1 + (i % 255)), 1));
    }
    this.#store.setCompleted({ epoch: 9, n: 0 });
    await this.#run(this.#store.clearIntents(true));
  }

  async readFarApart(count: number): Promise<void> {
    const data = new Uint8Array(BLOCK_BYTES);
    for (let i = 0; i < count; i++) {
      const block = Math.floor((this.#sizeBytes / BLOCK_BYTES / count) * i);
      await this.#run(submitTo(this.#store, 'read', block, data, 1));
      if (data[0] !== 1 + (i % 255)) throw new Error(`block ${block} is wrong`);
    }
  }

  #run<T>(promise: Promise<T>): Promise<T> {
    return this.#world.finish(promise);
  }
}

function counting(disk: Disk, count: (bytes: number) => void): Disk {
  const open = async (path: string, options: OpenOptions): Promise<DiskFile> => {
    const file = await disk.open(path, options);
    const read = file.read.bind(file);
    file.read = async (offsetBytes, lengthBytes) => {
      count(lengthBytes);
      return read(offsetBytes, lengthBytes);
    };
    return file;
  };
  return new Proxy(disk, {
    get: (target, name) => {
      if (name === 'open') return open;
      const value: unknown = Reflect.get(target, name);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}
