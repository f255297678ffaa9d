/** Tells a sink of every request and every completion, in the order in which they happen. */
import type { ErrorCode, HoldfastError } from '#api/mod.ts';
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

export interface BlockLogEvent {
  readonly kind: 'request' | 'completion';
  /** Counts requests from 1; the completion repeats its request's number. */
  readonly id: number;
  readonly verb: BlockVerb;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  readonly fua: boolean;
  /** Null for a request and for a completion without error. */
  readonly errorCode: ErrorCode | null;
}

export class LogDevice implements BlockDevice {
  readonly #below: BlockDevice;
  readonly #sink: (event: BlockLogEvent) => void;
  readonly #requests = new LayerRequests((inner, error) => this.#finish(inner, error));
  readonly #ids = new Map<LayerRequest, number>();
  #count = 0;
  #closed = false;

  constructor(below: BlockDevice, sink: (event: BlockLogEvent) => void) {
    this.#below = below;
    this.#sink = sink;
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

  submit(request: BlockRequest): void {
    if (this.#closed) {
      request.done(request, closedError());
      return;
    }
    const inner = this.#requests.take(request);
    const id = ++this.#count;
    this.#ids.set(inner, id);
    this.#tell('request', id, inner, null);
    this.#below.submit(inner);
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
    this.#tell('completion', this.#ids.get(inner) ?? 0, inner, error?.code ?? null);
    this.#ids.delete(inner);
    this.#requests.finish(inner, error);
  }

  #tell(
    kind: BlockLogEvent['kind'],
    id: number,
    request: BlockRequest,
    errorCode: ErrorCode | null,
  ): void {
    const { verb, offsetBytes, lengthBytes, fua } = request;
    this.#sink({ kind, id, verb, offsetBytes, lengthBytes, fua, errorCode });
  }
}
