/**
 * VoteHandover: who should vote, and the steps there (rule 17, design.md §6). A pure wish, and an
 * activity that proposes it when it differs from the record.
 */
import { CONTROL_PLANE, type ReplicaId, type VoterId } from '#api/mod.ts';
import type { Timer } from '#host/mod.ts';
import type { NexusCore } from './nexus-core.ts';

export interface VoterWish {
  /** The replicas that the volume should have. */
  readonly replicas: readonly ReplicaId[];
  /** Of them, those that forgot a promise and must not vote (R16). */
  readonly voteless: ReadonlySet<ReplicaId>;
  /** Of them, those in sync now, and those gone for longer than `handOverVoteMs`. */
  readonly present: ReadonlySet<ReplicaId>;
  readonly gone: ReadonlySet<ReplicaId>;
  readonly current: readonly VoterId[];
  readonly controlPlane: boolean;
}

/**
 * With an odd number every replica votes, and one that is gone for long hands its vote to the
 * control plane until it is back. With an even number the control plane votes anyway. A replica
 * that is new gets its vote when it is in sync.
 */
export function wantedVoters(wish: VoterWish): VoterId[] {
  const { replicas, voteless, present, gone, current, controlPlane } = wish;
  const known = replicas.filter(
    (replica) => !voteless.has(replica) && (current.includes(replica) || present.has(replica)),
  );
  if (!controlPlane) return known;
  if (known.length % 2 === 0) return [...known, CONTROL_PLANE];
  const handed = known.filter((replica) => !present.has(replica) && !current.includes(replica));
  // Only one vote can be lent at a time; whose it is stays as it is.
  const lender = handed[0] ?? known.find((replica) => gone.has(replica) && !present.has(replica));
  if (lender === undefined || known.length === 1) return known;
  return [...known.filter((replica) => replica !== lender), CONTROL_PLANE];
}

export class VoteHandover {
  readonly #core: NexusCore;
  #replicas: readonly ReplicaId[];
  #timer: Timer | null = null;
  #changing = false;
  #running = false;

  constructor(core: NexusCore) {
    this.#core = core;
    this.#replicas = core.options.replicas;
  }

  get replicas(): readonly ReplicaId[] {
    return this.#replicas;
  }

  setReplicas(replicas: readonly ReplicaId[]): void {
    this.#replicas = replicas;
  }

  start(): void {
    this.#running = true;
    this.check();
  }

  stop(): void {
    this.#running = false;
    this.#timer?.cancel();
    this.#timer = null;
  }

  /** A replica left or came back. */
  check(): void {
    if (!this.#running) return;
    this.#timer?.cancel();
    this.#timer = null;
    const { clock, roster, policy } = this.#core;
    let soonestMs = Number.POSITIVE_INFINITY;
    for (const slot of roster.slots) {
      if (slot.absentSinceMs === null) continue;
      const leftMs = slot.absentSinceMs + policy.handOverVoteMs - clock.monotonicMs();
      if (leftMs > 0) soonestMs = Math.min(soonestMs, leftMs);
    }
    if (soonestMs < Number.POSITIVE_INFINITY) {
      this.#timer = clock.after(soonestMs + 1, () => this.check());
    }
    void this.#change();
  }

  wanted(): VoterId[] {
    const { clock, roster, policy, options, parts } = this.#core;
    const present = new Set<ReplicaId>();
    const gone = new Set<ReplicaId>();
    const voteless = new Set<ReplicaId>();
    for (const slot of roster.slots) {
      if (slot.phase === 'in-sync') present.add(slot.replica);
      if (slot.voteless) voteless.add(slot.replica);
      const { absentSinceMs } = slot;
      if (absentSinceMs === null) continue;
      if (clock.monotonicMs() - absentSinceMs >= policy.handOverVoteMs) gone.add(slot.replica);
    }
    return wantedVoters({
      replicas: this.#replicas,
      voteless,
      present,
      gone,
      current: parts.membership.newest?.voters ?? [],
      // R16: out, and when that is committed in again, as a new voter.
      controlPlane: options.controlPlane !== null && !parts.membership.controlPlaneForgot,
    });
  }

  async #change(): Promise<void> {
    if (this.#changing) return;
    this.#changing = true;
    const { era } = this.#core;
    try {
      const { membership } = this.#core.parts;
      for (;;) {
        const wanted = this.wanted();
        const { newest } = membership;
        const done =
          newest === null ||
          (newest.formerVoters === null &&
            wanted.length === newest.voters.length &&
            wanted.every((voter) => newest.voters.includes(voter)));
        if (done || era !== this.#core.era || !this.#running) return;
        await membership.changeVoters(wanted);
        if (era !== this.#core.era) return;
        this.#core.log.info('Voters changed', { voters: wanted.join(' ') });
        this.#core.counters.add('voterChanges');
      }
    } catch {
      // The volume is opened again, or closed: the next opening looks anew.
    } finally {
      this.#changing = false;
    }
  }
}
