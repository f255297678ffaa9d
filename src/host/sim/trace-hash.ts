/**
 * A running 64-bit hash over everything that happens in a simulated world. Two runs of one seed
 * must agree on it: where they do not, something that is not simulated got in.
 */
export class TraceHash {
  #low = 0x811c9dc5;
  #high = 0x9747b28c;
  readonly #double = new Float64Array(1);
  readonly #words = new Uint32Array(this.#double.buffer);
  /** Kinds and names are few and come often. */
  readonly #texts = new Map<string, number>();

  number(value: number): void {
    this.#double[0] = value;
    this.#mix(this.#words[0]!);
    this.#mix(this.#words[1]!);
  }

  text(text: string): void {
    let hash = this.#texts.get(text);
    if (hash === undefined) {
      hash = 0x811c9dc5;
      for (let i = 0; i < text.length; i++) {
        hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
      }
      if (this.#texts.size < 4096) this.#texts.set(text, hash);
    }
    this.#mix(hash);
  }

  /** 16 hexadecimal digits. */
  format(): string {
    const hex = (word: number): string => (word >>> 0).toString(16).padStart(8, '0');
    return hex(this.#high) + hex(this.#low);
  }

  #mix(word: number): void {
    // Two multiply-and-rotate lanes (as in murmur3) that see each other's state.
    let low = Math.imul(this.#low ^ word, 0xcc9e2d51);
    low = (low << 15) | (low >>> 17);
    let high = Math.imul(this.#high + word, 0x1b873593) ^ low;
    high = (high << 13) | (high >>> 19);
    this.#low = (Math.imul(low, 5) + 0xe6546b64) | 0;
    this.#high = (high + Math.imul(this.#low, 3)) | 0;
  }
}
