import type { Bounds } from './bounds.ts';
import { RegisterHistory } from './register-history.ts';
import type { Rules } from './rules.ts';
import { BLOCKS, get16, HISTORY, set16, type State } from './state.ts';

/** Invariants, named as in design.md and in the code. */
export type Invariant =
  | 'acknowledged write is never lost'
  | 'honest flush'
  | 'one writer'
  | 'remove before ack'
  | 'lost means failed'
  | 'current or silent'
  | 'in-sync replicas are equal'
  | 'joined replica is equal'
  | 'snapshots are equal'
  | 'intent before data';

/** An action of the modelled world: `offer` lists the ways it can happen, `apply` does one. */
export interface Action {
  readonly name: string;
  /** How likely it is chosen in random walks, when it is not 1; `d` is the last parameter. */
  weight?(d: number): number;
  /** Why the parameters are what they are, for traces. */
  describe(a: number, b: number, d: number): string;
  offer(c: Context, s: State): void;
  apply(c: Context, s: State, a: number, b: number, d: number): void;
}

/** What actions share: bounds, rules, the list of what may happen next, the violation found. */
export class Context {
  readonly bounds: Bounds;
  readonly rules: Rules;
  readonly history = new RegisterHistory();
  readonly codes = new Int32Array(1024);
  count = 0;
  kind = 0;
  violation: { invariant: Invariant; detail: string } | null = null;

  constructor(bounds: Bounds, rules: Rules) {
    this.bounds = bounds;
    this.rules = rules;
  }

  /** Called from `Action.offer`: the action can happen with these parameters (0..15 each). */
  offer(a: number, b = 0, d = 0): void {
    this.codes[this.count++] = (this.kind << 12) | (a << 8) | (b << 4) | d;
  }

  fail(invariant: Invariant, detail: string): void {
    this.violation ??= { invariant, detail };
  }

  historyOf(s: State, block: number): number {
    return get16(s, HISTORY + 2 * block);
  }

  /** Replaces a block's history; an impossible one is a violation of the invariant. */
  setHistory(s: State, block: number, next: number, invariant: Invariant, what: string): void {
    if (next < 0) {
      const expected = this.history.describe(this.historyOf(s, block));
      this.fail(invariant, `${what}, but block ${block} must be ${expected}`);
      return;
    }
    if (next > 0xffff) throw new Error('More histories than a state can name');
    set16(s, HISTORY + 2 * block, next);
  }

  eachHistory(s: State, step: (h: number) => number, invariant: Invariant, what: string): void {
    for (let block = 0; block < BLOCKS; block++) {
      this.setHistory(s, block, step(this.historyOf(s, block)), invariant, what);
    }
  }
}
