/**
 * The state of the modelled world in one array of bytes.
 *
 *   offset  size  what
 *   0       40    the volume: control-plane voter, budgets left, writes, history so far
 *   40      36×3  each replica: what is on its disk and in its memory
 *   148     64×N  each nexus: 16 bytes of its own, then 16 for each of its three members
 *
 * A nexus is an opening: nexus n has epoch n + 1. A record is named by (epoch, seq) in one byte
 * and its contents are kept once, at the nexus that proposed it, as one bit per replica. So no
 * replica's bytes refer to another replica, and the checker may treat replicas as
 * interchangeable by adding the hashes of their columns (see `hashState`).
 *
 * Generations are bytes too: epoch << 4 | n. Values are 1..9, 0 is the volume as created.
 */

export type State = Uint8Array;

export const REPLICAS_MAX = 3;
export const BLOCKS = 2;

// The volume.
export const K_PROMISED = 0;
export const K_RECORD = 1;
/** Epoch in which the client's session began. A session moves from one nexus to the next. */
export const SESSION = 2;
export const CRASHES_LEFT = 3;
export const WRITES = 4;
export const FLUSHES_LEFT = 5;
/** How many nexuses have begun to open. */
export const STARTED = 6;
/** The newest record that a majority has accepted; known to the checker only. */
export const CHOSEN = 7;
/** Two bytes for each block: the name of its history in RegisterHistory. */
export const HISTORY = 8;
/** Highest epoch that has served. */
export const SERVED = 12;
export const SNAPSHOTS_LEFT = 13;
export const ROLLBACKS_LEFT = 14;
/**
 * What the control plane held when it was backed up: promised, record, and whether there is one.
 */
export const K_BACKUP = 15;
export const K_FLAGS = 18;
const WRITE = 20;

// A replica, relative to `replicaAt`.
export const PROMISED = 0;
export const RECORD = 1;
export const INCARNATION = 2;
/** Value visible in block 0 (low half) and block 1. */
export const CONTENTS = 3;
/** Two bytes for each block: the set of values that a power loss may leave there. */
export const MAY = 4;
export const STAMP = 8;
export const STAMP_DURABLE = 10;
/** Bits 0-1: intent mark of each segment, then MARK_CLEAN and the rest. */
export const MARKS = 12;
export const COMPLETED = 13;
/** Two bytes: bit v set when the replica has accepted write v. */
export const ACCEPTED = 14;
/** Two bytes: bit v set when the nexus that issued v sent it to this replica's present session. */
export const SENT = 16;
export const POWER_LEFT = 18;
/** An operation kept from a session that was ended: only a mistake fills it. */
export const STRAY = 19;
/** Snapshot taken: bits 0-3 and 4-7 the values of the blocks. */
export const SNAPSHOT = 20;
export const SNAPSHOT_EPOCH = 21;
/** Copy of the store kept aside for a rollback: promised, record, contents, and so on. */
export const BACKUP = 22;
const REPLICA_BYTES = 36;

export const MARK_CLEAN = 4;
/** Recognised as rolled back: to be rebuilt from nothing. */
export const MARK_ROLLED_BACK = 8;
/** Recognised as rolled back: what it promised and recorded as a voter is not to be believed. */
export const MARK_NO_VOTE = 16;
/** In memory: the segment was marked when the process started, and has not been stamped since. */
export const MARK_STAMP_UNKNOWN = 32;

// A nexus, relative to `nexusAt`.
export const PHASE = 0;
/** Record found by the opening. */
export const FOUND = 1;
export const SEQ = 2;
/** Bit s: the control plane accepted proposal s. */
export const K_ACKED = 3;
export const FLAGS = 4;
export const LOSS = 5;
export const CLOSED_SEQ = 6;
export const GENERATION = 7;
/** Highest complete n of this epoch, plus one. */
export const COMPLETE = 8;
export const RECONCILE_SEGMENTS = 9;
export const RECONCILE_VALUES = 10;
/** Bit s: the control plane is a voter in proposal s. */
export const K_VOTER = 11;
/** Highest seq that a majority has accepted. */
export const COMMITTED = 12;
/** Bit s: the control plane was a voter before the change that proposal s carries. */
export const K_VOTER_BEFORE = 13;
const NEXUS_OWN_BYTES = 16;

export const FLAG_LEASE_OVER = 1;
export const FLAG_FLUSHING = 4;
/** No write of an older generation was in flight when the flush began. */
export const FLAG_FLUSH_CLEAN = 8;
export const FLAG_K_ANSWERED = 16;
/** A snapshot barrier is up: new writes wait. */
export const FLAG_BARRIER = 32;
/** And has been sent to the members. */
export const FLAG_BARRIER_SENT = 64;

// A nexus's view of one member, relative to `memberAt`.
export const LINK = 0;
export const MEMBER = 1;
/** Bit s: the replica is in sync in proposal s. */
export const IN_RECORD = 2;
/** Bit s: the replica, as a voter, accepted proposal s. */
export const ACKED = 3;
/** Two bits for each seq: the incarnation written in proposal s. Two bytes. */
export const INCARNATION_IN_RECORD = 4;
/** Incarnation told in the answer to promise, and in the present session. */
export const INCARNATION_TOLD = 6;
/** Bits 0-1 segments still to copy, bits 2-3 copy on its way. */
export const COPY = 7;
export const COPY_VALUE = 8;
export const COPY_STAMP = 9;
/** Eight operations of four bits, oldest lowest. */
export const QUEUE = 10;
/** Bit s: the replica is a voter in proposal s. */
export const VOTER = 14;
/** Bit s: the replica was a voter before the change of voters that proposal s carries. */
export const VOTER_BEFORE = 15;
const MEMBER_BYTES = 16;

export const LINK_ANSWERED = 1;
/** The replica still takes operations of this nexus's session. */
export const LINK_LIVE = 2;
export const LINK_APPLIED = 4;
export const LINK_SYNCED = 8;
export const LINK_FLUSHED = 16;
/** The nexus has its answer to the snapshot barrier. */
export const LINK_BARRIER = 32;

// Phases of a nexus.
export const IDLE = 0;
export const PROMISING = 1;
export const COMMITTING = 2;
export const RECONCILING = 3;
export const SERVING = 4;
export const CLOSING = 5;

// States of a member, as its nexus sees it.
export const OUT = 0;
export const IN_SYNC = 1;
/** Not read any more, its removal proposed or about to be. */
export const BROKEN = 2;
export const COPYING = 3;
/** All is copied: it counts for acknowledgements. */
export const COUNTING = 4;
/** And is flushed. */
export const FLUSHED = 5;
export const PROPOSED = 6;

// Operations in a queue; 1..9 are the writes of those values.
export const OP_BARRIER = 12;
export const OP_COPY = 13;
export const OP_FLUSH = 14;
export const OP_JOIN_FLUSH = 15;

const NEXUS_BYTES = NEXUS_OWN_BYTES + REPLICAS_MAX * MEMBER_BYTES;
const REPLICA = 40;
const NEXUS = REPLICA + REPLICAS_MAX * REPLICA_BYTES;

export function stateBytes(nexuses: number): number {
  return NEXUS + nexuses * NEXUS_BYTES;
}

export function replicaAt(r: number): number {
  return REPLICA + r * REPLICA_BYTES;
}

export function nexusAt(n: number): number {
  return NEXUS + n * NEXUS_BYTES;
}

export function memberAt(n: number, r: number): number {
  return NEXUS + n * NEXUS_BYTES + NEXUS_OWN_BYTES + r * MEMBER_BYTES;
}

export function get(s: State, at: number): number {
  return s[at] as number;
}

export function set(s: State, at: number, value: number): void {
  s[at] = value;
}

export function has(s: State, at: number, mask: number): boolean {
  return ((s[at] as number) & mask) !== 0;
}

export function raise(s: State, at: number, mask: number): void {
  s[at] = (s[at] as number) | mask;
}

export function lower(s: State, at: number, mask: number): void {
  s[at] = (s[at] as number) & ~mask;
}

export function get16(s: State, at: number): number {
  return (s[at] as number) | ((s[at + 1] as number) << 8);
}

export function set16(s: State, at: number, value: number): void {
  s[at] = value & 255;
  s[at + 1] = value >>> 8;
}

export function has16(s: State, at: number, bit: number): boolean {
  return (get16(s, at) & (1 << bit)) !== 0;
}

// Records.

export function recordOf(epoch: number, seq: number): number {
  return (epoch << 3) | seq;
}

export function epochOfRecord(record: number): number {
  return record >>> 3;
}

export function seqOfRecord(record: number): number {
  return record & 7;
}

export function isInRecord(s: State, record: number, r: number): boolean {
  return has(s, memberAt((record >>> 3) - 1, r) + IN_RECORD, 1 << (record & 7));
}

export function incarnationInRecord(s: State, record: number, r: number): number {
  const at = memberAt((record >>> 3) - 1, r) + INCARNATION_IN_RECORD;
  return (get16(s, at) >>> (2 * (record & 7))) & 3;
}

export function isClosedRecord(s: State, record: number): boolean {
  const closedSeq = get(s, nexusAt((record >>> 3) - 1) + CLOSED_SEQ);
  return closedSeq !== 0 && closedSeq === (record & 7);
}

export function lossOfRecord(s: State, record: number): number {
  return get(s, nexusAt((record >>> 3) - 1) + LOSS);
}

// Contents.

export function contentsOf(s: State, r: number, block: number): number {
  return (get(s, replicaAt(r) + CONTENTS) >>> (4 * block)) & 15;
}

/** Data taken but not synced: a power loss may leave it there or not. */
export function putContents(s: State, r: number, block: number, value: number): void {
  const at = replicaAt(r);
  const shift = 4 * block;
  set(s, at + CONTENTS, (get(s, at + CONTENTS) & ~(15 << shift)) | (value << shift));
  set16(s, at + MAY + 2 * block, get16(s, at + MAY + 2 * block) | (1 << value));
}

export function syncContents(s: State, r: number, block: number): void {
  set16(s, replicaAt(r) + MAY + 2 * block, 1 << contentsOf(s, r, block));
}

export function isSynced(s: State, r: number, block: number): boolean {
  return get16(s, replicaAt(r) + MAY + 2 * block) === 1 << contentsOf(s, r, block);
}

// Writes.

export function writeOwner(s: State, v: number): number {
  return get(s, WRITE + 2 * (v - 1)) & 7;
}

export function writeBlock(s: State, v: number): number {
  return (get(s, WRITE + 2 * (v - 1)) >>> 3) & 1;
}

export function isInFlight(s: State, v: number): boolean {
  return get(s, WRITE + 2 * (v - 1)) >>> 4 === 1;
}

export function writeGeneration(s: State, v: number): number {
  return get(s, WRITE + 2 * (v - 1) + 1);
}

export function startWrite(s: State, v: number, n: number, block: number, gen: number): void {
  set(s, WRITE + 2 * (v - 1), n | (block << 3) | 16);
  set(s, WRITE + 2 * (v - 1) + 1, gen);
}

export function endWrite(s: State, v: number): void {
  const at = WRITE + 2 * (v - 1);
  set(s, at, (get(s, at) & 15) | 32);
}

/** Whether nexus n has a write in flight to the block, or to any block when it is -1. */
export function hasWriteInFlight(s: State, n: number, block: number): boolean {
  for (let v = get(s, WRITES); v >= 1; v--) {
    const head = get(s, WRITE + 2 * (v - 1));
    if (head >>> 4 === 1 && (head & 7) === n && (block < 0 || ((head >>> 3) & 1) === block)) {
      return true;
    }
  }
  return false;
}

// Queues.

export function queueLength(s: State, n: number, r: number): number {
  const at = memberAt(n, r) + QUEUE;
  for (let i = 3; i >= 0; i--) {
    const pair = get(s, at + i);
    if (pair !== 0) return pair > 15 ? 2 * i + 2 : 2 * i + 1;
  }
  return 0;
}

export function queuedAt(s: State, n: number, r: number, i: number): number {
  return (get(s, memberAt(n, r) + QUEUE + (i >>> 1)) >>> (4 * (i & 1))) & 15;
}

function setQueuedAt(s: State, n: number, r: number, i: number, op: number): void {
  const at = memberAt(n, r) + QUEUE + (i >>> 1);
  const shift = 4 * (i & 1);
  set(s, at, (get(s, at) & ~(15 << shift)) | (op << shift));
}

export function isQueueFull(s: State, n: number, r: number): boolean {
  return get(s, memberAt(n, r) + QUEUE + 3) > 15;
}

export function enqueue(s: State, n: number, r: number, op: number): void {
  setQueuedAt(s, n, r, queueLength(s, n, r), op);
}

export function takeFromQueue(s: State, n: number, r: number, i: number): number {
  const op = queuedAt(s, n, r, i);
  for (let k = i; k < 7; k++) setQueuedAt(s, n, r, k, queuedAt(s, n, r, k + 1));
  setQueuedAt(s, n, r, 7, 0);
  return op;
}

export function clearQueue(s: State, n: number, r: number): void {
  s.fill(0, memberAt(n, r) + QUEUE, memberAt(n, r) + QUEUE + 4);
}

// Hashing.

/** Hash of the last state given to `hashState`, as two unsigned 32-bit halves. */
export const hash = { low: 0, high: 0 };

/**
 * A hash that is the same for all renumberings of the replicas: each replica's column (its own
 * bytes and every nexus's view of it) is hashed alone and the columns are added. `words` must be
 * a view of the same bytes as the state.
 */
export function hashState(words: Uint32Array, replicas: number, nexuses: number): void {
  let low = 0x9e3779b9;
  let high = 0x85ebca6b;
  for (let i = 0; i < REPLICA / 4; i++) {
    const w = words[i] as number;
    low = Math.imul(low ^ w, 0x01000193);
    low ^= low >>> 15;
    high = Math.imul(high + w, 0xcc9e2d51);
    high ^= high >>> 13;
  }
  for (let n = 0; n < nexuses; n++) {
    const at = (NEXUS + n * NEXUS_BYTES) / 4;
    for (let i = 0; i < NEXUS_OWN_BYTES / 4; i++) {
      const w = words[at + i] as number;
      low = Math.imul(low ^ w, 0x01000193);
      low ^= low >>> 15;
      high = Math.imul(high + w, 0xcc9e2d51);
      high ^= high >>> 13;
    }
  }
  for (let r = 0; r < replicas; r++) {
    let a = 0x2545f491;
    let b = 0x27d4eb2f;
    const own = (REPLICA + r * REPLICA_BYTES) / 4;
    for (let i = 0; i < REPLICA_BYTES / 4; i++) {
      const w = words[own + i] as number;
      a = Math.imul(a ^ w, 0x5bd1e995);
      a ^= a >>> 15;
      b = Math.imul(b + w, 0x1b873593);
      b ^= b >>> 13;
    }
    for (let n = 0; n < nexuses; n++) {
      const at = (NEXUS + n * NEXUS_BYTES + NEXUS_OWN_BYTES + r * MEMBER_BYTES) / 4;
      for (let i = 0; i < MEMBER_BYTES / 4; i++) {
        const w = words[at + i] as number;
        a = Math.imul(a ^ w, 0x5bd1e995);
        a ^= a >>> 15;
        b = Math.imul(b + w, 0x1b873593);
        b ^= b >>> 13;
      }
    }
    low = (low + finish(a)) | 0;
    high = (high + finish(b)) | 0;
  }
  hash.low = finish(low) >>> 0;
  hash.high = finish(high) >>> 0;
}

function finish(x: number): number {
  let h = x ^ (x >>> 16);
  h = Math.imul(h, 0x85ebca6b);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35);
  return h ^ (h >>> 16);
}
