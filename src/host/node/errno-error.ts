import { HoldfastError, type Effect, type ErrorCode, type ErrorDetails } from '#api/mod.ts';

/** What the operating system says, in our words. What is missing here is an `io-error`. */
const CODES: Readonly<Record<string, ErrorCode>> = {
  EACCES: 'permission-denied',
  EPERM: 'permission-denied',
  ENOENT: 'not-found',
  ENOTDIR: 'not-found',
  EEXIST: 'already-exists',
  ENOTEMPTY: 'already-exists',
  EISDIR: 'already-exists',
  ENOSPC: 'no-space',
  EDQUOT: 'no-space',
  EFBIG: 'no-space',
  EROFS: 'read-only',
  EBADF: 'read-only', // of a descriptor that is open: the wrong mode
  EOPNOTSUPP: 'unsupported',
  ENOTSUP: 'unsupported',
  ENOSYS: 'unsupported',
  EWOULDBLOCK: 'store-locked', // of flock only
  EAGAIN: 'store-locked',
  EADDRINUSE: 'address-in-use',
  ECONNREFUSED: 'refused',
  ECONNRESET: 'disconnected',
  EPIPE: 'disconnected',
  ENOTCONN: 'disconnected',
  EHOSTUNREACH: 'disconnected',
  ENETUNREACH: 'disconnected',
  ENOTFOUND: 'refused',
  ETIMEDOUT: 'timed-out',
};

/** Numbers of the errors that system calls made through koffi can return (x64 and arm64 agree). */
const NAMES: Readonly<Record<number, string>> = {
  1: 'EPERM',
  2: 'ENOENT',
  5: 'EIO',
  9: 'EBADF',
  11: 'EAGAIN',
  13: 'EACCES',
  27: 'EFBIG',
  28: 'ENOSPC',
  30: 'EROFS',
  38: 'ENOSYS',
  95: 'EOPNOTSUPP',
  122: 'EDQUOT',
};

export const EAGAIN = 11;
export const ENXIO = 6;
export const EOPNOTSUPP = 95;

/** An error of Node's own modules. */
export function fromNodeError(error: unknown, details: ErrorDetails): HoldfastError {
  const name = error instanceof Error && 'code' in error ? String(error.code) : '';
  return new HoldfastError(CODES[name] ?? 'io-error', 'The operating system refused', {
    details: { ...details, errno: name },
    cause: error,
  });
}

export function fromErrno(errno: number, effect: Effect, details: ErrorDetails): HoldfastError {
  const name = NAMES[errno] ?? String(errno);
  return new HoldfastError(CODES[name] ?? 'io-error', 'The operating system refused', {
    effect,
    details: { ...details, errno: name },
  });
}
