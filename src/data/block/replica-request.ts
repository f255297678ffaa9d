/**
 * A block request to one replica: a BlockRequest that also says which layer it means and with which
 * generation the segments are stamped. Spoken by nexus, member, replica and store alike, so that
 * the same object travels down without a copy.
 */
import type { HoldfastError, LayerRef } from '#api/mod.ts';
import type { RequestTrace } from './request-trace.ts';

export type ReplicaVerb = 'read' | 'write' | 'trim' | 'zero';

/**
 * Mutable, allocated once by its owner and used again. From `submit` until `done` it belongs to the
 * callee. Block-aligned; a read or write is at most `REPLICA_IO_BYTES` long; trim and zero any
 * length.
 */
export interface ReplicaRequest {
  verb: ReplicaVerb;
  /** Null is the head. A snapshot is read only, except while a rebuild installs it. */
  layer: LayerRef;
  offsetBytes: number;
  lengthBytes: number;
  data: Uint8Array;
  /**
   * Write: crc32c of each block of `data`, when its owner has them already; stays as it is until
   * `done`. Nobody takes them again.
   */
  blockCrcs?: Uint32Array | null;
  /** The segments' stamp becomes the higher of their own and this one. Not used by read. */
  stampEpoch: number;
  stampN: number;
  /** Exactly once, perhaps before `submit` returns. */
  done: (error: HoldfastError | null) => void;
  /** Set on a write that is followed. */
  trace?: RequestTrace | null;
}

/** Longest read or write of one replica request. */
export const REPLICA_IO_BYTES = 1024 * 1024;
