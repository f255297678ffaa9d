import { HoldfastError } from '#api/mod.ts';

const UNITS: Readonly<Record<string, number>> = { '': 1, s: 1, m: 60, h: 3_600 };
const SECONDS_MAX = 86_400;

/** `90`, `90s`, `5m`, `1h` as milliseconds; `otherwise` is in seconds. */
export function parseSeconds(field: string, text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise * 1_000;
  const [, digits = '', unit = ''] = /^(\d{1,6}(?:\.\d{1,3})?)([smh]?)$/.exec(text) ?? [];
  const seconds = Number(digits) * (UNITS[unit] ?? 0);
  if (seconds > 0 && seconds <= SECONDS_MAX) return seconds * 1_000;
  throw new HoldfastError('invalid-argument', 'Time is malformed', {
    details: {
      field,
      value: text.slice(0, 80),
      remedy: 'Give a time such as 90s, 5m or 1h, at most 24h',
    },
  });
}
