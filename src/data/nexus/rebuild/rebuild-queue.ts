/** RebuildQueue: absent replicas with a session become members again, one after the other. */
import { HoldfastError } from '#api/mod.ts';
import { backOffMs } from '#lib/mod.ts';
import type { MemberSlot } from '../member-slot.ts';
import type { NexusCore } from '../nexus-core.ts';
import { RebuildJob } from './rebuild-job.ts';
import { Throttle } from './throttle.ts';

/**
 * Pause after a rebuild that failed, doubling: a sick replica must not stall writes again and
 * again.
 */
const PAUSE = { firstMs: 500, maxMs: 300_000 };

export class RebuildQueue {
  readonly throttle: Throttle;
  readonly #core: NexusCore;
  readonly #Job: typeof RebuildJob;
  #running: MemberSlot | null = null;
  #done: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(core: NexusCore, Job: typeof RebuildJob = RebuildJob) {
    this.#core = core;
    this.#Job = Job;
    this.throttle = new Throttle(core.clock, core.policy.rebuildMaxForegroundMs);
  }

  get running(): MemberSlot | null {
    return this.#running;
  }

  /** Something changed: is there somebody to rebuild? */
  wake(): void {
    const core = this.#core;
    if (this.#running !== null || this.#stopped || !core.serving) return;
    const nowMs = core.clock.monotonicMs();
    let soonestMs = Number.POSITIVE_INFINITY;
    for (const slot of core.roster.slots) {
      const { session } = slot;
      if (slot.phase !== 'absent' || session === null || slot.retired) continue;
      if (core.parts.membership.counts(slot.replica)) continue;
      if (slot.notBeforeMs > nowMs) {
        soonestMs = Math.min(soonestMs, slot.notBeforeMs);
        continue;
      }
      this.#running = slot;
      this.#done = this.#run(slot);
      return;
    }
    if (soonestMs < Number.POSITIVE_INFINITY) {
      core.clock.after(soonestMs - nowMs, () => this.wake());
    }
  }

  async #run(slot: MemberSlot): Promise<void> {
    const core = this.#core;
    const { era } = core;
    const { session } = slot;
    try {
      if (session === null) return;
      const job = new this.#Job(core, slot, session, this.throttle, () => this.#stopped);
      await job.run();
      core.counters.add('rebuilds');
      core.log.info('Rebuild is complete', { replica: slot.replica });
    } catch (error) {
      if (!HoldfastError.is(error)) throw error;
      if (era === core.era) this.#failed(slot, error);
      const { attendance } = core.parts;
      // A session that failed a rebuild is not used again (rule 13: a new one).
      const reason = new HoldfastError('aborted', error.message, { cause: error });
      if (era === core.era && slot.phase !== 'in-sync') attendance.lost(slot, session, reason);
    } finally {
      slot.rebuild = null;
      this.#running = null;
    }
    if (era === core.era) this.wake();
  }

  #failed(slot: MemberSlot, error: HoldfastError): void {
    const core = this.#core;
    // Not its fault: a snapshot was taken, or the rebuild was asked for anew.
    if (error.code === 'aborted' || core.snapshotBarrier !== null) return;
    slot.failedJoins++;
    slot.notBeforeMs =
      core.clock.monotonicMs() + backOffMs(slot.failedJoins, PAUSE, core.rng.float());
    slot.explain('rebuild failed', error);
    core.counters.add('rebuildsFailed');
    core.log.warn('Rebuild failed', { replica: slot.replica, code: error.code });
  }

  /** No new rebuild begins, the present one ends without a result. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#done;
  }
}
