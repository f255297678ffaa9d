import { assert } from './assert.ts';

/** Exponentially weighted moving average: `weight` of each new sample, 0 < weight ≤ 1. */
export class Ewma {
  readonly #weight: number;
  #value = 0;
  #empty = true;

  constructor(weight: number) {
    assert(weight > 0 && weight <= 1, 'a weight lies above 0 and up to 1');
    this.#weight = weight;
  }

  /** 0 before the first sample. */
  get value(): number {
    return this.#value;
  }

  add(sample: number): void {
    this.#value = this.#empty ? sample : this.#value + (sample - this.#value) * this.#weight;
    this.#empty = false;
  }
}
