/**
 * What clients did to one block, and whether one order of it explains every answer (reliability:
 * linearisability of a register with unique values, by zones; Gibbons and Korach).
 *
 * An *era* ends when the volume lost writes with every in-sync replica without power: what was
 * flushed before must be there, what was not is old or new, and the first read settles which.
 */

/** 0 is the block that was never written. */
export type Value = number;

interface Write {
  readonly value: Value;
  readonly invokedAt: number;
  /** Infinity: not answered, or answered with an unknown effect. */
  completedAt: number;
  /** False: answered with an error, effect none. */
  applied: boolean;
}

interface Read {
  /** One value for each sector; equal unless a power loss tore the block. */
  readonly values: readonly Value[];
  readonly invokedAt: number;
  readonly completedAt: number;
}

interface Zone {
  from: number;
  to: number;
  readonly forward: boolean;
  readonly value: Value;
}

export class BlockHistory {
  #writes: Write[] = [{ value: 0, invokedAt: -2, completedAt: -1, applied: true }];
  #reads: Read[] = [];
  /** In this era: values that an earlier era may have left; null in the first era. */
  #inherited: ReadonlySet<Value> | null = null;
  #beganAt = -1;
  #flushed = -1;
  /** Values that a flush made impossible, with when they were written. */
  readonly #gone = new Map<Value, string>();

  invoke(value: Value, at: number): Write {
    const write: Write = { value, invokedAt: at, completedAt: Infinity, applied: true };
    this.#writes.push(write);
    return write;
  }

  read(values: readonly Value[], invokedAt: number, completedAt: number): void {
    this.#reads.push({ values, invokedAt, completedAt });
  }

  /**
   * All in-sync replicas lost power at `at`; `flushInvokedAt`: of the last flush acknowledged
   * before. Returns what is wrong with the era that ends.
   */
  lose(at: number, flushInvokedAt: number): string | null {
    const problem = this.check();
    const left = this.#writes.filter(
      (write) => write.applied && !this.#superseded(write, flushInvokedAt),
    );
    for (const write of this.#writes)
      if (!left.includes(write)) this.#gone.set(write.value, describe(write));
    this.#inherited = new Set([
      ...left.map(({ value }) => value),
      ...this.#stillInherited(flushInvokedAt),
    ]);
    this.#flushed = flushInvokedAt;
    this.#writes = [];
    this.#reads = [];
    this.#beganAt = at;
    return problem;
  }

  /** What the era began with may be left again, unless a write of the era was flushed over it. */
  #stillInherited(flushInvokedAt: number): readonly Value[] {
    if (this.#inherited === null) return [];
    if (this.#writes.some((write) => write.applied && write.completedAt < flushInvokedAt))
      return [];
    const inherited = this.#inherited;
    const own = new Set(this.#writes.map(({ value }) => value));
    const torn = this.#reads.filter(({ values }) => values.some((value) => !own.has(value)));
    const settled = new Set(
      torn.flatMap(({ values }) => values.filter((value) => inherited.has(value))),
    );
    return settled.size > 0 ? [...settled] : [...inherited];
  }

  /** Null when one order explains everything; otherwise what is wrong. */
  check(): string | null {
    const sectors = this.#reads[0]?.values.length ?? 1;
    const torn = this.#reads.some(({ values }) => values.some((value) => value !== values[0]));
    for (let sector = 0; sector < (torn ? sectors : 1); sector += 1) {
      const problem = this.#checkSector(sector);
      if (problem !== null) return problem;
    }
    return torn && this.#inherited === null ? 'torn block without a loss of power' : null;
  }

  /** Surely overwritten, durably, by a write that was complete when the flush was issued. */
  #superseded(write: Write, flushInvokedAt: number): boolean {
    return this.#writes.some(
      (later) =>
        later.applied && later.invokedAt > write.completedAt && later.completedAt < flushInvokedAt,
    );
  }

  #explainForeign(value: Value): string {
    const left = [...(this.#inherited ?? [])].join(', ');
    const was = this.#gone.get(value) ?? 'nobody wrote it';
    return `read value ${value} (${was}), but only ${left} may be left of before ${this.#beganAt}, flushed at ${this.#flushed}`;
  }

  #checkSector(sector: number): string | null {
    const writes = new Map(
      this.#writes.filter((write) => write.applied).map((write) => [write.value, write]),
    );
    const reads = this.#reads.map((read) => ({ ...read, value: read.values[sector] as Value }));
    const old = new Set(reads.map(({ value }) => value).filter((value) => !writes.has(value)));
    for (const value of old) {
      if (!(this.#inherited?.has(value) ?? false)) return this.#explainForeign(value);
      writes.set(value, {
        value,
        invokedAt: this.#beganAt - 1,
        completedAt: this.#beganAt,
        applied: true,
      });
    }
    if (old.size > 1) return `reads after a loss disagree: ${[...old].join(', ')}`;
    return checkZones([...writes.values()], reads);
  }
}

function describe(write: Write): string {
  return `written ${write.invokedAt} to ${write.completedAt}`;
}

function checkZones(
  writes: readonly Write[],
  reads: readonly { value: Value; invokedAt: number; completedAt: number }[],
): string | null {
  const zones: Zone[] = [];
  const byValue = new Map<Value, (typeof reads)[number][]>();
  for (const read of reads) {
    const list = byValue.get(read.value);
    if (list) list.push(read);
    else byValue.set(read.value, [read]);
  }
  for (const write of writes) {
    const own = byValue.get(write.value) ?? [];
    // A write without an answer that nobody read may never have happened.
    if (own.length === 0 && write.completedAt === Infinity) continue;
    if (own.some(({ completedAt }) => completedAt < write.invokedAt)) {
      return `value ${write.value} was read before it was written`;
    }
    const firstEnd = Math.min(write.completedAt, ...own.map(({ completedAt }) => completedAt));
    const lastStart = Math.max(write.invokedAt, ...own.map(({ invokedAt }) => invokedAt));
    const forward = firstEnd < lastStart;
    zones.push({
      from: Math.min(firstEnd, lastStart),
      to: Math.max(firstEnd, lastStart),
      forward,
      value: write.value,
    });
  }
  return overlap(zones);
}

/** Two forward zones may not overlap; a backward zone may not lie inside a forward one. */
function overlap(zones: Zone[]): string | null {
  const forward = zones.filter((zone) => zone.forward).sort((a, b) => a.from - b.from);
  for (const [index, zone] of forward.entries()) {
    const next = forward[index + 1];
    if (next && next.from < zone.to)
      return `stale read: values ${zone.value} and ${next.value} alternate`;
  }
  for (const zone of zones) {
    if (zone.forward) continue;
    const around = forward.find(
      (candidate) => candidate.from < zone.from && zone.to < candidate.to,
    );
    if (around) return `lost write: value ${zone.value} vanished under ${around.value}`;
  }
  return null;
}
