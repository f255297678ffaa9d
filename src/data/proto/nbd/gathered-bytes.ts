/**
 * Gathers a field of known length from chunks of any size, so that a decoder resumes at any byte.
 * The owner has judged the length before it asks: that is the memory a peer can make us take.
 */
import { EMPTY_BYTES } from '#lib/mod.ts';

export class GatheredBytes {
  #field: Uint8Array = EMPTY_BYTES;
  #length = 0;

  expect(lengthBytes: number): void {
    if (this.#field.byteLength !== lengthBytes) this.#field = new Uint8Array(lengthBytes);
    this.#length = 0;
  }

  get complete(): boolean {
    return this.#length === this.#field.byteLength;
  }

  /** The field, once complete; overwritten by the next one of the same length. */
  get field(): Uint8Array {
    return this.#field;
  }

  /** Takes what is missing from `bytes`, from `at` on; returns how many were taken. */
  take(bytes: Uint8Array, at: number): number {
    const count = Math.min(this.#field.byteLength - this.#length, bytes.byteLength - at);
    this.#field.set(bytes.subarray(at, at + count), this.#length);
    this.#length += count;
    return count;
  }
}
