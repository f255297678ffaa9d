/** What gRPC status an operating error is to a sidecar or the kubelet. */
import type { ErrorCode } from '#api/mod.ts';

/** Numbers of https://grpc.github.io/grpc/core/md_doc_statuscodes.html. */
export const STATUS = {
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  alreadyExists: 6,
  permissionDenied: 7,
  resourceExhausted: 8,
  failedPrecondition: 9,
  aborted: 10,
  outOfRange: 11,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
} as const;

/**
 * Total over the closed list of codes. ABORTED says "an operation is pending, ask again",
 * UNAVAILABLE "ask again later"; what a person has to mend is FAILED_PRECONDITION.
 */
const STATUS_OF: Readonly<Record<ErrorCode, number>> = {
  'invalid-argument': STATUS.invalidArgument,
  'invalid-object': STATUS.invalidArgument,
  'out-of-range': STATUS.outOfRange,
  unaligned: STATUS.invalidArgument,
  unsupported: STATUS.unimplemented,
  'not-found': STATUS.notFound,
  'already-exists': STATUS.alreadyExists,
  'in-use': STATUS.failedPrecondition,
  conflict: STATUS.aborted,
  'operation-pending': STATUS.aborted,
  'no-placement': STATUS.resourceExhausted,
  'capability-missing': STATUS.failedPrecondition,
  'address-in-use': STATUS.unavailable,
  'io-error': STATUS.internal,
  'no-space': STATUS.resourceExhausted,
  'read-only': STATUS.failedPrecondition,
  'no-holes': STATUS.failedPrecondition,
  'permission-denied': STATUS.permissionDenied,
  'checksum-mismatch': STATUS.internal,
  'store-corrupt': STATUS.failedPrecondition,
  'store-newer-format': STATUS.failedPrecondition,
  'store-foreign': STATUS.failedPrecondition,
  'store-locked': STATUS.unavailable,
  'store-rolled-back': STATUS.failedPrecondition,
  'replica-failed': STATUS.internal,
  fenced: STATUS.internal,
  'stale-session': STATUS.internal,
  'not-current': STATUS.unavailable,
  'quorum-lost': STATUS.unavailable,
  'lost-writes': STATUS.failedPrecondition,
  'waiting-for-replica': STATUS.unavailable,
  'timed-out': STATUS.deadlineExceeded,
  disconnected: STATUS.unavailable,
  refused: STATUS.unavailable,
  'protocol-violation': STATUS.invalidArgument,
  'wrong-identity': STATUS.invalidArgument,
  aborted: STATUS.internal,
  suspended: STATUS.unavailable,
};

export function statusOf(code: ErrorCode): number {
  return STATUS_OF[code];
}
