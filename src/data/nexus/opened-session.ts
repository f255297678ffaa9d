/** A session with a replica that promised our epoch, and what is asked of every new session. */
import { HoldfastError, type MembershipRecord } from '#api/mod.ts';
import type { Member } from '#data/member/mod.ts';
import type { Clock } from '#host/mod.ts';
import { withDeadline } from './deadline.ts';
import type { NexusOptions } from './mod.ts';
import { FORGOT_NOTE, formatNote } from './rebuild/rebuild-note.ts';

export interface OpenedSession {
  readonly member: Member;
  /** Who is told of its loss from now on; at once when it is lost already. */
  readonly handTo: (listener: (error: HoldfastError) => void) => void;
  /** It is to be rebuilt from nothing (R16); `trusted` is false for ever then. */
  readonly forgot: boolean;
  readonly trusted: boolean;
  readonly record: MembershipRecord | null;
}

/** W8: an address is never an identity. Throws `wrong-identity`, the session closed. */
export function checkIdentity(
  member: Member,
  options: Pick<NexusOptions, 'cluster' | 'volume'>,
): void {
  const { cluster, volume, replica } = member.state.identity;
  if (cluster === options.cluster && volume === options.volume && replica === member.replica) {
    return;
  }
  member.close();
  throw new HoldfastError('wrong-identity', 'Replica belongs to something else', {
    details: { cluster, volume, replica },
  });
}

/** R16: durable on the replica before it gets any record of ours. */
export async function noteForgotten(
  member: Member,
  clock: Clock,
  deadlineMs: number,
): Promise<void> {
  await withDeadline(clock, deadlineMs, member.setRebuild(formatNote(FORGOT_NOTE)));
}
