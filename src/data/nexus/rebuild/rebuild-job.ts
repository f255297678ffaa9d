/**
 * RebuildJob: brings one absent replica level and proposes it (rule 13).
 *
 *     snapshots, size ─▶ receives foreground writes ─▶ copy set ─▶ copy, compare ─▶ flush ─▶
 *     propose
 *                        (and is waited for)                       segment by segment
 *
 * Invariants
 * - From the moment when it receives writes, each of them waits for it: nothing of the foreground
 *   is in
 *   its pipe when a segment is copied under the segment's lock, nor when it is proposed.
 * - Copies carry the source's stamp. Nothing is read from it before its record is committed, and no
 *   generation is told to it.
 * - What it has so far is on its disk, and its `completed` still says what it lacked: whoever dies
 *   in
 *   between, the next job finds the same copy set, compares, and sends only what still differs.
 */
import { type Generation, HoldfastError, type ReplicaState } from '#api/mod.ts';
import type { Bitmap } from '#lib/mod.ts';
import { withDeadline } from '../deadline.ts';
import { errorKind } from '../error-kind.ts';
import type { MemberSession } from '../member-session.ts';
import type { MemberSlot } from '../member-slot.ts';
import type { NexusCore } from '../nexus-core.ts';
import { holdRange } from '../range-hold.ts';
import { findCopySet, joinsFrom } from './copy-set.ts';
import { RebuildProgress } from './progress.ts';
import { formatNote, parseNote, type RebuildNote } from './rebuild-note.ts';
import {
  copyFromSomebody,
  type SegmentSource,
  type SegmentSources,
  type SourceTrouble,
} from './segment-copy.ts';
import { installSnapshots } from './snapshot-copy.ts';
import type { Throttle } from './throttle.ts';

/** Progress is told to the joiner after so many segments. */
const NOTE_EVERY = 64;

export class RebuildJob {
  protected readonly core: NexusCore;
  protected readonly slot: MemberSlot;
  protected readonly session: MemberSession;
  readonly #throttle: Throttle;
  readonly #sources: SegmentSources = {
    source: (refused) => this.source(refused),
    onSourceTrouble: (trouble) => this.noteSourceTrouble(trouble),
    checkpoint: () => this.checkpoint(),
  };
  readonly #era: number;
  readonly #stopped: () => boolean;

  constructor(
    core: NexusCore,
    slot: MemberSlot,
    session: MemberSession,
    throttle: Throttle,
    stopped: () => boolean,
  ) {
    this.core = core;
    this.slot = slot;
    this.session = session;
    this.#throttle = throttle;
    this.#era = core.era;
    this.#stopped = stopped;
  }

  /** Resolves when the replica is in sync. On any error the caller drops the joiner. */
  async run(): Promise<void> {
    const { core, slot, session } = this;
    let state = await this.ask(session.member.refresh());
    if (state.failed !== null) throw state.failed;
    const full = this.#needsAll(state);
    const progress = new RebuildProgress(full ? 'full' : 'delta', core.clock, core.counters);
    slot.rebuild = progress;
    core.log.info('Rebuild begins', { replica: slot.replica, kind: progress.kind });
    const reset = full && this.#mustReset(state);
    await this.#note(reset ? 'reset' : progress.kind, 0);
    if (reset) {
      // R16: its vote is gone, on a majority's disks, before it stops looking rolled back.
      if (slot.voteless) await core.parts.membership.changeVoters(core.parts.votes.wanted());
      this.checkpoint();
      await this.ask(session.member.reset(await this.#firstSize()));
      await this.#note('full', 0);
      state = await this.ask(session.member.refresh());
      slot.fullRebuild = false;
    }
    if (state.sizeBytes > core.sizeBytes) {
      // Growth that was never finished: sizes do not shrink.
      slot.fullRebuild = true;
      throw new HoldfastError('conflict', 'Replica is larger than the volume');
    }
    const from = joinsFrom(state.completed, full);
    const inFlight = await installSnapshots({
      core,
      slot,
      session,
      progress,
      from,
      ...this.#sources,
      ask: (outcome) => this.ask(outcome),
      // Atomic with finding that no snapshot is missing: from here on it gets every write.
      receive: () => this.receive(),
    });
    const set = await this.findSet(from, inFlight);
    progress.segmentsTotal = set.count();
    progress.segmentsDone = 0;
    await this.#copyAll(set, progress);
    await this.sync();
    this.checkpoint();
    await this.propose();
    await this.#note(null, 0);
  }

  async #note(kind: RebuildNote['kind'], segment: number): Promise<void> {
    const text = formatNote({ kind, segment, voteless: this.slot.voteless });
    await this.ask(this.session.member.setRebuild(text));
  }

  /** Not when it goes on with being filled from nothing. */
  #mustReset(state: ReplicaState): boolean {
    const filling = parseNote(state.rebuild).kind === 'full';
    return !filling || state.condition === 'rolled-back' || this.slot.fullRebuild;
  }

  /** Nothing on it can be trusted, or it was being filled from nothing. */
  #needsAll(state: ReplicaState): boolean {
    const { kind } = parseNote(state.rebuild);
    if (this.slot.fullRebuild || state.condition === 'rolled-back') return true;
    return kind === 'full' || kind === 'reset';
  }

  /** It grows as the volume grew, or its snapshots would not have their sizes. */
  async #firstSize(): Promise<number> {
    const { snapshots } = await this.ask(this.source().session.member.refresh());
    return snapshots[0]?.sizeBytes ?? this.core.sizeBytes;
  }

  /** Begins to get writes; the segments of those in flight now, which it does not get. */
  protected receive(): readonly number[] {
    const { core, slot } = this;
    const { writes } = core.parts;
    const { segmentBytes } = core.options;
    const inFlight = new Set<number>();
    for (let op = writes.inFlight.first; op !== null; op = op.next) {
      const end = op.ticket.offset + op.ticket.length;
      for (let at = Math.floor(op.ticket.offset / segmentBytes); at * segmentBytes < end; at++) {
        inFlight.add(at);
      }
    }
    slot.become('joining', core.clock.monotonicMs(), 'is being brought level');
    core.refresh();
    return [...inFlight];
  }

  protected findSet(from: Generation, inFlight: readonly number[]): Promise<Bitmap> {
    const joiner = this.session.member;
    const source = this.source().session.member;
    return findCopySet(this.core.segmentsTotal(), {
      stampedAtSource: (first, limit) => this.ask(source.stampedSince(from, first, limit)),
      stampedAtJoiner: (first, limit) => this.ask(joiner.stampedSince(from, first, limit)),
      intentsOfJoiner: () => this.ask(joiner.intents()),
      inFlight,
    });
  }

  async #copyAll(set: Bitmap, progress: RebuildProgress): Promise<void> {
    let next = set.nextSet(0);
    const work = async (): Promise<void> => {
      while (next < set.length) {
        const segment = next;
        next = set.nextSet(segment + 1);
        await this.#throttle.pass();
        this.checkpoint();
        await this.copyHeld(segment, progress);
        progress.segmentsDone++;
        if (progress.segmentsDone % NOTE_EVERY === 0) {
          await this.#note(progress.kind, segment);
        }
      }
    };
    const workers = Math.max(1, this.core.policy.rebuildConcurrency);
    const outcomes = await Promise.allSettled(Array.from({ length: workers }, work));
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
  }

  protected async copyHeld(segment: number, progress: RebuildProgress): Promise<void> {
    const { core } = this;
    const { offsetBytes, lengthBytes } = core.segmentRange(segment);
    const release = await holdRange(core.lock, offsetBytes, lengthBytes, 'exclusive');
    try {
      this.checkpoint();
      const copy = {
        joiner: this.session,
        layer: null,
        segmentBytes: core.options.segmentBytes,
        deadlineMs: core.policy.memberDeadlineMs,
        clock: core.clock,
        progress,
      };
      await copyFromSomebody(copy, this.#sources, this.source(), segment);
    } finally {
      release();
    }
  }

  protected noteSourceTrouble(trouble: SourceTrouble): void {
    const { slot, session } = trouble.source;
    if (errorKind(trouble.error.code) === 'medium') return;
    this.core.parts.attendance.lost(slot, session, trouble.error);
  }

  /** An in-sync member to copy from, the local one first. */
  protected source(refused: ReadonlySet<MemberSlot> = new Set()): SegmentSource {
    const { roster } = this.core;
    let chosen: MemberSlot | null = null;
    for (const slot of roster.slots) {
      if ((roster.readable & slot.bit) === 0 || slot.session === null || refused.has(slot))
        continue;
      if (chosen === null || slot.local) chosen = slot;
    }
    if (chosen === null || chosen.session === null) {
      throw new HoldfastError('io-error', 'No member can be copied from');
    }
    return { slot: chosen, session: chosen.session };
  }

  /** Everything that it was sent is answered by now; after this it is durable too. */
  protected async sync(): Promise<void> {
    await this.ask(this.session.member.flush());
  }

  /**
   * R13: with its present incarnation; from the sending on it counts until a record says otherwise.
   */
  protected async propose(): Promise<void> {
    const { core, slot, session } = this;
    const { incarnation } = session.state;
    await core.parts.membership.propose((last) => {
      // While we waited for our turn it may have been lost.
      this.checkpoint();
      const others = last.members.filter((member) => member.replica !== slot.replica);
      return { members: [...others, { replica: slot.replica, incarnation }] };
    });
  }

  /** Throws when the job is over: the volume was opened again, or the joiner was lost. */
  protected checkpoint(): void {
    const { core, slot, session } = this;
    if (this.#stopped() || core.era !== this.#era) {
      throw new HoldfastError('aborted', 'Rebuild was stopped');
    }
    if (session.closed || slot.session !== session || slot.phase === 'leaving') {
      throw new HoldfastError('disconnected', 'Joiner was lost');
    }
  }

  protected ask<T>(outcome: Promise<T>): Promise<T> {
    return withDeadline(this.core.clock, this.core.policy.memberDeadlineMs * 2, outcome);
  }
}
