/**
 * Quantities as Kubernetes reads them: "1.5Gi", "100m", "2e3". Exact to a billionth; what is finer
 * is rounded up, away from zero.
 */
const NANO = 1_000_000_000n;

const SCALES = new Map<string, bigint>([
  ['n', 1n],
  ['u', 1_000n],
  ['m', 1_000_000n],
  ['', NANO],
  ...(['k', 'M', 'G', 'T', 'P', 'E'] as const).map(
    (suffix, at) => [suffix, NANO * 1_000n ** BigInt(at + 1)] as const,
  ),
  ...(['Ki', 'Mi', 'Gi', 'Ti', 'Pi', 'Ei'] as const).map(
    (suffix, at) => [suffix, NANO * 1_024n ** BigInt(at + 1)] as const,
  ),
]);

/** Kubernetes takes a missing number for 0. */
const SYNTAX = /^([+-]?)([0-9]*)(?:\.([0-9]*))?([eEinumkKMGTP]*[-+]?[0-9]*)$/;
const WRONG_FORMAT =
  "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
/** No quantity needs more; longer ones would only cost time. */
const CHARACTERS_MAX = 64;
/** Past this all are beyond what an int64 of the largest unit holds. */
const EXPONENT_MAX = 60;

export class Quantity {
  readonly nanos: bigint;

  constructor(nanos: bigint) {
    this.nanos = nanos;
  }
}

/** Why it is none, as text, in the words of Kubernetes. */
export function parseQuantity(text: string): Quantity | string {
  const match = text === '' || text.length > CHARACTERS_MAX ? null : SYNTAX.exec(text);
  if (match === null) return WRONG_FORMAT;
  const [, sign = '', whole = '', fraction = '', suffix = ''] = match;
  const scale = scaleOf(suffix);
  if (scale === undefined) return "unable to parse quantity's suffix";
  const digits = BigInt(`0${whole}${fraction}`) * scale.factor;
  const divisor = 10n ** BigInt(fraction.length) * scale.divisor;
  const nanos = (digits + divisor - 1n) / divisor;
  return new Quantity(sign === '-' ? -nanos : nanos);
}

function scaleOf(suffix: string): { factor: bigint; divisor: bigint } | undefined {
  const factor = SCALES.get(suffix);
  if (factor !== undefined) return { factor, divisor: 1n };
  if (!/^[eE][+-]?[0-9]+$/.test(suffix)) return undefined;
  const exponent = Number(suffix.slice(1));
  const power = 10n ** BigInt(Math.min(Math.abs(exponent), EXPONENT_MAX));
  return exponent < 0 ? { factor: NANO, divisor: power } : { factor: NANO * power, divisor: 1n };
}

export function compareQuantities(left: Quantity, right: Quantity): bigint {
  const difference = left.nanos - right.nanos;
  return difference < 0n ? -1n : difference > 0n ? 1n : 0n;
}
