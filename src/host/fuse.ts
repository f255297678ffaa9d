/**
 * The FUSE and loop part of the boundary (docs/design/0008-fuse.md): a mount whose root is one
 * file, a loop device on it, and a holder process that keeps the session alive while engines come
 * and go.
 */
import type { HoldfastError } from '#api/mod.ts';

/** One FUSE session: whole requests come in, whole replies go out. */
export interface FuseChannel {
  /** Starts delivery; `bytes` is valid only during the call. `onEnd`: unmounted or aborted. */
  start(onMessage: (bytes: Uint8Array) => void, onEnd: (error: HoldfastError | null) => void): void;
  /** Writes one reply at once. A request that the kernel no longer waits for is ignored. */
  reply(chunks: readonly Uint8Array[]): void;
  /** Stops reading and closes this process's descriptor; the holder keeps the session. */
  close(): void;
}

/** What must be remembered, durably, for the next engine to take a session over. */
export interface FuseMountState {
  readonly imageFile: string;
  readonly holderPid: number;
  /** Start time of the holder in clock ticks since boot: a pid alone may have been used again. */
  readonly holderStart: string;
  /** Descriptor number inside the holder. */
  readonly holderFd: number;
  /** Number of the connection below /sys/fs/fuse/connections. */
  readonly connection: number;
}

export interface FuseMounts {
  /** What this machine lacks, each with the way to get it; empty when all is there. */
  missing(): Promise<string[]>;
  /** Mounts a new session on `imageFile` (made when absent) and starts its holder. */
  mount(imageFile: string): Promise<{ channel: FuseChannel; state: FuseMountState }>;
  /**
   * Takes the descriptor from the holder. The caller is certain that the former server is dead.
   * `not-found`: the holder or the mount is gone.
   */
  takeOver(state: FuseMountState): Promise<FuseChannel>;
  /** A loop device on the file, with direct I/O; the session must be served meanwhile. */
  attachLoop(imageFile: string): Promise<string>;
  /** The loop devices that are bound to the file. */
  findLoops(imageFile: string): Promise<string[]>;
  /** Makes the loop device see a new size. */
  resizeLoop(device: string): Promise<void>;
  detachLoop(device: string): Promise<void>;
  /** Where the device is mounted; empty when nowhere. */
  findMountPoints(device: string): Promise<string[]>;
  /** Orderly end: unmounts and ends the holder. Always ends, also when nobody serves. */
  unmount(state: FuseMountState): Promise<void>;
  /**
   * Ends whatever lies on `imageFile` (loop devices, mounts, holders) without a state that says so:
   * what is mounted on it gets errors. Nothing to do in all ordinary cases.
   */
  clearUnknown(imageFile: string): Promise<void>;
}
