/** A replica that is not in sync is made level and added (R13). */
import type { Action, Context } from './context.ts';
import { canPropose, counts, isLive, propose } from './membership.ts';
import { newSession, syncReplica } from './opening.ts';
import {
  BLOCKS,
  COMPLETED,
  COPY,
  COPY_STAMP,
  COPY_VALUE,
  COPYING,
  COUNTING,
  contentsOf,
  enqueue,
  FLAG_BARRIER_SENT,
  FLAGS,
  FLUSHED,
  get,
  has,
  hasWriteInFlight,
  IN_SYNC,
  isQueueFull,
  LINK,
  LINK_BARRIER,
  LINK_FLUSHED,
  LINK_LIVE,
  lower,
  MARK_ROLLED_BACK,
  MARKS,
  MEMBER,
  memberAt,
  nexusAt,
  OP_BARRIER,
  OP_COPY,
  OP_JOIN_FLUSH,
  OUT,
  PHASE,
  PROMISED,
  PROPOSED,
  queueLength,
  raise,
  replicaAt,
  SERVING,
  STAMP,
  STARTED,
  type State,
  set,
} from './state.ts';

function isSource(s: State, n: number, r: number): boolean {
  return get(s, memberAt(n, r) + MEMBER) === IN_SYNC && isLive(s, n, r);
}

/** What the joiner misses, from what it tells and from the stamps of a source. */
function copySet(c: Context, s: State, n: number, r: number, source: number): number {
  const at = replicaAt(r);
  if (has(s, at + MARKS, MARK_ROLLED_BACK)) return 3;
  const completed = get(s, at + COMPLETED);
  let segments = 0;
  for (let block = 0; block < BLOCKS; block++) {
    const isMissed =
      (c.rules.copySourceStamp && get(s, replicaAt(source) + STAMP + block) > completed) ||
      (c.rules.copyOwnStamp && get(s, at + STAMP + block) > completed) ||
      (c.rules.copyIntents && has(s, at + MARKS, 1 << block)) ||
      (c.rules.copyInFlight && hasWriteInFlight(s, n, block));
    if (isMissed) segments |= 1 << block;
  }
  return segments;
}

export const join: Action = {
  name: 'join',
  weight: () => 0.5,
  describe: (n, r, source) =>
    `replica ${r} joins nexus ${n} in a new session; stamps are those of replica ${source}`,
  offer(c, s) {
    for (let n = 0; n < get(s, STARTED); n++) {
      if (get(s, nexusAt(n) + PHASE) !== SERVING || !canPropose(c, s, n)) continue;
      for (let r = 0; r < c.bounds.replicas; r++) {
        if (get(s, replicaAt(r) + PROMISED) > n + 1) continue;
        const member = get(s, memberAt(n, r) + MEMBER);
        const isStuck = member >= COPYING && member <= FLUSHED && !isLive(s, n, r);
        if (!isStuck && (member !== OUT || counts(c, s, n, r))) continue;
        for (let source = 0; source < c.bounds.replicas; source++) {
          if (source !== r && isSource(s, n, source)) c.offer(n, r, source);
        }
      }
    }
  },
  apply(c, s, n, r, source) {
    set(s, replicaAt(r) + PROMISED, n + 1);
    newSession(c, s, n, r);
    const at = memberAt(n, r);
    set(s, at + MEMBER, COPYING);
    set(s, at + COPY, copySet(c, s, n, r, source));
  },
};

/** A segment is read from a source and sent, ordered against writes to the segment. */
export const copy: Action = {
  name: 'copy',
  describe: (n, r, x) => `nexus ${n} sends segment ${x & 1} of replica ${x >> 1} to joiner ${r}`,
  offer(c, s) {
    for (let n = 0; n < get(s, STARTED); n++) {
      if (get(s, nexusAt(n) + PHASE) !== SERVING) continue;
      for (let r = 0; r < c.bounds.replicas; r++) {
        const at = memberAt(n, r);
        const todo = get(s, at + COPY);
        if (get(s, at + MEMBER) !== COPYING || (todo & 12) !== 0 || (todo & 3) === 0) continue;
        if (!isLive(s, n, r) || isQueueFull(s, n, r)) continue;
        for (let block = 0; block < BLOCKS; block++) {
          if ((todo & (1 << block)) === 0) continue;
          if (c.rules.copyOrdered && hasWriteInFlight(s, n, block)) continue;
          for (let source = 0; source < c.bounds.replicas; source++) {
            if (isSource(s, n, source)) c.offer(n, r, (source << 1) | block);
          }
        }
      }
    }
  },
  apply(c, s, n, r, x) {
    const at = memberAt(n, r);
    const block = x & 1;
    const source = x >> 1;
    lower(s, at + COPY, 1 << block);
    raise(s, at + COPY, 4 << block);
    set(s, at + COPY_VALUE, contentsOf(s, source, block));
    const stamp = get(s, replicaAt(source) + STAMP + block);
    set(s, at + COPY_STAMP, c.rules.copyStamps ? stamp : 0xff);
    enqueue(s, n, r, OP_COPY);
  },
};

/** All is copied: from now on nothing is acknowledged without the joiner; it is flushed. */
export const count: Action = {
  name: 'count',
  describe: (n, r) => `joiner ${r} of nexus ${n} has every copy and counts from now on`,
  offer(c, s) {
    for (let n = 0; n < get(s, STARTED); n++) {
      if (get(s, nexusAt(n) + PHASE) !== SERVING) continue;
      for (let r = 0; r < c.bounds.replicas; r++) {
        const at = memberAt(n, r);
        if (get(s, at + MEMBER) !== COPYING || get(s, at + COPY) !== 0) continue;
        if (isLive(s, n, r) && !isQueueFull(s, n, r)) c.offer(n, r);
      }
    }
  },
  apply(c, s, n, r) {
    const at = memberAt(n, r);
    set(s, at + MEMBER, COUNTING);
    lower(s, at + LINK, LINK_FLUSHED);
    if (!c.rules.drain) {
      // The mistake: the flush is answered while earlier writes are still on their way.
      syncReplica(s, r);
      set(s, at + MEMBER, FLUSHED);
    } else if (c.rules.flushJoiner) enqueue(s, n, r, OP_JOIN_FLUSH);
    // A snapshot under way is taken by the joiner too; no write has come since it was sent.
    if (has(s, nexusAt(n) + FLAGS, FLAG_BARRIER_SENT) && c.rules.barrierCounting) {
      lower(s, at + LINK, LINK_BARRIER);
      enqueue(s, n, r, OP_BARRIER);
    }
  },
};

export const add: Action = {
  name: 'add',
  describe: (n, r) => `nexus ${n} proposes the addition of replica ${r}`,
  offer(c, s) {
    for (let n = 0; n < get(s, STARTED); n++) {
      if (get(s, nexusAt(n) + PHASE) !== SERVING || !canPropose(c, s, n)) continue;
      for (let r = 0; r < c.bounds.replicas; r++) {
        const at = memberAt(n, r);
        const member = get(s, at + MEMBER);
        const isDrained = member === COUNTING && queueLength(s, n, r) === 0 && !c.rules.flushJoiner;
        if (member === FLUSHED || isDrained) c.offer(n, r);
      }
    }
  },
  apply(c, s, n, r) {
    const at = memberAt(n, r);
    set(s, at + MEMBER, PROPOSED);
    // Rebuilt: unless it was rolled back once more, in which case the session is gone.
    if (isLive(s, n, r)) lower(s, replicaAt(r) + MARKS, MARK_ROLLED_BACK);
    compare(c, s, n, r);
    propose(c, s, n);
  },
};

/** The segments are compared before the addition is proposed. */
function compare(c: Context, s: State, n: number, r: number): void {
  if (!has(s, memberAt(n, r) + LINK, LINK_LIVE)) return;
  for (let block = 0; block < BLOCKS; block++) {
    if (hasWriteInFlight(s, n, block)) continue;
    for (let source = 0; source < c.bounds.replicas; source++) {
      if (!isSource(s, n, source)) continue;
      if (contentsOf(s, source, block) === contentsOf(s, r, block)) continue;
      c.fail('joined replica is equal', `Block ${block} of joiner ${r} differs from ${source}`);
    }
  }
}
