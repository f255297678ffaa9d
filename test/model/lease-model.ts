/**
 * The read lease (R4) with real time and clocks that drift. Two or three nexuses in order of epoch
 * ask three voters; any of them may hold a lease, serving or not. A nexus that has waited goes on
 * as if no older one read any more: that is what is checked.
 *
 * Time is counted in ages, which stop growing once they no longer matter, so the state space is
 * finite and is explored whole. In one tick of real time a clock advances by 2 or 3
 * units: far worse than any quartz, so that the difference shows within few ticks.
 */
import type { Model } from './checker.ts';

export interface LeaseRules {
  /** A lease counts from the sending of the request, not from the answers. */
  readonly fromSending: boolean;
  /** The wait allows for the slowest clock of the holder and the fastest of the waiter. */
  readonly drift: boolean;
  /** The wait begins after a majority has promised, not when promises are asked for. */
  readonly afterPromises: boolean;
  /** A lease needs the answers of a majority. */
  readonly byMajority: boolean;
  /** A voter that has promised a higher epoch gives no answer. */
  readonly refuseOlder: boolean;
}

export const SOUND_LEASE: LeaseRules = {
  fromSending: true,
  drift: true,
  afterPromises: true,
  byMajority: true,
  refuseOlder: true,
};

const VOTERS = 3;
const SLOW = 2;
const FAST = 3;
const LEASE = 6;
/** Ages are capped where more of them changes nothing. */
const AGE_MAX = LEASE;

// Bytes: promised by each voter, then for each nexus the fields below.
const NEXUS = VOTERS;
const ASKING = 0;
const PROMISES = 1;
const AGE_OF_REQUEST = 2;
const ANSWERED = 3;
const ARRIVED = 4;
const AGE_OF_LEASE = 5;
const AGE_OF_WAIT = 6;
const WAITED = 7;
const NEXUS_BYTES = 8;

const TICK = 1;
const ASK = 2;
const PROMISE = 3;
const REQUEST = 4;
const ANSWER = 5;
const ARRIVE = 6;
const GO_ON = 7;
const NAMES = ['', 'tick', 'ask', 'promise', 'request', 'answer', 'arrive', 'go-on'];

export class LeaseModel implements Model {
  readonly bytes: number;
  readonly #nexuses: number;
  readonly codes = new Int32Array(128);
  readonly hashed = { low: 0, high: 0 };
  readonly #rules: LeaseRules;
  readonly #wait: number;
  readonly #scratch: Uint32Array;
  #violation: string | null = null;

  constructor(nexuses: number, rules: LeaseRules = SOUND_LEASE) {
    this.#nexuses = nexuses;
    this.bytes = NEXUS + nexuses * NEXUS_BYTES;
    this.#scratch = new Uint32Array(VOTERS + nexuses);
    this.#rules = rules;
    this.#wait = rules.drift ? Math.ceil((LEASE * FAST) / SLOW) : LEASE;
  }

  initial(): Uint8Array {
    const s = new Uint8Array(this.bytes);
    s.fill(1, 0, VOTERS);
    for (let n = 0; n < this.#nexuses; n++) {
      put(s, n, AGE_OF_REQUEST, AGE_MAX);
      put(s, n, AGE_OF_LEASE, AGE_MAX);
      put(s, n, AGE_OF_WAIT, this.#wait);
    }
    put(s, 0, ASKING, 1);
    put(s, 0, WAITED, 1);
    return s;
  }

  enabled(s: Uint8Array): number {
    let count = 0;
    const offer = (kind: number, a: number, b = 0) => {
      this.codes[count++] = (kind << 8) | (a << 4) | b;
    };
    let asking = 0;
    for (let n = 0; n < this.#nexuses; n++) asking |= at(s, n, ASKING) << n;
    // Each clock is slow or fast in this tick; what lies between adds nothing.
    for (let fast = 0; fast <= asking; fast++) if ((fast & ~asking) === 0) offer(TICK, fast);
    for (let n = 0; n < this.#nexuses; n++) {
      if (at(s, n, ASKING) === 0) {
        if (n === 0 || at(s, n - 1, ASKING) === 1) offer(ASK, n);
        continue;
      }
      for (let v = 0; v < VOTERS; v++) {
        const promised = s[v] as number;
        if (promised < n + 1) offer(PROMISE, n, v);
        const mayAnswer = promised === n + 1 || (promised > n + 1 && !this.#rules.refuseOlder);
        const bit = 1 << v;
        if (at(s, n, AGE_OF_REQUEST) >= AGE_MAX) continue;
        if (mayAnswer && (at(s, n, ANSWERED) & bit) === 0) offer(ANSWER, n, v);
        if ((at(s, n, ANSWERED) & ~at(s, n, ARRIVED) & bit) !== 0) offer(ARRIVE, n, v);
      }
      if (at(s, n, AGE_OF_REQUEST) !== 0) offer(REQUEST, n);
      const isPromised = isMajority(at(s, n, PROMISES));
      const isOver = at(s, n, AGE_OF_WAIT) >= this.#wait;
      if (at(s, n, WAITED) === 0 && isPromised && isOver) offer(GO_ON, n);
    }
    return count;
  }

  apply(s: Uint8Array, code: number): void {
    const [kind, n, v] = [code >>> 8, (code >>> 4) & 15, code & 15];
    const bit = 1 << v;
    switch (kind) {
      case TICK:
        for (let m = 0; m < this.#nexuses; m++) {
          const units = (n & (1 << m)) === 0 ? SLOW : FAST;
          put(s, m, AGE_OF_REQUEST, Math.min(AGE_MAX, at(s, m, AGE_OF_REQUEST) + units));
          put(s, m, AGE_OF_LEASE, Math.min(AGE_MAX, at(s, m, AGE_OF_LEASE) + units));
          put(s, m, AGE_OF_WAIT, Math.min(this.#wait, at(s, m, AGE_OF_WAIT) + units));
          if (at(s, m, AGE_OF_REQUEST) < AGE_MAX) continue;
          // An answer to a request this old gives no lease any more.
          put(s, m, ANSWERED, 0);
          put(s, m, ARRIVED, 0);
        }
        break;
      case ASK:
        put(s, n, ASKING, 1);
        if (!this.#rules.afterPromises) put(s, n, AGE_OF_WAIT, 0);
        break;
      case PROMISE:
        s[v] = n + 1;
        if (!isMajority(at(s, n, PROMISES)) && this.#rules.afterPromises) {
          if (isMajority(at(s, n, PROMISES) | bit)) put(s, n, AGE_OF_WAIT, 0);
        }
        put(s, n, PROMISES, at(s, n, PROMISES) | bit);
        break;
      case REQUEST:
        put(s, n, AGE_OF_REQUEST, 0);
        put(s, n, ANSWERED, 0);
        put(s, n, ARRIVED, 0);
        break;
      case ANSWER:
        put(s, n, ANSWERED, at(s, n, ANSWERED) | bit);
        break;
      case ARRIVE: {
        const arrived = at(s, n, ARRIVED) | bit;
        put(s, n, ARRIVED, arrived);
        if (!isMajority(arrived) && this.#rules.byMajority) break;
        put(s, n, AGE_OF_LEASE, this.#rules.fromSending ? at(s, n, AGE_OF_REQUEST) : 0);
        break;
      }
      default:
        put(s, n, WAITED, 1);
    }
  }

  check(s: Uint8Array): void {
    for (let n = 1; n < this.#nexuses; n++) {
      if (at(s, n, WAITED) === 0) continue;
      for (let m = 0; m < n; m++) {
        if (at(s, m, AGE_OF_LEASE) >= LEASE) continue;
        this.#violation = `current or silent: nexus ${n} goes on while nexus ${m} may still read`;
      }
    }
  }

  violation(): string | null {
    return this.#violation;
  }

  clear(): void {
    this.#violation = null;
  }

  /** Voters are alike: what belongs to each is hashed alone and the hashes are added. */
  hash(words: Uint32Array): void {
    const s = new Uint8Array(words.buffer);
    for (let v = 0; v < VOTERS; v++) {
      let bits = s[v] as number;
      for (let n = 0; n < this.#nexuses; n++) {
        for (const field of [PROMISES, ANSWERED, ARRIVED]) {
          bits = (bits << 1) | ((at(s, n, field) >>> v) & 1);
        }
      }
      this.#scratch[v] = bits;
    }
    this.#scratch.subarray(0, VOTERS).sort();
    for (let n = 0; n < this.#nexuses; n++) {
      const ages = at(s, n, AGE_OF_REQUEST) | (at(s, n, AGE_OF_LEASE) << 8);
      const flags = at(s, n, ASKING) | (at(s, n, WAITED) << 1);
      this.#scratch[VOTERS + n] = ages | (at(s, n, AGE_OF_WAIT) << 16) | (flags << 24);
    }
    hashWords(this.#scratch, this.hashed);
  }

  weight(): number {
    return 1;
  }

  describe(code: number): string {
    return `${NAMES[code >>> 8]} ${(code >>> 4) & 15} ${code & 15}`;
  }

  matches(code: number, step: string): boolean {
    return this.describe(code).startsWith(step);
  }
}

function isMajority(mask: number): boolean {
  return mask === 3 || mask === 5 || mask === 6 || mask === 7;
}

function at(s: Uint8Array, n: number, field: number): number {
  return s[NEXUS + n * NEXUS_BYTES + field] as number;
}

function put(s: Uint8Array, n: number, field: number, value: number): void {
  s[NEXUS + n * NEXUS_BYTES + field] = value;
}

/** A plain 64-bit hash of a state, for models without symmetry. */
export function hashWords(words: Uint32Array, into: { low: number; high: number }): void {
  let low = 0x9e3779b9;
  let high = 0x85ebca6b;
  for (const w of words) {
    low = Math.imul(low ^ w, 0x5bd1e995);
    low ^= low >>> 15;
    high = Math.imul(high + w, 0xcc9e2d51);
    high ^= high >>> 13;
  }
  into.low = (low ^ (high >>> 7)) >>> 0;
  into.high = Math.imul(high ^ (high >>> 16), 0x85ebca6b) >>> 0;
}
