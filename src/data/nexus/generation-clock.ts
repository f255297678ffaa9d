/**
 * The generation (epoch, n) that writes are tagged with; n rises when a flush round starts (rule
 * 8).
 */
import type { Generation } from '#api/mod.ts';

export class GenerationClock {
  epoch = 0;
  n = 0;

  /** A new epoch: reconcile stamps (epoch, 0), writes begin with (epoch, 1). */
  begin(epoch: number): void {
    this.epoch = epoch;
    this.n = 1;
  }

  raise(): void {
    this.n++;
  }

  now(): Generation {
    return { epoch: this.epoch, n: this.n };
  }
}
