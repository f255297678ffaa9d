/**
 * ScrubRepair: every member verifies its own copy; bad blocks of the head are repaired from another
 * member. Optionally the members are compared with each other too, which finds what checksums
 * cannot: equal checksums of different contents, as a bug of ours would leave them.
 */
import { HoldfastError, type LayerRef, type ReplicaId } from '#api/mod.ts';
import { BLOCK_BYTES } from '#data/block/mod.ts';
import { same } from './choose-copy.ts';
import { asHoldfastError, withDeadline } from './deadline.ts';
import type { MemberSlot } from './member-slot.ts';
import type { NexusCore } from './nexus-core.ts';
import { holdRange } from './range-hold.ts';

export interface ScrubOptions {
  /** Blocks per member between two looks at the foreground; default 2,048. */
  readonly budgetBlocks?: number;
  /** Compare the members with each other as well. */
  readonly compare?: boolean;
  readonly signal?: AbortSignal;
  readonly onProgress?: (checkedBlocks: number) => void;
}

export interface ScrubOutcome {
  readonly checkedBlocks: number;
  readonly repairedBlocks: number;
  readonly unrepaired: readonly {
    readonly replica: ReplicaId;
    readonly layer: LayerRef;
    readonly block: number;
  }[];
  /** Segments in which members in sync differ; empty, or there is a bug. */
  readonly differingSegments: readonly number[];
}

export class ScrubRepair {
  readonly #core: NexusCore;
  #running = false;

  constructor(core: NexusCore) {
    this.#core = core;
  }

  async run(options: ScrubOptions): Promise<ScrubOutcome> {
    if (this.#running) throw new HoldfastError('in-use', 'A scrub is running');
    this.#running = true;
    try {
      return await this.#run(options);
    } finally {
      this.#running = false;
    }
  }

  async #run(options: ScrubOptions): Promise<ScrubOutcome> {
    let checkedBlocks = 0;
    let repairedBlocks = 0;
    const unrepaired: { replica: ReplicaId; layer: LayerRef; block: number }[] = [];
    for (const slot of this.#core.roster.inPhase('in-sync')) {
      for (let done = false; !done; ) {
        this.#checkpoint(options);
        const report = await this.#scrubSome(slot, options.budgetBlocks ?? 2048);
        if (report === null) break;
        ({ done } = report);
        checkedBlocks += report.checkedBlocks;
        for (const { layer, block } of report.mismatches) {
          // A frozen layer cannot be written: its replica has to be rebuilt.
          const repaired =
            layer === null &&
            (await this.#core.parts.repair.repairBlock(slot, block * BLOCK_BYTES));
          if (repaired) repairedBlocks++;
          else unrepaired.push({ replica: slot.replica, layer, block });
        }
        options.onProgress?.(checkedBlocks);
        await this.#core.parts.rebuilds.throttle.pass();
      }
    }
    const differingSegments = options.compare === true ? await this.#compareAll(options) : [];
    this.#core.counters.add('scrubs');
    this.#rememberDamage(unrepaired);
    return { checkedBlocks, repairedBlocks, unrepaired, differingSegments };
  }

  /** A block of the head that no member could give; of a frozen layer, one that one has not. */
  #rememberDamage(unrepaired: ScrubOutcome['unrepaired']): void {
    const isHead = ({ layer }: { layer: LayerRef }): boolean => layer === null;
    const head = unrepaired.filter(isHead).map(({ block }) => block * BLOCK_BYTES);
    const frozen = unrepaired.filter((entry) => !isHead(entry));
    this.#core.parts.repair.scrubbed([...new Set(head)], frozen.length);
  }

  #checkpoint(options: ScrubOptions): void {
    if (options.signal?.aborted === true || !this.#core.serving) {
      throw new HoldfastError('aborted', 'Scrub was stopped');
    }
  }

  async #scrubSome(
    slot: MemberSlot,
    budgetBlocks: number,
  ): Promise<Awaited<ReturnType<NonNullable<MemberSlot['session']>['member']['scrub']>> | null> {
    const { session } = slot;
    if (session === null || slot.phase !== 'in-sync') return null;
    const { clock, policy, parts } = this.#core;
    try {
      const outcome = session.member.scrub(budgetBlocks);
      return await withDeadline(clock, policy.memberDeadlineMs * 2, outcome);
    } catch (error) {
      parts.attendance.lost(slot, session, asHoldfastError(error));
      return null;
    }
  }

  async #compareAll(options: ScrubOptions): Promise<number[]> {
    const differing: number[] = [];
    for (let segment = 0; segment < this.#core.segmentsTotal(); segment++) {
      this.#checkpoint(options);
      if (!(await this.#equal(segment))) differing.push(segment);
      await this.#core.parts.rebuilds.throttle.pass();
    }
    return differing;
  }

  async #equal(segment: number): Promise<boolean> {
    const { lock, roster, clock, policy } = this.#core;
    const { offsetBytes, lengthBytes } = this.#core.segmentRange(segment);
    // Reads pass; writes to the segment wait.
    const release = await holdRange(lock, offsetBytes, lengthBytes, 'shared');
    try {
      const sessions = roster.inPhase('in-sync').flatMap((slot) => slot.session ?? []);
      const inspections = await Promise.all(
        sessions.map((session) =>
          withDeadline(clock, policy.memberDeadlineMs * 2, session.member.inspect(null, segment)),
        ),
      );
      const first = inspections[0];
      if (first === undefined) return true;
      return inspections.every((other) =>
        other.kinds.every((_, block) => same(first, other, block)),
      );
    } finally {
      release();
    }
  }
}
