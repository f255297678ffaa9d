import type { Socket } from 'node:net';
import { HoldfastError } from '#api/mod.ts';
import { assert } from '#lib/mod.ts';
import type { Conn, ConnHandler } from '../mod.ts';
import { fromNodeError } from './errno-error.ts';
import { writeAtOnce } from './raw-socket.ts';
import type { Receiver } from './raw-socket.ts';

const HIGH_WATER_BYTES = 1024 * 1024;

export class NodeConn implements Conn, Receiver {
  readonly peer: string;
  readonly #socket: Socket;
  #handler: ConnHandler | undefined;
  #error: HoldfastError | null = null;
  #peerEnded = false;
  #closedByUs = false;
  #gone = false;
  #told = false;
  #paused = false;
  /** Bytes that came although we paused. */
  readonly #held: Uint8Array[] = [];
  #wantsDrain = false;

  /** `open` gives a paused socket that delivers to the receiver. */
  constructor(peer: string, open: (receiver: Receiver) => Socket) {
    this.peer = peer;
    const socket = open(this);
    this.#socket = socket;
    socket.on('error', (error) => {
      this.#error ??= fromNodeError(error, { peer });
    });
    socket.on('end', () => {
      this.#peerEnded = true;
    });
    socket.on('close', () => this.#afterClose());
    socket.on('drain', () => this.#afterDrain());
  }

  start(handler: ConnHandler): void {
    assert(this.#handler === undefined, 'a connection is started once');
    this.#handler = handler;
    if (this.#gone) setImmediate(() => this.#tellClosed());
    else this.#socket.resume();
  }

  /** False: stop reading. A socket that was just resumed still reads once after a pause. */
  bytes(bytes: Uint8Array): boolean {
    if (this.#closedByUs) return false;
    if (this.#paused) this.#held.push(new Uint8Array(bytes));
    else this.#handler?.onBytes(bytes);
    return !this.#paused;
  }

  write(chunks: readonly Uint8Array[]): boolean {
    const socket = this.#socket;
    if (this.#closedByUs || !socket.writable) return true;
    // What waits in the socket goes first.
    let taken = socket.writableLength === 0 ? writeAtOnce(socket, chunks) : 0;
    for (const chunk of chunks) {
      if (taken >= chunk.byteLength) {
        taken -= chunk.byteLength;
        continue;
      }
      socket.write(new Uint8Array(chunk.subarray(taken)));
      taken = 0;
    }
    if (socket.writableLength > HIGH_WATER_BYTES) this.#wantsDrain = true;
    return !this.#wantsDrain;
  }

  queuedBytes(): number {
    return this.#socket.writableLength;
  }

  pause(): void {
    this.#paused = true;
    this.#socket.pause();
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    while (this.#held.length > 0 && !this.#paused && !this.#closedByUs) {
      this.#handler?.onBytes(this.#held.shift()!);
    }
    if (this.#gone) setImmediate(() => this.#tellClosed());
    else if (!this.#paused) this.#socket.resume();
  }

  end(): void {
    this.#socket.end();
  }

  close(): void {
    this.#closedByUs = true;
    this.#socket.destroy();
  }

  #afterDrain(): void {
    if (!this.#wantsDrain) return;
    this.#wantsDrain = false;
    if (!this.#closedByUs) this.#handler?.onDrain?.();
  }

  #afterClose(): void {
    this.#gone = true;
    if (this.#handler !== undefined) this.#tellClosed();
  }

  #tellClosed(): void {
    if (this.#closedByUs || this.#told || this.#held.length > 0) return;
    this.#told = true;
    const lost = new HoldfastError('disconnected', 'The connection was lost');
    this.#handler?.onClose(this.#error ?? (this.#peerEnded ? null : lost));
  }
}
