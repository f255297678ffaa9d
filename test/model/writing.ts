/** Writes, reads, flushes and complete generations (R7–R9), and what a replica does with them. */
import type { Action, Context } from './context.ts';
import { counts, isLive } from './membership.ts';
import { stampSegment, syncReplica } from './opening.ts';
import {
  ACCEPTED,
  BLOCKS,
  BROKEN,
  CHOSEN,
  COMPLETE,
  COMPLETED,
  COPY,
  COPY_STAMP,
  COPY_VALUE,
  COUNTING,
  contentsOf,
  endWrite,
  enqueue,
  epochOfRecord,
  FLAG_BARRIER,
  FLAG_FLUSH_CLEAN,
  FLAG_FLUSHING,
  FLAG_LEASE_OVER,
  FLAGS,
  FLUSHED,
  FLUSHES_LEFT,
  GENERATION,
  get,
  get16,
  has,
  has16,
  hasWriteInFlight,
  IN_SYNC,
  isInFlight,
  isInRecord,
  isQueueFull,
  LINK,
  LINK_BARRIER,
  LINK_FLUSHED,
  LINK_LIVE,
  lower,
  MARK_CLEAN,
  MARK_ROLLED_BACK,
  MARKS,
  MAY,
  MEMBER,
  memberAt,
  nexusAt,
  OP_BARRIER,
  OP_COPY,
  OP_FLUSH,
  OP_JOIN_FLUSH,
  OUT,
  PHASE,
  PROMISED,
  PROPOSED,
  putContents,
  queuedAt,
  queueLength,
  raise,
  replicaAt,
  SENT,
  SERVED,
  SERVING,
  SNAPSHOT,
  SNAPSHOT_EPOCH,
  STARTED,
  STRAY,
  type State,
  set,
  set16,
  startWrite,
  takeFromQueue,
  WRITES,
  writeBlock,
  writeGeneration,
  writeOwner,
} from './state.ts';

/** Sends an operation to every member that is not given up: in sync, proposed, or joining. */
export function sendToMembers(c: Context, s: State, n: number, op: number): void {
  for (let r = 0; r < c.bounds.replicas; r++) sendToMember(s, n, r, op);
}

export function sendToMember(s: State, n: number, r: number, op: number): void {
  const member = get(s, memberAt(n, r) + MEMBER);
  if (member === OUT || member === BROKEN) return;
  if (op <= 9) set16(s, replicaAt(r) + SENT, get16(s, replicaAt(r) + SENT) | (1 << op));
  if (isLive(s, n, r)) enqueue(s, n, r, op);
}

export function canSend(c: Context, s: State, n: number): boolean {
  for (let r = 0; r < c.bounds.replicas; r++) if (isQueueFull(s, n, r)) return false;
  return true;
}

/** A copy to a joiner holds the segment against foreground writes. */
function isCopying(c: Context, s: State, n: number, block: number): boolean {
  if (!c.rules.copyOrdered) return false;
  for (let r = 0; r < c.bounds.replicas; r++) {
    if (has(s, memberAt(n, r) + COPY, 4 << block)) return true;
  }
  return false;
}

function writesInFlight(s: State, n: number): number {
  let count = 0;
  for (let v = get(s, WRITES); v >= 1; v--) if (isInFlight(s, v) && writeOwner(s, v) === n) count++;
  return count;
}

export const write: Action = {
  name: 'write',
  describe: (n, block, v) => `the client of nexus ${n} writes ${v} to block ${block}`,
  offer(c, s) {
    const v = get(s, WRITES) + 1;
    if (v > c.bounds.writes) return;
    for (let n = 0; n < get(s, STARTED); n++) {
      const nexus = nexusAt(n);
      if (get(s, nexus + PHASE) !== SERVING || !canSend(c, s, n)) continue;
      if (writesInFlight(s, n) >= c.bounds.inFlight) continue;
      if (has(s, nexus + FLAGS, FLAG_BARRIER) && c.rules.barrierDrains) continue;
      // The segments are alike until the first write: it names block 0.
      const blocks = v === 1 ? 1 : BLOCKS;
      for (let block = 0; block < blocks; block++) {
        if (!isCopying(c, s, n, block)) c.offer(n, block, v);
      }
    }
  },
  apply(c, s, n, block, v) {
    set(s, WRITES, v);
    const generation = ((n + 1) << 4) | get(s, nexusAt(n) + GENERATION);
    startWrite(s, v, n, block, generation);
    sendToMembers(c, s, n, v);
    const next = c.history.invoke(c.historyOf(s, block), v);
    c.setHistory(s, block, next, 'current or silent', 'A write began');
  },
};

export const ackWrite: Action = {
  name: 'ack-write',
  describe: (n, v) => `nexus ${n} acknowledges write ${v}`,
  offer(c, s) {
    for (let v = get(s, WRITES); v >= 1; v--) {
      if (!isInFlight(s, v)) continue;
      const n = writeOwner(s, v);
      let isAccepted = true;
      for (let r = 0; r < c.bounds.replicas && isAccepted; r++) {
        const at = replicaAt(r);
        // A write sent before a joiner came concerns it through the copy set only.
        if (!has16(s, at + SENT, v) && get(s, memberAt(n, r) + MEMBER) !== IN_SYNC) {
          if (!isBrokenButCounting(c, s, n, r)) continue;
        }
        if (counts(c, s, n, r) && !has16(s, at + ACCEPTED, v)) isAccepted = false;
      }
      if (isAccepted) c.offer(n, v);
    }
  },
  apply(c, s, n, v) {
    endWrite(s, v);
    const block = writeBlock(s, v);
    const next = c.history.ack(c.historyOf(s, block), v);
    c.setHistory(s, block, next, 'one writer', `Write ${v} was acknowledged`);
    const chosen = get(s, CHOSEN);
    if (epochOfRecord(chosen) !== n + 1) return;
    for (let r = 0; r < c.bounds.replicas; r++) {
      if (isInRecord(s, chosen, r) && !has16(s, replicaAt(r) + ACCEPTED, v)) {
        c.fail('remove before ack', `Write ${v} was acknowledged without member ${r}`);
      }
    }
  },
};

function isBrokenButCounting(c: Context, s: State, n: number, r: number): boolean {
  return get(s, memberAt(n, r) + MEMBER) === BROKEN && counts(c, s, n, r);
}

/**
 * A read, at one instant: what a member holds at some instant between the request and the
 * reply. Offered only where the reply would tell the client something new, or be wrong.
 */
export const read: Action = {
  name: 'read',
  describe: (n, r, block) => `the client of nexus ${n} reads block ${block} from replica ${r}`,
  offer(c, s) {
    for (let n = 0; n < get(s, STARTED); n++) {
      const nexus = nexusAt(n);
      if (get(s, nexus + PHASE) !== SERVING || has(s, nexus + FLAGS, FLAG_LEASE_OVER)) continue;
      for (let r = 0; r < c.bounds.replicas; r++) {
        if (!isLive(s, n, r) || !isReadable(c, get(s, memberAt(n, r) + MEMBER))) continue;
        for (let block = 0; block < BLOCKS; block++) {
          if (c.rules.readWaits && hasWriteInFlight(s, n, block)) continue;
          const h = c.historyOf(s, block);
          if (c.history.read(h, contentsOf(s, r, block)) !== h) c.offer(n, r, block);
        }
      }
    }
  },
  apply(c, s, n, r, block) {
    const value = contentsOf(s, r, block);
    const next = c.history.read(c.historyOf(s, block), value);
    const what = `Nexus ${n} read ${value} from replica ${r}`;
    c.setHistory(s, block, next, 'current or silent', what);
  },
};

function isReadable(c: Context, member: number): boolean {
  if (member === IN_SYNC) return true;
  if (member === BROKEN) return !c.rules.stopReading;
  return member !== OUT && !c.rules.readInSync;
}

export const flush: Action = {
  name: 'flush',
  describe: (n) => `nexus ${n} begins a flush`,
  offer(c, s) {
    if (get(s, FLUSHES_LEFT) === 0) return;
    for (let n = 0; n < get(s, STARTED); n++) {
      const nexus = nexusAt(n);
      if (get(s, nexus + PHASE) !== SERVING || has(s, nexus + FLAGS, FLAG_FLUSHING)) continue;
      if (get(s, nexus + GENERATION) < 14 && canSend(c, s, n)) c.offer(n);
    }
  },
  apply(c, s, n) {
    const nexus = nexusAt(n);
    set(s, FLUSHES_LEFT, get(s, FLUSHES_LEFT) - 1);
    raise(s, nexus + FLAGS, FLAG_FLUSHING);
    if (!hasWriteInFlight(s, n, -1)) raise(s, nexus + FLAGS, FLAG_FLUSH_CLEAN);
    if (c.rules.raiseAtStart) set(s, nexus + GENERATION, get(s, nexus + GENERATION) + 1);
    for (let r = 0; r < c.bounds.replicas; r++) lower(s, memberAt(n, r) + LINK, LINK_FLUSHED);
    sendToMembers(c, s, n, OP_FLUSH);
    c.eachHistory(s, (h) => c.history.flushStart(h, n), 'honest flush', 'A flush began');
  },
};

export const ackFlush: Action = {
  name: 'ack-flush',
  describe: (n) => `nexus ${n} acknowledges the flush`,
  offer(c, s) {
    for (let n = 0; n < get(s, STARTED); n++) {
      if (!has(s, nexusAt(n) + FLAGS, FLAG_FLUSHING)) continue;
      let synced = 0;
      let missing = 0;
      for (let r = 0; r < c.bounds.replicas; r++) {
        if (!counts(c, s, n, r)) continue;
        if (has(s, memberAt(n, r) + LINK, LINK_FLUSHED)) synced++;
        else missing++;
      }
      if (synced > 0 && (missing === 0 || !c.rules.flushAll)) c.offer(n);
    }
  },
  apply(c, s, n) {
    const nexus = nexusAt(n);
    const isClean = has(s, nexus + FLAGS, FLAG_FLUSH_CLEAN);
    lower(s, nexus + FLAGS, FLAG_FLUSHING | FLAG_FLUSH_CLEAN);
    const generation = get(s, nexus + GENERATION);
    // COMPLETE holds n + 1, so the generation that was closed when this flush began.
    if (isClean || !c.rules.completeIdle) {
      set(s, nexus + COMPLETE, c.rules.raiseAtStart ? generation : generation + 1);
    }
    if (!c.rules.raiseAtStart) set(s, nexus + GENERATION, generation + 1);
    c.eachHistory(s, (h) => c.history.flushDone(h, n), 'honest flush', 'A flush was acknowledged');
    if (c.violation === null) checkDurable(c, s, n);
  },
};

/** What a power loss of any member may leave must be what the flush allows. */
function checkDurable(c: Context, s: State, n: number): void {
  // Once another nexus serves, the members of this one are not those that matter.
  if (get(s, SERVED) > n + 1) return;
  for (let r = 0; r < c.bounds.replicas; r++) {
    if (!counts(c, s, n, r) || get(s, replicaAt(r) + PROMISED) !== n + 1) continue;
    if (has(s, replicaAt(r) + MARKS, MARK_ROLLED_BACK)) continue;
    for (let block = 0; block < BLOCKS; block++) {
      const may = get16(s, replicaAt(r) + MAY + 2 * block);
      if ((may & ~c.history.survivorsOf(c.historyOf(s, block))) !== 0) {
        c.fail('honest flush', `After the flush replica ${r} may lose block ${block}`);
      }
    }
  }
}

/** A member stores the highest complete generation, lazily. */
export const tellComplete: Action = {
  name: 'tell-complete',
  describe: (n, r) => `nexus ${n} tells replica ${r} which generation is complete`,
  offer(c, s) {
    for (let n = 0; n < get(s, STARTED); n++) {
      const complete = get(s, nexusAt(n) + COMPLETE);
      if (complete === 0) continue;
      const generation = ((n + 1) << 4) | (complete - 1);
      for (let r = 0; r < c.bounds.replicas; r++) {
        const member = get(s, memberAt(n, r) + MEMBER);
        const isJoining = member > BROKEN && !c.rules.completeInSync;
        if ((member !== IN_SYNC && !isJoining) || !isLive(s, n, r)) continue;
        if (get(s, replicaAt(r) + COMPLETED) < generation) c.offer(n, r);
      }
    }
  },
  apply(_c, s, n, r) {
    const generation = ((n + 1) << 4) | (get(s, nexusAt(n) + COMPLETE) - 1);
    set(s, replicaAt(r) + COMPLETED, generation);
  },
};

/** A replica takes an operation from its session: the oldest, or a flush that overtakes writes. */
export const take: Action = {
  name: 'take',
  describe: (n, r, i) =>
    `replica ${r} takes operation ${i}${i === 0 ? '' : ' (out of turn)'} of nexus ${n}`,
  offer(c, s) {
    for (let n = 0; n < get(s, STARTED); n++) {
      for (let r = 0; r < c.bounds.replicas; r++) {
        if (!isLive(s, n, r)) continue;
        const length = queueLength(s, n, r);
        if (length === 0) continue;
        c.offer(n, r, 0);
        if (!c.bounds.overtaking) continue;
        for (let i = 1; i < length; i++) {
          if (queuedAt(s, n, r, i - 1) > 9) break;
          const op = queuedAt(s, n, r, i);
          if (op === OP_FLUSH || op === OP_BARRIER) c.offer(n, r, i);
        }
      }
    }
  },
  apply(c, s, n, r, i) {
    if (get(s, replicaAt(r) + PROMISED) > n + 1 && c.rules.fence) {
      c.fail('one writer', `Replica ${r} took an operation of epoch ${n + 1}`);
    }
    let hadWrites = true;
    for (let k = 0; k < i; k++) if (!isInFlight(s, queuedAt(s, n, r, k))) hadWrites = false;
    const op = takeFromQueue(s, n, r, i);
    if (op <= 9) takeWrite(c, s, r, op);
    else if (op === OP_COPY) takeCopy(s, n, r);
    else if (op === OP_BARRIER) takeBarrier(s, n, r);
    else takeFlush(c, s, n, r, op, hadWrites || !c.rules.flushHadWrites);
  },
};

/** An operation of a session that was ended arrives after all. */
export const takeStray: Action = {
  name: 'take-stray',
  describe: (r) => `replica ${r} takes a write from a session that was ended`,
  offer(c, s) {
    for (let r = 0; r < c.bounds.replicas; r++) if (get(s, replicaAt(r) + STRAY) !== 0) c.offer(r);
  },
  apply(c, s, r) {
    const op = get(s, replicaAt(r) + STRAY) & 15;
    set(s, replicaAt(r) + STRAY, 0);
    takeWrite(c, s, r, op);
  },
};

function takeWrite(c: Context, s: State, r: number, v: number): void {
  const at = replicaAt(r);
  const block = writeBlock(s, v);
  putData(c, s, r, block, v, writeGeneration(s, v));
  set16(s, at + ACCEPTED, get16(s, at + ACCEPTED) | (1 << v));
}

function putData(c: Context, s: State, r: number, block: number, v: number, stamp: number): void {
  const at = replicaAt(r);
  // The mark is durable, and the clean mark gone, before data can reach the disk.
  raise(s, at + MARKS, 1 << block);
  if (c.rules.cleanMark) lower(s, at + MARKS, MARK_CLEAN);
  putContents(s, r, block, v);
  stampSegment(s, r, block, stamp);
}

function takeCopy(s: State, n: number, r: number): void {
  const at = memberAt(n, r);
  const replica = replicaAt(r);
  const block = has(s, at + COPY, 4) ? 0 : 1;
  raise(s, replica + MARKS, 1 << block);
  lower(s, replica + MARKS, MARK_CLEAN);
  putContents(s, r, block, get(s, at + COPY_VALUE));
  const stamp = get(s, at + COPY_STAMP);
  // 0xff: the mistake of not sending the stamp of the source.
  if (stamp !== 0xff) stampSegment(s, r, block, stamp);
  lower(s, at + COPY, 12);
  set(s, at + COPY_VALUE, 0);
  set(s, at + COPY_STAMP, 0);
}

function takeFlush(
  c: Context,
  s: State,
  n: number,
  r: number,
  op: number,
  hadWrites: boolean,
): void {
  syncReplica(s, r);
  if (!c.rules.keepIntents) lower(s, replicaAt(r) + MARKS, 3);
  const at = memberAt(n, r);
  const member = get(s, at + MEMBER);
  if (op === OP_JOIN_FLUSH && member === COUNTING) set(s, at + MEMBER, FLUSHED);
  const isCounting = member === IN_SYNC || member >= COUNTING;
  if (!has(s, nexusAt(n) + FLAGS, FLAG_FLUSHING) || !hadWrites) return;
  // An answer to an older round, which was done without this joiner, is not one to this round.
  for (let i = queueLength(s, n, r) - 1; i >= 0; i--) {
    if (queuedAt(s, n, r, i) === OP_FLUSH) return;
  }
  if (isCounting || member === BROKEN || member === PROPOSED) raise(s, at + LINK, LINK_FLUSHED);
}

/** The head is frozen: its contents are durable before the barrier is answered. */
function takeBarrier(s: State, n: number, r: number): void {
  syncReplica(s, r);
  const at = replicaAt(r);
  set(s, at + SNAPSHOT, contentsOf(s, r, 0) | (contentsOf(s, r, 1) << 4));
  set(s, at + SNAPSHOT_EPOCH, n + 1);
  if (has(s, memberAt(n, r) + LINK, LINK_LIVE)) raise(s, memberAt(n, r) + LINK, LINK_BARRIER);
}
