/**
 * Encoder of what goes back to the kernel.
 *
 * struct fuse_out_header (16 bytes): 0 len u32 · 4 error i32 (negated errno) · 8 unique u64.
 */
import {
  FOPEN_DIRECT_IO,
  FOPEN_PARALLEL_DIRECT_WRITES,
  FUSE_ASYNC_DIO,
  FUSE_ASYNC_READ,
  FUSE_BIG_WRITES,
  FUSE_HAS_RESEND_FLAG2,
  FUSE_INIT_EXT,
  FUSE_KERNEL_MINOR_VERSION,
  FUSE_KERNEL_VERSION,
  FUSE_MAX_IO_BYTES,
  FUSE_MAX_PAGES,
  FUSE_NOTIFY_RESEND,
  FUSE_OUT_HEADER_BYTES,
} from './constants.ts';
import type { FuseRequest } from './request.ts';

type Unique = Pick<FuseRequest, 'uniqueLow' | 'uniqueHigh'>;

const TWO_32 = 0x1_0000_0000;
const ATTR_OUT_BYTES = 104;
const INIT_OUT_BYTES = 64;
const STATFS_OUT_BYTES = 80;
const S_IFREG_0600 = 0o100600;

/** Writes a header into the first 16 bytes of `out`; `bodyBytes` follow it. */
export function encodeOutHeader(
  out: DataView,
  request: Unique,
  errno: number,
  bodyBytes: number,
): void {
  out.setUint32(0, FUSE_OUT_HEADER_BYTES + bodyBytes, true);
  out.setInt32(4, -errno, true);
  out.setUint32(8, request.uniqueLow, true);
  out.setUint32(12, request.uniqueHigh, true);
}

function message(request: Unique, bodyBytes: number): { bytes: Uint8Array; view: DataView } {
  const bytes = new Uint8Array(FUSE_OUT_HEADER_BYTES + bodyBytes);
  const view = new DataView(bytes.buffer);
  encodeOutHeader(view, request, 0, bodyBytes);
  return { bytes, view };
}

export function encodeError(request: Unique, errno: number): Uint8Array {
  const { bytes, view } = message(request, 0);
  encodeOutHeader(view, request, errno, 0);
  return bytes;
}

/** struct fuse_init_out; with HAS_RESEND, without which no other process can take over. */
export function encodeInit(request: Unique, kernelMinor: number): Uint8Array {
  const { bytes, view } = message(request, INIT_OUT_BYTES);
  view.setUint32(16, FUSE_KERNEL_VERSION, true);
  view.setUint32(20, Math.min(kernelMinor, FUSE_KERNEL_MINOR_VERSION), true);
  view.setUint32(24, 131_072, true); // max_readahead
  const flags = FUSE_ASYNC_READ | FUSE_BIG_WRITES | FUSE_ASYNC_DIO | FUSE_MAX_PAGES | FUSE_INIT_EXT;
  view.setUint32(28, flags, true);
  view.setUint16(32, 128, true); // max_background
  view.setUint16(34, 96, true); // congestion_threshold
  view.setUint32(36, FUSE_MAX_IO_BYTES, true); // max_write
  view.setUint32(40, 1, true); // time_gran
  view.setUint16(44, FUSE_MAX_IO_BYTES / 4096, true); // max_pages
  view.setUint32(48, FUSE_HAS_RESEND_FLAG2, true); // flags2
  return bytes;
}

/** struct fuse_attr_out of the one file: a size, no cache time, so that growth shows at once. */
export function encodeAttr(request: Unique, sizeBytes: number): Uint8Array {
  const { bytes, view } = message(request, ATTR_OUT_BYTES);
  const attr = FUSE_OUT_HEADER_BYTES + 16; // after attr_valid u64, attr_valid_nsec u32, dummy u32
  view.setUint32(attr, 1, true); // ino
  setU64(view, attr + 8, sizeBytes);
  setU64(view, attr + 16, Math.ceil(sizeBytes / 512)); // blocks
  view.setUint32(attr + 60, S_IFREG_0600, true); // mode
  view.setUint32(attr + 64, 1, true); // nlink
  view.setUint32(attr + 80, 4096, true); // blksize
  return bytes;
}

/**
 * struct fuse_open_out: direct and parallel, so that as many requests are in flight as there are.
 */
export function encodeOpen(request: Unique): Uint8Array {
  const { bytes, view } = message(request, 16);
  view.setUint32(FUSE_OUT_HEADER_BYTES + 8, FOPEN_DIRECT_IO | FOPEN_PARALLEL_DIRECT_WRITES, true);
  return bytes;
}

/** struct fuse_write_out. */
export function encodeWrite(request: Unique, lengthBytes: number): Uint8Array {
  const { bytes, view } = message(request, 8);
  view.setUint32(FUSE_OUT_HEADER_BYTES, lengthBytes, true);
  return bytes;
}

/** struct fuse_statfs_out; bsize is what loop takes as its discard granularity. */
export function encodeStatfs(request: Unique, sizeBytes: number): Uint8Array {
  const { bytes, view } = message(request, STATFS_OUT_BYTES);
  const body = FUSE_OUT_HEADER_BYTES;
  setU64(view, body, Math.ceil(sizeBytes / 4096)); // blocks
  view.setUint32(body + 40, 4096, true); // bsize
  view.setUint32(body + 44, 255, true); // namelen
  view.setUint32(body + 48, 4096, true); // frsize
  return bytes;
}

/** Asks the kernel to send again what was read and never answered (kernel 6.9 and later). */
export function encodeNotifyResend(): Uint8Array {
  const bytes = new Uint8Array(FUSE_OUT_HEADER_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, FUSE_OUT_HEADER_BYTES, true);
  view.setInt32(4, FUSE_NOTIFY_RESEND, true);
  return bytes;
}

function setU64(view: DataView, at: number, value: number): void {
  view.setUint32(at, value % TWO_32, true);
  view.setUint32(at + 4, Math.floor(value / TWO_32), true);
}
