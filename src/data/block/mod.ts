/**
 * BlockDevice: the one verb set that every layer, store, nexus, remote replica and frontend speaks
 * (design.md §4). Fault injection is just another layer.
 *
 *     frontend ──▶ align ──▶ nexus ──▶ member (store, or peer protocol to a store)
 *
 * Invariants
 * - A write whose `done` ran without error is *accepted and visible*; only flush makes it durable.
 * - A request is completed exactly once, perhaps before `submit` returns, and never partly: on
 *   error the effect on the range of a write is unknown unless the error says otherwise.
 * - Requests in flight that overlap have no order; the nexus gives them one (rule 7).
 * - Right bytes or an error: data that fails its checksum is never returned.
 */
import type { HoldfastError } from '#api/mod.ts';
import type { RequestTrace, TraceSwitch } from './request-trace.ts';

export type BlockVerb = 'read' | 'write' | 'flush' | 'trim' | 'zero';

/**
 * A request in its hot form: mutable, allocated once by its owner and used again. From `submit`
 * until `done` it belongs to the device; a layer that must remember something keeps its own.
 */
export interface BlockRequest {
  verb: BlockVerb;
  /** Multiples of `limits.minBytes`; 0 for flush. */
  offsetBytes: number;
  /**
   * For read and write equal to data.byteLength; 0 for flush; trim and zero have no upper limit.
   */
  lengthBytes: number;
  /**
   * Read: filled. Write: taken, unchanged until `done`. Otherwise empty. Either may come back with
   * another array of the same length: the first one then still belongs to a disk that hangs, which
   * may fill it or write it later, so use and recycle only what is found here at `done`.
   */
  data: Uint8Array;
  /** For write, trim and zero: durable before `done`. */
  fua: boolean;
  /** For zero: keep the space allocated (NBD "no hole"). */
  keepAllocated: boolean;
  /** Runs exactly once. The request may be used again inside it. */
  done: (request: BlockRequest, error: HoldfastError | null) => void;
  /** Set by a frontend on a write that is followed; who passes it on takes it. */
  trace?: RequestTrace | null;
}

export interface BlockLimits {
  /** Offsets and lengths are multiples of this: 1, 512 or 4,096. */
  readonly minBytes: number;
  /** Requests of this size and alignment avoid read-modify-write. */
  readonly preferredBytes: number;
  /** Longest read or write. */
  readonly maxBytes: number;
}

/** Asked once, when the device is opened. */
export interface BlockCapabilities {
  readonly trim: boolean;
  readonly zero: boolean;
  /** Zeroing is quicker than writing zeroes. */
  readonly fastZero: boolean;
  readonly flush: boolean;
  readonly fua: boolean;
  readonly extents: boolean;
  readonly readOnly: boolean;
}

export interface BlockExtent {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  /** `hole` reads as zero and takes no space; `zero` reads as zero. */
  readonly kind: 'data' | 'zero' | 'hole';
}

export interface BlockDevice {
  /** Where a trace waits for the next write; absent where nothing is traced. */
  readonly traces?: TraceSwitch | undefined;
  /** May grow while open, never shrinks. */
  readonly sizeBytes: number;
  readonly limits: BlockLimits;
  readonly capabilities: BlockCapabilities;
  /**
   * Errors given to `done`: `out-of-range` and `unaligned` (effect none), `unsupported`,
   * `io-error`,
   * `checksum-mismatch`, `no-space`, `read-only`, `aborted`, and what the layers below add.
   */
  submit(request: BlockRequest): void;
  /**
   * Kinds of the range in order, without gaps, neighbours merged. A hint: it may say `data` for
   * zeroes.
   */
  extents(offsetBytes: number, lengthBytes: number): Promise<BlockExtent[]>;
  /** Waits for what is in flight; does not flush. Later requests fail with `aborted`. */
  close(): Promise<void>;
}

/** Unit of checksum, presence and rebuild bookkeeping (design.md §4). */
export const BLOCK_BYTES = 4096;
/** Unit of atomicity over a crash. */
export const SECTOR_BYTES = 512;

export { REPLICA_IO_BYTES } from './replica-request.ts';
export type { ReplicaRequest, ReplicaVerb } from './replica-request.ts';
export {
  createRequest,
  flushDevice,
  readDevice,
  trimDevice,
  writeDevice,
  zeroDevice,
} from './cold-forms.ts';
export { beginTrace } from './request-trace.ts';
export type { RequestTrace, TraceSwitch } from './request-trace.ts';
export { isBlank } from './is-blank.ts';
export { checkRequest } from './check-request.ts';
export { MemoryDevice } from './memory-device.ts';
export { AlignDevice } from './align-device.ts';
export { OffsetDevice } from './offset-device.ts';
export { DelayDevice } from './delay-device.ts';
export { ErrorDevice } from './error-device.ts';
export type { BlockFault } from './error-device.ts';
export { LogDevice } from './log-device.ts';
export type { BlockLogEvent } from './log-device.ts';
