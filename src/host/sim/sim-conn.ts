import { HoldfastError } from '#api/mod.ts';
import { assert } from '#lib/mod.ts';
import type { Conn, ConnHandler } from '../mod.ts';
import type { Parcel, SimPipe } from './sim-pipe.ts';
import type { SimProcess } from './sim-process.ts';
import type { SimRng } from './sim-rng.ts';

/** What the two kernels hold before the sender's own queue grows. */
const KERNEL_BYTES = 256 * 1024;
const HIGH_WATER_BYTES = 1024 * 1024;
const LOW_WATER_BYTES = 256 * 1024;

/** One end of a simulated connection. */
export class SimConn implements Conn {
  readonly peer: string;
  readonly process: SimProcess;
  readonly #rng: SimRng;
  /** Whether the machine still has power: a kernel without power does not answer. */
  readonly #powered: () => boolean;
  #out: SimPipe | undefined;
  #other: SimConn | undefined;
  #handler: ConnHandler | undefined;
  #inbox: Parcel[] = [];
  #readPaused = false;
  #draining = false;
  #state: 'open' | 'ended' | 'closed' = 'open';
  #wantsDrain = false;

  constructor(process: SimProcess, peer: string, rng: SimRng, powered: () => boolean) {
    this.process = process;
    this.peer = peer;
    this.#rng = rng;
    this.#powered = powered;
    process.onDeath(() => this.#die());
  }

  get closed(): boolean {
    return this.#state === 'closed';
  }

  /** Called by the net once both ends exist. */
  join(other: SimConn, out: SimPipe): void {
    this.#other = other;
    this.#out = out;
  }

  start(handler: ConnHandler): void {
    assert(this.#handler === undefined, 'a connection is started once');
    this.#handler = handler;
    // Never from within start: the caller has not stored the connection yet.
    this.process.loop.schedule(this.process, 'conn start', 0, 0, () => this.#drainInbox());
  }

  write(chunks: readonly Uint8Array[]): boolean {
    if (this.#state !== 'open' || !this.process.alive) return true;
    const pipe = this.#pipe();
    const bytes = join(chunks);
    const { resetChance, silenceChance } = pipe.link.options;
    if (this.#rng.chance(resetChance)) {
      const sent = this.#rng.below(bytes.byteLength + 1);
      if (sent > 0) pipe.sendBytes(bytes.subarray(0, sent));
      this.reset();
      return true;
    }
    if (this.#rng.chance(silenceChance)) pipe.silence();
    if (bytes.byteLength > 0) pipe.sendBytes(bytes);
    this.#wantsDrain = this.queuedBytes() > HIGH_WATER_BYTES;
    return !this.#wantsDrain;
  }

  queuedBytes(): number {
    return Math.max(0, this.#pipe().underWayBytes - KERNEL_BYTES);
  }

  pause(): void {
    this.#readPaused = true;
  }

  resume(): void {
    if (!this.#readPaused) return;
    this.#readPaused = false;
    this.process.loop.schedule(this.process, 'conn resume', 0, 0, () => this.#drainInbox());
  }

  end(): void {
    if (this.#state !== 'open' || !this.process.alive) return;
    this.#state = 'ended';
    this.#pipe().send({ kind: 'end' });
  }

  close(): void {
    if (this.#state === 'closed' || !this.process.alive) return;
    this.#hangUp();
  }

  /** The network breaks the connection: both ends learn of it, each in its time. */
  reset(): void {
    this.#pipe().send({ kind: 'reset' });
    const { loop } = this.process;
    loop.schedule(null, 'net reset', 0, 0, () => this.arrive({ kind: 'reset' }));
  }

  /** Nothing that this end sends arrives any more. */
  silence(): void {
    this.#pipe().silence();
  }

  /** A parcel reached this machine. */
  arrive(parcel: Parcel): void {
    if (this.#state === 'closed') {
      // A kernel answers bytes for a socket that is gone; a machine without power does not.
      if (parcel.kind === 'bytes' && this.#powered()) this.#pipe().send({ kind: 'reset' });
      return;
    }
    // A reset may overtake what was received and not read.
    if (parcel.kind === 'reset' && this.#rng.chance(0.5)) this.#inbox = [];
    this.#inbox.push(parcel);
    const { loop, pausedUntilMs } = this.process;
    if (pausedUntilMs <= loop.nowMs) this.#drainInbox();
    else loop.schedule(this.process, 'conn wake', 0, 0, () => this.#drainInbox());
  }

  #drainInbox(): void {
    const handler = this.#handler;
    if (handler === undefined || this.#draining) return;
    this.#draining = true;
    while (!this.#readPaused && !this.closed) {
      const parcel = this.#inbox.shift();
      if (parcel === undefined) break;
      if (parcel.kind === 'bytes') this.#hand(handler, parcel.bytes);
      else this.#finish(handler, parcel.kind);
    }
    this.#draining = false;
  }

  #hand(handler: ConnHandler, bytes: Uint8Array): void {
    handler.onBytes(bytes);
    // The receive buffer is used again: who kept a view of it will notice.
    bytes.fill(0xdb);
    this.#other?.afterTaken(bytes.byteLength);
  }

  /** The other end's code took bytes that this end sent. */
  afterTaken(lengthBytes: number): void {
    this.#pipe().taken(lengthBytes);
    if (!this.#wantsDrain || this.queuedBytes() > LOW_WATER_BYTES) return;
    this.#wantsDrain = false;
    this.process.loop.schedule(this.process, 'conn drain', 0, 0, () => {
      if (this.#state !== 'closed') this.#handler?.onDrain?.();
    });
  }

  #finish(handler: ConnHandler, kind: 'end' | 'reset'): void {
    if (kind === 'end' && this.#state === 'open') this.#pipe().send({ kind: 'end' });
    this.#state = 'closed';
    handler.onClose(
      kind === 'end' ? null : new HoldfastError('disconnected', 'The peer reset the connection'),
    );
  }

  /** Closing with bytes unread resets; otherwise the kernel sends what it took over, then ends. */
  #hangUp(): void {
    const reset = this.#inbox.length > 0 || this.#rng.chance(0.5);
    this.#inbox = [];
    const ended = this.#state === 'ended';
    this.#state = 'closed';
    if (ended && !reset) return;
    if (reset || this.queuedBytes() > 0) this.#pipe().cut();
    this.#pipe().send({ kind: reset ? 'reset' : 'end' });
  }

  #die(): void {
    if (this.#state === 'closed' || this.#out === undefined) return;
    if (this.#powered()) {
      this.#hangUp();
      return;
    }
    this.#state = 'closed';
    this.#inbox = [];
    this.#pipe().cut();
  }

  #pipe(): SimPipe {
    assert(this.#out !== undefined, 'a connection has two ends');
    return this.#out;
  }
}

/** A copy: the caller may reuse its chunks. */
function join(chunks: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const chunk of chunks) length += chunk.byteLength;
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.byteLength;
  }
  return bytes;
}
