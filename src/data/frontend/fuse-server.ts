/**
 * FuseServer: serves one BlockDevice as the one file of a FUSE session (docs/design/0008-fuse.md).
 *
 *     kernel ─▶ FuseChannel ─▶ FuseServer ─▶ AlignDevice ─▶ Nexus
 *
 * Invariants
 * - A request that was read is answered once, or never (when this process dies): the next server
 *   asks for it again.
 * - The payload of a WRITE is copied out of the receive buffer before the next message is read.
 */
import type { HoldfastError } from '#api/mod.ts';
import type { BlockDevice, BlockRequest } from '#data/block/mod.ts';
import { beginTrace, createRequest } from '#data/block/mod.ts';
import * as fuse from '#data/proto/fuse/mod.ts';
import type { FuseChannel } from '#host/mod.ts';
import { Pool } from '#lib/mod.ts';

/** Smallest and largest buffers that are kept for another request; the sizes are powers of two. */
const SMALLEST_BUFFER_LOG2 = 12;
const LARGEST_BUFFER_LOG2 = 20;
/** Bytes of idle buffers kept per size. */
const IDLE_BYTES_PER_SIZE = 4 * 1024 * 1024;
/** Requests kept for another use: what the kernel has in flight at most. */
const SPARE_REQUESTS_MAX = 128;

/** What must be remembered while a request is in the device. */
interface Pending {
  readonly request: BlockRequest;
  uniqueLow: number;
  uniqueHigh: number;
  buffer: Uint8Array;
  isRead: boolean;
  readonly reply: Uint8Array;
  readonly replyView: DataView;
}

export interface FuseServerOptions {
  readonly channel: FuseChannel;
  readonly device: BlockDevice;
  /**
   * True when the session was taken over from a dead server: what it left unanswered is asked for
   * again.
   */
  readonly takenOver: boolean;
  readonly onEnd: (error: HoldfastError | null) => void;
}

export class FuseServer {
  readonly #channel: FuseChannel;
  readonly #device: BlockDevice;
  readonly #incoming = new fuse.FuseRequest();
  readonly #pending: Pool<Pending>;
  readonly #buffers: Uint8Array[][] = [];
  #inFlight = 0;
  #stopping: (() => void) | null = null;

  constructor(options: FuseServerOptions) {
    this.#channel = options.channel;
    this.#device = options.device;
    this.#pending = new Pool(() => this.#createPending(), SPARE_REQUESTS_MAX);
    if (options.takenOver) this.#channel.reply([fuse.encodeNotifyResend()]);
    this.#channel.start((bytes) => this.#onMessage(bytes), options.onEnd);
  }

  /** Stops reading after what is in flight was answered; the kernel keeps what comes later. */
  async stop(): Promise<void> {
    if (this.#inFlight > 0) await new Promise<void>((resolve) => (this.#stopping = resolve));
    this.#channel.close();
  }

  /** Drops everything at once, unanswered. */
  abandon(): void {
    this.#channel.close();
  }

  #onMessage(bytes: Uint8Array): void {
    const incoming = this.#incoming;
    const problem = fuse.decodeFuseRequest(bytes, incoming);
    if (problem !== null) return this.#reply(fuse.encodeError(incoming, fuse.EINVAL));
    switch (incoming.opcode) {
      case fuse.FUSE_READ:
      case fuse.FUSE_WRITE:
        return this.#transfer(incoming);
      case fuse.FUSE_FSYNC:
        return this.#submit(incoming, 'flush', 0, 0);
      case fuse.FUSE_FALLOCATE:
        return this.#allocate(incoming);
      default:
        return this.#answerOther(incoming);
    }
  }

  /** Everything that does not reach the device. */
  #answerOther(incoming: fuse.FuseRequest): void {
    const size = this.#device.sizeBytes;
    switch (incoming.opcode) {
      case fuse.FUSE_INIT:
        return this.#reply(fuse.encodeInit(incoming, incoming.detail));
      case fuse.FUSE_GETATTR:
      case fuse.FUSE_SETATTR:
        return this.#reply(fuse.encodeAttr(incoming, size));
      case fuse.FUSE_OPEN:
        return this.#reply(fuse.encodeOpen(incoming));
      case fuse.FUSE_STATFS:
        return this.#reply(fuse.encodeStatfs(incoming, size));
      case fuse.FUSE_RELEASE:
      case fuse.FUSE_DESTROY:
        return this.#reply(fuse.encodeError(incoming, 0));
      case fuse.FUSE_FORGET:
      case fuse.FUSE_BATCH_FORGET:
      case fuse.FUSE_INTERRUPT:
        return; // these have no answer
      case fuse.FUSE_LOOKUP:
        return this.#reply(fuse.encodeError(incoming, fuse.ENOENT));
      default:
        return this.#reply(fuse.encodeError(incoming, fuse.ENOSYS));
    }
  }

  #transfer(incoming: fuse.FuseRequest): void {
    const end = incoming.offsetBytes + incoming.lengthBytes;
    if (end > this.#device.sizeBytes || incoming.lengthBytes === 0) {
      return this.#reply(fuse.encodeError(incoming, fuse.EINVAL));
    }
    const verb = incoming.opcode === fuse.FUSE_READ ? 'read' : 'write';
    this.#submit(incoming, verb, incoming.offsetBytes, incoming.lengthBytes);
  }

  #allocate(incoming: fuse.FuseRequest): void {
    const { detail: mode, offsetBytes } = incoming;
    const length = Math.min(incoming.lengthBytes, this.#device.sizeBytes - offsetBytes);
    const punch = (mode & fuse.FALLOC_FL_PUNCH_HOLE) !== 0;
    const zero = (mode & fuse.FALLOC_FL_ZERO_RANGE) !== 0;
    // Plain allocation inside the size: there is nothing to do for a thin volume.
    if (!punch && !zero) return this.#reply(fuse.encodeError(incoming, 0));
    if (length <= 0) return this.#reply(fuse.encodeError(incoming, fuse.EINVAL));
    this.#submit(incoming, punch ? 'trim' : 'zero', offsetBytes, length);
  }

  #submit(
    incoming: fuse.FuseRequest,
    verb: BlockRequest['verb'],
    offsetBytes: number,
    lengthBytes: number,
  ): void {
    const pending = this.#pending.take();
    const { request } = pending;
    const transfers = verb === 'read' || verb === 'write';
    pending.uniqueLow = incoming.uniqueLow;
    pending.uniqueHigh = incoming.uniqueHigh;
    pending.isRead = verb === 'read';
    pending.buffer = transfers ? this.#takeBuffer(lengthBytes) : NONE;
    request.verb = verb;
    request.offsetBytes = offsetBytes;
    request.lengthBytes = lengthBytes;
    request.data = transfers ? pending.buffer.subarray(0, lengthBytes) : NONE;
    if (verb === 'write') request.data.set(incoming.payload);
    this.#inFlight += 1;
    beginTrace(this.#device, request, 'src/data/frontend', 'fuse');
    this.#device.submit(request);
  }

  #createPending(): Pending {
    const reply = new Uint8Array(fuse.FUSE_OUT_HEADER_BYTES + 8);
    const pending: Pending = {
      request: createRequest(),
      uniqueLow: 0,
      uniqueHigh: 0,
      buffer: NONE,
      isRead: false,
      reply,
      replyView: new DataView(reply.buffer),
    };
    pending.request.done = (_request, error) => this.#complete(pending, error);
    return pending;
  }

  #complete(pending: Pending, error: HoldfastError | null): void {
    this.#answer(pending, error);
    const { data } = pending.request;
    // A read that came back with another array leaves the first one to the disk that still hangs.
    if (data.buffer === pending.buffer.buffer) this.#giveBuffer(pending.buffer);
    pending.buffer = NONE;
    this.#pending.give(pending);
    this.#inFlight -= 1;
    if (this.#inFlight === 0 && this.#stopping) this.#stopping();
  }

  #answer(pending: Pending, error: HoldfastError | null): void {
    const { request, reply, replyView } = pending;
    const header = reply.subarray(0, fuse.FUSE_OUT_HEADER_BYTES);
    if (error !== null) {
      fuse.encodeOutHeader(replyView, pending, fuse.errnoOf(error.code), 0);
      this.#channel.reply([header]);
    } else if (pending.isRead) {
      fuse.encodeOutHeader(replyView, pending, 0, request.lengthBytes);
      this.#channel.reply([header, request.data]);
    } else if (request.verb === 'write') {
      fuse.encodeOutHeader(replyView, pending, 0, 8);
      replyView.setUint32(fuse.FUSE_OUT_HEADER_BYTES, request.lengthBytes, true);
      this.#channel.reply([reply]);
    } else {
      fuse.encodeOutHeader(replyView, pending, 0, 0);
      this.#channel.reply([header]);
    }
  }

  #reply(bytes: Uint8Array): void {
    this.#channel.reply([bytes]);
  }

  #takeBuffer(lengthBytes: number): Uint8Array {
    const log2 = Math.max(SMALLEST_BUFFER_LOG2, 32 - Math.clz32(lengthBytes - 1));
    return this.#buffers[log2]?.pop() ?? new Uint8Array(2 ** log2);
  }

  #giveBuffer(buffer: Uint8Array): void {
    if (buffer.byteLength === 0) return;
    const log2 = 31 - Math.clz32(buffer.byteLength);
    if (log2 > LARGEST_BUFFER_LOG2) return;
    const idle = (this.#buffers[log2] ??= []);
    if ((idle.length + 1) * buffer.byteLength <= IDLE_BYTES_PER_SIZE) idle.push(buffer);
  }
}

const NONE = new Uint8Array(0);
