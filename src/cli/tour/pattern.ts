/** Bytes that cannot be compressed, guessed or mistaken for others, and their checksum. */
import type { Rng } from '#host/mod.ts';
import { createHash } from 'node:crypto';

export function checksum(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** Between the two sizes. */
export function anyBytes(rng: Rng, bytesMin: number, bytesMax: number): Uint8Array {
  return rng.bytes(bytesMin + rng.below(bytesMax - bytesMin + 1));
}
