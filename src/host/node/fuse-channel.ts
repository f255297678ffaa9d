/**
 * A FUSE descriptor as a FuseChannel. libuv polls it through a Pipe handle, which is an internal of
 * Node (`process.binding('pipe_wrap')`): `net.Socket({ fd })` refuses a character device. All of
 * that is kept in this file. One callback is one request, because the kernel never hands out two at
 * once.
 */
import { closeSync, writevSync } from 'node:fs';
import { Socket } from 'node:net';
import { HoldfastError } from '#api/mod.ts';
import type { FuseChannel } from '../fuse.ts';

interface PipeWrap {
  readonly Pipe: new (type: number) => { open(fd: number): number };
  readonly constants: { readonly SOCKET: number };
}

/** Without DEP0111, which says nothing that this file does not say. */
function pipeWrap(): PipeWrap {
  const internals = process as unknown as { binding(name: string): PipeWrap };
  const before = process.noDeprecation === true;
  process.noDeprecation = true;
  try {
    return internals.binding('pipe_wrap');
  } finally {
    process.noDeprecation = before;
  }
}

/** Owns `fd` from now on. */
export class NodeFuseChannel implements FuseChannel {
  readonly #fd: number;
  readonly #receiveBytes: number;
  #socket: Socket | null = null;
  #closed = false;

  constructor(fd: number, receiveBytes: number) {
    this.#fd = fd;
    this.#receiveBytes = receiveBytes;
  }

  start(
    onMessage: (bytes: Uint8Array) => void,
    onEnd: (error: HoldfastError | null) => void,
  ): void {
    const { Pipe, constants } = pipeWrap();
    const pipe = new Pipe(constants.SOCKET);
    pipe.open(this.#fd);
    const options = {
      handle: pipe,
      readable: true,
      writable: false,
      onread: {
        buffer: new Uint8Array(this.#receiveBytes),
        callback: (length: number, buffer: Uint8Array): boolean => {
          if (!this.#closed) onMessage(buffer.subarray(0, length));
          return true;
        },
      },
    };
    const socket = new Socket(options as unknown as ConstructorParameters<typeof Socket>[0]);
    this.#socket = socket;
    socket.on('error', (cause) => this.#end(onEnd, cause));
    socket.on('close', () => this.#end(onEnd, null));
    socket.resume();
  }

  reply(chunks: readonly Uint8Array[]): void {
    if (this.#closed) return;
    try {
      writevSync(this.#fd, chunks as Uint8Array[]);
    } catch (cause) {
      // ENOENT: interrupted, or answered by a former server. ENODEV: unmounted; onEnd follows.
      const code = (cause as NodeJS.ErrnoException).code;
      if (code !== 'ENOENT' && code !== 'ENODEV' && code !== 'EBADF') throw cause;
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#socket) this.#socket.destroy();
    else closeSync(this.#fd);
  }

  #end(onEnd: (error: HoldfastError | null) => void, cause: Error | null): void {
    if (this.#closed) return;
    this.#closed = true;
    const code = (cause as NodeJS.ErrnoException | null)?.code;
    if (!cause || code === 'ENODEV' || code === 'ECONNABORTED') onEnd(null);
    else onEnd(new HoldfastError('io-error', 'FUSE session failed', { cause }));
  }
}
