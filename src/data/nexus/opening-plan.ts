/**
 * What an opening ends with: the record to commit and the sessions that promised. A pure plan over
 * the choice that was made.
 */
import {
  comparePositions,
  CONTROL_PLANE,
  type MembershipRecord,
  type RecordPosition,
  type ReplicaId,
  type VoterId,
} from '#api/mod.ts';
import type { Candidate } from './candidate.ts';
import { type ControlPlaneAnswer, remembers, type SetChoice } from './choose-set.ts';
import { votersOf } from './majority.ts';
import type { OpenedSession } from './opened-session.ts';
import { parseNote } from './rebuild/rebuild-note.ts';
import { raiseFloors } from './voter-floors.ts';

export interface OpeningResult {
  /** The record that was found, and the one that is to be committed. */
  readonly found: MembershipRecord;
  readonly record: MembershipRecord;
  readonly sessions: Map<ReplicaId, OpenedSession>;
  /** No member was complete: acknowledged writes may be gone (rule 3). */
  readonly lost: boolean;
  readonly controlPlaneTrusted: boolean;
}

export interface OpeningFacts {
  readonly choice: Extract<SetChoice, { kind: 'chosen' }>;
  readonly epoch: number;
  readonly loss: number;
  readonly candidates: Iterable<Candidate>;
  readonly controlPlane: ControlPlaneAnswer | null;
}

export function planOpening(facts: OpeningFacts): OpeningResult {
  const { choice, controlPlane } = facts;
  const { found, members, lost } = choice;
  const sessions = openedSessions(facts);
  const heldBy = (voter: VoterId): RecordPosition | null =>
    (voter === CONTROL_PLANE ? controlPlane : sessions.get(voter))?.record ?? null;
  const record: MembershipRecord = {
    epoch: facts.epoch,
    seq: 1,
    members,
    voters: found.voters,
    // Whether the change of voters was committed is not known: both majorities again (R17).
    formerVoters: found.formerVoters,
    closed: false,
    loss: facts.loss,
    floor: planFloor(
      found,
      members.map(({ replica }) => heldBy(replica)),
    ),
    held: raiseFloors(found, found, heldBy),
  };
  const controlPlaneTrusted = controlPlane !== null && remembers(controlPlane, found);
  return { found, record, sessions, lost, controlPlaneTrusted };
}

function openedSessions({ choice, candidates }: OpeningFacts): Map<ReplicaId, OpenedSession> {
  const { found, forgetful } = choice;
  const sessions = new Map<ReplicaId, OpenedSession>();
  for (const { replica, member, answer, line } of candidates) {
    if (member === null || line === null || answer === null) continue;
    const forgot = forgetful.includes(replica);
    // Without a record and without a vote it is not forgetful but new.
    const fresh = answer.record === null && !votersOf(found).includes(replica);
    const voteless = parseNote(member.state.rebuild).voteless || (forgot && !fresh);
    sessions.set(replica, {
      member,
      handTo: (listener) => line.handTo(listener),
      forgot,
      trusted: !voteless,
      record: answer.record,
    });
  }
  return sessions;
}

/** R16: what every member of the new set holds; never lower than before. */
function planFloor(
  found: MembershipRecord,
  held: readonly (RecordPosition | null)[],
): RecordPosition {
  let lowest: RecordPosition | null = null;
  for (const position of held) {
    const present = position ?? { epoch: 0, seq: 0 };
    if (lowest === null || comparePositions(present, lowest) < 0) lowest = present;
  }
  const rises = lowest !== null && comparePositions(lowest, found.floor) > 0;
  const { epoch, seq } = rises && lowest !== null ? lowest : found.floor;
  return { epoch, seq };
}
