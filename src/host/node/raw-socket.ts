/**
 * The only file that touches the private handle of a net.Socket, for two things that Node does not
 * offer: a static receive buffer on accepted sockets, and a gathering write that tries the kernel
 * first. Without a handle as expected both fall back to what every Node has.
 */
import { writevSync } from 'node:fs';
import { Socket } from 'node:net';

interface Handle {
  readonly fd?: number;
}

interface WithHandle {
  _handle: Handle | null;
}

/** The kernel takes no more vectors in one call. */
const VECTORS_MAX = 1024;

/**
 * One buffer for all sockets of this thread: libuv fills it and calls back at once, so it never
 * holds bytes of two. Large, because a system call costs more than a copy from warm memory.
 */
const RECEIVE_BUFFER = new Uint8Array(512 * 1024);

export interface Receiver {
  /** False: no more for now. */
  bytes(bytes: Uint8Array): boolean;
}

/** Hands what arrives to the receiver, straight from the static buffer. */
function onreadFor(receiver: Receiver): {
  buffer: Uint8Array;
  callback: (length: number, buffer: Uint8Array) => boolean;
} {
  return {
    buffer: RECEIVE_BUFFER,
    callback: (length, buffer) => receiver.bytes(buffer.subarray(0, length)),
  };
}

/** A socket for `connect`. Paused until the caller resumes it. */
export function createSocket(receiver: Receiver): Socket {
  const options: object = { onread: onreadFor(receiver) };
  const socket = new Socket(options);
  socket.pause();
  return socket;
}

/** An accepted, paused socket that delivers to the receiver. */
export function adoptSocket(accepted: Socket, receiver: Receiver): Socket {
  const holder = accepted as unknown as WithHandle;
  const handle = holder._handle;
  if (handle === null || typeof handle.fd !== 'number') {
    accepted.on('data', (bytes) => {
      if (!receiver.bytes(bytes)) accepted.pause();
    });
    accepted.pause();
    return accepted;
  }
  // The new socket takes the handle over; the old one must not close it.
  holder._handle = null;
  const options: object = { handle, onread: onreadFor(receiver), pauseOnCreate: true };
  const socket = new Socket(options);
  socket.pause();
  return socket;
}

export function descriptorOf(socket: Socket): number {
  return (socket as unknown as WithHandle)._handle?.fd ?? -1;
}

/**
 * How many bytes the kernel took at once, in order. 0 also when it said no: the socket's own write
 * will meet the same error and report it.
 */
export function writeAtOnce(socket: Socket, chunks: readonly Uint8Array[]): number {
  const fd = descriptorOf(socket);
  if (fd < 0) return 0;
  try {
    return writevSync(fd, chunks.length > VECTORS_MAX ? chunks.slice(0, VECTORS_MAX) : [...chunks]);
  } catch {
    return 0;
  }
}
