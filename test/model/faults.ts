/** Process crashes, power losses, stores and votes that go back in time. */
import type { Action, Context } from './context.ts';
import { K_RESTORED } from './membership.ts';
import {
  BACKUP,
  BLOCKS,
  COMPLETED,
  CONTENTS,
  CRASHES_LEFT,
  clearQueue,
  get,
  get16,
  has,
  INCARNATION,
  K_BACKUP,
  K_FLAGS,
  K_PROMISED,
  K_RECORD,
  LINK,
  LINK_LIVE,
  lower,
  MARK_CLEAN,
  MARK_NO_VOTE,
  MARK_ROLLED_BACK,
  MARK_STAMP_UNKNOWN,
  MARKS,
  MAY,
  memberAt,
  POWER_LEFT,
  PROMISED,
  RECORD,
  ROLLBACKS_LEFT,
  raise,
  replicaAt,
  STAMP,
  STAMP_DURABLE,
  STRAY,
  type State,
  set,
  set16,
} from './state.ts';

/** The process is gone: its sessions with all that lies in them, and the stamps in memory. */
function restart(c: Context, s: State, r: number): void {
  for (let n = 0; n < c.bounds.nexuses; n++) {
    lower(s, memberAt(n, r) + LINK, LINK_LIVE);
    clearQueue(s, n, r);
  }
  const at = replicaAt(r);
  set(s, at + STRAY, 0);
  for (let block = 0; block < BLOCKS; block++) {
    set(s, at + STAMP + block, get(s, at + STAMP_DURABLE + block));
    if (has(s, at + MARKS, 1 << block)) raise(s, at + MARKS, MARK_STAMP_UNKNOWN << block);
  }
}

function isAnyLive(c: Context, s: State, r: number): boolean {
  for (let n = 0; n < c.bounds.nexuses; n++) {
    if (has(s, memberAt(n, r) + LINK, LINK_LIVE)) return true;
  }
  return false;
}

export const crash: Action = {
  name: 'crash',
  weight: () => 0.06,
  describe: (r) => `the process of replica ${r} crashes and starts again`,
  offer(c, s) {
    if (get(s, CRASHES_LEFT) === 0) return;
    for (let r = 0; r < c.bounds.replicas; r++) {
      const at = replicaAt(r);
      const isChange = isAnyLive(c, s, r) || get16(s, at + STAMP) !== get16(s, at + STAMP_DURABLE);
      if (isChange) c.offer(r);
    }
  },
  apply(c, s, r) {
    set(s, CRASHES_LEFT, get(s, CRASHES_LEFT) - 1);
    restart(c, s, r);
  },
};

/** The machine of a replica loses power; each block keeps one of the values it may hold. */
export const losePower: Action = {
  name: 'lose-power',
  weight: () => 0.04,
  describe: (r, a, b) => `replica ${r} loses power; block 0 is left with ${a}, block 1 with ${b}`,
  offer(c, s) {
    for (let r = 0; r < c.bounds.replicas; r++) {
      const at = replicaAt(r);
      if (get(s, at + POWER_LEFT) === 0) continue;
      const first = get16(s, at + MAY);
      const second = get16(s, at + MAY + 2);
      for (let a = 0; a <= c.bounds.writes; a++) {
        if ((first & (1 << a)) === 0) continue;
        for (let b = 0; b <= c.bounds.writes; b++) if ((second & (1 << b)) !== 0) c.offer(r, a, b);
      }
    }
  },
  apply(c, s, r, a, b) {
    const at = replicaAt(r);
    set(s, at + POWER_LEFT, get(s, at + POWER_LEFT) - 1);
    restart(c, s, r);
    set(s, at + CONTENTS, a | (b << 4));
    set16(s, at + MAY, 1 << a);
    set16(s, at + MAY + 2, 1 << b);
    if (!has(s, at + MARKS, MARK_CLEAN)) set(s, at + INCARNATION, get(s, at + INCARNATION) + 1);
  },
};

const BACKUP_FIELDS = [PROMISED, RECORD, INCARNATION, CONTENTS, MARKS, COMPLETED] as const;
const BACKUP_STAMPS = BACKUP + BACKUP_FIELDS.length;
const HAS_BACKUP = BACKUP_STAMPS + BLOCKS;

/** Somebody copies the files of a replica's store. */
export const keepCopy: Action = {
  name: 'keep-copy',
  weight: () => 0.05,
  describe: (r) => `somebody keeps a copy of the store of replica ${r}`,
  offer(c, s) {
    if (get(s, ROLLBACKS_LEFT) === 0) return;
    for (let r = 0; r < c.bounds.replicas; r++) {
      if (get(s, replicaAt(r) + HAS_BACKUP) === 0) c.offer(r);
    }
  },
  apply(_c, s, r) {
    const at = replicaAt(r);
    BACKUP_FIELDS.forEach((field, i) => set(s, at + BACKUP + i, get(s, at + field)));
    set16(s, at + BACKUP_STAMPS, get16(s, at + STAMP_DURABLE));
    set(s, at + HAS_BACKUP, 1);
  },
};

export const rollBack: Action = {
  name: 'roll-back',
  weight: () => 0.05,
  describe: (r) => `the store of replica ${r} is put back to the copy kept`,
  offer(c, s) {
    if (get(s, ROLLBACKS_LEFT) === 0) return;
    for (let r = 0; r < c.bounds.replicas; r++) {
      if (get(s, replicaAt(r) + HAS_BACKUP) === 1) c.offer(r);
    }
  },
  apply(c, s, r) {
    const at = replicaAt(r);
    set(s, ROLLBACKS_LEFT, get(s, ROLLBACKS_LEFT) - 1);
    BACKUP_FIELDS.forEach((field, i) => set(s, at + field, get(s, at + BACKUP + i)));
    set16(s, at + STAMP_DURABLE, get16(s, at + BACKUP_STAMPS));
    s.fill(0, at + BACKUP, at + HAS_BACKUP + 1);
    restart(c, s, r);
    const contents = get(s, at + CONTENTS);
    set16(s, at + MAY, 1 << (contents & 15));
    set16(s, at + MAY + 2, 1 << (contents >>> 4));
    // R16: the identity of the files differs from what the store itself recorded.
    if (c.rules.rollbackSeen) raise(s, at + MARKS, MARK_ROLLED_BACK);
    if (c.rules.rollbackSeen && c.rules.rollbackVote) raise(s, at + MARKS, MARK_NO_VOTE);
  },
};

const K_HAS_BACKUP = 2;

export const keepControlPlane: Action = {
  name: 'keep-control-plane',
  weight: () => 0.05,
  describe: () => 'the control plane is backed up',
  offer(c, s) {
    if (c.bounds.controlPlaneRestores && get(s, K_FLAGS) === 0) c.offer(0);
  },
  apply(_c, s) {
    set(s, K_BACKUP, get(s, K_PROMISED));
    set(s, K_BACKUP + 1, get(s, K_RECORD));
    raise(s, K_FLAGS, K_HAS_BACKUP);
  },
};

export const restoreControlPlane: Action = {
  name: 'restore-control-plane',
  weight: () => 0.05,
  describe: () => 'the control plane is restored from its copy',
  offer(c, s) {
    if (get(s, K_FLAGS) !== K_HAS_BACKUP) return;
    if (get(s, K_BACKUP) !== get(s, K_PROMISED) || get(s, K_BACKUP + 1) !== get(s, K_RECORD)) {
      c.offer(0);
    }
  },
  apply(c, s) {
    set(s, K_PROMISED, get(s, K_BACKUP));
    set(s, K_RECORD, get(s, K_BACKUP + 1));
    s.fill(0, K_BACKUP, K_BACKUP + 2);
    // Bit 2 only keeps it from being backed up again.
    set(s, K_FLAGS, c.rules.controlPlaneRestored ? K_RESTORED : 4);
  },
};
