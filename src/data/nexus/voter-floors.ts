/**
 * What each voter is known to hold, carried by the records (R16): a voter that comes back with less
 * was rolled back, whether its own files noticed or not. For the control plane, which has no files,
 * it is the only way to notice.
 */
import {
  comparePositions,
  CONTROL_PLANE,
  type MembershipRecord,
  type RecordPosition,
  type VoterFloor,
  type VoterId,
} from '#api/mod.ts';
import { votersOf } from './majority.ts';

const NOTHING: RecordPosition = { epoch: 0, seq: 0 };

export function floorOf(record: Pick<MembershipRecord, 'held'>, voter: VoterId): RecordPosition {
  return record.held.find((floor) => floor.voter === voter) ?? NOTHING;
}

/** True when the record knows that this voter held more than it says now. */
export function isBelowFloor(
  record: Pick<MembershipRecord, 'held'>,
  voter: VoterId,
  holds: RecordPosition | null,
): boolean {
  return comparePositions(holds ?? NOTHING, floorOf(record, voter)) < 0;
}

/**
 * The floors of the next record: never lower. Of its voters; the control plane's stays while it has
 * no vote, which it only lends.
 */
export function raiseFloors(
  last: Pick<MembershipRecord, 'held'>,
  next: Pick<MembershipRecord, 'voters' | 'formerVoters'>,
  holds: (voter: VoterId) => RecordPosition | null,
): VoterFloor[] {
  const voters = new Set<VoterId>([...votersOf(next), CONTROL_PLANE]);
  const floors: VoterFloor[] = [];
  for (const voter of voters) {
    const before = floorOf(last, voter);
    const now = holds(voter) ?? NOTHING;
    const { epoch, seq } = comparePositions(now, before) > 0 ? now : before;
    if (epoch > 0) floors.push({ voter, epoch, seq });
  }
  return floors;
}
