/**
 * THE boundary: everything above `src/host/` takes time, randomness, disk, network, process
 * execution and logging from here, as constructor arguments (design.md §3).
 *
 * `host/node` is the real world and the only importer of node:fs, net, child_process and the like;
 * `host/sim` is a seeded world. The same code runs above both, so a schedule that loses data can be
 * replayed from its seed. Nothing above the boundary sees a descriptor.
 *
 * Every operating error that crosses the boundary is a `HoldfastError`: `io-error`, `no-space`,
 * `read-only`, `not-found`, `already-exists`, `permission-denied`, `store-locked`, `timed-out`,
 * `disconnected`, `refused`, `address-in-use`, `unsupported`.
 */
import type { HoldfastError } from '#api/mod.ts';

export interface Host {
  readonly clock: Clock;
  readonly rng: Rng;
  readonly disk: Disk;
  readonly net: Net;
  readonly exec: Exec;
  readonly log: Log;
}

// --- time and chance -------------------------------------------------------------------------

export interface Timer {
  /** Idempotent; after it returns the callback does not run. */
  cancel(): void;
}

export interface Clock {
  /** Milliseconds since an arbitrary start; never goes back. Leases and deadlines use only this. */
  monotonicMs(): number;
  /** Milliseconds since 1970: for people and object timestamps only; may jump. */
  wallMs(): number;
  /** Resolves after at least `ms`; rejects with `aborted` when the signal fires. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** Calls `fn` once after at least `ms`. A waiting timer does not keep the process alive. */
  after(ms: number, fn: () => void): Timer;
  /** Calls `fn` soon, after what is queued now: to gather a batch. */
  defer(fn: () => void): void;
}

export interface Rng {
  /** 0 to 2^32 - 1. */
  u32(): number;
  /** 0 to bound - 1; bound is 1 to 2^32. */
  below(bound: number): number;
  /** 0 ≤ x < 1. */
  float(): number;
  /** Fresh random bytes; also the source of ids. */
  bytes(length: number): Uint8Array;
}

// --- disk --------------------------------------------------------------------------------------

export type DiskVerb = 'read' | 'write' | 'flush' | 'trim' | 'zero';

/**
 * A request in its hot form: a mutable object that its owner allocates once and uses again. The
 * callee calls `done` exactly once, perhaps before `submit` returns; until then `data` belongs to
 * the callee. Short reads never surface: beyond the end of the file a read fails with `io-error`.
 */
export interface DiskRequest {
  verb: DiskVerb;
  offsetBytes: number;
  /** For trim and zero; otherwise data.byteLength. */
  lengthBytes: number;
  /** Read: filled. Write: taken. Otherwise ignored. */
  data: Uint8Array;
  done: (error: HoldfastError | null) => void;
}

export interface FileStat {
  readonly kind: 'file' | 'directory' | 'other';
  readonly sizeBytes: number;
  /** Bytes of disk behind the file, holes not counted. */
  readonly allocatedBytes: number;
  /** Together these recognise a file that was replaced by a copy (protocol.md rule 16). */
  readonly inode: string;
  readonly birthNs: string;
  readonly device: string;
}

export interface FileRange {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  readonly kind: 'data' | 'hole';
}

export interface DiskFile {
  readonly path: string;
  /** The hot form. Concurrent requests to disjoint ranges run in any order. */
  submit(request: DiskRequest): void;
  /** The cold forms of the same verbs. */
  read(offsetBytes: number, lengthBytes: number): Promise<Uint8Array>;
  /**
   * Resolves when the write is accepted and visible; durable only after `flush`. Extends the file.
   */
  write(offsetBytes: number, data: Uint8Array): Promise<void>;
  /**
   * Makes every write that resolved before this call durable (fdatasync; also size and holes).
   * After it failed the state of earlier writes is unknown: fail what is stored here, never retry.
   */
  flush(): Promise<void>;
  /** Punches a hole: reads as zero afterwards, space is given back. */
  trim(offsetBytes: number, lengthBytes: number): Promise<void>;
  /** Reads as zero afterwards; may keep the space. */
  zero(offsetBytes: number, lengthBytes: number): Promise<void>;
  /** Sets the length; new bytes read as zero and take no space. */
  resize(sizeBytes: number): Promise<void>;
  stat(): Promise<FileStat>;
  /** Data and holes in a range, in order, without gaps. */
  extents(offsetBytes: number, lengthBytes: number): Promise<FileRange[]>;
  close(): Promise<void>;
}

export interface OpenOptions {
  readonly write: boolean;
  /** `new`: fails with `already-exists`; `never` (default): fails with `not-found`. */
  readonly create?: 'never' | 'new';
}

export interface SpaceReport {
  readonly totalBytes: number;
  /** Less than what is not used: some is kept for root. */
  readonly freeBytes: number;
  readonly usedBytes: number;
  /** 0 where the filesystem makes inodes as it needs them. */
  readonly totalInodes: number;
  readonly freeInodes: number;
  /** Name of the filesystem, as in /proc/mounts. */
  readonly filesystem: string;
  /**
   * Source of the mount, as in /proc/mounts (`/dev/vda1`), and a serial where the device has one.
   */
  readonly deviceName: string;
  readonly deviceSerial: string;
}

export interface DiskLock {
  release(): Promise<void>;
}

export interface Disk {
  open(path: string, options: OpenOptions): Promise<DiskFile>;
  stat(path: string): Promise<FileStat | undefined>;
  /** Names in a directory, sorted. */
  list(path: string): Promise<string[]>;
  /** Creates the directory and its parents; nothing when it exists. Not durable by itself. */
  makeDirectory(path: string): Promise<void>;
  /** Atomic replacement; durable after `syncDirectory` of both parents. */
  rename(from: string, to: string): Promise<void>;
  /** A file or an empty directory. Nothing when absent. */
  remove(path: string): Promise<void>;
  /** Makes creations, renames and removals in the directory durable. */
  syncDirectory(path: string): Promise<void>;
  space(path: string): Promise<SpaceReport>;
  /** Exclusive until released or until the process ends; `store-locked` when taken. */
  lock(path: string): Promise<DiskLock>;
  /**
   * Changes whenever writes that were accepted but not flushed may be gone: kernel boot id plus the
   * identity of the mount that holds `path`. A store derives its incarnation from it.
   */
  cacheIdentity(path: string): Promise<string>;
}

// --- network -----------------------------------------------------------------------------------

export type Address =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number };

export interface ConnHandler {
  /** `bytes` is valid only during the call: a static receive buffer lies behind it. */
  onBytes(bytes: Uint8Array): void;
  /** The send queue fell below its low-water mark after `write` returned false. */
  onDrain?(): void;
  /** Called once, last. `null`: the peer ended in order. Not called after our own `close`. */
  onClose(error: HoldfastError | null): void;
}

export interface Conn {
  readonly peer: string;
  /** Starts delivery; called once. Bytes that arrived earlier are delivered first. */
  start(handler: ConnHandler): void;
  /**
   * Sends the chunks in order as one gathering write. What the kernel does not take at once is
   * copied, so the caller may reuse the chunks when this returns. False when more than 1 MiB waits:
   * stop until `onDrain`. Errors come through `onClose`.
   */
  write(chunks: readonly Uint8Array[]): boolean;
  /** Bytes that wait in the send queue. */
  queuedBytes(): number;
  /** Stops delivery for flow control; bytes stay with the kernel. */
  pause(): void;
  resume(): void;
  /** Sends what is queued, then ends. */
  end(): void;
  /** Drops everything at once. Idempotent. */
  close(): void;
}

export interface Listener {
  /** With the port that was chosen when 0 was asked for. */
  readonly address: Address;
  /** Stops accepting; open connections stay. A unix socket's file is removed. */
  close(): Promise<void>;
}

export interface Net {
  /**
   * A stale unix socket file, which nobody listens on, is replaced; a live one is `address-in-use`.
   */
  listen(address: Address, onConn: (conn: Conn) => void): Promise<Listener>;
  connect(address: Address, options: { readonly timeoutMs: number }): Promise<Conn>;
}

// --- processes and logs ------------------------------------------------------------------------

export interface ExecResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Exec {
  /**
   * Runs a program to its end: argv only, never a shell. `not-found` when there is no such program,
   * `timed-out` (and killed) after the deadline. A non-zero exit is a result, not an error.
   */
  run(
    argv: readonly string[],
    options?: { readonly timeoutMs?: number; readonly input?: string },
  ): Promise<ExecResult>;
}

export type LogFields = Readonly<Record<string, unknown>>;

/** Constant message, variable fields. */
export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  child(fields: LogFields): Log;
}

export * from './database.ts';
export * from './fuse.ts';
export * from './http.ts';
export * from './whole-file.ts';
