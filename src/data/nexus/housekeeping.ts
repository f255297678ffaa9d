/**
 * Housekeeping: what a serving volume does without being asked. A dirty one begins a new generation
 * every few seconds (rule 9), and drops intents now and then (rule 14); every volume raises seq at
 * least hourly (rule 16). A clean volume has no timer but the hourly one.
 */
import type { Timer } from '#host/mod.ts';
import type { NexusCore } from './nexus-core.ts';

/** Rounds between two times that intents are dropped while writes go on. */
const CLEAR_EVERY = 12;

export class Housekeeping {
  readonly #core: NexusCore;
  #timer: Timer | null = null;
  #floorTimer: Timer | null = null;
  #rounds = 0;
  #running = false;

  constructor(core: NexusCore) {
    this.#core = core;
  }

  /** The first write since the volume was clean. */
  dirty(): void {
    if (this.#timer === null && this.#running) this.#arm();
  }

  start(): void {
    this.#running = true;
    this.#core.parts.writes.dirty = false;
    this.#armFloor();
  }

  stop(): void {
    this.#running = false;
    this.#timer?.cancel();
    this.#floorTimer?.cancel();
    this.#timer = null;
    this.#floorTimer = null;
  }

  #arm(): void {
    this.#timer = this.#core.clock.after(this.#core.policy.generationMs, () => {
      this.#timer = null;
      void this.#round();
    });
  }

  async #round(): Promise<void> {
    const { era, parts, generations } = this.#core;
    const { writes, flushes } = parts;
    // Writes from here on set it again.
    writes.dirty = false;
    const { n } = generations;
    try {
      await flushes.flush();
    } catch {
      // Whoever waits for a flush of his own has the error; here it only means: not clean.
      writes.dirty = true;
    }
    if (!this.#running || era !== this.#core.era) return;
    // Writes that were in flight when the round began are not covered yet.
    const covered = flushes.completed.epoch === generations.epoch && flushes.completed.n >= n;
    if (!covered) writes.dirty = true;
    this.#rounds++;
    // Members that may differ keep the marks that say so, until a later round.
    if (parts.repair.comparing) writes.dirty = true;
    else if (!writes.dirty || this.#rounds >= CLEAR_EVERY) {
      this.#rounds = 0;
      await this.clearIntents();
    }
    if (writes.dirty && this.#running && this.#timer === null) this.#arm();
  }

  /** R14: replicas know which marks may go; what is complete has to be on their disks first. */
  async clearIntents(): Promise<void> {
    const { roster, parts } = this.#core;
    const slots = roster.slots.filter((slot) => (roster.readable & slot.bit) !== 0);
    await Promise.allSettled(
      slots.map(async ({ session }) => {
        if (session === null) return;
        // Makes `completed` durable; errors show at the next write or flush.
        await session.member.flush();
        if (!parts.repair.comparing) await session.member.clearIntents(false);
      }),
    );
  }

  #armFloor(): void {
    const { clock, policy, parts } = this.#core;
    this.#floorTimer = clock.after(policy.floorMs, () => {
      if (!this.#running) return;
      parts.membership.propose(() => ({})).catch(() => undefined);
      this.#armFloor();
    });
  }
}
