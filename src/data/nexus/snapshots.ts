/**
 * Snapshots: the same point in the write order on every member (W19), by a short write barrier
 * (R18). Reads go on meanwhile.
 *
 *     writes drained ─▶ joiners leave ─▶ every member: sync, freeze the head ─▶ writes go on ─▶
 *     the next record is committed, and with it the removal of whoever did not freeze
 *
 * A creation or deletion that was cut short leaves a snapshot on some members only; it was never
 * acknowledged (or its deletion was wanted), so the next opening takes it away.
 */
import { type Generation, HoldfastError, type SnapshotId, type SnapshotInfo } from '#api/mod.ts';
import { Deferred } from '#lib/mod.ts';
import { asHoldfastError, withDeadline } from './deadline.ts';
import { errorKind } from './error-kind.ts';
import type { MemberSession } from './member-session.ts';
import type { MemberSlot } from './member-slot.ts';
import type { NexusCore } from './nexus-core.ts';
import { holdRange } from './range-hold.ts';

/** Merging layers is long work. */
const DELETE_DEADLINES = 60;

export class Snapshots {
  readonly #core: NexusCore;
  /** Sealed on every member in sync, oldest first. */
  list: readonly SnapshotInfo[] = [];
  #turn: Promise<unknown> = Promise.resolve();

  constructor(core: NexusCore) {
    this.#core = core;
  }

  create(id: SnapshotId): Promise<void> {
    return this.#inTurn(() => this.#create(id));
  }

  delete(id: SnapshotId): Promise<void> {
    return this.#inTurn(() => this.#delete(id));
  }

  #inTurn<T>(action: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(action);
    this.#turn = turn.catch(() => undefined);
    return turn;
  }

  async #create(id: SnapshotId): Promise<void> {
    if (this.list.some((snapshot) => snapshot.id === id)) {
      throw new HoldfastError('already-exists', 'Snapshot exists already', { details: { id } });
    }
    const { generations, clock, parts } = this.#core;
    // Most of what has to be synced is synced before anybody waits.
    await parts.flushes.flush();
    const barrier = new Deferred<void>();
    this.#core.snapshotBarrier = barrier.promise;
    const release = await this.drain();
    const sinceMs = clock.monotonicMs();
    try {
      this.dropJoiners();
      const generation = generations.now();
      generations.raise();
      await this.onAll(this.#core.policy.memberDeadlineMs, (session) =>
        this.freeze(session, id, generation),
      );
      await this.refresh();
    } finally {
      release();
      this.#core.snapshotBarrier = null;
      barrier.resolve();
      this.#core.counters.add('barrierMs', clock.monotonicMs() - sinceMs);
    }
    await this.settle();
  }

  /**
   * R16: a store that is put back to before the snapshot can be told. It also waits for removals:
   * whoever a record still names has the snapshot (R18).
   */
  protected settle(): Promise<void> {
    return this.#core.parts.membership.propose(() => ({}));
  }

  /** R18: waits for the writes in flight; later ones wait for the snapshot. Reads pass. */
  protected drain(): Promise<() => void> {
    return holdRange(this.#core.lock, 0, this.#core.sizeBytes, 'shared');
  }

  /** R18: the head is synced before the member answers. */
  protected async freeze(
    session: MemberSession,
    id: SnapshotId,
    generation: Generation,
  ): Promise<void> {
    await session.member.flush();
    await session.member.createSnapshot(id, generation);
  }

  /**
   * R18: what a joiner holds so far is not the volume: a snapshot of it would be wrong for ever. It
   * leaves and begins again at once; then the snapshot is one that it lacks, which it gets before
   * it counts, and what was copied need not be sent again.
   */
  protected dropJoiners(): void {
    const error = new HoldfastError('aborted', 'A snapshot was taken during the rebuild');
    for (const slot of this.#core.roster.inPhase('joining')) {
      this.#core.parts.attendance.lost(slot, slot.session, error);
    }
  }

  async #delete(id: SnapshotId): Promise<void> {
    if (!this.list.some((snapshot) => snapshot.id === id)) {
      throw new HoldfastError('not-found', 'No such snapshot', { details: { id } });
    }
    this.list = this.list.filter((snapshot) => snapshot.id !== id);
    const deadlineMs = this.#core.policy.memberDeadlineMs * DELETE_DEADLINES;
    await this.onAll(deadlineMs, async (session) => {
      try {
        await session.member.deleteSnapshot(id);
      } catch (error) {
        if (asHoldfastError(error).code !== 'not-found') throw error;
      }
      // Checksums that moved to another layer with their blocks are durable before anybody relies
      // on it.
      await session.member.flush();
    });
    await this.refresh();
  }

  /**
   * The same step on every member that receives writes. Who fails leaves, unless all fail: then the
   * first error is thrown. Resolves when the removals are committed.
   */
  async onAll(deadlineMs: number, step: (session: MemberSession) => Promise<void>): Promise<void> {
    const { roster, clock, parts } = this.#core;
    const slots = [...roster.receivers];
    const failures = new Map<MemberSlot, HoldfastError>();
    const sessions = new Map(slots.map((slot) => [slot, slot.session]));
    let succeeded = 0;
    await Promise.all(
      slots.map(async (slot) => {
        const session = sessions.get(slot);
        if (session === null || session === undefined) return;
        try {
          await withDeadline(clock, deadlineMs, step(session));
          if (slot.phase === 'in-sync') succeeded++;
        } catch (error) {
          failures.set(slot, asHoldfastError(error));
        }
      }),
    );
    const [first] = failures.values();
    for (const [slot, error] of failures) {
      const medium = errorKind(error.code) === 'medium';
      // When everybody says the same (no space, exists already) nobody is worse than the others.
      if (medium && succeeded === 0 && slot.phase === 'in-sync') continue;
      parts.attendance.lost(slot, sessions.get(slot) ?? null, error);
    }
    if (first !== undefined && succeeded === 0) throw first;
    if (failures.size > 0) await parts.membership.settled();
  }

  /** After an opening: what is not on every member was never acknowledged. */
  async align(): Promise<void> {
    const slots = this.#core.roster.inPhase('in-sync');
    const states = await Promise.all(
      slots.map(async (slot) => ({ slot, snapshots: await this.#ask(slot) })),
    );
    for (const { slot, snapshots } of states) {
      for (const { id, sealed } of snapshots) {
        const everywhere = states.every((other) =>
          other.snapshots.some((each) => each.id === id && each.sealed),
        );
        const { session } = slot;
        if ((everywhere && sealed) || session === null) continue;
        try {
          await session.member.deleteSnapshot(id);
          await session.member.flush();
        } catch (error) {
          this.#core.parts.attendance.lost(slot, session, asHoldfastError(error));
          break;
        }
      }
    }
    await this.refresh();
  }

  /** Reads the list from a member in sync. */
  async refresh(): Promise<void> {
    for (const slot of this.#core.roster.slots) {
      if (slot.phase !== 'in-sync' || slot.session === null) continue;
      try {
        this.list = await this.#ask(slot);
        return;
      } catch (error) {
        this.#core.parts.attendance.lost(slot, slot.session, asHoldfastError(error));
      }
    }
  }

  async #ask(slot: MemberSlot): Promise<readonly SnapshotInfo[]> {
    const { clock, policy } = this.#core;
    if (slot.session === null) return [];
    const outcome = slot.session.member.refresh();
    return (await withDeadline(clock, policy.memberDeadlineMs, outcome)).snapshots;
  }
}
