/** Majorities of voters, joint ones included (rules 2, 10, 17). */
import type { MembershipRecord, VoterId } from '#api/mod.ts';

/**
 * A majority of the record's voters and, while a change of voters is under way, of the former ones
 * too.
 */
export function isMajority(
  record: Pick<MembershipRecord, 'voters' | 'formerVoters'>,
  granted: (voter: VoterId) => boolean,
): boolean {
  // R17: two majorities of sets that differ in one member need not meet.
  if (record.formerVoters !== null && !holdsMajority(record.formerVoters, granted)) return false;
  return holdsMajority(record.voters, granted);
}

export function holdsMajority(
  voters: readonly VoterId[],
  granted: (voter: VoterId) => boolean,
): boolean {
  let count = 0;
  for (const voter of voters) if (granted(voter)) count++;
  return count * 2 > voters.length;
}

/** Every voter whose answer matters to the record. */
export function votersOf(record: Pick<MembershipRecord, 'voters' | 'formerVoters'>): VoterId[] {
  return [...new Set([...record.voters, ...(record.formerVoters ?? [])])];
}
