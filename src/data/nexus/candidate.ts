/** Candidate: a replica as an opening knows it, over all sessions until one is handed on. */
import type { HoldfastError, ReplicaId, ReplicaState, VoterState } from '#api/mod.ts';
import type { Member } from '#data/member/mod.ts';

export interface Candidate {
  readonly replica: ReplicaId;
  member: Member | null;
  /** What it answered to the promise of the present epoch. */
  answer: VoterState | null;
  line: LossLine | null;
  /** As it was before it promised anything to us. */
  state: ReplicaState | null;
  reason: string;
  code: string;
}

/** A session has one listener; it changes when the session is handed over. */
export class LossLine {
  #listener: (error: HoldfastError) => void;
  #error: HoldfastError | null = null;

  constructor(listener: (error: HoldfastError) => void) {
    this.#listener = listener;
  }

  tell(error: HoldfastError): void {
    this.#error = error;
    this.#listener(error);
  }

  handTo(listener: (error: HoldfastError) => void): void {
    this.#listener = listener;
    if (this.#error !== null) listener(this.#error);
  }
}
