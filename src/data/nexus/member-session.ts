/**
 * One session with a replica, bound to the epoch of this nexus, as the nexus counts it. A replica
 * that comes back gets a new one; what lies in the old one ended with it (rule 1).
 */
import type { ReplicaState } from '#api/mod.ts';
import type { Member } from '#data/member/mod.ts';

export class MemberSession {
  readonly member: Member;
  readonly state: ReplicaState;
  /**
   * False for a voter that forgot what it promised (R16: rolled back, or blank under a known name):
   * it is fenced like the others, but neither its promise nor its acceptance counts towards a
   * majority.
   */
  readonly trusted: boolean;
  closed = false;

  constructor(member: Member, trusted: boolean) {
    this.member = member;
    this.state = member.state;
    this.trusted = trusted;
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.member.close();
  }
}
