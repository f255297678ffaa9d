/**
 * The edge between our errors and NBD's ("Error values"): total in one direction, coarse in the
 * other.
 */
import type { ErrorCode } from '#api/mod.ts';
import {
  NBD_EINVAL,
  NBD_EIO,
  NBD_ENOMEM,
  NBD_ENOSPC,
  NBD_ENOTSUP,
  NBD_EOVERFLOW,
  NBD_EPERM,
  NBD_ESHUTDOWN,
} from '#data/proto/nbd/mod.ts';

/**
 * What nbdkit answers for the like cause. A write beyond the end is the exception: NBD_ENOSPC,
 * which the session knows from the verb.
 */
export const NBD_ERRNO = {
  'invalid-argument': NBD_EINVAL,
  'invalid-object': NBD_EINVAL,
  'out-of-range': NBD_EINVAL,
  unaligned: NBD_EINVAL,
  unsupported: NBD_ENOTSUP,
  'not-found': NBD_EIO,
  'already-exists': NBD_EIO,
  'in-use': NBD_EIO,
  conflict: NBD_EIO,
  'operation-pending': NBD_EIO,
  'no-placement': NBD_EIO,
  'capability-missing': NBD_EIO,
  'address-in-use': NBD_EIO,
  'io-error': NBD_EIO,
  'no-space': NBD_ENOSPC,
  'read-only': NBD_EPERM,
  'no-holes': NBD_EIO,
  'permission-denied': NBD_EPERM,
  'checksum-mismatch': NBD_EIO,
  'store-corrupt': NBD_EIO,
  'store-newer-format': NBD_EIO,
  'store-foreign': NBD_EIO,
  'store-locked': NBD_EIO,
  'store-rolled-back': NBD_EIO,
  'replica-failed': NBD_EIO,
  fenced: NBD_ESHUTDOWN,
  'stale-session': NBD_ESHUTDOWN,
  'not-current': NBD_EIO,
  'quorum-lost': NBD_EIO,
  'lost-writes': NBD_ESHUTDOWN,
  'waiting-for-replica': NBD_EIO,
  'timed-out': NBD_EIO,
  disconnected: NBD_EIO,
  refused: NBD_EIO,
  'protocol-violation': NBD_EIO,
  'wrong-identity': NBD_EIO,
  aborted: NBD_ESHUTDOWN,
  suspended: NBD_EIO,
} as const satisfies Record<ErrorCode, number>;

/** What a server's error number means to our client. */
export function codeOfErrno(errorNumber: number): ErrorCode {
  switch (errorNumber) {
    case NBD_EPERM:
      return 'read-only';
    case NBD_EINVAL:
      return 'invalid-argument';
    case NBD_ENOSPC:
      return 'no-space';
    case NBD_ENOTSUP:
      return 'unsupported';
    case NBD_ESHUTDOWN:
      return 'disconnected';
    case NBD_ENOMEM:
    case NBD_EOVERFLOW:
    default:
      return 'io-error';
  }
}
