/** A window onto a device: bytes [start, start + size) of it, as a device of their own. */
import { assert } from '#lib/mod.ts';
import { checkRequest, closedError } from './check-request.ts';
import { LayerRequests } from './layer-request.ts';
import type {
  BlockCapabilities,
  BlockDevice,
  BlockExtent,
  BlockLimits,
  BlockRequest,
} from './mod.ts';

export interface OffsetDeviceOptions {
  /** A multiple of the device's `minBytes`. */
  readonly offsetBytes: number;
  /** A multiple of the device's `minBytes`; the window lies inside the device. */
  readonly sizeBytes: number;
}

export class OffsetDevice implements BlockDevice {
  readonly sizeBytes: number;
  readonly limits: BlockLimits;
  readonly capabilities: BlockCapabilities;
  readonly #below: BlockDevice;
  readonly #offsetBytes: number;
  readonly #requests = new LayerRequests((inner, error) => this.#requests.finish(inner, error));
  #closed = false;

  /** Closing the window leaves the device below open: other windows may look at it. */
  constructor(below: BlockDevice, options: OffsetDeviceOptions) {
    const { offsetBytes, sizeBytes } = options;
    const { minBytes } = below.limits;
    assert(offsetBytes >= 0 && sizeBytes >= 0, 'the window has a place and a size');
    assert(offsetBytes + sizeBytes <= below.sizeBytes, 'the window lies inside the device');
    assert(offsetBytes % minBytes === 0 && sizeBytes % minBytes === 0, 'the window is aligned');
    this.#below = below;
    this.#offsetBytes = offsetBytes;
    this.sizeBytes = sizeBytes;
    this.limits = below.limits;
    this.capabilities = below.capabilities;
  }

  submit(request: BlockRequest): void {
    const error = this.#closed ? closedError() : checkRequest(this, request);
    if (error !== null) {
      request.done(request, error);
      return;
    }
    const inner = this.#requests.take(request);
    if (inner.verb !== 'flush') inner.offsetBytes += this.#offsetBytes;
    this.#below.submit(inner);
  }

  async extents(offsetBytes: number, lengthBytes: number): Promise<BlockExtent[]> {
    const length = Math.min(lengthBytes, this.sizeBytes - offsetBytes);
    const extents = await this.#below.extents(offsetBytes + this.#offsetBytes, length);
    return extents.map((extent) => ({
      ...extent,
      offsetBytes: extent.offsetBytes - this.#offsetBytes,
    }));
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#requests.idle();
  }
}
