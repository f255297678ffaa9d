/**
 * MemberRoster: the slots of a volume by name, and their sets as bits for the hot path. The bits
 * are computed here and nowhere else, after every change of a phase or of a record.
 */
import { HoldfastError, type ReplicaId } from '#api/mod.ts';
import type { Clock } from '#host/mod.ts';
import { assert } from '#lib/mod.ts';
import { MemberSlot } from './member-slot.ts';

const SLOTS_MAX = 30;

/** What Membership says of a replica. */
export interface RecordView {
  counts(replica: ReplicaId): boolean;
  readable(replica: ReplicaId): boolean;
}

export class MemberRoster {
  readonly #slots: MemberSlot[] = [];
  readonly #local: ReplicaId | null;
  readonly #clock: Pick<Clock, 'wallMs'>;

  /** Get foreground writes. */
  receiving = 0;
  /** Must acknowledge: those that receive, and those whose removal is not committed yet (R10). */
  owed = 0;
  /** May be read. */
  readable = 0;
  /** The slots that receive, ascending: what a write walks over. */
  receivers: readonly MemberSlot[] = [];

  constructor(
    replicas: readonly ReplicaId[],
    local: ReplicaId | null,
    clock: Pick<Clock, 'wallMs'>,
  ) {
    this.#local = local;
    this.#clock = clock;
    for (const replica of replicas) this.add(replica);
  }

  get slots(): readonly MemberSlot[] {
    return this.#slots;
  }

  find(replica: ReplicaId): MemberSlot | undefined {
    return this.#slots.find((slot) => slot.replica === replica);
  }

  get(replica: ReplicaId): MemberSlot {
    const slot = this.find(replica);
    assert(slot !== undefined, 'a named replica has a slot');
    return slot;
  }

  /** The slot of this replica, made when there is none. Throws `invalid-argument` beyond 30. */
  add(replica: ReplicaId): MemberSlot {
    const known = this.find(replica);
    if (known !== undefined) return known;
    let index = 0;
    while (this.#slots.some((slot) => slot.index === index)) index++;
    if (index >= SLOTS_MAX) {
      throw new HoldfastError('invalid-argument', 'Volume has too many replicas', {
        details: { replicasMax: SLOTS_MAX },
      });
    }
    const slot = new MemberSlot(replica, index, replica === this.#local, this.#clock);
    this.#slots.push(slot);
    this.#slots.sort((a, b) => a.index - b.index);
    return slot;
  }

  delete(slot: MemberSlot): void {
    const at = this.#slots.indexOf(slot);
    if (at >= 0) this.#slots.splice(at, 1);
  }

  inPhase(phase: MemberSlot['phase']): MemberSlot[] {
    return this.#slots.filter((slot) => slot.phase === phase);
  }

  /** Computes the sets again. */
  update(records: RecordView): void {
    let receiving = 0;
    let owed = 0;
    let readable = 0;
    for (const slot of this.#slots) {
      const { phase, bit } = slot;
      const serves = phase === 'in-sync' || phase === 'joining';
      if (serves && slot.session !== null) receiving |= bit;
      if (records.counts(slot.replica)) owed |= bit;
      if (phase === 'in-sync' && records.readable(slot.replica)) readable |= bit;
    }
    this.receiving = receiving;
    this.owed = owed | receiving;
    this.readable = readable;
    this.receivers = this.#slots.filter((slot) => (receiving & slot.bit) !== 0);
  }
}
