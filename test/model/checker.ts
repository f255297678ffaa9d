/**
 * Explicit-state model checking: breadth first over all states with a hashed visited set, seeded
 * random walks, and scripted schedules. Two states with the same 64-bit hash are taken for one;
 * with ten million states the chance that any two differ is about one in four hundred thousand.
 */

/** A world to be checked. States are byte arrays of one length. */
export interface Model {
  readonly bytes: number;
  initial(): Uint8Array;
  /** Lists what may happen next in `codes` and returns how many. */
  enabled(s: Uint8Array): number;
  readonly codes: Int32Array;
  /** Does one thing to the state in place. */
  apply(s: Uint8Array, code: number): void;
  /** Checks the state as a whole. */
  check(s: Uint8Array): void;
  /** What `apply` or `check` found wrong since it was last cleared. */
  violation(): string | null;
  clear(): void;
  /** Hash that is equal for states that differ only in the numbering of like things. */
  hash(words: Uint32Array): void;
  readonly hashed: { low: number; high: number };
  /** In random walks, how likely the action is compared with others: 1 or less. */
  weight(code: number): number;
  describe(code: number): string;
  /** Whether the action is the one that a step of a scripted schedule names. */
  matches(code: number, step: string): boolean;
}

export interface Violation {
  readonly what: string;
  /** Every step from the initial state, in words. */
  readonly trace: readonly string[];
}

export interface Outcome {
  readonly states: number;
  readonly steps: number;
  readonly depth: number;
  /** Nothing was left unexplored within the bounds. */
  readonly isComplete: boolean;
  readonly violation: Violation | null;
}

export interface Limits {
  readonly states?: number;
  /** Asked now and then; the search ends early when it returns true. */
  readonly isOver?: () => boolean;
}

/** Explores every reachable state, nearest first, until `states` distinct ones have been seen. */
export function explore(model: Model, limits: Limits, prefix: readonly string[] = []): Outcome {
  const statesMax = limits.states ?? Number.POSITIVE_INFINITY;
  const visited = new HashSet();
  const frontier = new Frontier(model.bytes);
  const parents = new Ints();
  const actions = new Ints();
  const next = align(model.bytes);
  const words = new Uint32Array(next.buffer);
  const state = align(model.bytes);
  let steps = 0;
  let depth = 0;
  let levelEnd = 1;

  state.set(model.initial());
  const played: string[] = [];
  const early = play(model, state, prefix, played);
  if (early !== null) {
    const violation = { what: early, trace: played };
    return { states: 1, steps: played.length, depth: 0, isComplete: false, violation };
  }
  next.set(state);
  model.hash(words);
  visited.add(model.hashed.low, model.hashed.high);
  frontier.push(next);
  parents.push(-1);
  actions.push(0);

  const fail = (parent: number, code: number): Violation => {
    const codes = [code];
    for (let i = parent; i > 0; i = parents.at(i)) codes.push(actions.at(i));
    const trace = [...played, ...codes.reverse().map((each) => model.describe(each))];
    const what = model.violation() as string;
    model.clear();
    return { what, trace };
  };

  const codes = new Int32Array(model.codes.length);
  for (let i = 0; i < parents.length; i++) {
    if (i === levelEnd) {
      depth++;
      levelEnd = parents.length;
    }
    const isFull = visited.size >= statesMax;
    if (isFull || ((i & 1023) === 0 && limits.isOver?.() === true)) {
      return { states: visited.size, steps, depth, isComplete: false, violation: null };
    }
    frontier.shift(state);
    const count = model.enabled(state);
    codes.set(model.codes.subarray(0, count));
    for (let k = 0; k < count; k++) {
      const code = codes[k] as number;
      next.set(state);
      model.apply(next, code);
      steps++;
      if (model.violation() === null) {
        model.hash(words);
        if (!visited.add(model.hashed.low, model.hashed.high)) continue;
        model.check(next);
      }
      if (model.violation() !== null) {
        const violation = fail(i, code);
        return { states: visited.size, steps, depth, isComplete: false, violation };
      }
      frontier.push(next);
      parents.push(i);
      actions.push(code);
    }
  }
  return { states: visited.size, steps, depth, isComplete: true, violation: null };
}

export interface WalkLimits extends Limits {
  readonly seed: number;
  readonly steps: number;
  readonly lengthMax: number;
}

/** Seeded random walks from the initial state until `steps` steps have been taken. */
export function walk(model: Model, limits: WalkLimits): Outcome {
  const rng = mulberry32(limits.seed);
  const state = align(model.bytes);
  const taken: number[] = [];
  let steps = 0;
  let depth = 0;
  let walks = 0;
  while (steps < limits.steps) {
    if ((walks++ & 63) === 0 && limits.isOver?.() === true) break;
    state.set(model.initial());
    taken.length = 0;
    while (taken.length < limits.lengthMax) {
      const count = model.enabled(state);
      if (count === 0) break;
      const code = pick(model, count, rng);
      taken.push(code);
      model.apply(state, code);
      if (model.violation() === null) model.check(state);
      if (model.violation() !== null) {
        const trace = taken.map((each) => model.describe(each));
        const violation = { what: model.violation() as string, trace };
        model.clear();
        steps += taken.length;
        return { states: walks, steps, depth, isComplete: false, violation };
      }
    }
    steps += taken.length;
    depth = Math.max(depth, taken.length);
  }
  return { states: walks, steps, depth, isComplete: false, violation: null };
}

/** Rejection sampling: an action of weight w is kept with probability w. */
function pick(model: Model, count: number, rng: () => number): number {
  for (let tries = 0; tries < 20; tries++) {
    const code = model.codes[Math.floor(rng() * count)] as number;
    const weight = model.weight(code);
    if (weight >= 1 || rng() < weight) return code;
  }
  return model.codes[Math.floor(rng() * count)] as number;
}

/** A step of a scripted schedule that cannot happen in this model. */
export class ScheduleRefused extends Error {
  readonly step: string;

  constructor(step: string, instead: readonly string[]) {
    super(`Step "${step}" cannot happen; these can:\n  ${instead.join('\n  ')}`);
    this.step = step;
  }
}

/**
 * Plays a scripted schedule. A step may leave numbers out; the first action that fits is taken.
 * Adds the words of each step to `trace`; returns what was found wrong.
 */
export function play(
  model: Model,
  s: Uint8Array,
  script: readonly string[],
  trace: string[] = [],
): string | null {
  for (const step of script) {
    const count = model.enabled(s);
    const mayHappen = model.codes.subarray(0, count);
    const code = mayHappen.find((each) => model.matches(each, step));
    if (code === undefined) {
      throw new ScheduleRefused(
        step,
        [...mayHappen].map((each) => model.describe(each)),
      );
    }
    trace.push(model.describe(code));
    model.apply(s, code);
    if (model.violation() === null) model.check(s);
    const what = model.violation();
    if (what === null) continue;
    model.clear();
    return what;
  }
  return null;
}

function align(bytes: number): Uint8Array {
  return new Uint8Array(new ArrayBuffer(Math.ceil(bytes / 4) * 4));
}

function mulberry32(seed: number): () => number {
  let a = seed | 0;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** Open-addressing set of 64-bit hashes. */
class HashSet {
  #slots = new Uint32Array(1 << 17);
  size = 0;

  /** Whether the hash was new. */
  add(low: number, high: number): boolean {
    if (this.size * 4 > this.#slots.length) this.#grow();
    const isNew = put(this.#slots, low, high);
    if (isNew) this.size++;
    return isNew;
  }

  #grow(): void {
    const larger = new Uint32Array(this.#slots.length * 2);
    for (let i = 0; i < this.#slots.length; i += 2) {
      const low = this.#slots[i] as number;
      const high = this.#slots[i + 1] as number;
      if (low !== 0 || high !== 0) put(larger, low, high);
    }
    this.#slots = larger;
  }
}

function put(slots: Uint32Array, low: number, high: number): boolean {
  const mask = slots.length / 2 - 1;
  for (let i = low & mask; ; i = (i + 1) & mask) {
    const a = slots[2 * i] as number;
    const b = slots[2 * i + 1] as number;
    if (a === low && b === high) return false;
    if (a === 0 && b === 0) {
      slots[2 * i] = low;
      slots[2 * i + 1] = high;
      return true;
    }
  }
}

/** States waiting to be expanded, in chunks that are freed once passed. */
class Frontier {
  static readonly #CHUNK = 4096;
  readonly #bytes: number;
  readonly #chunks = new Map<number, Uint8Array>();
  #pushed = 0;
  #shifted = 0;

  constructor(bytes: number) {
    this.#bytes = bytes;
  }

  push(s: Uint8Array): void {
    const chunk = Math.floor(this.#pushed / Frontier.#CHUNK);
    let bytes = this.#chunks.get(chunk);
    if (bytes === undefined) {
      bytes = new Uint8Array(Frontier.#CHUNK * this.#bytes);
      this.#chunks.set(chunk, bytes);
    }
    bytes.set(s.subarray(0, this.#bytes), (this.#pushed % Frontier.#CHUNK) * this.#bytes);
    this.#pushed++;
  }

  shift(into: Uint8Array): void {
    const chunk = Math.floor(this.#shifted / Frontier.#CHUNK);
    const at = (this.#shifted % Frontier.#CHUNK) * this.#bytes;
    const bytes = this.#chunks.get(chunk) as Uint8Array;
    into.set(bytes.subarray(at, at + this.#bytes));
    this.#shifted++;
    if (this.#shifted % Frontier.#CHUNK === 0) this.#chunks.delete(chunk);
  }
}

/** A growing list of 32-bit integers. */
class Ints {
  #values = new Int32Array(1 << 14);
  length = 0;

  push(value: number): void {
    if (this.length === this.#values.length) {
      const larger = new Int32Array(this.length * 2);
      larger.set(this.#values);
      this.#values = larger;
    }
    this.#values[this.length++] = value;
  }

  at(i: number): number {
    return this.#values[i] as number;
  }
}
