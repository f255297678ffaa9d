/**
 * Sizes as people write them: Kubernetes quantities, exact to the byte. A size is an integer below
 * 2^53; what cannot be one is refused with the value and a remedy, never rounded.
 */
import { HoldfastError } from './errors.ts';

/** Every volume size is a multiple of this: the physical sector that we advertise. */
export const SIZE_STEP_BYTES = 4096;

const SUFFIX_BYTES: Readonly<Record<string, bigint>> = {
  '': 1n,
  k: 10n ** 3n,
  M: 10n ** 6n,
  G: 10n ** 9n,
  T: 10n ** 12n,
  P: 10n ** 15n,
  E: 10n ** 18n,
  Ki: 1n << 10n,
  Mi: 1n << 20n,
  Gi: 1n << 30n,
  Ti: 1n << 40n,
  Pi: 1n << 50n,
  Ei: 1n << 60n,
};
const BINARY_SUFFIXES = ['Ei', 'Pi', 'Ti', 'Gi', 'Mi', 'Ki'] as const;

export type QuantityResult =
  | { readonly ok: true; readonly bytes: number }
  | { readonly ok: false; readonly problem: string; readonly remedy: string };

/**
 * Reads `1Gi`, `500M`, `1.5Gi`, `1073741824` (text or number). Negative values are read, to be
 * refused by name.
 */
export function readQuantity(value: unknown): QuantityResult {
  const text = typeof value === 'number' ? String(value) : value;
  const match =
    typeof text === 'string' ? /^([+-]?)(\d{1,20})(?:\.(\d{1,12}))?([A-Za-z]*)$/.exec(text) : null;
  const unit = match === null ? undefined : SUFFIX_BYTES[match[4] ?? ''];
  if (match === null || unit === undefined) {
    return {
      ok: false,
      problem: 'Quantity is malformed',
      remedy: 'Use an integer with one of Ki Mi Gi Ti Pi Ei k M G T P E, such as 10Gi',
    };
  }
  const fraction = match[3] ?? '';
  const scale = 10n ** BigInt(fraction.length);
  const scaled = BigInt(`${match[2]}${fraction}`) * unit;
  if (scaled % scale !== 0n) {
    return {
      ok: false,
      problem: 'Quantity is not a whole number of bytes',
      remedy: `Use ${scaled / scale} or ${scaled / scale + 1n}`,
    };
  }
  const bytes = scaled / scale;
  if (bytes > BigInt(Number.MAX_SAFE_INTEGER)) {
    return {
      ok: false,
      problem: 'Quantity is above 2^53 - 1 bytes',
      remedy: 'Use at most 8388607Gi',
    };
  }
  return { ok: true, bytes: match[1] === '-' ? -Number(bytes) : Number(bytes) };
}

/** A size that a volume can have: positive and a multiple of 4096 bytes. */
export function readVolumeSize(value: unknown): QuantityResult {
  const quantity = readQuantity(value);
  if (!quantity.ok) return quantity;
  const { bytes } = quantity;
  if (bytes <= 0) {
    const problem = bytes === 0 ? 'Size is zero' : 'Size is negative';
    return { ok: false, problem, remedy: 'Use a positive size, such as 1Gi' };
  }
  if (bytes % SIZE_STEP_BYTES !== 0) {
    const next = bytes + SIZE_STEP_BYTES - (bytes % SIZE_STEP_BYTES);
    return {
      ok: false,
      problem: `Size is not a multiple of the sector (${SIZE_STEP_BYTES} bytes)`,
      remedy: `The next size that can be served is ${formatQuantity(next)}`,
    };
  }
  return quantity;
}

/** For values that a schema has already checked. */
export function parseQuantity(field: string, value: unknown): number {
  return bytesOrThrow(field, value, readQuantity(value));
}

/** `invalid-argument` with field, value and remedy. */
export function parseVolumeSize(field: string, value: unknown): number {
  return bytesOrThrow(field, value, readVolumeSize(value));
}

function bytesOrThrow(field: string, value: unknown, result: QuantityResult): number {
  if (result.ok) return result.bytes;
  throw new HoldfastError('invalid-argument', result.problem, {
    details: { field, value: String(value).slice(0, 80), remedy: result.remedy },
  });
}

/** Exact, as Kubernetes writes it: `1Gi`, `1536Mi`, `1000`. */
export function formatQuantity(bytes: number): string {
  for (const suffix of BINARY_SUFFIXES) {
    const unit = Number(SUFFIX_BYTES[suffix]);
    if (bytes !== 0 && bytes % unit === 0) return `${bytes / unit}${suffix}`;
  }
  return String(bytes);
}

/** Rounded, for people: `1.5 GiB`. */
export function formatBytes(bytes: number): string {
  for (const suffix of BINARY_SUFFIXES) {
    const unit = Number(SUFFIX_BYTES[suffix]);
    if (Math.abs(bytes) >= unit) {
      const value = bytes / unit;
      const whole = value >= 100 || Number.isInteger(value);
      return `${whole ? Math.round(value) : value.toFixed(1)} ${suffix}B`;
    }
  }
  return `${bytes} B`;
}

/** `42 s`, `3 min 10 s`, `2 h 5 min`. */
export function formatDuration(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${seconds % 60} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** As kubectl writes ages (apimachinery pkg/util/duration HumanDuration). */
export function formatAge(ms: number): string {
  const seconds = Math.trunc(ms / 1_000);
  if (seconds < -1) return '<invalid>';
  if (seconds < 0) return '0s';
  if (seconds < 120) return `${seconds}s`;
  const minutes = Math.trunc(seconds / 60);
  if (minutes < 10) return two(minutes, 'm', seconds % 60, 's');
  if (minutes < 180) return `${minutes}m`;
  const hours = Math.trunc(minutes / 60);
  if (hours < 8) return two(hours, 'h', minutes % 60, 'm');
  if (hours < 48) return `${hours}h`;
  const days = Math.trunc(hours / 24);
  if (days < 8) return two(days, 'd', hours % 24, 'h');
  if (days < 730) return `${days}d`;
  const years = Math.trunc(days / 365);
  return years < 8 ? two(years, 'y', days % 365, 'd') : `${years}y`;
}

function two(large: number, largeUnit: string, small: number, smallUnit: string): string {
  return small === 0 ? `${large}${largeUnit}` : `${large}${largeUnit}${small}${smallUnit}`;
}
