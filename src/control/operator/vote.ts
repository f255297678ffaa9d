/**
 * The control plane's vote (protocol.md rule 17): one compare-and-swap on Volume.status.vote,
 * durable before it is answered. It never forgets a promise while the object exists.
 */
import type { VoteStatus } from '#api/kinds/mod.ts';
import {
  comparePositions,
  parseId,
  type Handlers,
  type MembershipRecord,
  type VolumeId,
  type VoteMethods,
  type VoterState,
} from '#api/mod.ts';
import type { KubeClient } from '#control/kube/mod.ts';
import { changeStatus } from '#control/kube/mod.ts';
import { isDeepStrictEqual } from 'node:util';

const NO_VOTE: VoteStatus = { promised: 0, promisedTo: '', record: null };

/** Rule 1: above what was promised, or the same again for the same nexus. */
export function planPromise(vote: VoteStatus, epoch: number, nexus: string): VoteStatus | null {
  if (epoch > vote.promised) return { ...vote, promised: epoch, promisedTo: nexus };
  return epoch === vote.promised && nexus === vote.promisedTo ? vote : null;
}

/** Rule 10: of the promised epoch, and (epoch, seq) rises; the same record again is granted too. */
export function planCommit(vote: VoteStatus, record: MembershipRecord): VoteStatus | null {
  if (record.epoch !== vote.promised) return null;
  if (vote.record === null) return { ...vote, record };
  const order = comparePositions(record, vote.record);
  if (order > 0) return { ...vote, record };
  return order === 0 && isDeepStrictEqual(record, vote.record) ? vote : null;
}

export function createVoteHandlers(client: KubeClient): Handlers<VoteMethods> {
  const decide = async (
    volume: VolumeId,
    plan: (vote: VoteStatus) => VoteStatus | null,
  ): Promise<VoterState> => {
    let granted = false;
    let vote = NO_VOTE;
    await changeStatus(client, 'Volume', { name: parseId('volume', volume) }, (status) => {
      const before = status.vote ?? NO_VOTE;
      const after = plan(before);
      granted = after !== null;
      vote = after ?? before;
      return vote === before ? status : { ...status, vote };
    });
    return { granted, promised: vote.promised, record: vote.record };
  };
  return {
    'vote.promise': ({ volume, epoch, nexus }) =>
      decide(volume, (vote) => planPromise(vote, epoch, nexus)),
    'vote.commit': ({ volume, record }) => decide(volume, (vote) => planCommit(vote, record)),
    'vote.confirm': async ({ volume, epoch }) => {
      const { status } = await client.get('Volume', { name: parseId('volume', volume) });
      return { current: (status?.vote ?? NO_VOTE).promised === epoch };
    },
  };
}
