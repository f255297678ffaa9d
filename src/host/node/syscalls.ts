/**
 * System calls that Node does not offer, through koffi. Every one returns what the kernel returns,
 * or minus the error number. Memory is passed as an address: the same numbers work in every thread
 * of the process, which is how the disk lanes read and write without a copy.
 */
import koffi from 'koffi';

const libc = koffi.load(null);

const fallocateRaw = libc.func('int fallocate64(int fd, int mode, int64_t offset, int64_t length)');
const lseekRaw = libc.func('int64_t lseek64(int fd, int64_t offset, int whence)');
const flockRaw = libc.func('int flock(int fd, int operation)');
const preadRaw = libc.func('int64_t pread64(int fd, uintptr_t memory, size_t length, int64_t at)');
const pwriteRaw = libc.func(
  'int64_t pwrite64(int fd, uintptr_t memory, size_t length, int64_t at)',
);
const preadv2Raw = libc.func(
  'int64_t preadv2(int fd, uintptr_t vectors, int count, int64_t at, int flags)',
);
const fdatasyncRaw = libc.func('int fdatasync(int fd)');
const setsockoptRaw = libc.func(
  'int setsockopt(int fd, int level, int name, const int *value, uint32_t length)',
);
const exitRaw = libc.func('void _exit(int code)');
const statxRaw = libc.func(
  'int statx(int directory, const char *path, int flags, uint32_t mask, uint8_t *result)',
);

const mallocTrimRaw = glibcMallocTrim();

/** Of glibc alone; undefined with another C library. */
function glibcMallocTrim(): Raw | undefined {
  try {
    return libc.func('int malloc_trim(size_t keep)') as Raw;
  } catch {
    return undefined;
  }
}

type Raw = (...args: readonly unknown[]) => number;

function call(raw: unknown, ...args: readonly unknown[]): number {
  const result = (raw as Raw)(...args);
  return result < 0 ? -koffi.errno() : result;
}

const FALLOC_KEEP_SIZE = 0x01;
const FALLOC_PUNCH_HOLE = 0x02;
const FALLOC_ZERO_RANGE = 0x10;
const SEEK_DATA = 3;
const SEEK_HOLE = 4;
const LOCK_EX = 2;
const LOCK_NB = 4;
const RWF_NOWAIT = 8;

export function punchHole(fd: number, offset: number, length: number): number {
  return call(fallocateRaw, fd, FALLOC_PUNCH_HOLE | FALLOC_KEEP_SIZE, offset, length);
}

export function zeroRange(fd: number, offset: number, length: number): number {
  return call(fallocateRaw, fd, FALLOC_ZERO_RANGE | FALLOC_KEEP_SIZE, offset, length);
}

export function seekData(fd: number, offset: number): number {
  return call(lseekRaw, fd, offset, SEEK_DATA);
}

export function seekHole(fd: number, offset: number): number {
  return call(lseekRaw, fd, offset, SEEK_HOLE);
}

export function lockExclusive(fd: number): number {
  return call(flockRaw, fd, LOCK_EX | LOCK_NB);
}

export function pread(fd: number, memory: number, length: number, offset: number): number {
  const result = preadRaw(fd, memory, length, offset) as number;
  return result < 0 ? -koffi.errno() : result;
}

export function pwrite(fd: number, memory: number, length: number, offset: number): number {
  const result = pwriteRaw(fd, memory, length, offset) as number;
  return result < 0 ? -koffi.errno() : result;
}

export function fdatasync(fd: number): number {
  return call(fdatasyncRaw, fd);
}

const vector = new BigUint64Array(2);
const vectorWords = new Uint32Array(vector.buffer);
const vectorAddress = Number(koffi.address(vector.buffer));

/** What the page cache holds now: -EAGAIN when it would have to wait for the disk. */
export function preadNoWait(fd: number, memory: number, length: number, offset: number): number {
  vectorWords[0] = memory % 2 ** 32;
  vectorWords[1] = memory / 2 ** 32;
  vectorWords[2] = length;
  const result = preadv2Raw(fd, vectorAddress, 1, offset, RWF_NOWAIT) as number;
  return result < 0 ? -koffi.errno() : result;
}

const SOL_SOCKET = 1;
const SO_SNDBUF = 7;
const SO_RCVBUF = 8;
const SO_SNDBUFFORCE = 32;
const SO_RCVBUFFORCE = 33;

/** Asks for large kernel buffers: beyond the system's maximum where we are root. */
export function growSocketBuffers(fd: number, bytes: number): void {
  for (const [force, plain] of [
    [SO_SNDBUFFORCE, SO_SNDBUF],
    [SO_RCVBUFFORCE, SO_RCVBUF],
  ]) {
    if (call(setsockoptRaw, fd, SOL_SOCKET, force, [bytes], 4) < 0) {
      call(setsockoptRaw, fd, SOL_SOCKET, plain, [bytes], 4);
    }
  }
}

/**
 * What the whole process has freed goes back to the system, of all its threads: glibc keeps it for
 * each of them else. True when there was any.
 */
export function trimFreedMemory(): boolean {
  return mallocTrimRaw?.(0) === 1;
}

/** Ends the process without waiting for its threads. */
export function exitNow(code: number): void {
  exitRaw(code);
}

const AT_FDCWD = -100;
const STATX_MNT_ID_UNIQUE = 0x4000;
const STATX_BYTES = 256;
const STATX_MNT_ID_OFFSET = 0x90;

/** An id that the kernel never gives to another mount (Linux 6.8); undefined where it has none. */
export function uniqueMountId(path: string): string | undefined {
  const result = new Uint8Array(STATX_BYTES);
  if (call(statxRaw, AT_FDCWD, path, 0, STATX_MNT_ID_UNIQUE, result) < 0) return undefined;
  const view = new DataView(result.buffer);
  if ((view.getUint32(0, true) & STATX_MNT_ID_UNIQUE) === 0) return undefined;
  return view.getBigUint64(STATX_MNT_ID_OFFSET, true).toString();
}

let lastBuffer: ArrayBufferLike | undefined;
let lastAddress = 0;

/** Where the bytes lie. Valid as long as somebody holds the array. */
export function addressOf(bytes: Uint8Array): number {
  const { buffer } = bytes;
  if (buffer !== lastBuffer) {
    lastAddress = Number(koffi.address(buffer));
    lastBuffer = buffer;
  }
  return lastAddress + bytes.byteOffset;
}
