/** Invariants of a state as a whole; those of one step are checked where the step is taken. */
import type { Context } from './context.ts';
import { counts, isLive } from './membership.ts';
import {
  BLOCKS,
  COMPLETED,
  CONTENTS,
  FLAG_LEASE_OVER,
  FLAGS,
  get,
  get16,
  has,
  IN_SYNC,
  isSynced,
  MARK_ROLLED_BACK,
  MARKS,
  MEMBER,
  memberAt,
  nexusAt,
  PHASE,
  PROMISED,
  QUEUE,
  replicaAt,
  SERVING,
  STAMP,
  STARTED,
  type State,
} from './state.ts';

export function checkState(c: Context, s: State): void {
  for (let n = 0; n < get(s, STARTED); n++) {
    const nexus = nexusAt(n);
    if (get(s, nexus + PHASE) !== SERVING || has(s, nexus + FLAGS, FLAG_LEASE_OVER)) continue;
    checkEqual(c, s, n);
  }
  for (let r = 0; r < c.bounds.replicas; r++) checkIntents(c, s, r);
}

/** Once nothing is on its way to any counting member, all of them hold the same. */
function checkEqual(c: Context, s: State, n: number): void {
  let contents = -1;
  for (let r = 0; r < c.bounds.replicas; r++) {
    if (!counts(c, s, n, r)) continue;
    const at = memberAt(n, r);
    if (get(s, at + MEMBER) !== IN_SYNC || !isLive(s, n, r)) return;
    if (get(s, replicaAt(r) + PROMISED) !== n + 1 || hasQueue(s, n, r)) return;
    const held = get(s, replicaAt(r) + CONTENTS);
    if (contents >= 0 && held !== contents) {
      c.fail('in-sync replicas are equal', `Replica ${r} of nexus ${n} differs`);
    }
    contents = held;
  }
}

function hasQueue(s: State, n: number, r: number): boolean {
  const at = memberAt(n, r) + QUEUE;
  return get16(s, at) !== 0 || get16(s, at + 2) !== 0;
}

/** Data that a power loss could change lies in marked segments only. */
function checkIntents(c: Context, s: State, r: number): void {
  const marks = get(s, replicaAt(r) + MARKS);
  if (!c.rules.keepIntents || (marks & MARK_ROLLED_BACK) !== 0) return;
  for (let block = 0; block < BLOCKS; block++) {
    if ((marks & (1 << block)) === 0 && !isSynced(s, r, block)) {
      c.fail('intent before data', `Replica ${r} has unmarked data in segment ${block}`);
    }
    // So the copy set's "stamped later by the joiner itself" is contained in its intents.
    const stamp = get(s, replicaAt(r) + STAMP + block);
    if ((marks & (1 << block)) === 0 && stamp > get(s, replicaAt(r) + COMPLETED)) {
      c.fail('intent before data', `Replica ${r} has an unmarked later stamp in segment ${block}`);
    }
  }
}
