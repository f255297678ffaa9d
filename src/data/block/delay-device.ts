/** Latency by verb: a request waits before it goes down, so a slow write becomes visible late. */
import type { HoldfastError } from '#api/mod.ts';
import type { Clock, Rng } from '#host/mod.ts';
import { closedError } from './check-request.ts';
import { type LayerRequest, LayerRequests } from './layer-request.ts';
import type {
  BlockCapabilities,
  BlockDevice,
  BlockExtent,
  BlockLimits,
  BlockRequest,
  BlockVerb,
} from './mod.ts';

export interface DelayDeviceOptions {
  readonly clock: Clock;
  /** By verb; 0 when absent, which passes straight through. */
  readonly latencyMs: Readonly<Partial<Record<BlockVerb, number>>>;
  /** With it each latency is multiplied by a random factor from 0.5 to 1.5. */
  readonly rng?: Rng;
}

export class DelayDevice implements BlockDevice {
  readonly #below: BlockDevice;
  readonly #clock: Clock;
  readonly #rng: Rng | undefined;
  readonly #requests = new LayerRequests((inner, error) => this.#finish(inner, error));
  #latencyMs: Readonly<Partial<Record<BlockVerb, number>>>;
  #closed = false;

  constructor(below: BlockDevice, options: DelayDeviceOptions) {
    this.#below = below;
    this.#clock = options.clock;
    this.#rng = options.rng;
    this.#latencyMs = options.latencyMs;
  }

  get sizeBytes(): number {
    return this.#below.sizeBytes;
  }

  get limits(): BlockLimits {
    return this.#below.limits;
  }

  get capabilities(): BlockCapabilities {
    return this.#below.capabilities;
  }

  /** For requests from now on. */
  setLatency(latencyMs: Readonly<Partial<Record<BlockVerb, number>>>): void {
    this.#latencyMs = latencyMs;
  }

  submit(request: BlockRequest): void {
    if (this.#closed) {
      request.done(request, closedError());
      return;
    }
    const inner = this.#requests.take(request);
    const delayMs = (this.#latencyMs[request.verb] ?? 0) * (0.5 + (this.#rng?.float() ?? 0.5));
    if (delayMs === 0) this.#below.submit(inner);
    else this.#clock.after(delayMs, () => this.#below.submit(inner));
  }

  extents(offsetBytes: number, lengthBytes: number): Promise<BlockExtent[]> {
    return this.#below.extents(offsetBytes, lengthBytes);
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#requests.idle();
    await this.#below.close();
  }

  #finish(inner: LayerRequest, error: HoldfastError | null): void {
    this.#requests.finish(inner, error);
  }
}
