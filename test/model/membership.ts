/** Records, voters and who counts; and removing a member (R10, R11, R17). */
import type { Action, Context } from './context.ts';
import {
  ACKED,
  BROKEN,
  CHOSEN,
  COMMITTED,
  COMMITTING,
  COPYING,
  COUNTING,
  clearQueue,
  epochOfRecord,
  FLUSHED,
  get,
  get16,
  has,
  IN_RECORD,
  IN_SYNC,
  INCARNATION_IN_RECORD,
  INCARNATION_TOLD,
  isClosedRecord,
  isInRecord,
  isSynced,
  K_ACKED,
  K_FLAGS,
  K_PROMISED,
  K_RECORD,
  K_VOTER,
  K_VOTER_BEFORE,
  LINK,
  LINK_LIVE,
  lower,
  MARK_CLEAN,
  MARK_NO_VOTE,
  MARKS,
  MEMBER,
  memberAt,
  nexusAt,
  OUT,
  PHASE,
  PROMISED,
  PROPOSED,
  raise,
  RECONCILING,
  RECORD,
  recordOf,
  replicaAt,
  SEQ,
  SERVING,
  type State,
  set,
  set16,
  STARTED,
  seqOfRecord,
  VOTER,
  VOTER_BEFORE,
} from './state.ts';

/** Parameter that stands for the control plane where a replica could stand. */
export const CONTROL_PLANE = 3;
export function voterName(v: number): string {
  return v === CONTROL_PLANE ? 'the control plane' : `replica ${v}`;
}

/** The control plane has been restored from an older copy, and says so. */
export const K_RESTORED = 1;

/** Whether nexus n may not acknowledge anything that member r has not. */
export function counts(c: Context, s: State, n: number, r: number): boolean {
  const at = memberAt(n, r);
  const inRecord = get(s, at + IN_RECORD);
  if (!c.rules.removeBeforeAck) return (inRecord & (1 << get(s, nexusAt(n) + SEQ))) !== 0;
  const committed = get(s, nexusAt(n) + COMMITTED);
  if (!c.rules.countWhenCopied) return (inRecord & (1 << committed)) !== 0;
  // The committed record and every one proposed since: any of them may be found.
  if (inRecord >>> committed !== 0) return true;
  const member = get(s, at + MEMBER);
  return member === COUNTING || member === FLUSHED || member === PROPOSED;
}

export function isLive(s: State, n: number, r: number): boolean {
  return has(s, memberAt(n, r) + LINK, LINK_LIVE);
}

/** Ends the sessions that a replica had with other nexuses. */
export function fence(c: Context, s: State, n: number, r: number): void {
  if (!c.rules.fence) return;
  for (let m = 0; m < c.bounds.nexuses; m++) {
    if (m === n) continue;
    lower(s, memberAt(m, r) + LINK, LINK_LIVE);
    clearQueue(s, m, r);
  }
}

/**
 * Whether those for whom `acked` is true are a majority of the record's voters and, while a
 * change of voters is not known to be committed, of the voters before it (R17).
 */
export function isMajority(
  c: Context,
  s: State,
  record: number,
  acked: (voter: number) => boolean,
  both: boolean,
  minority = false,
): boolean {
  const n = epochOfRecord(record) - 1;
  const bit = 1 << seqOfRecord(record);
  let voters = 0;
  let yes = 0;
  let votersBefore = 0;
  let yesBefore = 0;
  for (let v = 0; v <= CONTROL_PLANE; v++) {
    if (v >= c.bounds.replicas && v !== CONTROL_PLANE) continue;
    const isVoter = has(s, voterAt(n, v), bit);
    const wasVoter = both && has(s, voterBeforeAt(n, v), bit);
    if (!isVoter && !wasVoter) continue;
    const isYes = acked(v);
    if (isVoter) voters++;
    if (isVoter && isYes) yes++;
    if (wasVoter) votersBefore++;
    if (wasVoter && isYes) yesBefore++;
  }
  if (minority) return yes > 0;
  return 2 * yes > voters && (votersBefore === 0 || 2 * yesBefore > votersBefore);
}

export function voterAt(n: number, v: number): number {
  return v === CONTROL_PLANE ? nexusAt(n) + K_VOTER : memberAt(n, v) + VOTER;
}

export function voterBeforeAt(n: number, v: number): number {
  return v === CONTROL_PLANE ? nexusAt(n) + K_VOTER_BEFORE : memberAt(n, v) + VOTER_BEFORE;
}

/** Copies the voters of a record to proposal seq of nexus n. */
export function keepVoters(
  c: Context,
  s: State,
  record: number,
  n: number,
  seq: number,
  isSettled: boolean,
): void {
  const from = epochOfRecord(record) - 1;
  const bit = 1 << seqOfRecord(record);
  for (let v = 0; v <= CONTROL_PLANE; v++) {
    if (v >= c.bounds.replicas && v !== CONTROL_PLANE) continue;
    if (has(s, voterAt(from, v), bit)) raise(s, voterAt(n, v), 1 << seq);
    if (!isSettled && has(s, voterBeforeAt(from, v), bit)) {
      raise(s, voterBeforeAt(n, v), 1 << seq);
    }
  }
}

/** Proposes the next record of nexus n: the members in sync and those already proposed. */
export function propose(c: Context, s: State, n: number): void {
  const nexus = nexusAt(n);
  const before = get(s, nexus + SEQ);
  const seq = before + 1;
  set(s, nexus + SEQ, seq);
  keepVoters(c, s, recordOf(n + 1, before), n, seq, get(s, nexus + COMMITTED) === before);
  for (let r = 0; r < c.bounds.replicas; r++) {
    const at = memberAt(n, r);
    const member = get(s, at + MEMBER);
    const isUnready = member === COPYING || member === COUNTING || member === FLUSHED;
    if (member === IN_SYNC || member === PROPOSED || (isUnready && !c.rules.readyOnly)) {
      nameInRecord(s, n, r, seq);
    }
  }
}

/** Names the member in proposal seq with the incarnation it told in its present session. */
export function nameInRecord(s: State, n: number, r: number, seq: number): void {
  const at = memberAt(n, r);
  raise(s, at + IN_RECORD, 1 << seq);
  const told = get(s, at + INCARNATION_TOLD) >>> 4;
  const field = at + INCARNATION_IN_RECORD;
  set16(s, field, (get16(s, field) & ~(3 << (2 * seq))) | (told << (2 * seq)));
}

export function canPropose(c: Context, s: State, n: number): boolean {
  return get(s, nexusAt(n) + SEQ) < c.bounds.seqMax;
}

function isCommitted(c: Context, s: State, n: number, seq: number): boolean {
  const acked = (voter: number) =>
    voter === CONTROL_PLANE
      ? has(s, nexusAt(n) + K_ACKED, 1 << seq)
      : has(s, memberAt(n, voter) + ACKED, 1 << seq);
  const { majority, twoMajorities } = c.rules;
  return isMajority(c, s, recordOf(n + 1, seq), acked, twoMajorities, !majority);
}

/** A majority has accepted proposal seq of nexus n. */
export function settle(c: Context, s: State, n: number, seq: number): void {
  const nexus = nexusAt(n);
  set(s, nexus + COMMITTED, seq);
  for (let r = 0; r < c.bounds.replicas; r++) {
    const at = memberAt(n, r);
    const member = get(s, at + MEMBER);
    if (member === PROPOSED && has(s, at + IN_RECORD, 1 << seq)) set(s, at + MEMBER, IN_SYNC);
    if (member === BROKEN && get(s, at + IN_RECORD) >>> seq === 0) set(s, at + MEMBER, OUT);
  }
}

/** A record reaches a voter: now, late, or never. */
export const commit: Action = {
  name: 'commit',
  describe: (n, seq, v) => `record (${n + 1},${seq}) of nexus ${n} reaches ${voterName(v)}`,
  offer(c, s) {
    const started = get(s, STARTED);
    for (let n = 0; n < started; n++) {
      const seqs = get(s, nexusAt(n) + SEQ);
      for (let seq = 1; seq <= seqs; seq++) {
        const record = recordOf(n + 1, seq);
        for (let r = 0; r < c.bounds.replicas; r++) {
          const at = replicaAt(r);
          if (get(s, at + PROMISED) > n + 1 && c.rules.fence) continue;
          if (rises(c, record, get(s, at + RECORD))) c.offer(n, seq, r);
        }
        if (!c.bounds.controlPlane && !c.bounds.handOver) continue;
        if (get(s, K_PROMISED) > n + 1 && c.rules.fence) continue;
        if (rises(c, record, get(s, K_RECORD))) c.offer(n, seq, CONTROL_PLANE);
      }
    }
  },
  apply(c, s, n, seq, v) {
    const record = recordOf(n + 1, seq);
    if (v === CONTROL_PLANE) {
      set(s, K_RECORD, record);
      set(s, K_PROMISED, Math.max(n + 1, get(s, K_PROMISED)));
      if (!has(s, K_FLAGS, K_RESTORED)) raise(s, nexusAt(n) + K_ACKED, 1 << seq);
    } else {
      const at = replicaAt(v);
      set(s, at + RECORD, record);
      if (get(s, at + PROMISED) < n + 1) {
        // Accepting is promising.
        set(s, at + PROMISED, n + 1);
        fence(c, s, n, v);
      }
      if (!has(s, at + MARKS, MARK_NO_VOTE)) raise(s, memberAt(n, v) + ACKED, 1 << seq);
      const isSame = isSynced(s, v, 0) && isSynced(s, v, 1);
      if (isClosedRecord(s, record) && isInRecord(s, record, v) && isSame) {
        raise(s, at + MARKS, MARK_CLEAN);
      }
    }
    if (!isCommitted(c, s, n, seq)) return;
    if (record > get(s, CHOSEN)) set(s, CHOSEN, record);
    if (seq > get(s, nexusAt(n) + COMMITTED)) settle(c, s, n, seq);
  },
};

function rises(c: Context, record: number, held: number): boolean {
  if (record > held) return true;
  return !c.rules.seqRises && record < held && record >>> 3 === held >>> 3;
}

/** The nexus gives a member up: session broken, deadline, error. It may be wrong. */
export const remove: Action = {
  name: 'remove',
  weight: () => 0.06,
  describe: (n, r) => `nexus ${n} stops reading from replica ${r} and proposes its removal`,
  offer(c, s) {
    const started = get(s, STARTED);
    for (let n = 0; n < started; n++) {
      const nexus = nexusAt(n);
      const phase = get(s, nexus + PHASE);
      if (phase !== SERVING && phase !== RECONCILING && phase !== COMMITTING) continue;
      if (get(s, nexus + COMMITTED) === 0 || !canPropose(c, s, n)) continue;
      let left = 0;
      for (let r = 0; r < c.bounds.replicas; r++) {
        const member = get(s, memberAt(n, r) + MEMBER);
        if (member === IN_SYNC || member === PROPOSED) left++;
        if (!c.rules.readyOnly && (member === COPYING || member === COUNTING)) left++;
      }
      if (left < 2) continue;
      for (let r = 0; r < c.bounds.replicas; r++) {
        const member = get(s, memberAt(n, r) + MEMBER);
        if (member === IN_SYNC || member === PROPOSED) c.offer(n, r);
      }
    }
  },
  apply(c, s, n, r) {
    set(s, memberAt(n, r) + MEMBER, BROKEN);
    propose(c, s, n);
  },
};
