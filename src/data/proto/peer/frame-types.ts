/** Numbers and limits of the peer protocol, version 1 (docs/format/peer.md). */

export const PROTOCOL_MIN = 1;
export const PROTOCOL_MAX = 1;

/** "HFP1", little-endian: the first bytes of every frame. */
export const MAGIC = 0x31504648;
export const HEADER_BYTES = 64;

export const FLAG_REPLY = 1;
/** With REPLY: the payload is an error. */
export const FLAG_ERROR = 2;
/** With REPLY to a cold verb: another frame continues the payload. */
export const FLAG_MORE = 4;

export const FRAME = {
  hello: 1,
  ping: 2,
  /** Replica to nexus, no reply: the session is over, the payload says why. */
  lost: 3,
  /** Nexus to replica, no reply (rule 9). */
  complete: 4,
  read: 16,
  write: 17,
  trim: 18,
  zero: 19,
  flush: 20,
  promise: 32,
  commit: 33,
  confirm: 34,
  refresh: 35,
  intents: 36,
  stampedSince: 37,
  inspect: 38,
  settle: 39,
  clearIntents: 40,
  reset: 41,
  setRebuild: 42,
  createSnapshot: 43,
  deleteSnapshot: 44,
  beginSnapshotInstall: 45,
  sealSnapshot: 46,
  grow: 47,
  scrub: 48,
  usage: 49,
  extents: 50,
} as const;

export type FrameName = keyof typeof FRAME;

/** Data of one read or write; equal to REPLICA_IO_BYTES of data/block. */
export const DATA_BYTES_MAX = 1024 * 1024;
export const LAYER_BYTES_MAX = 63;
export const HELLO_BYTES_MAX = 4 * 1024;
export const ERROR_BYTES_MAX = 16 * 1024;
/** Arguments of a cold verb; `settle` of a 1 GiB segment needs COLD_BYTES_MAX. */
export const ARGUMENT_BYTES_MAX = 64 * 1024;
/** One frame of a cold verb: the words of a 1 GiB segment and some more. */
export const COLD_BYTES_MAX = 1024 * 1024 + 128 * 1024;
/** All frames of one answer together. */
export const ANSWER_BYTES_MAX = 16 * 1024 * 1024;
export const PAYLOAD_BYTES_MAX = COLD_BYTES_MAX;

/**
 * The longest payload that a frame of this type may have; -1 when there is no such frame. Known
 * before anything is allocated.
 */
export function payloadBytesMax(type: number, flags: number): number {
  const reply = (flags & FLAG_REPLY) !== 0;
  if ((flags & FLAG_ERROR) !== 0) return reply ? ERROR_BYTES_MAX : -1;
  if ((flags & FLAG_MORE) !== 0 && (!reply || type < FRAME.promise)) return -1;
  if (type >= FRAME.promise && type <= FRAME.extents) {
    if (reply) return COLD_BYTES_MAX;
    return type === FRAME.settle ? COLD_BYTES_MAX : ARGUMENT_BYTES_MAX;
  }
  switch (type) {
    case FRAME.hello:
      return reply ? COLD_BYTES_MAX : HELLO_BYTES_MAX;
    case FRAME.read:
      return reply ? DATA_BYTES_MAX : LAYER_BYTES_MAX;
    case FRAME.write:
      return reply ? 0 : DATA_BYTES_MAX + LAYER_BYTES_MAX;
    case FRAME.trim:
    case FRAME.zero:
      return reply ? 0 : LAYER_BYTES_MAX;
    case FRAME.ping:
    case FRAME.flush:
      return 0;
    case FRAME.complete:
      return reply ? -1 : 0;
    case FRAME.lost:
      return reply ? -1 : ERROR_BYTES_MAX;
    default:
      return -1;
  }
}
