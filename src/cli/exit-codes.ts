import type { ErrorCode } from '#api/mod.ts';

export const EXIT_OK = 0;
/** Data, a disk or the machine needs a look (`explain`, `volume scrub`, `doctor`). */
export const EXIT_NOT_WELL = 8;
/** The command line itself is wrong. */
export const EXIT_USAGE = 2;

/**
 * The exit code for every error, total: a new code does not compile until it is answered here. The
 * numbers are those of docs/errors.md; scripts match the number, people read the code.
 */
export const EXIT_CODES = {
  'invalid-argument': 2,
  'invalid-object': 2,
  'out-of-range': 2,
  unaligned: 2,
  unsupported: 2,
  'not-found': 3,
  'already-exists': 4,
  'in-use': 4,
  conflict: 4,
  'operation-pending': 7,
  'no-placement': 6,
  'capability-missing': 5,
  'address-in-use': 4,
  'io-error': 8,
  'no-space': 6,
  'read-only': 5,
  'no-holes': 5,
  'permission-denied': 5,
  'checksum-mismatch': 8,
  'store-corrupt': 8,
  'store-newer-format': 8,
  'store-foreign': 8,
  'store-locked': 4,
  'store-rolled-back': 8,
  'replica-failed': 8,
  fenced: 7,
  'stale-session': 7,
  'not-current': 7,
  'quorum-lost': 7,
  'lost-writes': 8,
  'waiting-for-replica': 7,
  'timed-out': 7,
  disconnected: 7,
  refused: 7,
  'protocol-violation': 9,
  'wrong-identity': 9,
  aborted: 130,
  suspended: 7,
} as const satisfies Record<ErrorCode, number>;
