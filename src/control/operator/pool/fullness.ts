import type { PoolReport } from '#api/mod.ts';

/** With less than so much of it free a pool is full: the store keeps the rest for metadata. */
const FULL_SHARE = 64;
const LOW_BYTES = 256 * 1024 * 1024;

export type Fullness = 'full' | 'low' | 'enough';

export function fullnessOf({ freeBytes, totalBytes }: PoolReport): Fullness {
  if (freeBytes < totalBytes / FULL_SHARE) return 'full';
  return freeBytes < LOW_BYTES ? 'low' : 'enough';
}
