/**
 * Decoder of what the kernel sends: one read of the descriptor is one whole request, little-endian
 * on the machines that we run on.
 *
 * struct fuse_in_header (40 bytes): 0 len u32 · 4 opcode u32 · 8 unique u64 · 16 nodeid u64 ·
 * 24 uid u32 · 28 gid u32 · 32 pid u32 · 36 total_extlen u16 · 38 padding u16.
 * The 8 raw bytes of `unique` are echoed as they came: bit 63 marks a request that was sent again.
 */
import {
  FUSE_FALLOCATE,
  FUSE_FSYNC,
  FUSE_INIT,
  FUSE_IN_HEADER_BYTES,
  FUSE_READ,
  FUSE_WRITE,
} from './constants.ts';

/** Where the payload of WRITE begins: header (40) + struct fuse_write_in (40). */
export const FUSE_WRITE_DATA_AT = 80;

/** Bytes that a request of this kind must have at least. */
const BODY_BYTES: Readonly<Record<number, number>> = {
  [FUSE_INIT]: 16,
  [FUSE_READ]: 40,
  [FUSE_WRITE]: 40,
  [FUSE_FSYNC]: 16,
  [FUSE_FALLOCATE]: 32,
};

/** A decoded request; one object is used again and again. */
export class FuseRequest {
  opcode = 0;
  /** The two halves of `unique`, raw. */
  uniqueLow = 0;
  uniqueHigh = 0;
  nodeid = 0;
  /** READ, WRITE and FALLOCATE. */
  offsetBytes = 0;
  lengthBytes = 0;
  /** FALLOCATE: mode. INIT: the kernel's minor version. */
  detail = 0;
  /** WRITE: the payload, a view of the receive buffer. */
  payload: Uint8Array = EMPTY;
}

const EMPTY = new Uint8Array(0);
const TWO_32 = 0x1_0000_0000;

/** Fills `request` from one message; a string says what is wrong with it. */
export function decodeFuseRequest(bytes: Uint8Array, request: FuseRequest): string | null {
  if (bytes.byteLength < FUSE_IN_HEADER_BYTES) return 'Message shorter than its header';
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(0, true) !== bytes.byteLength) return 'Message length differs from its header';
  const opcode = view.getUint32(4, true);
  request.opcode = opcode;
  request.uniqueLow = view.getUint32(8, true);
  request.uniqueHigh = view.getUint32(12, true);
  request.nodeid = view.getUint32(16, true) + view.getUint32(20, true) * TWO_32;
  request.payload = EMPTY;
  if (bytes.byteLength < FUSE_IN_HEADER_BYTES + (BODY_BYTES[opcode] ?? 0)) return 'Body too short';
  if (opcode === FUSE_READ || opcode === FUSE_WRITE) return decodeTransfer(bytes, view, request);
  if (opcode === FUSE_FALLOCATE) {
    request.offsetBytes = u64(view, 48);
    request.lengthBytes = u64(view, 56);
    request.detail = view.getUint32(64, true);
  } else if (opcode === FUSE_INIT) {
    request.detail = view.getUint32(44, true);
  }
  return null;
}

/** fuse_read_in and fuse_write_in begin alike: fh u64, offset u64, size u32. */
function decodeTransfer(bytes: Uint8Array, view: DataView, request: FuseRequest): string | null {
  request.offsetBytes = u64(view, 48);
  request.lengthBytes = view.getUint32(56, true);
  if (request.opcode === FUSE_READ) return null;
  if (bytes.byteLength !== FUSE_WRITE_DATA_AT + request.lengthBytes) return 'Payload cut short';
  request.payload = bytes.subarray(FUSE_WRITE_DATA_AT);
  return null;
}

/** Offsets beyond 2^53 lose their low bits here and are refused as out of range by the caller. */
function u64(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint32(at + 4, true) * TWO_32;
}
