/**
 * Operating errors: everything that can go wrong without a mistake of ours.
 *
 * Codes are permanent: callers and tests match the code, never the message. Each code is described
 * in docs/errors.md with cause, effect and remedy (test/tidy.test.ts keeps the two lists equal).
 * A programmer error is an `assert` (lib/assert.ts) and ends the process.
 */

/** Every code, in the order of docs/errors.md. */
export const ERROR_CODES = [
  // Requests that were never going to work.
  'invalid-argument', // a value is malformed: details name the field, the value and the remedy
  'invalid-object', // an API object does not fit its schema: details.path, details.value
  'out-of-range', // beyond the end of a volume, or a size that cannot be served
  'unaligned', // offset or length is not a multiple of the unit
  'unsupported', // the device, store or peer does not have this verb
  'not-found', // the named thing does not exist
  'already-exists', // the name or id is taken
  'in-use', // the thing is mounted, attached or open elsewhere
  'conflict', // the object changed since it was read
  'operation-pending', // the same is being done to the object: ask again
  'no-placement', // no set of pools satisfies the request: details say why per pool
  'capability-missing', // the machine lacks something: details.remedy says how to get it
  'address-in-use', // the port or socket is taken
  // Media and filesystems.
  'io-error', // the disk returned an error
  'no-space', // the disk, filesystem or pool is full
  'read-only', // the filesystem or device refuses writes
  'no-holes', // the filesystem cannot keep sparse files
  'permission-denied', // the operating system refused
  // Stores.
  'checksum-mismatch', // does not match its checksum: repaired or refused, never returned
  'store-corrupt', // metadata is truncated or damaged beyond its copies
  'store-newer-format', // written by a newer version: left untouched
  'store-foreign', // belongs to another cluster, pool or volume: left untouched
  'store-locked', // another process has it open
  'store-rolled-back', // an older copy of the store came back (protocol.md rule 16)
  'replica-failed', // the replica stopped serving after an error that leaves its state unknown
  // Replication.
  'fenced', // a higher epoch was promised: this writer is over (One writer)
  'stale-session', // the session was replaced by a newer one of the same nexus
  'not-current', // the replica cannot prove that it is current (Current or silent)
  'quorum-lost', // no majority of voters answers
  'lost-writes', // acknowledged writes may be gone: Lost means failed
  'waiting-for-replica', // opening waits for a replica that may hold newer data: details name it
  // Connections and processes.
  'timed-out', // no answer within the deadline
  'disconnected', // the peer went away
  'refused', // nothing listens there, or the peer declined
  'protocol-violation', // the peer sent something the protocol does not allow
  'wrong-identity', // the peer is not the cluster, volume or replica it should be
  'aborted', // cancelled by the caller, or closed while in flight
  'suspended', // I/O waits for a majority (onQuorumLoss: suspend)
] as const;

export type ErrorCode = (typeof ERROR_CODES)[number];

/** Whether the operation changed state: after a timed-out write `unknown` is the truth. */
export type Effect = 'none' | 'applied' | 'unknown';

export type ErrorDetails = Readonly<Record<string, string | number | boolean>>;

export interface ErrorOptionsFor {
  readonly effect?: Effect;
  readonly details?: ErrorDetails;
  readonly cause?: unknown;
}

/**
 * The one class of operating errors. The message is constant text (capitalised, no period);
 * what varies goes into `details`.
 */
export class HoldfastError extends Error {
  readonly code: ErrorCode;
  readonly effect: Effect;
  readonly details: ErrorDetails;

  constructor(code: ErrorCode, message: string, options: ErrorOptionsFor = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.name = 'HoldfastError';
    this.code = code;
    this.effect = options.effect ?? 'none';
    this.details = options.details ?? {};
  }

  /** Recognises errors of this class also when they crossed a realm (worker, RPC). */
  static is(value: unknown): value is HoldfastError {
    return value instanceof Error && value.name === 'HoldfastError' && 'code' in value;
  }
}

/** True for an operating error with this code. */
export function hasCode(error: unknown, code: ErrorCode): boolean {
  return HoldfastError.is(error) && error.code === code;
}
