/**
 * What clients did to one block, and whether one order of it explains every answer (reliability:
 * linearisability of a register with unique values, by zones; Gibbons and Korach).
 *
 * An *era* ends when the volume lost writes with every in-sync replica without power: what was
 * flushed before must be there, what was not is old or new, and the first read settles which.
 */

/** 0 is the block that was never written, or was trimmed or zeroed. */
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
  /** One value for each sector; equal unless something tore the block. */
  readonly values: readonly Value[];
  readonly invokedAt: number;
  readonly completedAt: number;
}

interface Era {
  readonly beganAt: number;
  /** Values that an earlier era may have left; null in the first era. */
  readonly inherited: ReadonlySet<Value> | null;
  readonly writes: Write[];
  readonly reads: Read[];
  /** When the last flush before it was invoked. */
  readonly flushed: number;
}

interface Zone {
  from: number;
  to: number;
  readonly forward: boolean;
  readonly value: Value;
}

export class BlockHistory {
  #era: Era = {
    beganAt: -1,
    inherited: null,
    writes: [{ value: 0, invokedAt: -3, completedAt: -2, applied: true }],
    reads: [],
    flushed: -1,
  };
  /** Eras that are over, oldest first: a snapshot of one is read much later. */
  readonly #former: Era[] = [];
  /** Values that a flush made impossible, with when they were written. */
  readonly #gone = new Map<Value, string>();

  /** `value` is new, or 0 for a trim or a zero. */
  invoke(value: Value, at: number): Write {
    const write: Write = { value, invokedAt: at, completedAt: Infinity, applied: true };
    this.#era.writes.push(write);
    return write;
  }

  /** A read from before a loss whose answer came after it may say either, and is left out. */
  read(values: readonly Value[], invokedAt: number, completedAt: number): void {
    if (invokedAt < this.#era.beganAt) return;
    this.#era.reads.push({ values, invokedAt, completedAt });
  }

  /** What a snapshot holds, that was taken between these two: perhaps in an era that is over. */
  readSnapshot(values: readonly Value[], invokedAt: number, completedAt: number): void {
    const era = [...this.#former, this.#era].findLast(({ beganAt }) => beganAt < invokedAt);
    if (era === undefined) return;
    const next = this.#former[this.#former.indexOf(era) + 1] ?? this.#era;
    // A loss in between: either side of it.
    if (next !== era && next.beganAt < completedAt) return;
    era.reads.push({ values, invokedAt, completedAt });
  }

  /** When the write of this value was invoked; -1 for 0 and for values that nobody wrote. */
  invokedAt(value: Value): number {
    if (value <= 0) return -1;
    for (const { writes } of [...this.#former, this.#era]) {
      const write = writes.find((candidate) => candidate.value === value);
      if (write) return write.invokedAt;
    }
    return -1;
  }

  /**
   * All in-sync replicas lost power at `at`; `flushInvokedAt`: of the last flush acknowledged
   * before. Returns what is wrong with the era that ends.
   */
  lose(at: number, flushInvokedAt: number): string | null {
    const era = this.#era;
    const problem = this.#checkEra(era);
    const left = era.writes.filter(
      (write) => write.applied && !superseded(era, write, flushInvokedAt),
    );
    for (const write of era.writes)
      if (!left.includes(write)) this.#gone.set(write.value, describe(write));
    this.#former.push(era);
    this.#era = {
      beganAt: at,
      inherited: new Set([
        ...left.map(({ value }) => value),
        ...stillInherited(era, flushInvokedAt),
      ]),
      writes: [],
      reads: [],
      flushed: flushInvokedAt,
    };
    return problem;
  }

  /** Null when one order explains everything; otherwise what is wrong. */
  check(): string | null {
    for (const era of [...this.#former, this.#era]) {
      const problem = this.#checkEra(era);
      if (problem !== null) return problem;
    }
    return null;
  }

  #checkEra(era: Era): string | null {
    const sectors = era.reads[0]?.values.length ?? 1;
    const torn = era.reads.some(({ values }) => values.some((value) => value !== values[0]));
    for (let sector = 0; sector < (torn ? sectors : 1); sector += 1) {
      const problem = this.#checkSector(era, sector);
      if (problem !== null) return problem;
    }
    if (era.inherited !== null || era.reads.every((read) => mayMix(era, read))) return null;
    return 'torn block without a loss of power';
  }

  #explainForeign(era: Era, value: Value): string {
    const left = [...(era.inherited ?? [])].join(', ');
    const was = this.#gone.get(value) ?? 'nobody wrote it';
    return `read value ${value} (${was}), but only ${left} may be left of before ${era.beganAt}, flushed at ${era.flushed}`;
  }

  #checkSector(era: Era, sector: number): string | null {
    const { inherited, beganAt } = era;
    const applied = era.writes.filter((write) => write.applied);
    const own = new Set(applied.map(({ value }) => value));
    const reads = era.reads.map((read) => ({ ...read, value: read.values[sector] as Value }));
    const old = new Set(reads.map(({ value }) => value).filter((value) => !own.has(value)));
    const writes = [...applied];
    for (const value of old) {
      if (!(inherited?.has(value) ?? false)) return this.#explainForeign(era, value);
      writes.push(leftOver(value, beganAt));
    }
    if (old.size > 1) return `reads after a loss disagree: ${[...old].join(', ')}`;
    // Zeroes may be of this era and left over too; nothing tells which.
    if (old.size === 0 && own.has(0) && inherited?.has(0) === true)
      writes.push(leftOver(0, beganAt));
    return checkZones(writes, reads) ?? checkZeroes(writes, reads);
  }
}

/**
 * Whether a block may hold these values at once though the power stayed: one, and in some sectors
 * those of writes that nobody acknowledged. Such a write may have failed half-way.
 */
function mayMix(era: Era, { values }: Read): boolean {
  const halfDone = new Set(
    era.writes.filter((write) => write.completedAt === Infinity).map(({ value }) => value),
  );
  return new Set(values.filter((value) => !halfDone.has(value))).size <= 1;
}

function leftOver(value: Value, beganAt: number): Write {
  return { value, invokedAt: beganAt - 1, completedAt: beganAt, applied: true };
}

/** Surely overwritten, durably, by a write that was complete when the flush was issued. */
function superseded(era: Era, write: Write, flushInvokedAt: number): boolean {
  return era.writes.some(
    (later) =>
      later.applied && later.invokedAt > write.completedAt && later.completedAt < flushInvokedAt,
  );
}

/** What the era began with may be left again, unless a write of the era was flushed over it. */
function stillInherited(era: Era, flushInvokedAt: number): readonly Value[] {
  const { inherited, writes, reads } = era;
  if (inherited === null) return [];
  if (writes.some((write) => write.applied && write.completedAt < flushInvokedAt)) return [];
  const own = new Set(writes.map(({ value }) => value));
  const torn = reads.filter(({ values }) => values.some((value) => !own.has(value)));
  const settled = new Set(
    torn.flatMap(({ values }) => values.filter((value) => inherited.has(value))),
  );
  return settled.size > 0 ? [...settled] : [...inherited];
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
    // Zeroes are not unique: no read says whose they are (checkZeroes).
    const own = write.value === 0 ? [] : (byValue.get(write.value) ?? []);
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

/** Whoever reads zeroes needs some write of zeroes that was not surely overwritten before. */
function checkZeroes(
  writes: readonly Write[],
  reads: readonly { value: Value; invokedAt: number; completedAt: number }[],
): string | null {
  const firstRead = new Map<Value, number>();
  for (const { value, completedAt } of reads) {
    firstRead.set(value, Math.min(firstRead.get(value) ?? Infinity, completedAt));
  }
  const zeroes = writes.filter(({ value }) => value === 0);
  const others = writes.filter(({ value }) => value !== 0);
  const over = (zero: Write, read: { invokedAt: number }): boolean =>
    others.some(
      (write) =>
        write.invokedAt > zero.completedAt &&
        Math.min(write.completedAt, firstRead.get(write.value) ?? Infinity) < read.invokedAt,
    );
  for (const read of reads) {
    if (read.value !== 0) continue;
    const source = zeroes.some((zero) => zero.invokedAt < read.completedAt && !over(zero, read));
    if (!source) return `lost write: zeroes were read at ${read.invokedAt}, long overwritten`;
  }
  return null;
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
