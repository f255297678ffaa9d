import { HoldfastError } from '#api/mod.ts';
import type { DiskFile, DiskRequest, FileRange, FileStat } from '../mod.ts';
import type { DiskFaultVerb } from './disk-fault.ts';
import type { DiskRequests } from './disk-requests.ts';
import type { SimDisk } from './sim-disk.ts';
import type { SimFile } from './sim-file.ts';
import { statOf } from './sim-stat.ts';

/** An open file of one life of a process. */
export class SimDiskFile implements DiskFile {
  readonly path: string;
  readonly #file: SimFile;
  readonly #writable: boolean;
  readonly #disk: SimDisk;
  readonly #requests: DiskRequests;
  #closed = false;

  constructor(
    path: string,
    file: SimFile,
    writable: boolean,
    disk: SimDisk,
    requests: DiskRequests,
  ) {
    this.path = path;
    this.#file = file;
    this.#writable = writable;
    this.#disk = disk;
    this.#requests = requests;
  }

  submit(request: DiskRequest): void {
    this.#start(request, true);
  }

  async read(offsetBytes: number, lengthBytes: number): Promise<Uint8Array> {
    const data = new Uint8Array(lengthBytes);
    await this.#cold('read', offsetBytes, lengthBytes, data);
    return data;
  }

  write(offsetBytes: number, data: Uint8Array): Promise<void> {
    return this.#cold('write', offsetBytes, data.byteLength, data);
  }

  flush(): Promise<void> {
    return this.#cold('flush', 0, 0, NOTHING);
  }

  trim(offsetBytes: number, lengthBytes: number): Promise<void> {
    return this.#cold('trim', offsetBytes, lengthBytes, NOTHING);
  }

  zero(offsetBytes: number, lengthBytes: number): Promise<void> {
    return this.#cold('zero', offsetBytes, lengthBytes, NOTHING);
  }

  resize(sizeBytes: number): Promise<void> {
    return this.#act('resize', 0, 0, () => {
      this.#checkWritable();
      this.#file.resize(sizeBytes);
    });
  }

  stat(): Promise<FileStat> {
    return this.#act('stat', 0, 0, () => statOf(this.#file, this.#disk));
  }

  extents(offsetBytes: number, lengthBytes: number): Promise<FileRange[]> {
    return this.#act('extents', offsetBytes, lengthBytes, () =>
      this.#file.extents(offsetBytes, lengthBytes),
    );
  }

  close(): Promise<void> {
    this.#closed = true;
    return Promise.resolve();
  }

  #start(request: DiskRequest, hot: boolean): void {
    const { verb, offsetBytes, data, done } = request;
    if (this.#closed) {
      done(new HoldfastError('aborted', 'The file is closed', { details: { path: this.path } }));
      return;
    }
    if (verb !== 'read' && verb !== 'flush' && !this.#writable) {
      done(new HoldfastError('read-only', 'The file was opened for reading only'));
      return;
    }
    switch (verb) {
      case 'read':
        this.#requests.read(this.path, this.#file, offsetBytes, data, hot, done);
        return;
      case 'write':
        this.#requests.write(this.path, this.#file, offsetBytes, data, hot, done);
        return;
      case 'flush':
        this.#requests.flush(this.path, this.#file, done);
        return;
      case 'trim':
      case 'zero': {
        const { lengthBytes } = request;
        const access = { verb, path: this.path, offsetBytes, lengthBytes };
        const act = (): void => this.#file.punch(offsetBytes, lengthBytes);
        this.#requests.perform(access, act, done);
        return;
      }
    }
  }

  #cold(
    verb: DiskRequest['verb'],
    offsetBytes: number,
    lengthBytes: number,
    data: Uint8Array,
  ): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const done = (error: HoldfastError | null): void => {
      if (error === null) resolve();
      else reject(error);
    };
    this.#start({ verb, offsetBytes, lengthBytes, data, done }, false);
    return promise;
  }

  #act<T>(
    verb: DiskFaultVerb,
    offsetBytes: number,
    lengthBytes: number,
    action: () => T,
  ): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    let result: T;
    this.#requests.perform(
      { verb, path: this.path, offsetBytes, lengthBytes },
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

  #checkWritable(): void {
    if (this.#writable) return;
    throw new HoldfastError('read-only', 'The file was opened for reading only');
  }
}

const NOTHING = new Uint8Array(0);
