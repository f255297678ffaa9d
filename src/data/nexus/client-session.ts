/**
 * ClientSession: the volume as one client session sees it (*Lost means failed*). When an opening
 * finds that acknowledged writes may be gone, every session that began before it fails, whichever
 * nexus finds it and however long ago it was: a database must start anew, not go on.
 */
import { HoldfastError } from '#api/mod.ts';
import type {
  BlockCapabilities,
  BlockDevice,
  BlockExtent,
  BlockLimits,
  BlockRequest,
  TraceSwitch,
} from '#data/block/mod.ts';

/** What a session asks of its nexus. */
export interface SessionNexus extends BlockDevice {
  /** Epoch of the last opening that lost writes; 0 when never. */
  readonly lossEpoch: number;
  submitUnguarded(request: BlockRequest): void;
}

export class ClientSession implements BlockDevice {
  readonly #nexus: SessionNexus;
  /** Keep it with the client (a descriptor that outlives us): a later session may go on with it. */
  readonly sinceEpoch: number;
  #closed = false;

  constructor(nexus: SessionNexus, sinceEpoch: number) {
    this.#nexus = nexus;
    this.sinceEpoch = sinceEpoch;
  }

  get lost(): boolean {
    return this.#nexus.lossEpoch > this.sinceEpoch;
  }

  get sizeBytes(): number {
    return this.#nexus.sizeBytes;
  }

  get limits(): BlockLimits {
    return this.#nexus.limits;
  }

  get capabilities(): BlockCapabilities {
    return this.#nexus.capabilities;
  }

  get traces(): TraceSwitch | undefined {
    return this.#nexus.traces;
  }

  submit(request: BlockRequest): void {
    if (this.#closed) request.done(request, new HoldfastError('aborted', 'Session is closed'));
    else if (this.lost) request.done(request, lostWrites());
    else this.#nexus.submitUnguarded(request);
  }

  async extents(offsetBytes: number, lengthBytes: number): Promise<BlockExtent[]> {
    if (this.lost) throw lostWrites();
    return this.#nexus.extents(offsetBytes, lengthBytes);
  }

  close(): Promise<void> {
    this.#closed = true;
    return Promise.resolve();
  }
}

export function lostWrites(): HoldfastError {
  return new HoldfastError('lost-writes', 'Acknowledged writes may be gone: begin a new session');
}
