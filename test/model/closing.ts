/** Intent marks that leave (R14), close (R15), snapshots (R18), votes that move (R17). */
import type { Action } from './context.ts';
import {
  CONTROL_PLANE,
  canPropose,
  counts,
  isLive,
  propose,
  voterAt,
  voterBeforeAt,
  voterName,
} from './membership.ts';
import {
  BLOCKS,
  CLOSED_SEQ,
  CLOSING,
  COMMITTED,
  COMPLETED,
  COPYING,
  FLAG_BARRIER,
  FLAG_BARRIER_SENT,
  FLAG_FLUSHING,
  FLAGS,
  get,
  has,
  hasWriteInFlight,
  IN_SYNC,
  isSynced,
  LINK,
  LINK_BARRIER,
  lower,
  MARK_STAMP_UNKNOWN,
  MARKS,
  MEMBER,
  memberAt,
  nexusAt,
  OP_BARRIER,
  OUT,
  PHASE,
  raise,
  replicaAt,
  SEQ,
  SERVED,
  SERVING,
  SNAPSHOT,
  SNAPSHOT_EPOCH,
  SNAPSHOTS_LEFT,
  STAMP,
  STAMP_DURABLE,
  STARTED,
  type State,
  set,
} from './state.ts';
import { canSend, sendToMember } from './writing.ts';

export const clearIntent: Action = {
  name: 'clear-intent',
  describe: (r, block) => `replica ${r} clears its intent mark of segment ${block}`,
  offer(c, s) {
    for (let r = 0; r < c.bounds.replicas; r++) {
      const at = replicaAt(r);
      for (let block = 0; block < BLOCKS; block++) {
        if (!has(s, at + MARKS, 1 << block) || !isSynced(s, r, block)) continue;
        // What is there may be newer than the durable stamp says.
        const isUnknown = has(s, at + MARKS, MARK_STAMP_UNKNOWN << block);
        if (isUnknown && c.rules.stampUnknown) continue;
        const stamp = get(s, at + STAMP_DURABLE + block);
        if (stamp !== get(s, at + STAMP + block) || stamp > get(s, at + COMPLETED)) continue;
        c.offer(r, block);
      }
    }
  },
  apply(_c, s, r, block) {
    lower(s, replicaAt(r) + MARKS, 1 << block);
  },
};

export const close: Action = {
  name: 'close',
  weight: () => 0.2,
  describe: (n) => `nexus ${n} closes: all is synced and complete, and no intent is left`,
  offer(c, s) {
    if (!c.bounds.closes) return;
    for (let n = 0; n < get(s, STARTED); n++) {
      const nexus = nexusAt(n);
      if (get(s, nexus + PHASE) !== SERVING || !canPropose(c, s, n)) continue;
      if (has(s, nexus + FLAGS, FLAG_FLUSHING) || hasWriteInFlight(s, n, -1)) continue;
      let isReady = true;
      for (let r = 0; r < c.bounds.replicas && isReady; r++) {
        const member = get(s, memberAt(n, r) + MEMBER);
        if (member === OUT) isReady = !counts(c, s, n, r);
        else isReady = member === IN_SYNC && isLive(s, n, r) && isQuiet(s, r);
      }
      if (isReady) c.offer(n);
    }
  },
  apply(c, s, n) {
    set(s, nexusAt(n) + PHASE, CLOSING);
    propose(c, s, n);
    set(s, nexusAt(n) + CLOSED_SEQ, get(s, nexusAt(n) + SEQ));
  },
};

function isQuiet(s: State, r: number): boolean {
  return !has(s, replicaAt(r) + MARKS, 3) && isSynced(s, r, 0) && isSynced(s, r, 1);
}

/** A snapshot is asked for: new writes wait until every member has frozen its head. */
export const beginBarrier: Action = {
  name: 'begin-barrier',
  describe: (n) => `nexus ${n} holds new writes for a snapshot`,
  offer(c, s) {
    if (get(s, SNAPSHOTS_LEFT) === 0) return;
    for (let n = 0; n < get(s, STARTED); n++) {
      const nexus = nexusAt(n);
      if (get(s, nexus + PHASE) !== SERVING || has(s, nexus + FLAGS, FLAG_BARRIER)) continue;
      c.offer(n);
    }
  },
  apply(_c, s, n) {
    set(s, SNAPSHOTS_LEFT, get(s, SNAPSHOTS_LEFT) - 1);
    raise(s, nexusAt(n) + FLAGS, FLAG_BARRIER);
  },
};

export const sendBarrier: Action = {
  name: 'send-barrier',
  describe: (n) => `nexus ${n} sends the snapshot to every member`,
  offer(c, s) {
    for (let n = 0; n < get(s, STARTED); n++) {
      const nexus = nexusAt(n);
      if (get(s, nexus + PHASE) !== SERVING || !has(s, nexus + FLAGS, FLAG_BARRIER)) continue;
      if (has(s, nexus + FLAGS, FLAG_BARRIER_SENT) || !canSend(c, s, n)) continue;
      if (!c.rules.barrierDrains || !hasWriteInFlight(s, n, -1)) c.offer(n);
    }
  },
  apply(c, s, n) {
    raise(s, nexusAt(n) + FLAGS, FLAG_BARRIER_SENT);
    for (let r = 0; r < c.bounds.replicas; r++) {
      const at = memberAt(n, r);
      lower(s, at + LINK, LINK_BARRIER);
      // A joiner that still copies has nothing to freeze: it gets the barrier when it counts.
      const isCopying = get(s, at + MEMBER) === COPYING && c.rules.barrierCounting;
      if (!isCopying) sendToMember(s, n, r, OP_BARRIER);
    }
  },
};

export const endBarrier: Action = {
  name: 'end-barrier',
  describe: (n) => `the snapshot of nexus ${n} is done`,
  offer(c, s) {
    for (let n = 0; n < get(s, STARTED); n++) {
      if (!has(s, nexusAt(n) + FLAGS, FLAG_BARRIER_SENT)) continue;
      let taken = 0;
      let missing = 0;
      for (let r = 0; r < c.bounds.replicas; r++) {
        if (!counts(c, s, n, r)) continue;
        if (has(s, memberAt(n, r) + LINK, LINK_BARRIER)) taken++;
        else missing++;
      }
      if (taken > 0 && (missing === 0 || !c.rules.barrierAll)) c.offer(n);
    }
  },
  apply(c, s, n) {
    lower(s, nexusAt(n) + FLAGS, FLAG_BARRIER | FLAG_BARRIER_SENT);
    // Of a nexus that others have followed, only the answers are late.
    if (get(s, SERVED) > n + 1) return;
    let contents = -1;
    for (let r = 0; r < c.bounds.replicas; r++) {
      const at = replicaAt(r);
      if (!counts(c, s, n, r)) continue;
      const isTaken = get(s, at + SNAPSHOT_EPOCH) === n + 1;
      const taken = isTaken ? get(s, at + SNAPSHOT) : -2;
      if (contents === -1) contents = taken;
      if (taken !== contents || taken === -2) {
        c.fail('snapshots are equal', `Replica ${r} has no such snapshot or another one`);
        return;
      }
    }
    // A snapshot is a read of everything at one moment of the barrier.
    for (let block = 0; block < BLOCKS; block++) {
      const value = (contents >>> (4 * block)) & 15;
      const next = c.history.read(c.historyOf(s, block), value);
      c.setHistory(s, block, next, 'snapshots are equal', `A snapshot holds ${value}`);
    }
  },
};

/** A vote moves: of an absent replica to the control plane, back, or to a replica in its place. */
export const moveVote: Action = {
  name: 'move-vote',
  weight: () => 0.1,
  describe: (n, from, to) =>
    `nexus ${n} proposes that the vote of ${voterName(from)} goes to ${voterName(to)}`,
  offer(c, s) {
    if (!c.bounds.handOver) return;
    for (let n = 0; n < get(s, STARTED); n++) {
      const nexus = nexusAt(n);
      if (get(s, nexus + PHASE) !== SERVING || !canPropose(c, s, n)) continue;
      const seq = get(s, nexus + SEQ);
      // R17: one change at a time, and only from a committed record.
      if (c.rules.oneChange && get(s, nexus + COMMITTED) !== seq) continue;
      for (let from = 0; from <= CONTROL_PLANE; from++) {
        if (!has(s, voterAt(n, from), 1 << seq)) continue;
        for (let to = 0; to <= CONTROL_PLANE; to++) {
          if (!has(s, voterAt(n, to), 1 << seq)) c.offer(n, from, to);
        }
      }
    }
  },
  apply(c, s, n, from, to) {
    const before = get(s, nexusAt(n) + SEQ);
    propose(c, s, n);
    const bit = 1 << (before + 1);
    for (let v = 0; v <= CONTROL_PLANE; v++) {
      lower(s, voterBeforeAt(n, v), bit);
      if (has(s, voterAt(n, v), 1 << before)) raise(s, voterBeforeAt(n, v), bit);
    }
    lower(s, voterAt(n, from), bit);
    raise(s, voterAt(n, to), bit);
  },
};
