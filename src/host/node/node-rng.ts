import { randomBytes, randomInt } from 'node:crypto';
import type { Rng } from '../mod.ts';

const TWO_32 = 2 ** 32;

/** The operating system's randomness. */
export class NodeRng implements Rng {
  u32(): number {
    return randomInt(TWO_32);
  }

  below(bound: number): number {
    return randomInt(bound);
  }

  float(): number {
    return randomInt(TWO_32) / TWO_32;
  }

  bytes(length: number): Uint8Array {
    return new Uint8Array(randomBytes(length));
  }
}
