/**
 * MovingDevice: a device below which disks hang. Every read and write comes back with another array
 * than it was given, as the nexus does when it went on without a member; the first one is scribbled
 * on after a read, and watched after a write, because the disk may still write it.
 */
import { BLOCK_BYTES, type BlockRequest, MemoryDevice } from './mod.ts';

interface HeldWrite {
  readonly held: Uint8Array;
  readonly bytes: Uint8Array;
}

export class MovingDevice extends MemoryDevice {
  /** Arrays that somebody changed though they were not given back. */
  changedCount = 0;
  readonly #held: HeldWrite[] = [];

  constructor(sizeBytes: number) {
    super({ sizeBytes, minBytes: BLOCK_BYTES, crashable: true });
  }

  override submit(request: BlockRequest): void {
    const { verb, data: given, done } = request;
    if (verb !== 'read' && verb !== 'write') return super.submit(request);
    request.done = (_request, error) => {
      request.done = done;
      if (error !== null) return done(request, error);
      request.data = verb === 'read' ? given.slice() : new Uint8Array(given.byteLength);
      if (verb === 'read') given.fill(0xdd);
      else this.#held.push({ held: given, bytes: given.slice() });
      done(request, error);
      if (verb === 'read') given.fill(0xdc);
    };
    super.submit(request);
  }

  override async close(): Promise<void> {
    for (const { held, bytes } of this.#held.splice(0)) {
      if (Buffer.compare(held, bytes) !== 0) this.changedCount += 1;
    }
    await super.close();
  }
}
