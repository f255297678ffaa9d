/**
 * What an error of a member's request says about the member: one table, so that a new code does not
 * compile before somebody has thought about it.
 */
import type { ErrorCode } from '#api/mod.ts';

/**
 * - `medium`: the replica answered, its disk or its space failed; the session is sound.
 * - `session`: nothing more comes from this session.
 * - `fenced`: another writer took over.
 */
export type ErrorKind = 'medium' | 'session' | 'fenced';

const KINDS = {
  'invalid-argument': 'medium',
  'invalid-object': 'session',
  'out-of-range': 'medium',
  unaligned: 'medium',
  unsupported: 'medium',
  'not-found': 'medium',
  'already-exists': 'medium',
  'in-use': 'medium',
  conflict: 'medium',
  'operation-pending': 'medium',
  'no-placement': 'session',
  'capability-missing': 'session',
  'address-in-use': 'session',
  'io-error': 'medium',
  'no-space': 'medium',
  'read-only': 'medium',
  'no-holes': 'session',
  'permission-denied': 'medium',
  'checksum-mismatch': 'medium',
  'store-corrupt': 'session',
  'store-newer-format': 'session',
  'store-foreign': 'session',
  'store-locked': 'session',
  'store-rolled-back': 'session',
  'replica-failed': 'session',
  fenced: 'fenced',
  'stale-session': 'session',
  'not-current': 'medium',
  'quorum-lost': 'session',
  'lost-writes': 'session',
  'waiting-for-replica': 'session',
  'timed-out': 'session',
  disconnected: 'session',
  refused: 'session',
  'protocol-violation': 'session',
  'wrong-identity': 'session',
  aborted: 'session',
  suspended: 'session',
} satisfies Record<ErrorCode, ErrorKind>;

export function errorKind(code: ErrorCode): ErrorKind {
  return KINDS[code];
}
