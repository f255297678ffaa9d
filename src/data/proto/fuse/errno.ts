/** The one table from an operating error to what the kernel is told. */
import type { ErrorCode } from '#api/mod.ts';
import { EINVAL, EIO, ENOSPC, EOPNOTSUPP, EROFS } from './constants.ts';

const ERRNO = {
  'invalid-argument': EINVAL,
  'invalid-object': EINVAL,
  'out-of-range': EINVAL,
  unaligned: EINVAL,
  unsupported: EOPNOTSUPP,
  'not-found': EIO,
  'already-exists': EIO,
  'in-use': EIO,
  conflict: EIO,
  'operation-pending': EIO,
  'no-placement': EIO,
  'capability-missing': EIO,
  'address-in-use': EIO,
  'io-error': EIO,
  'no-space': ENOSPC,
  'read-only': EROFS,
  'no-holes': EIO,
  'permission-denied': EIO,
  'checksum-mismatch': EIO,
  'store-corrupt': EIO,
  'store-newer-format': EIO,
  'store-foreign': EIO,
  'store-locked': EIO,
  'store-rolled-back': EIO,
  'replica-failed': EIO,
  fenced: EIO,
  'stale-session': EIO,
  'not-current': EIO,
  'quorum-lost': EIO,
  'lost-writes': EIO,
  'waiting-for-replica': EIO,
  'timed-out': EIO,
  disconnected: EIO,
  refused: EIO,
  'protocol-violation': EIO,
  'wrong-identity': EIO,
  aborted: EIO,
  suspended: EIO,
} as const satisfies Record<ErrorCode, number>;

export function errnoOf(code: ErrorCode): number {
  return ERRNO[code];
}
