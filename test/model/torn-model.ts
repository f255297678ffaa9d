/**
 * Torn sectors and checksums at reconcile (R6, last sentence). One block of two sectors in one
 * segment, one client. A power loss keeps any subset of the unsynced sector writes; one sector of
 * one replica may rot. The durable checksum of a replica covers the block as of its last flush.
 *
 * After a crash the members' copies are compared: a copy that matches its durable checksum wins,
 * else one that another member confirms, else any copy is taken and counted. Outside an intent
 * segment a copy that does not match is corruption and is replaced.
 *
 * Checked: every sector holds the acknowledged value (after a process crash) or one that is not
 * older than the flushed one (after a power loss), and never what rotted, unless that was counted.
 */
import type { Model } from './checker.ts';
import { hashWords } from './lease-model.ts';

export interface TornRules {
  readonly checksumFirst: boolean;
  readonly agreeSecond: boolean;
  /** Copies are made equal before any is served. */
  readonly rewriteAll: boolean;
  /** The intent mark leaves only when all members have flushed. */
  readonly keepIntent: boolean;
}

export const SOUND_TORN: TornRules = {
  checksumFirst: true,
  agreeSecond: true,
  rewriteAll: true,
  keepIntent: true,
};

const WRITES = 3;
const ROT = 7;
const SECTORS = 2;

// The client's side.
const ISSUED = 0;
const ACKED = 1;
/** Oldest value that may be there after a power loss. */
const FLUSHED = 2;
const FLUSHING = 3;
const PHASE = 4;
const ROTTED = 5;
const POWER_LOSSES = 6;
const CRASHES = 7;
/** Values allowed in each sector once reconciled. */
const ALLOWED = 8;
/** A copy was taken for want of a better one. */
const COUNTED = 10;
const LOST_POWER = 11;
const REPLICA = 12;

// A replica: two sectors each of contents, possible contents and checksum; then the rest.
const CONTENTS = 0;
const MAY = 2;
const SUM = 4;
const ACCEPTED = 6;
const SYNCED = 7;
const INTENT = 8;
const REPLICA_BYTES = 12;

const SERVING = 0;
const DOWN = 1;

const WRITE = 1;
const ACCEPT = 2;
const ACK = 3;
const FLUSH = 4;
const SYNC = 5;
const ACK_FLUSH = 6;
const CLEAR = 7;
const DECAY = 8;
const CRASH = 9;
const POWER = 10;
const LEAVE = 11;
const RECONCILE = 12;
const NAMES = [
  '',
  'write',
  'accept',
  'ack',
  'flush',
  'sync',
  'ack-flush',
  'clear-intent',
  'rot',
  'crash',
  'lose-power',
  'left-with',
  'reconcile-from',
];

export class TornModel implements Model {
  readonly bytes: number;
  readonly codes = new Int32Array(256);
  readonly hashed = { low: 0, high: 0 };
  readonly #replicas: number;
  readonly #rules: TornRules;
  #violation: string | null = null;

  constructor(replicas: number, rules: TornRules = SOUND_TORN) {
    this.#replicas = replicas;
    this.#rules = rules;
    this.bytes = REPLICA + replicas * REPLICA_BYTES;
  }

  initial(): Uint8Array {
    const s = new Uint8Array(this.bytes);
    for (let r = 0; r < this.#replicas; r++) s.fill(1, at(r, MAY), at(r, MAY) + SECTORS);
    return s;
  }

  enabled(s: Uint8Array): number {
    let count = 0;
    const offer = (kind: number, a = 0, b = 0, d = 0) => {
      this.codes[count++] = (kind << 12) | (a << 8) | (b << 4) | d;
    };
    if (get(s, PHASE) === DOWN) {
      this.#offerDown(s, offer);
      return count;
    }
    if (get(s, ISSUED) < WRITES && get(s, ISSUED) === get(s, ACKED)) offer(WRITE);
    if (get(s, FLUSHING) === 0) offer(FLUSH);
    const isQuiet = get(s, ISSUED) === get(s, ACKED);
    let accepted = 0;
    let synced = 0;
    for (let r = 0; r < this.#replicas; r++) {
      if (get(s, at(r, ACCEPTED)) < get(s, ISSUED)) offer(ACCEPT, r);
      else accepted++;
      const stage = get(s, at(r, SYNCED));
      if (stage === 2) synced++;
      else if (get(s, FLUSHING) !== 0) offer(SYNC, r);
      const isClear = isQuiet && get(s, FLUSHING) === 0 && get(s, FLUSHED) === get(s, ACKED);
      if (get(s, at(r, INTENT)) === 1 && (isClear || !this.#rules.keepIntent)) offer(CLEAR, r);
      if (get(s, ROTTED) > 0) continue;
      for (let sector = 0; sector < SECTORS; sector++) offer(DECAY, r, sector);
    }
    if (!isQuiet && accepted === this.#replicas) offer(ACK);
    if (get(s, FLUSHING) !== 0 && synced === this.#replicas) offer(ACK_FLUSH);
    if (get(s, CRASHES) < 2) offer(CRASH);
    if (get(s, POWER_LOSSES) < 2) offer(POWER);
    return count;
  }

  /** Down: first every replica is left with some of its sectors, then a copy is chosen. */
  #offerDown(
    s: Uint8Array,
    offer: (kind: number, a?: number, b?: number, d?: number) => void,
  ): void {
    if (get(s, LOST_POWER) > 0 && get(s, LOST_POWER) <= this.#replicas) {
      const r = get(s, LOST_POWER) - 1;
      for (let a = 0; a <= ROT; a++) {
        if ((get(s, at(r, MAY)) & (1 << a)) === 0) continue;
        for (let b = 0; b <= ROT; b++) {
          if ((get(s, at(r, MAY) + 1) & (1 << b)) !== 0) offer(LEAVE, r, a, b);
        }
      }
      return;
    }
    const choice = this.#choose(s);
    for (let r = 0; r < this.#replicas; r++) {
      if ((choice.copies & (1 << r)) !== 0) offer(RECONCILE, r, choice.isCounted ? 1 : 0);
    }
  }

  /** R6: the copies that may win, and whether none of them is vouched for. */
  #choose(s: Uint8Array): { copies: number; isCounted: boolean } {
    let matching = 0;
    let agreeing = 0;
    for (let r = 0; r < this.#replicas; r++) {
      if (matches(s, r)) matching |= 1 << r;
      for (let other = 0; other < this.#replicas; other++) {
        if (other !== r && sameCopy(s, r, other)) agreeing |= 1 << r;
      }
    }
    if (matching !== 0 && this.#rules.checksumFirst) return { copies: matching, isCounted: false };
    if (agreeing !== 0 && this.#rules.agreeSecond) return { copies: agreeing, isCounted: false };
    const isCounted = this.#rules.checksumFirst && this.#rules.agreeSecond;
    return { copies: (1 << this.#replicas) - 1, isCounted };
  }

  apply(s: Uint8Array, code: number): void {
    const [kind, r, b, d] = [code >>> 12, (code >>> 8) & 15, (code >>> 4) & 15, code & 15];
    switch (kind) {
      case WRITE:
        put(s, ISSUED, get(s, ISSUED) + 1);
        break;
      case ACCEPT:
        put(s, at(r, INTENT), 1);
        put(s, at(r, ACCEPTED), get(s, ISSUED));
        for (let i = 0; i < SECTORS; i++) putSector(s, r, i, get(s, ISSUED));
        break;
      case ACK:
        put(s, ACKED, get(s, ISSUED));
        break;
      case FLUSH:
        put(s, FLUSHING, get(s, ACKED) + 1);
        for (let m = 0; m < this.#replicas; m++) put(s, at(m, SYNCED), 0);
        break;
      case SYNC:
        this.#sync(s, r);
        break;
      case ACK_FLUSH:
        put(s, FLUSHED, get(s, FLUSHING) - 1);
        put(s, FLUSHING, 0);
        for (let m = 0; m < this.#replicas; m++) put(s, at(m, SYNCED), 0);
        break;
      case CLEAR:
        put(s, at(r, INTENT), 0);
        break;
      case DECAY:
        put(s, ROTTED, 1);
        put(s, at(r, CONTENTS) + b, ROT);
        put(s, at(r, MAY) + b, 1 << ROT);
        break;
      case CRASH:
        put(s, CRASHES, get(s, CRASHES) + 1);
        this.#goDown(s, get(s, ACKED));
        break;
      case POWER:
        put(s, POWER_LOSSES, get(s, POWER_LOSSES) + 1);
        this.#goDown(s, get(s, FLUSHED));
        put(s, LOST_POWER, 1);
        break;
      case LEAVE:
        put(s, at(r, CONTENTS), b);
        put(s, at(r, CONTENTS) + 1, d);
        put(s, at(r, MAY), 1 << b);
        put(s, at(r, MAY) + 1, 1 << d);
        put(s, LOST_POWER, get(s, LOST_POWER) + 1);
        break;
      default:
        this.#reconcile(s, r, b === 1);
    }
  }

  /** Data, then the checksum of the data that was synced. */
  #sync(s: Uint8Array, r: number): void {
    const stage = get(s, at(r, SYNCED));
    put(s, at(r, SYNCED), stage + 1);
    const isData = stage === 0;
    for (let i = 0; i < SECTORS; i++) {
      if (isData) put(s, at(r, MAY) + i, 1 << get(s, at(r, CONTENTS) + i));
      // The sum is of what was written, so what rotted does not get a sum of its own.
      else if (get(s, at(r, CONTENTS) + i) !== ROT) {
        put(s, at(r, SUM) + i, get(s, at(r, CONTENTS) + i));
      } else put(s, at(r, SUM) + i, get(s, at(r, ACCEPTED)));
    }
  }

  /** From now on each sector may hold what is at least as new as `oldest`. */
  #goDown(s: Uint8Array, oldest: number): void {
    put(s, PHASE, DOWN);
    put(s, LOST_POWER, 0);
    put(s, FLUSHING, 0);
    let allowed = 0;
    for (let v = oldest; v <= get(s, ISSUED); v++) allowed |= 1 << v;
    for (let i = 0; i < SECTORS; i++) put(s, ALLOWED + i, allowed);
    for (let r = 0; r < this.#replicas; r++) put(s, at(r, SYNCED), 0);
  }

  #reconcile(s: Uint8Array, source: number, isCounted: boolean): void {
    const copy = [get(s, at(source, CONTENTS)), get(s, at(source, CONTENTS) + 1)] as const;
    let isMarked = false;
    for (let r = 0; r < this.#replicas; r++) isMarked ||= get(s, at(r, INTENT)) === 1;
    put(s, PHASE, SERVING);
    put(s, LOST_POWER, 0);
    for (let r = 0; r < this.#replicas; r++) {
      // Outside intent segments only a copy that fails its checksum is replaced.
      const isReplaced = isMarked || !matches(s, r);
      if (isReplaced && (this.#rules.rewriteAll || r === source)) {
        for (let i = 0; i < SECTORS; i++) {
          put(s, at(r, CONTENTS) + i, copy[i] as number);
          put(s, at(r, MAY) + i, 1 << (copy[i] as number));
          put(s, at(r, SUM) + i, copy[i] as number);
        }
      }
      put(s, at(r, ACCEPTED), get(s, ISSUED));
      this.#checkCopy(s, r, isCounted);
      if (!sameCopy(s, r, 0)) this.#violation = 'in-sync replicas are equal: copies differ';
    }
    if (isCounted) put(s, COUNTED, 1);
    // What was found is what is there from now on: values are renumbered to 0, and it is flushed.
    this.#renumber(s);
  }

  #checkCopy(s: Uint8Array, r: number, isCounted: boolean): void {
    for (let i = 0; i < SECTORS; i++) {
      const value = get(s, at(r, CONTENTS) + i);
      if (((get(s, ALLOWED + i) >>> value) & 1) === 1) continue;
      if (value === ROT && isCounted) continue;
      this.#violation = `right bytes or an error: sector ${i} of replica ${r} holds ${value}`;
    }
  }

  /** Starts afresh from the reconciled contents; the bounds on faults stay. */
  #renumber(s: Uint8Array): void {
    for (const field of [ISSUED, ACKED, FLUSHED, FLUSHING, ALLOWED, ALLOWED + 1]) put(s, field, 0);
    for (let r = 0; r < this.#replicas; r++) {
      const intent = get(s, at(r, INTENT));
      s.fill(0, at(r, 0), at(r, 0) + REPLICA_BYTES);
      s.fill(1, at(r, MAY), at(r, MAY) + SECTORS);
      put(s, at(r, INTENT), intent);
    }
  }

  check(_s: Uint8Array): void {}

  violation(): string | null {
    return this.#violation;
  }

  clear(): void {
    this.#violation = null;
  }

  hash(words: Uint32Array): void {
    hashWords(words, this.hashed);
  }

  weight(): number {
    return 1;
  }

  describe(code: number): string {
    const parameters = [(code >>> 8) & 15, (code >>> 4) & 15, code & 15];
    return `${NAMES[code >>> 12]} ${parameters.join(' ')}`;
  }

  matches(code: number, step: string): boolean {
    return this.describe(code).startsWith(step);
  }
}

function at(r: number, field: number): number {
  return REPLICA + r * REPLICA_BYTES + field;
}

function get(s: Uint8Array, i: number): number {
  return s[i] as number;
}

function put(s: Uint8Array, i: number, value: number): void {
  s[i] = value;
}

function putSector(s: Uint8Array, r: number, sector: number, value: number): void {
  put(s, at(r, CONTENTS) + sector, value);
  put(s, at(r, MAY) + sector, get(s, at(r, MAY) + sector) | (1 << value));
}

function matches(s: Uint8Array, r: number): boolean {
  for (let i = 0; i < SECTORS; i++) {
    if (get(s, at(r, CONTENTS) + i) !== get(s, at(r, SUM) + i)) return false;
  }
  return true;
}

function sameCopy(s: Uint8Array, r: number, other: number): boolean {
  for (let i = 0; i < SECTORS; i++) {
    if (get(s, at(r, CONTENTS) + i) !== get(s, at(other, CONTENTS) + i)) return false;
  }
  return true;
}
