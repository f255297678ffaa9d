/** Fresh names. */
import type { Rng } from '#host/mod.ts';
import { formatHex } from '#lib/mod.ts';

/** Version 4 (RFC 9562). */
export function createUid(rng: Rng): string {
  const hex = formatHex(rng.bytes(16));
  const variant = ((Number.parseInt(hex[16] ?? '0', 16) & 0x3) | 0x8).toString(16);
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    `4${hex.slice(13, 16)}`,
    `${variant}${hex.slice(17, 20)}`,
    hex.slice(20, 32),
  ].join('-');
}

/** No vowels, so that no word comes out; no digit that looks like a letter. */
const SUFFIX_LETTERS = 'bcdfghjklmnpqrstvwxz2456789';

export function nameSuffix(rng: Rng): string {
  const letters = Array.from({ length: 5 }, () => SUFFIX_LETTERS[rng.below(SUFFIX_LETTERS.length)]);
  return letters.join('');
}
