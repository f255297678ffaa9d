/**
 * How full each pool was, since this controller looks: enough to say when it is full. Noted when
 * nodes are looked at anyway, so that it costs an idle cluster nothing.
 */
interface Sample {
  readonly atMs: number;
  readonly usedBytes: number;
}

const SAMPLES_MAX = 128;
const STEP_MS = 30_000;
/** Less than this says nothing. */
const SPAN_MS_MIN = 120_000;
/** A year: what takes longer does not fill. */
const FAR_SECONDS = 31_536_000;

export interface Growth {
  readonly bytesPerSecond: number;
  readonly spanMs: number;
}

export class PoolGrowth {
  readonly #samples = new Map<string, Sample[]>();
  readonly #stepsMs = new Map<string, number>();

  note(pool: string, usedBytes: number, atMs: number): void {
    const samples = this.#samples.get(pool) ?? [];
    const stepMs = this.#stepsMs.get(pool) ?? STEP_MS;
    const last = samples.at(-1);
    if (last !== undefined && atMs - last.atMs < stepMs) return;
    samples.push({ atMs, usedBytes });
    this.#samples.set(pool, samples);
    if (samples.length < SAMPLES_MAX) return;
    // Half as many, twice as far apart: the past is kept for longer.
    this.#samples.set(
      pool,
      samples.filter((_, index) => index % 2 === 0),
    );
    this.#stepsMs.set(pool, stepMs * 2);
  }

  /** Undefined when it was not watched for long enough. */
  find(pool: string): Growth | undefined {
    const samples = this.#samples.get(pool) ?? [];
    const first = samples[0];
    const last = samples.at(-1);
    if (first === undefined || last === undefined) return undefined;
    const spanMs = last.atMs - first.atMs;
    return spanMs < SPAN_MS_MIN ? undefined : { bytesPerSecond: slopeOf(samples) * 1_000, spanMs };
  }
}

/** Least squares, in bytes a millisecond: one burst does not count as a trend. */
function slopeOf(samples: readonly Sample[]): number {
  const meanMs = samples.reduce((sum, { atMs }) => sum + atMs, 0) / samples.length;
  const meanBytes = samples.reduce((sum, { usedBytes }) => sum + usedBytes, 0) / samples.length;
  let above = 0;
  let below = 0;
  for (const { atMs, usedBytes } of samples) {
    above += (atMs - meanMs) * (usedBytes - meanBytes);
    below += (atMs - meanMs) ** 2;
  }
  return below === 0 ? 0 : above / below;
}

/** Null: it does not fill within a year. */
export function secondsToFull(growth: Growth, freeBytes: number): number | null {
  if (growth.bytesPerSecond <= 0) return null;
  const seconds = Math.round(freeBytes / growth.bytesPerSecond);
  return seconds > FAR_SECONDS ? null : seconds;
}
