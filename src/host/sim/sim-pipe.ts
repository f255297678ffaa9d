import type { EventLoop } from './event-loop.ts';
import type { SimLink } from './sim-link.ts';
import type { SimRng } from './sim-rng.ts';

/** What travels: bytes, then one of the two ends. */
export type Parcel =
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  | { readonly kind: 'end' }
  | { readonly kind: 'reset' };

/**
 * One direction of a connection: parcels arrive in order or not at all. It lives in the network and
 * not in a process, so bytes of a dead sender still arrive.
 *
 * Every parcel has an event of its own, but an event delivers whatever is first in the queue: so
 * neither a partition nor an unlucky delay can change the order.
 */
export class SimPipe {
  readonly #loop: EventLoop;
  readonly #link: SimLink;
  readonly #rng: SimRng;
  readonly #id: number;
  readonly #deliver: (parcel: Parcel) => void;
  #queue: Parcel[] = [];
  #lastArrivalMs = 0;
  #silent = false;
  #underWayBytes = 0;
  /** Events that came while a partition was on. */
  #missed = 0;

  constructor(
    loop: EventLoop,
    link: SimLink,
    rng: SimRng,
    id: number,
    deliver: (parcel: Parcel) => void,
  ) {
    this.#loop = loop;
    this.#link = link;
    this.#rng = rng;
    this.#id = id;
    this.#deliver = deliver;
  }

  /** Bytes sent that the receiver's code has not seen. */
  get underWayBytes(): number {
    return this.#underWayBytes;
  }

  get link(): SimLink {
    return this.#link;
  }

  /** The receiver's code took so many bytes. */
  taken(lengthBytes: number): void {
    this.#underWayBytes -= lengthBytes;
  }

  /** Nothing arrives any more, and nobody is told. */
  silence(): void {
    this.#silent = true;
  }

  /** What has not arrived is lost, up to a random part that was already on its way. */
  cut(): void {
    this.#queue.length = this.#rng.below(this.#queue.length + 1);
  }

  send(parcel: Parcel): void {
    if (parcel.kind === 'bytes') this.#underWayBytes += parcel.bytes.byteLength;
    if (this.#silent) return;
    this.#queue.push(parcel);
    this.#travel(parcel.kind);
  }

  /** Bytes, in pieces of any size: where a chunk ends means nothing. */
  sendBytes(bytes: Uint8Array): void {
    let rest = bytes;
    while (rest.byteLength > 1 && this.#rng.chance(this.#link.options.splitChance)) {
      const cut = 1 + this.#rng.below(rest.byteLength - 1);
      this.send({ kind: 'bytes', bytes: rest.subarray(0, cut) });
      rest = rest.subarray(cut);
    }
    this.send({ kind: 'bytes', bytes: rest });
  }

  #travel(kind: Parcel['kind']): void {
    const now = this.#loop.nowMs;
    const arrivalMs = Math.max(this.#lastArrivalMs, now + this.#link.delayMs(now));
    this.#lastArrivalMs = arrivalMs;
    this.#loop.schedule(null, `net ${kind}`, this.#id, arrivalMs - now, () => this.#arrive());
  }

  #arrive(): void {
    if (this.#silent) return;
    // A partition also catches what is on its way.
    if (this.#link.blocked) {
      if (this.#missed++ === 0) this.#link.whenHealed((late) => this.#afterHeal(late));
      return;
    }
    const parcel = this.#queue.shift();
    if (parcel !== undefined) this.#deliver(parcel);
  }

  #afterHeal(late: boolean): void {
    const missed = this.#missed;
    this.#missed = 0;
    if (!late) this.#queue = [{ kind: 'reset' }];
    for (let i = 0; i < missed; i++) this.#travel('bytes');
  }
}
