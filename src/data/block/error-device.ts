/** Planned faults: the requests that match a predicate fail with the code it names. */
import { type ErrorCode, HoldfastError } from '#api/mod.ts';
import type { Rng } from '#host/mod.ts';
import { assert } from '#lib/mod.ts';
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

/** All conditions that are given must hold. */
export interface BlockFault {
  readonly code: ErrorCode;
  /**
   * `before` (default): nothing happens, effect none. `after`: it happens, then fails, effect
   * unknown.
   */
  readonly when?: 'before' | 'after';
  readonly verb?: BlockVerb;
  /** Requests that touch this range; never a flush. */
  readonly range?: { readonly offsetBytes: number; readonly lengthBytes: number };
  /** Only the nth request (from 1) that meets the conditions above. */
  readonly nth?: number;
  /** With this probability, tossed last; needs an rng. */
  readonly probability?: number;
}

export class ErrorDevice implements BlockDevice {
  readonly #below: BlockDevice;
  readonly #rng: Rng | undefined;
  readonly #faults = new Set<PlantedFault>();
  readonly #requests = new LayerRequests((inner, error) => this.#requests.finish(inner, error));
  readonly #failing = new LayerRequests((inner, error) => this.#fail(inner, error));
  readonly #codes = new Map<LayerRequest, ErrorCode>();
  #closed = false;

  constructor(below: BlockDevice, options: { readonly rng?: Rng } = {}) {
    this.#below = below;
    this.#rng = options.rng;
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

  /** From now on; the returned function takes it back. */
  plant(fault: BlockFault): () => void {
    const planted = { fault, matchCount: 0 };
    assert(fault.probability === undefined || this.#rng !== undefined, 'probability needs an rng');
    this.#faults.add(planted);
    return () => this.#faults.delete(planted);
  }

  submit(request: BlockRequest): void {
    if (this.#closed) {
      request.done(request, closedError());
      return;
    }
    const fault = this.#faults.size === 0 ? undefined : this.#findFault(request);
    if (fault === undefined) {
      this.#below.submit(this.#requests.take(request));
    } else if (fault.when === 'after') {
      const inner = this.#failing.take(request);
      this.#codes.set(inner, fault.code);
      this.#below.submit(inner);
    } else {
      request.done(request, plantedError(fault.code, 'none'));
    }
  }

  extents(offsetBytes: number, lengthBytes: number): Promise<BlockExtent[]> {
    return this.#below.extents(offsetBytes, lengthBytes);
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#requests.idle();
    await this.#failing.idle();
    await this.#below.close();
  }

  #fail(inner: LayerRequest, error: HoldfastError | null): void {
    const code = this.#codes.get(inner);
    assert(code !== undefined, 'a failing request knows its code');
    this.#codes.delete(inner);
    this.#failing.finish(inner, error ?? plantedError(code, 'unknown'));
  }

  #findFault(request: BlockRequest): BlockFault | undefined {
    for (const planted of this.#faults) {
      const { fault } = planted;
      if (fault.verb !== undefined && fault.verb !== request.verb) continue;
      if (fault.range !== undefined && !touches(request, fault.range)) continue;
      planted.matchCount++;
      if (fault.nth !== undefined && fault.nth !== planted.matchCount) continue;
      if (fault.probability !== undefined && (this.#rng?.float() ?? 1) >= fault.probability) {
        continue;
      }
      return fault;
    }
    return undefined;
  }
}

interface PlantedFault {
  readonly fault: BlockFault;
  matchCount: number;
}

function touches(
  request: BlockRequest,
  range: { readonly offsetBytes: number; readonly lengthBytes: number },
): boolean {
  return (
    request.verb !== 'flush' &&
    request.offsetBytes < range.offsetBytes + range.lengthBytes &&
    range.offsetBytes < request.offsetBytes + request.lengthBytes
  );
}

function plantedError(code: ErrorCode, effect: 'none' | 'unknown'): HoldfastError {
  return new HoldfastError(code, 'Planted fault', { effect });
}
