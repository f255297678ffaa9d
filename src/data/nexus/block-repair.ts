/**
 * BlockRepair: bad copies of good blocks, found by reads and scrubs, are written anew from another
 * member (W12); and members that may have been left different by a write which failed everywhere
 * are compared.
 */
import { HoldfastError, type SegmentInspection } from '#api/mod.ts';
import { BLOCK_BYTES, type BlockRequest } from '#data/block/mod.ts';
import { same } from './choose-copy.ts';
import { asHoldfastError, withDeadline } from './deadline.ts';
import { errorKind } from './error-kind.ts';
import { readMember, writeMember } from './member-io.ts';
import type { MemberSession } from './member-session.ts';
import type { MemberSlot } from './member-slot.ts';
import type { NexusCore } from './nexus-core.ts';
import { holdRange } from './range-hold.ts';
import type { WriteOp } from './write-op.ts';

/** Blocks under repair at once, over all members: a rotten disk must not fill memory. */
const PENDING_MAX = 1024;
/** Counted no further: so much is damaged that the number says nothing more. */
const DAMAGED_MAX = 100_000;

export class BlockRepair {
  readonly #core: NexusCore;
  readonly #pending = new Set<string>();
  /** Of the head: offsets that no member can read. */
  readonly #damaged = new Set<number>();
  /** Of frozen layers, as the last scrub found: they cannot be written anew. */
  #frozenDamage = 0;
  #busy: Promise<unknown> = Promise.resolve();
  #comparisons = 0;

  constructor(core: NexusCore) {
    this.#core = core;
  }

  /** Blocks without a good copy. One that was written anew counts until it is read or scrubbed. */
  get damaged(): number {
    return this.#damaged.size + this.#frozenDamage;
  }

  /** What a scrub of everything found is all there is. */
  scrubbed(headOffsets: readonly number[], frozenBlocks: number): void {
    this.#damaged.clear();
    for (const offsetBytes of headOffsets) this.#damaged.add(offsetBytes);
    this.#frozenDamage = frozenBlocks;
  }

  /** Resolves when what was found so far has been dealt with. */
  async settled(): Promise<void> {
    await this.#busy;
  }

  /** Members may differ where a write failed: only their intent marks say so. */
  get comparing(): boolean {
    return this.#comparisons > 0;
  }

  /** These members (bits) could not read the range; each of its blocks is looked at. */
  badCopies(offsetBytes: number, lengthBytes: number, members: number): void {
    for (const slot of this.#core.roster.slots) {
      if ((members & slot.bit) === 0) continue;
      slot.mediaErrors++;
      this.#core.counters.add('badCopies');
      for (let at = 0; at < lengthBytes; at += BLOCK_BYTES) {
        this.#plan(slot, offsetBytes + at);
      }
    }
  }

  #plan(slot: MemberSlot, offsetBytes: number): void {
    const key = `${slot.index}:${offsetBytes}`;
    if (this.#pending.has(key) || this.#pending.size >= PENDING_MAX) return;
    this.#pending.add(key);
    const { era } = this.#core;
    this.#busy = this.#busy.then(async () => {
      if (era === this.#core.era) await this.repairBlock(slot, offsetBytes);
      this.#pending.delete(key);
    });
  }

  /**
   * True when the block is good on this member afterwards. Under the range lock: no write is in
   * flight beside it, so what another member reads is what this one should hold.
   */
  async repairBlock(slot: MemberSlot, offsetBytes: number): Promise<boolean> {
    const release = await holdRange(this.#core.lock, offsetBytes, BLOCK_BYTES, 'exclusive');
    try {
      const { session } = slot;
      if (session === null || (this.#core.roster.readable & slot.bit) === 0) return false;
      if ((await this.#tryRead(slot, session, offsetBytes)) !== null) {
        this.#damaged.delete(offsetBytes);
        return true;
      }
      for (const other of this.#core.roster.slots) {
        if (other === slot || other.session === null) continue;
        if ((this.#core.roster.readable & other.bit) === 0) continue;
        const data = await this.#tryRead(other, other.session, offsetBytes);
        if (data !== null) return await this.#rewrite(slot, session, offsetBytes, data);
      }
      this.#core.counters.add('unrepairableBlocks');
      if (this.#damaged.size < DAMAGED_MAX) this.#damaged.add(offsetBytes);
      return false;
    } finally {
      release();
    }
  }

  async #rewrite(
    slot: MemberSlot,
    session: MemberSession,
    offsetBytes: number,
    data: Uint8Array,
  ): Promise<boolean> {
    const { clock, policy, generations, log, counters } = this.#core;
    try {
      const outcome = writeMember(session.member, null, offsetBytes, data, generations.now());
      await withDeadline(clock, policy.memberDeadlineMs, outcome);
    } catch (error) {
      this.#core.parts.attendance.lost(slot, session, asHoldfastError(error));
      return false;
    }
    slot.repairedBlocks++;
    counters.add('repairedBlocks');
    this.#damaged.delete(offsetBytes);
    log.warn('Block was repaired from another member', { replica: slot.replica, offsetBytes });
    return true;
  }

  /** Null when this copy cannot be read; a session that ends over it is taken note of. */
  async #tryRead(
    slot: MemberSlot,
    session: MemberSession,
    offsetBytes: number,
  ): Promise<Uint8Array | null> {
    const { clock, policy, parts } = this.#core;
    try {
      const outcome = readMember(session.member, null, offsetBytes, BLOCK_BYTES);
      return await withDeadline(clock, policy.memberDeadlineMs, outcome);
    } catch (error) {
      const failure = asHoldfastError(error);
      if (errorKind(failure.code) !== 'medium') parts.attendance.lost(slot, session, failure);
      return null;
    }
  }

  /** A range that no member can read as a whole, block by block. The caller holds it. */
  async readByBlock(request: BlockRequest): Promise<Uint8Array> {
    const { offsetBytes, lengthBytes } = request;
    const data = new Uint8Array(lengthBytes);
    for (let at = 0; at < lengthBytes; at += BLOCK_BYTES) {
      data.set(await this.#readAnywhere(offsetBytes + at), at);
    }
    return data;
  }

  async #readAnywhere(offsetBytes: number): Promise<Uint8Array> {
    for (const slot of this.#core.roster.slots) {
      if ((this.#core.roster.readable & slot.bit) === 0 || slot.session === null) continue;
      const data = await this.#tryRead(slot, slot.session, offsetBytes);
      if (data !== null) return data;
    }
    throw new HoldfastError('checksum-mismatch', 'No member has a good copy of the block', {
      details: { offsetBytes },
    });
  }

  /**
   * A write failed on every member, perhaps half done: its segments are compared, members that now
   * differ from the first leave, and the others settle what they hold, so that later reads are
   * served and agree whoever serves them. Nothing is read before the removals are committed: the
   * next nexus would find members that differ, and might choose what nobody read (W14).
   */
  equalise(op: WriteOp): void {
    const { segmentBytes } = this.#core.options;
    const { offset, length } = op.ticket;
    const last = Math.floor((offset + length - 1) / segmentBytes);
    const { era } = this.#core;
    for (let segment = Math.floor(offset / segmentBytes); segment <= last; segment++) {
      const range = this.#core.segmentRange(segment);
      // Asked for now, so that no request which comes later is served first.
      const held = holdRange(this.#core.lock, range.offsetBytes, range.lengthBytes, 'exclusive');
      this.#comparisons++;
      this.#busy = Promise.all([this.#busy, held]).then(async ([, release]) => {
        try {
          if (era === this.#core.era) await this.#agree(segment);
          // Rejected: the volume is opened again, or has ended.
          if (era === this.#core.era)
            await this.#core.parts.membership.settled().catch(() => undefined);
        } finally {
          this.#comparisons--;
          release();
        }
      });
    }
  }

  async #agree(segment: number): Promise<void> {
    const { roster, generations } = this.#core;
    let reference: SegmentInspection | null = null;
    for (const slot of roster.slots) {
      if ((roster.readable & slot.bit) === 0 || slot.session === null) continue;
      const { session } = slot;
      const mine = await this.#ask(slot, session, session.member.inspect(null, segment));
      if (mine === null) continue;
      reference ??= mine;
      const wanted = reference;
      if (!mine.kinds.every((_, block) => same(mine, wanted, block))) {
        const error = new HoldfastError('io-error', 'Member differs after a write that failed');
        this.#core.parts.attendance.expel(slot, error);
        continue;
      }
      const { kinds, contentCrcs } = mine;
      const settled = session.member.settle(segment, kinds, contentCrcs, generations.now());
      await this.#ask(slot, session, settled);
    }
  }

  async #ask<T>(slot: MemberSlot, session: MemberSession, outcome: Promise<T>): Promise<T | null> {
    const { clock, policy, parts } = this.#core;
    try {
      return await withDeadline(clock, policy.memberDeadlineMs, outcome);
    } catch (error) {
      parts.attendance.lost(slot, session, asHoldfastError(error));
      return null;
    }
  }
}
