import type { Rng } from '../mod.ts';
import { assert } from '#lib/mod.ts';

/**
 * xoshiro128** (Blackman, Vigna). Each concern draws from a stream of its own, derived from the
 * seed and a name, so that one more draw in one place does not change what happens elsewhere.
 */
export class SimRng implements Rng {
  #a: number;
  #b: number;
  #c: number;
  #d: number;

  constructor(seed: number, stream: string) {
    let state = seed >>> 0;
    for (let i = 0; i < stream.length; i++) {
      state = Math.imul(state ^ stream.charCodeAt(i), 0x01000193) >>> 0;
    }
    // splitmix32 spreads neighbouring seeds apart; one word is never zero after it.
    const next = (): number => {
      state = (state + 0x9e3779b9) >>> 0;
      let z = state;
      z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
      z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
      return (z ^ (z >>> 15)) >>> 0;
    };
    this.#a = next();
    this.#b = next();
    this.#c = next();
    this.#d = next() | 1;
  }

  u32(): number {
    const times5 = Math.imul(this.#b, 5);
    const result = Math.imul((times5 << 7) | (times5 >>> 25), 9) >>> 0;
    const t = this.#b << 9;
    this.#c ^= this.#a;
    this.#d ^= this.#b;
    this.#b ^= this.#c;
    this.#a ^= this.#d;
    this.#c ^= t;
    this.#d = (this.#d << 11) | (this.#d >>> 21);
    return result;
  }

  below(bound: number): number {
    assert(bound >= 1 && bound <= 2 ** 32, 'a bound lies from 1 to 2^32');
    return Math.floor((this.u32() / 2 ** 32) * bound);
  }

  float(): number {
    return this.u32() / 2 ** 32;
  }

  bytes(length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    for (let i = 0; i < length; i++) bytes[i] = this.u32() >>> 24;
    return bytes;
  }

  /** True with this probability. Draws only when the answer is open. */
  chance(probability: number): boolean {
    if (probability <= 0) return false;
    return probability >= 1 || this.float() < probability;
  }

  between(min: number, max: number): number {
    return min + (max - min) * this.float();
  }
}
