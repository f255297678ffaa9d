/** The control plane's vote as a Voter, over the controller's RPC (rule 17). */
import {
  CONTROL_PLANE,
  type MembershipRecord,
  type VolumeId,
  type VoteMethods,
  type VoterState,
} from '#api/mod.ts';
import type { Voter } from '#data/member/mod.ts';
import type { RpcClient } from '#rpc/mod.ts';

const VOTE_TIMEOUT_MS = 3_000;

export class ControlVote implements Voter {
  readonly voter = CONTROL_PLANE;
  readonly #client: RpcClient<VoteMethods>;
  readonly #volume: VolumeId;

  constructor(client: RpcClient<VoteMethods>, volume: VolumeId) {
    this.#client = client;
    this.#volume = volume;
  }

  promise(epoch: number, nexus: string): Promise<VoterState> {
    const params = { volume: this.#volume, epoch, nexus };
    return this.#client.call('vote.promise', params, { timeoutMs: VOTE_TIMEOUT_MS });
  }

  commit(record: MembershipRecord): Promise<VoterState> {
    const params = { volume: this.#volume, record };
    return this.#client.call('vote.commit', params, { timeoutMs: VOTE_TIMEOUT_MS });
  }

  async confirm(epoch: number): Promise<boolean> {
    const params = { volume: this.#volume, epoch };
    return (await this.#client.call('vote.confirm', params, { timeoutMs: VOTE_TIMEOUT_MS }))
      .current;
  }
}
