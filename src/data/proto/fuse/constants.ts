/** Names and numbers of the FUSE kernel protocol, spelled as in linux/fuse.h (protocol 7.45). */

export const FUSE_KERNEL_VERSION = 7;
/** The highest minor version that this codec knows; the kernel's own is used when lower. */
export const FUSE_KERNEL_MINOR_VERSION = 45;
/** FUSE_NOTIFY_RESEND (7.40, kernel 6.9) is what lets another process take a session over. */
export const FUSE_MINOR_WITH_RESEND = 40;
export const FUSE_ROOT_ID = 1;

export const FUSE_LOOKUP = 1;
export const FUSE_FORGET = 2;
export const FUSE_GETATTR = 3;
export const FUSE_SETATTR = 4;
export const FUSE_OPEN = 14;
export const FUSE_READ = 15;
export const FUSE_WRITE = 16;
export const FUSE_STATFS = 17;
export const FUSE_RELEASE = 18;
export const FUSE_FSYNC = 20;
export const FUSE_FLUSH = 25;
export const FUSE_INIT = 26;
export const FUSE_INTERRUPT = 36;
export const FUSE_DESTROY = 38;
export const FUSE_BATCH_FORGET = 42;
export const FUSE_FALLOCATE = 43;

export const FUSE_NOTIFY_RESEND = 7;

// Flags of INIT.
export const FUSE_ASYNC_READ = 1 << 0;
export const FUSE_BIG_WRITES = 1 << 5;
export const FUSE_ASYNC_DIO = 1 << 15;
export const FUSE_MAX_PAGES = 1 << 22;
export const FUSE_INIT_EXT = 1 << 30;
/** In flags2, that is bit 39 of the whole. */
export const FUSE_HAS_RESEND_FLAG2 = 1 << 7;

// Flags of OPEN.
export const FOPEN_DIRECT_IO = 1 << 0;
export const FOPEN_PARALLEL_DIRECT_WRITES = 1 << 6;

// Modes of FALLOCATE (linux/falloc.h).
export const FALLOC_FL_KEEP_SIZE = 0x01;
export const FALLOC_FL_PUNCH_HOLE = 0x02;
export const FALLOC_FL_ZERO_RANGE = 0x10;

export const FUSE_IN_HEADER_BYTES = 40;
export const FUSE_OUT_HEADER_BYTES = 16;

/** Longest READ or WRITE that is negotiated. */
export const FUSE_MAX_IO_BYTES = 1024 * 1024;
/** What one read of the descriptor must have room for: the longest WRITE with its headers. */
export const FUSE_RECEIVE_BYTES = FUSE_MAX_IO_BYTES + 4096;

// Error numbers as Linux has them (asm-generic/errno.h).
export const EPERM = 1;
export const ENOENT = 2;
export const EIO = 5;
export const EINVAL = 22;
export const ENOSPC = 28;
export const EROFS = 30;
export const ENOSYS = 38;
export const EOPNOTSUPP = 95;
export const ETIMEDOUT = 110;
