/**
 * Who forms the new set (rules 2, 3 and 16): a pure decision over what the voters answered.
 */
import {
  comparePositions,
  CONTROL_PLANE,
  type MembershipRecord,
  type RecordMember,
  type ReplicaId,
  type ReplicaState,
  type VoterId,
} from '#api/mod.ts';
import { isMajority, votersOf } from './majority.ts';
import { parseNote } from './rebuild/rebuild-note.ts';
import { isBelowFloor } from './voter-floors.ts';

/** A replica that promised our epoch. */
export interface ReplicaAnswer {
  readonly replica: ReplicaId;
  /** As it was just before it promised to us: `promised` is what it had promised to others. */
  readonly state: ReplicaState;
  /** The record that it answered the promise with. */
  readonly record: MembershipRecord | null;
}

export interface ControlPlaneAnswer {
  readonly record: MembershipRecord | null;
}

export type SetChoice =
  /** No majority yet: the voters that have not answered, and the replicas that lost their vote. */
  | {
      readonly kind: 'no-majority';
      readonly missing: readonly VoterId[];
      readonly forgetful: readonly ReplicaId[];
    }
  /** Rule 3: none is complete and some member of the old set has not answered. */
  | { readonly kind: 'wait'; readonly missing: readonly ReplicaId[] }
  /** Rule 16: every member of the old set was rolled back. */
  | { readonly kind: 'nothing-left'; readonly forgetful: readonly ReplicaId[] }
  | {
      readonly kind: 'chosen';
      readonly found: MembershipRecord;
      readonly members: readonly RecordMember[];
      /** True when only flushed copies are left: acknowledged writes may be gone. */
      readonly lost: boolean;
      /**
       * Members of the old set that have promised nothing: the read lease has to run out (rule 4).
       */
      readonly unpromised: readonly ReplicaId[];
      readonly forgetful: readonly ReplicaId[];
    };

export function chooseSet(
  answers: readonly ReplicaAnswer[],
  controlPlane: ControlPlaneAnswer | null,
): SetChoice {
  const found = highestRecord(answers, controlPlane);
  const forgetful = answers
    .filter((answer) => forgot(answer, found))
    .map((answer) => answer.replica);
  if (found === null) return { kind: 'no-majority', missing: [], forgetful };
  const sound = answers.filter((answer) => !forgetful.includes(answer.replica));
  const granted = new Set<VoterId>();
  // R16: who forgot once may be current again, but its vote is gone.
  for (const { replica, state } of sound)
    if (!parseNote(state.rebuild).voteless) granted.add(replica);
  if (controlPlane !== null && remembers(controlPlane, found)) granted.add(CONTROL_PLANE);
  if (!isMajority(found, (voter) => granted.has(voter))) {
    return {
      kind: 'no-majority',
      missing: votersOf(found).filter((voter) => !granted.has(voter)),
      forgetful,
    };
  }
  const answered = new Map(sound.map((answer) => [answer.replica, answer.state]));
  const usable: RecordMember[] = [];
  const complete: RecordMember[] = [];
  for (const { replica, incarnation } of found.members) {
    const state = answered.get(replica);
    if (state === undefined || state.failed !== null) continue;
    const present = { replica, incarnation: state.incarnation };
    usable.push(present);
    // An empty incarnation is that of a volume that was never opened: whatever it says is right.
    if (incarnation === '' || incarnation === state.incarnation) complete.push(present);
  }
  const names = found.members.map((member) => member.replica);
  const unpromised = names.filter((name) => !answers.some((answer) => answer.replica === name));
  if (complete.length > 0) {
    // R3: flushed-only members are never kept beside complete ones.
    return { kind: 'chosen', found, members: complete, lost: false, unpromised, forgetful };
  }
  const failed = names.filter((name) => answered.get(name)?.failed);
  const missing = [...unpromised, ...failed];
  if (missing.length > 0) return { kind: 'wait', missing };
  if (usable.length === 0) return { kind: 'nothing-left', forgetful };
  return { kind: 'chosen', found, members: usable, lost: true, unpromised, forgetful };
}

function highestRecord(
  answers: readonly ReplicaAnswer[],
  controlPlane: ControlPlaneAnswer | null,
): MembershipRecord | null {
  let highest = controlPlane?.record ?? null;
  for (const { record } of answers) {
    if (record === null) continue;
    if (highest === null || comparePositions(record, highest) > 0) highest = record;
  }
  return highest;
}

/**
 * R16, R17: a control plane that was restored from an older copy has no vote. Without a record it
 * is new only while the volume is.
 */
export function remembers(answer: ControlPlaneAnswer, found: MembershipRecord): boolean {
  if (answer.record === null) return found.epoch === 0;
  return !isBelowFloor(found, CONTROL_PLANE, answer.record);
}

/** R16: blank, recognised by its files, or older than a member of the set can be. */
function forgot(answer: ReplicaAnswer, found: MembershipRecord | null): boolean {
  const { state, record, replica } = answer;
  if (state.condition === 'rolled-back') return true;
  // Blank: it forgot if it should know the volume, else it is new and has nothing to remember.
  if (record === null) {
    return (
      found === null ||
      votersOf(found).includes(replica) ||
      found.members.some((member) => member.replica === replica)
    );
  }
  if (found !== null && isBelowFloor(found, replica, record)) return true;
  if (found === null || !found.members.some((member) => member.replica === replica)) return false;
  if (comparePositions(record, found.floor) < 0) return true;
  // It was asked for its promises a moment before ours: who holds a record of that epoch promised
  // it.
  return state.promised < found.epoch && record.epoch < found.epoch;
}
