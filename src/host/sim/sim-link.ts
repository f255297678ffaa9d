import type { SimRng } from './sim-rng.ts';

export interface LinkOptions {
  readonly delayMsMin: number;
  readonly delayMsMax: number;
  /** Share of deliveries that come ten times as late. */
  readonly lateShare: number;
  /** Chance per written chunk that the connection is reset after a part of it. */
  readonly resetChance: number;
  /** Chance per written chunk that this direction goes silent for good: a half-open connection. */
  readonly silenceChance: number;
  /** Chance per written chunk that it is cut at a random place. */
  readonly splitChance: number;
}

export const LINK_DEFAULTS: LinkOptions = {
  delayMsMin: 0.05,
  delayMsMax: 0.5,
  lateShare: 0.01,
  resetChance: 0,
  silenceChance: 0,
  splitChance: 0.3,
};

/** Within one machine: unix sockets and loopback. Never partitioned, never reset by the network. */
export const LOCAL_LINK: LinkOptions = {
  delayMsMin: 0.005,
  delayMsMax: 0.02,
  lateShare: 0.01,
  resetChance: 0,
  silenceChance: 0,
  splitChance: 0.3,
};

/** One direction between two machines. */
export class SimLink {
  readonly #rng: SimRng;
  #options: LinkOptions;
  #blocked = false;
  #cloggedUntilMs = 0;
  #waiting: ((late: boolean) => void)[] = [];

  constructor(options: LinkOptions, rng: SimRng) {
    this.#options = options;
    this.#rng = rng;
  }

  get options(): LinkOptions {
    return this.#options;
  }

  get blocked(): boolean {
    return this.#blocked;
  }

  change(options: Partial<LinkOptions>): void {
    this.#options = { ...this.#options, ...options };
  }

  delayMs(nowMs: number): number {
    const { delayMsMin, delayMsMax, lateShare } = this.#options;
    const drawn = this.#rng.between(delayMsMin, delayMsMax);
    const delay = this.#rng.chance(lateShare) ? drawn * 10 : drawn;
    return Math.max(delay, this.#cloggedUntilMs - nowMs + drawn);
  }

  /** Nothing gets through before then. */
  clogUntil(timeMs: number): void {
    this.#cloggedUntilMs = Math.max(this.#cloggedUntilMs, timeMs);
  }

  block(): void {
    this.#blocked = true;
  }

  /** What waited is told: most of it arrives late, some of it never. */
  heal(): void {
    if (!this.#blocked) return;
    this.#blocked = false;
    for (const goOn of this.#waiting.splice(0)) goOn(this.#rng.chance(0.7));
  }

  whenHealed(goOn: (late: boolean) => void): void {
    this.#waiting.push(goOn);
  }
}
