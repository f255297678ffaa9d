/**
 * 64-bit integers on the wire and on disk as numbers, checked once here (style.md §3b).
 *
 * A value above 2^53 - 1 reads as `TOO_LARGE`, which is negative: whoever forgets to look for it
 * still fails the next range check, and a hot decoder needs no try.
 */
import { assert } from './assert.ts';

export const TOO_LARGE = -1;

const TWO_32 = 0x1_0000_0000;
/** High words of safe integers are below this. */
const HIGH_END = 0x20_0000;

export function readU64Le(view: DataView, offset: number): number {
  const high = view.getUint32(offset + 4, true);
  return high < HIGH_END ? high * TWO_32 + view.getUint32(offset, true) : TOO_LARGE;
}

export function readU64Be(view: DataView, offset: number): number {
  const high = view.getUint32(offset, false);
  return high < HIGH_END ? high * TWO_32 + view.getUint32(offset + 4, false) : TOO_LARGE;
}

export function writeU64Le(view: DataView, offset: number, value: number): void {
  assert(Number.isSafeInteger(value) && value >= 0, 'a u64 is a safe integer from 0');
  view.setUint32(offset, value % TWO_32, true);
  view.setUint32(offset + 4, Math.floor(value / TWO_32), true);
}

export function writeU64Be(view: DataView, offset: number, value: number): void {
  assert(Number.isSafeInteger(value) && value >= 0, 'a u64 is a safe integer from 0');
  view.setUint32(offset, Math.floor(value / TWO_32), false);
  view.setUint32(offset + 4, value % TWO_32, false);
}
