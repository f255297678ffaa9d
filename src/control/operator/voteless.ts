import type { NexusStatus } from '#api/mod.ts';

/** A replica that has just joined gets its vote a moment later. */
const GRACE_MS = 5_000;

/**
 * Replicas that are in sync and have no vote (protocol.md rule 16): they forgot what they had
 * promised, because an older copy of them was put back. They serve, and cannot decide: without the
 * others the volume waits.
 */
export function votelessReplicas(status: NexusStatus, nowMs: number): string[] {
  const { record, members } = status;
  if (record === null || record.formerVoters !== null) return [];
  return members
    .filter((member) => member.phase === 'in-sync' && nowMs - member.sinceMs >= GRACE_MS)
    .map((member) => member.replica)
    .filter((replica) => !record.voters.includes(replica));
}
