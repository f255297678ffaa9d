/**
 * What a block may hold, given all that its client was told: a register in the sense of
 * linearisability, with a notion of what a power loss may undo.
 *
 * A history is a set of possible worlds. In each world some of the writes in flight have taken
 * effect and some not; `current` is the value a read gives, `survivors` the values that a power
 * loss of every in-sync member may leave, `pending` flush rounds carry the survivors they will
 * establish. The set is always closed under "a write in flight takes effect now". A reply to
 * the client removes the worlds that do not agree with it; if none is left, the reply was wrong.
 *
 * Histories are interned: a state of the model carries one small number for each block, and each
 * step of a history is computed once and then looked up.
 */

/** Name of the impossible history. */
export const IMPOSSIBLE = -1;

interface World {
  readonly current: number;
  readonly survivors: number;
  /** Writes in flight (or frozen) that have taken effect in this world. */
  readonly applied: number;
  /** For each nexus with a flush under way, what the flush guarantees once it is done. */
  readonly flushes: readonly number[];
}

interface History {
  readonly worlds: readonly World[];
  /** Writes that may still take effect. */
  readonly open: number;
  /** Writes of nexuses that are over: they took effect or never will. */
  readonly frozen: number;
  readonly currents: number;
  readonly survivors: number;
}

const INVOKE = 0;
const ACK = 1;
const READ = 2;
const FLUSH_START = 3;
const FLUSH_DONE = 4;
const OPEN = 5;
const LOSE = 6;
const STEPS = 7;
const NEXUSES_MAX = 6;
const EVERYTHING = 0xffff;

export class RegisterHistory {
  #histories: History[] = [];
  readonly #names = new Map<string, number>();
  #steps = new Int32Array(1 << 16).fill(-2);

  /** The history of a block that was never written. */
  readonly initial = 0;

  constructor() {
    this.#begin();
  }

  /** Forgets histories that nobody refers to any more, when there are too many to name. */
  prune(): void {
    if (this.#histories.length < 40_000) return;
    this.#histories = [];
    this.#names.clear();
    this.#steps.fill(-2);
    this.#begin();
  }

  #begin(): void {
    this.#intern([{ current: 0, survivors: 1, applied: 0, flushes: noFlushes() }], 0, 0);
  }

  invoke(h: number, value: number): number {
    return this.#step(h, INVOKE, value);
  }

  ack(h: number, value: number): number {
    return this.#step(h, ACK, value);
  }

  read(h: number, value: number): number {
    return this.#step(h, READ, value);
  }

  flushStart(h: number, nexus: number): number {
    return this.#step(h, FLUSH_START, nexus);
  }

  flushDone(h: number, nexus: number): number {
    return this.#step(h, FLUSH_DONE, nexus);
  }

  /** A nexus serves: writes of older ones are over, and the reconcile has synced what is there. */
  open(h: number): number {
    return this.#step(h, OPEN, 0);
  }

  /** Every in-sync member lost power and the client's session was failed. */
  lose(h: number): number {
    return this.#step(h, LOSE, 0);
  }

  /** Set of values that a power loss may leave. */
  survivorsOf(h: number): number {
    return (this.#histories[h] as History).survivors;
  }

  describe(h: number): string {
    if (h < 0) return 'nothing';
    const { currents, survivors } = this.#histories[h] as History;
    return `${listOf(currents)} (after a power loss of all: ${listOf(survivors)})`;
  }

  #step(h: number, step: number, argument: number): number {
    const key = (h * STEPS + step) * 16 + argument;
    if (key >= this.#steps.length) {
      const larger = new Int32Array(Math.max(this.#steps.length * 2, key + 1)).fill(-2);
      larger.set(this.#steps);
      this.#steps = larger;
    }
    const known = this.#steps[key] as number;
    if (known !== -2) return known;
    const next = this.#compute(this.#histories[h] as History, step, argument);
    this.#steps[key] = next;
    return next;
  }

  #compute(h: History, step: number, x: number): number {
    const bit = 1 << x;
    switch (step) {
      case INVOKE:
        return this.#intern(h.worlds, h.open | bit, h.frozen);
      case ACK: {
        // After a loss, a late acknowledgement concerns a session that has been failed.
        if (((h.open | h.frozen) & bit) === 0) return this.#intern(h.worlds, h.open, h.frozen);
        const worlds = h.worlds
          .filter((w) => (w.applied & bit) !== 0)
          .map((w) => ({ ...w, applied: w.applied & ~bit }));
        return this.#intern(worlds, h.open & ~bit, h.frozen & ~bit);
      }
      case READ:
        return this.#intern(
          h.worlds.filter((w) => w.current === x),
          h.open,
          h.frozen,
        );
      case FLUSH_START: {
        const worlds = h.worlds.map((w) => ({
          ...w,
          flushes: w.flushes.map((f, n) => (n === x ? 1 << w.current : f)),
        }));
        return this.#intern(worlds, h.open, h.frozen);
      }
      case FLUSH_DONE: {
        const worlds = h.worlds.map((w) => ({
          ...w,
          survivors: w.survivors & (w.flushes[x] as number),
          flushes: w.flushes.map((f, n) => (n === x ? EVERYTHING : f)),
        }));
        return this.#intern(worlds, h.open, h.frozen);
      }
      case OPEN: {
        // A flush still under way guarantees no more than this.
        const flushes = noFlushes();
        const worlds = h.worlds.map((w) => ({ ...w, survivors: 1 << w.current, flushes }));
        return this.#intern(worlds, 0, h.open | h.frozen);
      }
      default: {
        const worlds: World[] = [];
        for (let v = 0; v < 16; v++) {
          if ((h.survivors & (1 << v)) === 0) continue;
          worlds.push({ current: v, survivors: 1 << v, applied: 0, flushes: noFlushes() });
        }
        return this.#intern(worlds, 0, 0);
      }
    }
  }

  #intern(seed: readonly World[], open: number, frozen: number): number {
    const worlds = new Map<string, World>();
    const queue = [...seed];
    for (let w = queue.pop(); w !== undefined; w = queue.pop()) {
      const name = `${w.current},${w.survivors},${w.applied},${w.flushes.join('.')}`;
      if (worlds.has(name)) continue;
      worlds.set(name, w);
      for (let v = 1; v < 16; v++) {
        const bit = 1 << v;
        if ((open & bit) === 0 || (w.applied & bit) !== 0) continue;
        queue.push({
          current: v,
          survivors: w.survivors | bit,
          applied: w.applied | bit,
          flushes: w.flushes.map((f) => f | bit),
        });
      }
    }
    if (worlds.size === 0) return IMPOSSIBLE;
    const key = `${open};${frozen};${[...worlds.keys()].sort().join(' ')}`;
    const known = this.#names.get(key);
    if (known !== undefined) return known;
    const name = this.#histories.length;
    const all = [...worlds.values()];
    const currents = all.reduce((mask, w) => mask | (1 << w.current), 0);
    const survivors = all.reduce((mask, w) => mask | w.survivors, 0);
    this.#histories.push({ worlds: all, open, frozen, currents, survivors });
    this.#names.set(key, name);
    return name;
  }
}

function noFlushes(): number[] {
  return new Array<number>(NEXUSES_MAX).fill(EVERYTHING);
}

function listOf(mask: number): string {
  const values: string[] = [];
  for (let v = 0; v < 16; v++) if ((mask & (1 << v)) !== 0) values.push(String(v));
  return `{${values.join(',')}}`;
}
