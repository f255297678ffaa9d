/**
 * Growth: all members first, then the size is shown. Cut short, some members are larger; the next
 * opening grows the rest (sizes never shrink, and what was added reads as zero).
 */
import { HoldfastError } from '#api/mod.ts';
import { BLOCK_BYTES } from '#data/block/mod.ts';
import { asHoldfastError, withDeadline } from './deadline.ts';
import type { NexusCore } from './nexus-core.ts';
import type { Snapshots } from './snapshots.ts';

export class Growth {
  readonly #core: NexusCore;
  readonly #snapshots: Snapshots;

  constructor(core: NexusCore, snapshots: Snapshots) {
    this.#core = core;
    this.#snapshots = snapshots;
  }

  async grow(sizeBytes: number): Promise<void> {
    const core = this.#core;
    if (sizeBytes === core.sizeBytes) return;
    if (!Number.isSafeInteger(sizeBytes) || sizeBytes % BLOCK_BYTES !== 0) {
      throw new HoldfastError('invalid-argument', 'Size is not a whole number of blocks', {
        details: { sizeBytes },
      });
    }
    if (sizeBytes < core.sizeBytes) {
      throw new HoldfastError('invalid-argument', 'Volumes do not shrink', {
        details: { sizeBytes, presentBytes: core.sizeBytes },
      });
    }
    await this.#snapshots.onAll(core.policy.memberDeadlineMs, (session) =>
      session.member.grow(sizeBytes),
    );
    // A joiner that began meanwhile was fitted to the old size: it is not in `onAll`'s list.
    core.sizeBytes = sizeBytes;
    for (const slot of core.roster.inPhase('joining')) {
      const { session } = slot;
      if (session === null) continue;
      session.member.grow(sizeBytes).catch((error: unknown) => {
        core.parts.attendance.lost(slot, session, asHoldfastError(error));
      });
    }
  }

  /** At an opening: the largest member says how large the volume is. */
  async align(): Promise<void> {
    const core = this.#core;
    const slots = core.roster.inPhase('in-sync');
    let sizeBytes = 0;
    for (const slot of slots) {
      sizeBytes = Math.max(sizeBytes, slot.session?.state.sizeBytes ?? 0);
    }
    if (sizeBytes === 0) return;
    for (const slot of slots) {
      const { session } = slot;
      if (session === null || session.state.sizeBytes === sizeBytes) continue;
      try {
        const outcome = session.member.grow(sizeBytes);
        await withDeadline(core.clock, core.policy.memberDeadlineMs, outcome);
      } catch (error) {
        core.parts.attendance.lost(slot, session, asHoldfastError(error));
      }
    }
    core.sizeBytes = Math.max(core.sizeBytes === 0 ? 0 : sizeBytes, sizeBytes);
  }
}
