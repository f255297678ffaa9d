/**
 * Reconcile: makes the intent segments of the new set equal before anything is served (rule 6).
 *
 * An intent segment may hold writes that reached some members and not others, and after a crash its
 * blocks may be newer than their checksums, torn, or rotten. For each such segment: inspect it on
 * all, choose a copy per block, rewrite the losers, settle everywhere with the stamp (epoch, 0),
 * then flush. Intents stay (rule 14).
 *
 * The order within a segment matters when this is cut short: losers are first rewritten from copies
 * that match their checksums, and only then is a copy without checksum settled, so that no bad
 * block is ever blessed beside a good one.
 */
import { type Generation, HoldfastError, type SegmentInspection } from '#api/mod.ts';
import { BLOCK_BYTES } from '#data/block/mod.ts';
import type { Clock, Log } from '#host/mod.ts';
import { blockRuns } from './block-runs.ts';
import { chooseCopies, type CopyChoice, same } from './choose-copy.ts';
import { withDeadline } from './deadline.ts';
import { clearMember, readMember, writeMember } from './member-io.ts';
import type { MemberSession } from './member-session.ts';
import type { MemberSlot } from './member-slot.ts';

const PARALLEL = 4;
/**
 * How often a segment is compared before a member whose contents will not hold still is given up.
 */
const ATTEMPTS = 8;

export interface ReconcileOptions {
  readonly segmentBytes: number;
  readonly deadlineMs: number;
  readonly clock: Clock;
  readonly log: Log;
  /** The members of the new set that are still there. */
  readonly members: () => readonly MemberSlot[];
  readonly onMemberError: (slot: MemberSlot, session: MemberSession, error: HoldfastError) => void;
}

export interface ReconcileReport {
  segments: number;
  rewrittenBlocks: number;
  doubtfulBlocks: number;
}

/** A member failed in the middle: the segment is done again with those that are left. */
class MemberTrouble extends Error {
  readonly slot: MemberSlot;
  readonly session: MemberSession;
  readonly error: HoldfastError;

  constructor(slot: MemberSlot, session: MemberSession, error: HoldfastError) {
    super('Member failed while segments were reconciled');
    this.slot = slot;
    this.session = session;
    this.error = error;
  }
}

interface Copy {
  readonly slot: MemberSlot;
  readonly session: MemberSession;
}

export class Reconcile {
  readonly #options: ReconcileOptions;

  constructor(options: ReconcileOptions) {
    this.#options = options;
  }

  /** Resolves when all is equal and synced; throws `disconnected` when no member is left. */
  async run(epoch: number, flushedOnly: boolean): Promise<ReconcileReport> {
    const report = { segments: 0, rewrittenBlocks: 0, doubtfulBlocks: 0 };
    const stamp = { epoch, n: 0 };
    const segments = await this.#union();
    report.segments = segments.length;
    let next = 0;
    const work = async (): Promise<void> => {
      for (let at = next++; at < segments.length; at = next++) {
        const segment = segments[at] as number;
        await this.#retry((copies) => this.#level(copies, segment, stamp, flushedOnly, report));
      }
    };
    await Promise.all(Array.from({ length: PARALLEL }, work));
    await this.#retry((copies) => this.sync(copies));
    return report;
  }

  /** Not a microsecond before everything is synced is anything served. */
  protected async sync(copies: readonly Copy[]): Promise<void> {
    await Promise.all(copies.map((copy) => this.#ask(copy, copy.session.member.flush())));
  }

  async #union(): Promise<number[]> {
    const all = new Set<number>();
    await this.#retry(async (copies) => {
      const lists = await Promise.all(
        copies.map((copy) => this.#ask(copy, copy.session.member.intents())),
      );
      for (const list of lists) for (const segment of list) all.add(segment);
    });
    return [...all].sort((a, b) => a - b);
  }

  async #retry(action: (copies: readonly Copy[]) => Promise<void>): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      const copies: Copy[] = [];
      for (const slot of this.#options.members()) {
        if (slot.session !== null) copies.push({ slot, session: slot.session });
      }
      if (copies.length === 0) {
        throw new HoldfastError('disconnected', 'No member is left to reconcile');
      }
      try {
        await action(copies);
        return;
      } catch (error) {
        if (!(error instanceof MemberTrouble)) throw error;
        // Read twice with different outcomes: a disk that lies now and then. Compared once more.
        if (error.error.code === 'checksum-mismatch' && attempt < ATTEMPTS) continue;
        // R6: it is out only when its removal is committed; serving waits for that.
        this.#options.onMemberError(error.slot, error.session, error.error);
      }
    }
  }

  async #ask<T>(copy: Copy, outcome: Promise<T>): Promise<T> {
    try {
      return await withDeadline(this.#options.clock, this.#options.deadlineMs, outcome);
    } catch (error) {
      if (!HoldfastError.is(error)) throw error;
      throw new MemberTrouble(copy.slot, copy.session, error);
    }
  }

  async #level(
    copies: readonly Copy[],
    segment: number,
    stamp: Generation,
    flushedOnly: boolean,
    report: ReconcileReport,
  ): Promise<void> {
    const inspections = await Promise.all(
      copies.map((copy) => this.#ask(copy, copy.session.member.inspect(null, segment))),
    );
    const choice = chooseCopies(inspections, flushedOnly);
    if (choice.differingBlocks > 0)
      await this.#rewrite(copies, inspections, choice, segment, stamp);
    const first = inspections[0] as SegmentInspection;
    const kinds = new Uint8Array(first.kinds.length);
    const contentCrcs = new Uint32Array(first.kinds.length);
    for (let block = 0; block < kinds.length; block++) {
      const winner = inspections[choice.winners[block] as number] as SegmentInspection;
      kinds[block] = winner.kinds[block] as number;
      contentCrcs[block] = winner.contentCrcs[block] as number;
    }
    await Promise.all(
      copies.map((copy) =>
        this.#ask(copy, copy.session.member.settle(segment, kinds, contentCrcs, stamp)),
      ),
    );
    report.rewrittenBlocks += choice.differingBlocks;
    report.doubtfulBlocks += choice.doubtfulBlocks;
    if (choice.doubtfulBlocks > 0) {
      this.#options.log.warn('Blocks were accepted that nothing confirms', {
        segment,
        blocks: choice.doubtfulBlocks,
      });
    }
  }

  async #rewrite(
    copies: readonly Copy[],
    inspections: readonly SegmentInspection[],
    choice: CopyChoice,
    segment: number,
    stamp: Generation,
  ): Promise<void> {
    const winnerOf = (block: number): number => choice.winners[block] as number;
    // A copy in doubt is not read before its member settles it. That also settles blocks of this
    // member which lose; but nothing of it is durable before the flush that ends the reconcile,
    // when they have been rewritten.
    await Promise.all(
      copies.map(async (copy, source) => {
        const { kinds, contentCrcs } = inspections[source] as SegmentInspection;
        const wins = kinds.some(
          (_, block) => choice.differs[block] === 1 && winnerOf(block) === source,
        );
        if (!wins) return;
        await this.#ask(copy, copy.session.member.settle(segment, kinds, contentCrcs, stamp));
      }),
    );
    for (const [loser, copy] of copies.entries()) {
      const mine = inspections[loser] as SegmentInspection;
      const runs = blockRuns(mine.kinds.length, (block) => {
        const from = winnerOf(block);
        const winner = inspections[from] as SegmentInspection;
        if (choice.differs[block] === 0 || same(mine, winner, block)) return null;
        return from * 2 + (winner.kinds[block] as number);
      });
      for (const run of runs) {
        const from = winnerOf(run.block);
        const data = (inspections[from] as SegmentInspection).kinds[run.block] === 1;
        const offsetBytes = segment * this.#options.segmentBytes + run.block * BLOCK_BYTES;
        const lengthBytes = run.count * BLOCK_BYTES;
        await this.#copy(copies[from] as Copy, copy, offsetBytes, lengthBytes, data, stamp);
      }
    }
  }

  async #copy(
    from: Copy,
    to: Copy,
    offsetBytes: number,
    lengthBytes: number,
    data: boolean,
    stamp: Generation,
  ): Promise<void> {
    const target = to.session.member;
    if (!data) {
      await this.#ask(to, clearMember(target, 'trim', null, offsetBytes, lengthBytes, stamp));
      return;
    }
    const source = from.session.member;
    const bytes = await this.#ask(from, readMember(source, null, offsetBytes, lengthBytes));
    await this.#ask(to, writeMember(target, null, offsetBytes, bytes, stamp));
  }
}
