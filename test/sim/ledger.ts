/** Everything that all clients of a volume ever did, and what was wrong with it. */
import type { Nexus } from '#data/nexus/mod.ts';
import { BlockHistory } from './block-history.ts';

export class Ledger {
  readonly blocks: BlockHistory[];
  operations = 0;
  errors = 0;
  flushes = 0;
  /** When the last acknowledged flush was invoked. */
  flushInvokedAt = -1;
  /** Called at the moment in which a flush is acknowledged, with the time of its invocation. */
  onFlushed: (nexus: Nexus, invokedMs: number) => void = () => {};
  #problem: string | null = null;
  #lastValue = 0;
  #time = 0;

  constructor(blocks: number) {
    this.blocks = Array.from({ length: blocks }, () => new BlockHistory());
  }

  /** One order of all invocations and completions: later is larger. */
  tick(): number {
    this.#time += 1;
    return this.#time;
  }

  nextValue(): number {
    this.#lastValue += 1;
    return this.#lastValue;
  }

  flushed(nexus: Nexus, invokedAt: number, invokedMs: number): void {
    this.flushes += 1;
    this.flushInvokedAt = Math.max(this.flushInvokedAt, invokedAt);
    this.onFlushed(nexus, invokedMs);
  }

  lose(): void {
    const at = this.tick();
    for (const [block, history] of this.blocks.entries()) {
      const problem = history.lose(at, this.flushInvokedAt);
      if (problem !== null) this.fail(`block ${block}: ${problem}`);
    }
  }

  /** The first problem is the one that is told. */
  fail(problem: string): void {
    this.#problem ??= problem;
  }

  /** What has been found so far. */
  get problem(): string | null {
    return this.#problem;
  }

  /** The first thing that is wrong; null when nothing is. */
  check(): string | null {
    if (this.#problem !== null) return this.#problem;
    for (const [block, history] of this.blocks.entries()) {
      const problem = history.check();
      if (problem !== null) return `block ${block}: ${problem}`;
    }
    return null;
  }
}
