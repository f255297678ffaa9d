/**
 * Quantities as Kubernetes reads, compares and rewrites them (apimachinery pkg/api/resource): any
 * sign, fraction and suffix, where a volume size (`../units.ts`) takes whole bytes only.
 */
import { isMap } from './field-problems.ts';
import type { JsonObject } from './resource.ts';

/** Kubernetes takes a missing number for 0. */
const SYNTAX = /^([+-]?)([0-9]*)(?:\.([0-9]*))?([eEinumkKMGTP]*[-+]?[0-9]*)$/;
/** No quantity needs more; longer ones would only cost time. */
const CHARACTERS_MAX = 64;
/** Past this all are beyond what an int64 of the largest unit holds. */
const EXPONENT_MAX = 60;
/** What Kubernetes says when a text is none. */
export const QUANTITY_RULE =
  "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

const DECIMAL = ['n', 'u', 'm', '', 'k', 'M', 'G', 'T', 'P', 'E'];
const BINARY = ['', 'Ki', 'Mi', 'Gi', 'Ti', 'Pi', 'Ei'];
const NANO = 10n ** 9n;

export interface Quantity {
  /** Billionths; what is finer is rounded up, away from zero, as Kubernetes does. */
  readonly nano: bigint;
  readonly form: 'decimal' | 'binary' | 'exponent';
}

/** Why it is none, as text, in the words of Kubernetes. */
export function parseQuantity(text: string): Quantity | string {
  const match = text === '' || text.length > CHARACTERS_MAX ? null : SYNTAX.exec(text);
  if (match === null) return QUANTITY_RULE;
  const [, sign = '', whole = '', fraction = '', suffix = ''] = match;
  const scale = scaleOf(suffix);
  if (scale === undefined) return "unable to parse quantity's suffix";
  const numerator = BigInt(`0${whole}${fraction}`) * NANO * scale.factor;
  const denominator = 10n ** BigInt(fraction.length) * scale.divisor;
  const nano = (numerator + denominator - 1n) / denominator;
  return { nano: sign === '-' ? -nano : nano, form: scale.form };
}

function scaleOf(
  suffix: string,
): { factor: bigint; divisor: bigint; form: Quantity['form'] } | undefined {
  const binary = BINARY.indexOf(suffix);
  if (binary > 0) return { factor: 1024n ** BigInt(binary), divisor: 1n, form: 'binary' };
  const decimal = DECIMAL.indexOf(suffix);
  if (decimal < 0 && !/^[eE][+-]?[0-9]+$/.test(suffix)) return undefined;
  const power = decimal >= 0 ? 3 * (decimal - 3) : Number(suffix.slice(1));
  const factor = 10n ** BigInt(Math.min(Math.abs(power), EXPONENT_MAX));
  const form = decimal >= 0 ? 'decimal' : 'exponent';
  return power < 0 ? { factor: 1n, divisor: factor, form } : { factor, divisor: 1n, form };
}

function readQuantity(value: unknown): Quantity | undefined {
  const text = typeof value === 'number' ? String(value) : value;
  const quantity = typeof text === 'string' ? parseQuantity(text) : '';
  return typeof quantity === 'string' ? undefined : quantity;
}

export function isQuantity(value: unknown): boolean {
  return readQuantity(value) !== undefined;
}

/** Below, equal to or above zero as `a` is to `b`; what is no quantity counts as zero. */
export function compareQuantities(a: unknown, b: unknown): number {
  const difference = (readQuantity(a)?.nano ?? 0n) - (readQuantity(b)?.nano ?? 0n);
  return difference < 0n ? -1 : difference > 0n ? 1 : 0;
}

/** As the server stores it: whole, with the largest suffix. What is no quantity stays as it is. */
export function canonicalQuantity(value: unknown): unknown {
  const quantity = readQuantity(value);
  // Go keeps the text of the few that it reads in one go.
  if (quantity === undefined || /^\+|\.$/.test(String(value as string))) return value;
  const { nano, form } = quantity;
  if (nano === 0n) return '0';
  const size = nano < 0n ? -nano : nano;
  const sign = nano < 0n ? '-' : '';
  if (form === 'binary' && size % NANO === 0n && size >= 1024n * NANO) {
    const [rest, step] = divideOut(size / NANO, 1024n, BINARY.length - 1);
    return `${sign}${rest}${BINARY[step]}`;
  }
  const [rest, step] = divideOut(size, 1000n, DECIMAL.length - 1);
  if (form !== 'exponent') return `${sign}${rest}${DECIMAL[step]}`;
  return step === 3 ? `${sign}${rest}` : `${sign}${rest}e${3 * (step - 3)}`;
}

function divideOut(value: bigint, base: bigint, stepsMax: number): readonly [bigint, number] {
  let rest = value;
  let step = 0;
  while (step < stepsMax && rest % base === 0n) {
    rest /= base;
    step += 1;
  }
  return [rest, step];
}

/**
 * The object with all quantities below these paths rewritten; the same object when none changes.
 */
export function withCanonicalQuantities(
  object: JsonObject,
  ...paths: readonly (readonly string[])[]
): JsonObject {
  return paths.reduce((whole, path) => rewrite(whole, path) as JsonObject, object);
}

function rewrite(value: unknown, path: readonly string[]): unknown {
  const [key, ...rest] = path;
  if (key === undefined) return isMap(value) ? rewriteAll(value) : canonicalQuantity(value);
  if (!isMap(value) || value[key] === undefined || value[key] === null) return value;
  const inner = rewrite(value[key], rest);
  return inner === value[key] ? value : { ...value, [key]: inner };
}

function rewriteAll(value: JsonObject): JsonObject {
  const entries = Object.entries(value).map(([key, item]) => [key, canonicalQuantity(item)]);
  const isNew = entries.some(([key, item]) => item !== value[key as string]);
  return isNew ? (Object.fromEntries(entries) as JsonObject) : value;
}
