import { assert, Heap } from '#lib/mod.ts';
import { TraceHash } from './trace-hash.ts';

/** Whose code an event runs. Events of a dead owner vanish, those of a paused one wait. */
export interface EventOwner {
  readonly name: string;
  readonly alive: boolean;
  readonly pausedUntilMs: number;
}

export interface SimEvent {
  timeMs: number;
  sequence: number;
  readonly owner: EventOwner | null;
  readonly kind: string;
  readonly key: number;
  /** Null once cancelled. */
  run: (() => void) | null;
}

/* oxlint-disable no-restricted-globals, no-restricted-properties -- the only real time in a
   simulated world, taken before the guard hides it */
/**
 * The tick queue runs when no microtask is left: one tick later everything that could go on did.
 */
const realTick = process.nextTick.bind(process);
/** Lets real I/O and the test runner's time-outs in. */
const realTurn = setImmediate;
/* oxlint-enable no-restricted-globals, no-restricted-properties */

/**
 * A tick costs 0.3 µs, a turn of the real loop 2 µs; without any turn the process would be deaf.
 */
const EVENTS_PER_TURN = 256;

/** One heap of events keyed (time, insertion): the only source of order in a simulated world. */
export class EventLoop {
  readonly trace = new TraceHash();
  readonly #heap = new Heap<SimEvent>(
    (a, b) => a.timeMs < b.timeMs || (a.timeMs === b.timeMs && a.sequence < b.sequence),
  );
  #nowMs = 0;
  #sequence = 0;
  #events = 0;
  #outside: (() => Promise<void>) | undefined;

  get nowMs(): number {
    return this.#nowMs;
  }

  /** Events that ran so far. */
  get events(): number {
    return this.#events;
  }

  /** Before each event, what happens outside of the world comes to rest. */
  awaitOutside(settled: () => Promise<void>): void {
    this.#outside = settled;
  }

  /** `kind` and `key` go into the trace. */
  schedule(
    owner: EventOwner | null,
    kind: string,
    key: number,
    delayMs: number,
    run: () => void,
  ): SimEvent {
    assert(delayMs >= 0, 'an event does not lie in the past');
    const timeMs = this.#nowMs + delayMs;
    const event: SimEvent = { timeMs, sequence: this.#sequence++, owner, kind, key, run };
    this.#heap.push(event);
    return event;
  }

  /**
   * Runs events in order until `until` says true, the next one lies beyond `untilMs`, or none is
   * left. True when `until` did, or when there is none and the time was reached.
   */
  async run(untilMs: number, until: (() => boolean) | undefined): Promise<boolean> {
    await tick();
    if (until?.() === true) return true;
    for (;;) {
      if (this.#outside !== undefined) {
        await this.#outside();
        await turn();
        if (until?.() === true) return true;
      }
      const next = this.#heap.peek();
      if (next === undefined || next.timeMs > untilMs) break;
      this.#heap.pop();
      if (!this.#step(next)) continue;
      if (this.#events % EVENTS_PER_TURN === 0) await turn();
      else await tick();
      if (until?.() === true) return true;
    }
    if (Number.isFinite(untilMs)) this.#nowMs = Math.max(this.#nowMs, untilMs);
    return until === undefined;
  }

  #step(event: SimEvent): boolean {
    const { owner, run } = event;
    if (run === null || (owner !== null && !owner.alive)) return false;
    if (owner !== null && owner.pausedUntilMs > event.timeMs) {
      event.timeMs = owner.pausedUntilMs;
      event.sequence = this.#sequence++;
      this.#heap.push(event);
      return false;
    }
    this.#nowMs = event.timeMs;
    this.#events++;
    this.trace.number(event.timeMs);
    this.trace.text(event.kind);
    this.trace.text(owner?.name ?? '');
    this.trace.number(event.key);
    event.run = null;
    run();
    return true;
  }
}

function tick(): Promise<void> {
  return new Promise((resolve) => realTick(resolve));
}

function turn(): Promise<void> {
  return new Promise((resolve) => {
    realTurn(resolve);
  });
}
