/** Opening: promises, the record found, the set chosen, the opening record, reconcile (R1–R6). */
import type { Action, Context } from './context.ts';
import {
  CONTROL_PLANE,
  counts,
  fence,
  isLive,
  isMajority,
  K_RESTORED,
  keepVoters,
  nameInRecord,
  settle,
  voterName,
} from './membership.ts';
import {
  BLOCKS,
  COMMITTED,
  COMMITTING,
  COPY,
  clearQueue,
  contentsOf,
  epochOfRecord,
  FLAG_K_ANSWERED,
  FLAG_LEASE_OVER,
  FLAGS,
  FOUND,
  GENERATION,
  get,
  get16,
  has,
  IDLE,
  IN_SYNC,
  INCARNATION,
  INCARNATION_TOLD,
  incarnationInRecord,
  isClosedRecord,
  isInRecord,
  K_FLAGS,
  K_PROMISED,
  K_RECORD,
  LINK,
  LINK_ANSWERED,
  LINK_APPLIED,
  LINK_FLUSHED,
  LINK_LIVE,
  LINK_SYNCED,
  LOSS,
  lossOfRecord,
  lower,
  MARK_CLEAN,
  MARK_NO_VOTE,
  MARK_ROLLED_BACK,
  MARK_STAMP_UNKNOWN,
  MARKS,
  MEMBER,
  memberAt,
  nexusAt,
  PHASE,
  PROMISED,
  PROMISING,
  putContents,
  queuedAt,
  RECONCILE_SEGMENTS,
  RECONCILE_VALUES,
  RECONCILING,
  RECORD,
  raise,
  replicaAt,
  SENT,
  SEQ,
  SERVED,
  SERVING,
  SESSION,
  STAMP,
  STAMP_DURABLE,
  STARTED,
  STRAY,
  type State,
  set,
  set16,
  syncContents,
  WRITES,
  writeOwner,
} from './state.ts';

/** A new session of nexus n with replica r. What still lies in an older one is dropped. */
export function newSession(c: Context, s: State, n: number, r: number): void {
  fence(c, s, n, r);
  if (!c.rules.endSession) {
    const op = queuedAt(s, n, r, 0);
    if (op >= 1 && op <= 9) set(s, replicaAt(r) + STRAY, (n << 4) | op);
  }
  const at = memberAt(n, r);
  clearQueue(s, n, r);
  set(s, at + COPY, 0);
  raise(s, at + LINK, LINK_LIVE);
  lower(s, at + LINK, LINK_FLUSHED | LINK_APPLIED | LINK_SYNCED);
  const incarnation = get(s, replicaAt(r) + INCARNATION);
  set(s, at + INCARNATION_TOLD, (get(s, at + INCARNATION_TOLD) & 15) | (incarnation << 4));
  const sentAt = replicaAt(r) + SENT;
  let sent = get16(s, sentAt);
  for (let v = get(s, WRITES); v >= 1; v--) if (writeOwner(s, v) === n) sent &= ~(1 << v);
  set16(s, sentAt, sent);
}

function beginOpening(s: State, n: number): void {
  if (get(s, STARTED) !== n) return;
  set(s, STARTED, n + 1);
  set(s, nexusAt(n) + PHASE, PROMISING);
}

function isAsking(c: Context, s: State, n: number): boolean {
  if (n < get(s, STARTED)) return get(s, nexusAt(n) + PHASE) === PROMISING;
  return n === get(s, STARTED) && n < c.bounds.nexuses && get(s, nexusAt(n) + PHASE) === IDLE;
}

/** The better of the record found so far and the one a voter holds. */
function findRecord(c: Context, s: State, n: number, record: number): void {
  const at = nexusAt(n) + FOUND;
  const found = get(s, at);
  // The mistake: of two records of one epoch, keep the one with the lower seq.
  const isOtherOfEpoch = found !== 0 && epochOfRecord(found) === epochOfRecord(record);
  const isBetter = isOtherOfEpoch && !c.rules.highestSeq ? record < found : record > found;
  if (isBetter) set(s, at, record);
}

/** A voter promises; its answer arrives (d = 0) or is lost (d = 1). */
export const promise: Action = {
  name: 'promise',
  weight: (lost) => (lost ? 0.02 : 0.15),
  describe: (n, v, lost) =>
    `${voterName(v)} promises epoch ${n + 1} to nexus ${n}${lost ? ', the answer is lost' : ''}`,
  offer(c, s) {
    for (let n = 1; n <= get(s, STARTED); n++) {
      if (!isAsking(c, s, n)) continue;
      for (let r = 0; r < c.bounds.replicas; r++) {
        const promised = get(s, replicaAt(r) + PROMISED);
        const isAnswered = has(s, memberAt(n, r) + LINK, LINK_ANSWERED);
        if (promised > n + 1 || isAnswered) continue;
        c.offer(n, r, 0);
        if (c.bounds.lostAnswers && promised < n + 1) c.offer(n, r, 1);
      }
      if (!c.bounds.controlPlane && !c.bounds.handOver) continue;
      if (get(s, K_PROMISED) > n + 1 || has(s, nexusAt(n) + FLAGS, FLAG_K_ANSWERED)) continue;
      if (has(s, K_FLAGS, K_RESTORED)) continue;
      c.offer(n, CONTROL_PLANE, 0);
      if (c.bounds.lostAnswers && get(s, K_PROMISED) < n + 1) c.offer(n, CONTROL_PLANE, 1);
    }
  },
  apply(c, s, n, v, lost) {
    beginOpening(s, n);
    if (v === CONTROL_PLANE) {
      set(s, K_PROMISED, n + 1);
      if (lost) return;
      raise(s, nexusAt(n) + FLAGS, FLAG_K_ANSWERED);
      findRecord(c, s, n, get(s, K_RECORD));
      return;
    }
    set(s, replicaAt(v) + PROMISED, n + 1);
    newSession(c, s, n, v);
    if (lost) return;
    const at = memberAt(n, v);
    raise(s, at + LINK, LINK_ANSWERED);
    const incarnation = get(s, replicaAt(v) + INCARNATION);
    set(s, at + INCARNATION_TOLD, (incarnation << 4) | incarnation);
    findRecord(c, s, n, get(s, replicaAt(v) + RECORD));
  },
};

/** What a nexus may conclude from the answers it has. */
interface Choice {
  /** Bit r: replica r is in the new set. */
  readonly members: number;
  readonly isLoss: boolean;
  /** Every member of the set found has promised. */
  readonly allPromised: boolean;
}

function choose(c: Context, s: State, n: number): Choice | null {
  const found = get(s, nexusAt(n) + FOUND);
  if (found === 0) return null;
  const answered = (v: number) =>
    v === CONTROL_PLANE
      ? has(s, nexusAt(n) + FLAGS, FLAG_K_ANSWERED)
      : has(s, memberAt(n, v) + LINK, LINK_ANSWERED);
  // R16: who forgot what it promised is asked and fenced, but is not part of a majority.
  const votes = (v: number) =>
    answered(v) && (v === CONTROL_PLANE || !has(s, replicaAt(v) + MARKS, MARK_NO_VOTE));
  if (!isMajority(c, s, found, votes, c.rules.openBoth)) return null;
  let complete = 0;
  let flushedOnly = 0;
  let missing = 0;
  for (let r = 0; r < c.bounds.replicas; r++) {
    if (!isInRecord(s, found, r)) continue;
    const told = get(s, memberAt(n, r) + INCARNATION_TOLD) & 15;
    if (!answered(r)) missing |= 1 << r;
    else if (c.rules.rollbackSeen && has(s, replicaAt(r) + MARKS, MARK_ROLLED_BACK)) continue;
    else if (told === incarnationInRecord(s, found, r) || !c.rules.incarnation) complete |= 1 << r;
    else flushedOnly |= 1 << r;
  }
  const allPromised = missing === 0;
  if (!c.rules.completeOnly && complete !== 0) complete |= flushedOnly;
  if (complete !== 0) return { members: complete, isLoss: false, allPromised };
  if (missing !== 0 && c.rules.waitForMissing) return null;
  return flushedOnly === 0 ? null : { members: flushedOnly, isLoss: true, allPromised };
}

/** The nexus knows its set; with d = 1 it has waited until older read leases have run out. */
export const decide: Action = {
  name: 'decide',
  describe: (n, wait) =>
    `nexus ${n} proposes its opening record${wait ? ' after the read leases of older nexuses ran out' : ''}`,
  offer(c, s) {
    for (let n = 1; n < get(s, STARTED); n++) {
      if (get(s, nexusAt(n) + PHASE) !== PROMISING) continue;
      const choice = choose(c, s, n);
      if (choice === null) continue;
      c.offer(n, choice.allPromised || !c.rules.leaseWait ? 0 : 1);
    }
  },
  apply(c, s, n, wait) {
    const choice = choose(c, s, n) as Choice;
    const nexus = nexusAt(n);
    const found = get(s, nexus + FOUND);
    if (choice.isLoss) checkLoss(c, s, found);
    if (wait) for (let m = 0; m < n; m++) raise(s, nexusAt(m) + FLAGS, FLAG_LEASE_OVER);
    set(s, nexus + PHASE, COMMITTING);
    set(s, nexus + SEQ, 1);
    set(s, nexus + LOSS, choice.isLoss ? n + 1 : c.rules.recordLoss ? lossOfRecord(s, found) : 0);
    keepVoters(c, s, found, n, 1, false);
    for (let r = 0; r < c.bounds.replicas; r++) {
      if ((choice.members & (1 << r)) === 0) continue;
      set(s, memberAt(n, r) + MEMBER, IN_SYNC);
      nameInRecord(s, n, r, 1);
    }
    if (!c.rules.commitOpening) settle(c, s, n, 1);
  },
};

/**
 * Data may be given up only when every member of the set has lost power. Not claimed of a store
 * that was rolled back after it answered: its answer is out of date, it may have joined an older
 * nexus again, and the session is then failed although nothing is lost.
 */
function checkLoss(c: Context, s: State, found: number): void {
  for (let r = 0; r < c.bounds.replicas; r++) {
    if (!isInRecord(s, found, r) || has(s, replicaAt(r) + MARKS, MARK_NO_VOTE)) continue;
    if (get(s, replicaAt(r) + INCARNATION) === incarnationInRecord(s, found, r)) {
      c.fail('acknowledged write is never lost', `Replica ${r} still has what is given up`);
    }
  }
}

/** The intents of the set are known; a source is chosen for each block that differs. */
export const reconcile: Action = {
  name: 'reconcile',
  describe: (n, a, b) => `nexus ${n} reconciles block 0 from replica ${a}, block 1 from ${b}`,
  offer(c, s) {
    for (let n = 1; n < get(s, STARTED); n++) {
      const nexus = nexusAt(n);
      if (get(s, nexus + PHASE) !== COMMITTING || get(s, nexus + COMMITTED) === 0) continue;
      let members = 0;
      let areLive = true;
      for (let r = 0; r < c.bounds.replicas; r++) {
        if (!counts(c, s, n, r)) continue;
        members |= 1 << r;
        areLive &&= isLive(s, n, r) && get(s, memberAt(n, r) + MEMBER) === IN_SYNC;
      }
      if (!areLive || members === 0) continue;
      // Sources with the same contents are one choice.
      const first = distinctSources(c, s, members, 0);
      const second = distinctSources(c, s, members, 1);
      for (let a = 0; a < c.bounds.replicas; a++) {
        if ((first & (1 << a)) === 0) continue;
        for (let b = 0; b < c.bounds.replicas; b++) {
          if ((second & (1 << b)) !== 0) c.offer(n, a, b);
        }
      }
    }
  },
  apply(c, s, n, a, b) {
    const nexus = nexusAt(n);
    set(s, nexus + PHASE, RECONCILING);
    if (!c.rules.reconcile || isClosedRecord(s, get(s, nexus + FOUND))) return;
    let segments = 0;
    for (let r = 0; r < c.bounds.replicas; r++) {
      if (counts(c, s, n, r)) segments |= get(s, replicaAt(r) + MARKS) & 3;
    }
    set(s, nexus + RECONCILE_SEGMENTS, segments);
    set(s, nexus + RECONCILE_VALUES, contentsOf(s, a, 0) | (contentsOf(s, b, 1) << 4));
  },
};

function distinctSources(c: Context, s: State, members: number, block: number): number {
  let seen = 0;
  let sources = 0;
  for (let r = 0; r < c.bounds.replicas; r++) {
    const bit = 1 << contentsOf(s, r, block);
    if ((members & (1 << r)) === 0 || (seen & bit) !== 0) continue;
    seen |= bit;
    sources |= 1 << r;
  }
  return sources;
}

/** A member is made equal in every intent segment and stamped anew: (epoch, 0). */
export const level: Action = {
  name: 'level',
  describe: (n, r) => `replica ${r} takes the reconciled segments of nexus ${n}`,
  offer(c, s) {
    offerMembers(c, s, LINK_APPLIED, 0);
  },
  apply(c, s, n, r) {
    const at = replicaAt(r);
    const segments = get(s, nexusAt(n) + RECONCILE_SEGMENTS);
    for (let block = 0; block < BLOCKS; block++) {
      if ((segments & (1 << block)) === 0) continue;
      raise(s, at + MARKS, 1 << block);
      if (c.rules.cleanMark) lower(s, at + MARKS, MARK_CLEAN);
      const value = (get(s, nexusAt(n) + RECONCILE_VALUES) >>> (4 * block)) & 15;
      putContents(s, r, block, value);
      if (c.rules.restamp) stampSegment(s, r, block, (n + 1) << 4);
    }
    raise(s, memberAt(n, r) + LINK, LINK_APPLIED);
    if (!c.rules.syncReconcile) raise(s, memberAt(n, r) + LINK, LINK_SYNCED);
  },
};

export const syncLevelled: Action = {
  name: 'sync-levelled',
  describe: (n, r) => `replica ${r} syncs the reconciled segments of nexus ${n}`,
  offer(c, s) {
    offerMembers(c, s, LINK_SYNCED, LINK_APPLIED);
  },
  apply(_c, s, n, r) {
    syncReplica(s, r);
    raise(s, memberAt(n, r) + LINK, LINK_SYNCED);
  },
};

/** Live members in reconcile without the one link bit and, if asked for, with the other. */
function offerMembers(c: Context, s: State, lacking: number, having: number): void {
  for (let n = 1; n < get(s, STARTED); n++) {
    if (get(s, nexusAt(n) + PHASE) !== RECONCILING) continue;
    for (let r = 0; r < c.bounds.replicas; r++) {
      const at = memberAt(n, r);
      if (get(s, at + MEMBER) !== IN_SYNC || !has(s, at + LINK, LINK_LIVE)) continue;
      if (has(s, at + LINK, lacking)) continue;
      if (having === 0 || has(s, at + LINK, having)) c.offer(n, r);
    }
  }
}

export function stampSegment(s: State, r: number, block: number, stamp: number): void {
  set(s, replicaAt(r) + STAMP + block, stamp);
  lower(s, replicaAt(r) + MARKS, MARK_STAMP_UNKNOWN << block);
}

/** Data and stamps reach the disk. */
export function syncReplica(s: State, r: number): void {
  const at = replicaAt(r);
  for (let block = 0; block < BLOCKS; block++) {
    syncContents(s, r, block);
    set(s, at + STAMP_DURABLE + block, get(s, at + STAMP + block));
  }
}

/** Reconciled: the nexus serves, and resumes the client's session or fails it. */
export const serve: Action = {
  name: 'serve',
  describe: (n) => `nexus ${n} serves`,
  offer(c, s) {
    for (let n = 1; n < get(s, STARTED); n++) {
      if (get(s, nexusAt(n) + PHASE) !== RECONCILING) continue;
      let isReady = true;
      for (let r = 0; r < c.bounds.replicas; r++) {
        if (!counts(c, s, n, r)) continue;
        const at = memberAt(n, r);
        if (get(s, at + MEMBER) !== IN_SYNC || !has(s, at + LINK, LINK_SYNCED)) isReady = false;
      }
      if (isReady) c.offer(n);
    }
  },
  apply(c, s, n) {
    const nexus = nexusAt(n);
    set(s, nexus + PHASE, SERVING);
    set(s, nexus + GENERATION, 0);
    // A nexus that learns late that it could serve finds every replica promised away.
    if (get(s, SERVED) > n + 1) return;
    set(s, SERVED, n + 1);
    if (get(s, nexus + LOSS) > get(s, SESSION)) {
      set(s, SESSION, n + 1);
      c.eachHistory(s, (h) => c.history.lose(h), 'lost means failed', 'The session was failed');
    } else {
      c.eachHistory(s, (h) => c.history.open(h), 'lost means failed', 'The session was resumed');
    }
  },
};
