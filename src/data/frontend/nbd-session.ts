/**
 * One NBD connection: negotiation, then requests to a BlockDevice.
 *
 *     negotiating ──GO──▶ transmission ──DISC, drain──▶ draining ──idle──▶ closed
 *          └──────── violation, deadline, fail, peer gone ────────────────────▲
 *
 * Invariants
 * - Requests in flight hold at most `inFlightBytesMax` and one request more; beyond that, and while
 *   the client does not take its replies, nothing is decoded and the socket is not read.
 * - In the steady state a request allocates nothing: slots and frames are used again, replies of
 *   one
 *   turn leave in one gathering write.
 * - A reply follows the completion of the device, never the other way round.
 */
import { HoldfastError } from '#api/mod.ts';
import type { BlockDevice, BlockExtent, BlockRequest } from '#data/block/mod.ts';
import { beginTrace, createRequest } from '#data/block/mod.ts';
import {
  BASE_ALLOCATION_ID,
  encodeBlockStatus,
  encodeErrorReply,
  encodeOffsetData,
  encodeSimpleReply,
  NBD_CMD_BLOCK_STATUS,
  NBD_CMD_DISC,
  NBD_CMD_FLAG_DF,
  NBD_CMD_FLAG_FAST_ZERO,
  NBD_CMD_FLAG_FUA,
  NBD_CMD_FLAG_NO_HOLE,
  NBD_CMD_FLAG_REQ_ONE,
  NBD_CMD_FLUSH,
  NBD_CMD_READ,
  NBD_CMD_TRIM,
  NBD_CMD_WRITE,
  NBD_CMD_WRITE_ZEROES,
  NBD_EINVAL,
  NBD_ENOMEM,
  NBD_ENOSPC,
  NBD_ENOTSUP,
  NBD_EPERM,
  NBD_SIMPLE_REPLY_BYTES,
  NBD_STATE_HOLE,
  NBD_STATE_ZERO,
  type NbdBlockStatus,
  type NbdExportSource,
  type NbdHandshakeEvent,
  NbdRequestDecoder,
  type NbdRequestSink,
  NbdServerHandshake,
} from '#data/proto/nbd/mod.ts';
import type { Clock, Conn, ConnHandler, Log, Timer } from '#host/mod.ts';
import { assert, concatBytes, EMPTY_BYTES, encodeText, Pool } from '#lib/mod.ts';
import { NBD_ERRNO } from './nbd-errno.ts';
import { NbdFrame, NbdFrames } from './nbd-frame.ts';

/** Longest read or write served, as nbdkit; longer ones are answered with NBD_ENOMEM. */
export const NBD_REQUEST_BYTES_MAX = 64 * 1024 * 1024;
/** A longer payload is not even skipped: the connection ends. */
const NBD_SKIP_BYTES_MAX = 2 * NBD_REQUEST_BYTES_MAX;
/** What a request without data counts as in flight. */
const SMALL_REQUEST_BYTES = 4096;
/** Replies are sent when this much has gathered, or when nothing more is to be decoded. */
const BATCH_BYTES_MAX = 512 * 1024;
const BATCH_FRAMES_MAX = 512;
const REPLY_ARENA_BYTES = 16 * 1024;
const SPARE_FRAME_BYTES_MAX = 4 * 1024 * 1024;
/** Descriptors of one block status reply. */
const STATUS_COUNT_MAX = 16 * 1024;
/** How long a peer may take to fetch the last replies. */
const LINGER_MS = 5_000;

export interface NbdSessionOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly exports: NbdExportSource;
  /** The device behind an export's name; undefined when it is gone since it was offered. */
  device(exportName: string): BlockDevice | undefined;
  readonly handshakeTimeoutMs: number;
  readonly inFlightBytesMax: number;
  readonly onClosed: (session: NbdSession) => void;
}

export class NbdSession implements ConnHandler, NbdRequestSink {
  /** Name of the export once transmission began. */
  exportName: string | null = null;
  /** Monotonic; when transmission began. */
  openedMs = 0;

  readonly #conn: Conn;
  readonly #options: NbdSessionOptions;
  readonly #handshake: NbdServerHandshake;
  readonly #decoder = new NbdRequestDecoder();
  readonly #frames = new NbdFrames(SPARE_FRAME_BYTES_MAX);
  readonly #slots = new Pool(() => new NbdSlot((slot, error) => this.#complete(slot, error)), 1024);
  #state: 'negotiating' | 'transmission' | 'draining' | 'closed' = 'negotiating';
  #deadline: Timer;
  #device: BlockDevice | null = null;
  #structuredReplies = false;
  #baseAllocation = false;

  #inFlightBytes = 0;
  #inFlightCount = 0;
  /** Received and not decoded, because the session is paused. */
  #rest: Uint8Array = EMPTY_BYTES;
  #readingPaused = false;
  #sendingFull = false;
  #decoding = false;
  /** The write whose payload is being received, or why it is refused once that has passed. */
  #receiving: NbdSlot | null = null;
  #refusedErrno = 0;

  #batch: Uint8Array[] = [];
  #batchFrames: NbdFrame[] = [];
  #batchBytes = 0;
  readonly #arena = new Uint8Array(REPLY_ARENA_BYTES);
  #arenaBytes = 0;
  #sendScheduled = false;
  #drained: (() => void)[] = [];

  constructor(conn: Conn, options: NbdSessionOptions) {
    this.#conn = conn;
    this.#options = options;
    this.#handshake = new NbdServerHandshake(options.exports);
    this.#deadline = options.clock.after(options.handshakeTimeoutMs, () => {
      this.#close('Client did not finish the negotiation in time');
    });
  }

  start(): void {
    this.#conn.write([this.#handshake.greeting()]);
    this.#conn.start(this);
  }

  /** Serves what was received, sends the replies, then ends the connection. */
  drain(): Promise<void> {
    if (this.#state === 'closed') return Promise.resolve();
    const drained = new Promise<void>((resolve) => this.#drained.push(resolve));
    this.#beginDrain();
    return drained;
  }

  /** Ends the connection at once: what is in flight gets no reply. */
  fail(reason: string): void {
    this.#close(reason);
  }

  onBytes(bytes: Uint8Array): void {
    if (this.#state === 'negotiating') this.#negotiate(bytes);
    else if (this.#state === 'transmission') this.#receive(bytes);
  }

  onDrain(): void {
    this.#sendingFull = false;
    this.#resume();
    if (this.#state === 'draining' && this.#conn.queuedBytes() === 0) this.#settleDrained();
  }

  onClose(_error: HoldfastError | null): void {
    this.#closed();
  }

  // --- negotiation -----------------------------------------------------------------------------

  #negotiate(bytes: Uint8Array): void {
    for (const event of this.#handshake.push(bytes)) {
      this.#takeHandshakeEvent(event, bytes);
      if (this.#state === 'closed') return;
    }
  }

  #takeHandshakeEvent(event: NbdHandshakeEvent, bytes: Uint8Array): void {
    switch (event.kind) {
      case 'send':
        // A client that asks and does not read would make the queue grow.
        if (!this.#conn.write([event.bytes])) this.#close('Client does not read');
        return;
      case 'ended':
        this.#beginDrain();
        return;
      case 'violation':
        this.#close(event.reason);
        return;
      case 'transmission': {
        const device = this.#options.device(event.offer.name);
        if (device === undefined) {
          this.#close('Export is gone');
          return;
        }
        this.#deadline.cancel();
        this.#device = device;
        this.exportName = event.offer.name;
        this.openedMs = this.#options.clock.monotonicMs();
        this.#structuredReplies = event.structuredReplies;
        this.#baseAllocation = event.baseAllocation;
        this.#state = 'transmission';
        if (event.consumed < bytes.byteLength) this.#receive(bytes.subarray(event.consumed));
      }
    }
  }

  // --- requests --------------------------------------------------------------------------------

  #receive(bytes: Uint8Array): void {
    if (this.#rest.byteLength > 0 || this.#decoding) {
      // Delivered although paused: bounded by what was on its way.
      this.#rest = concatBytes([this.#rest, bytes]);
      return;
    }
    const at = this.#decode(bytes, 0);
    if (at < bytes.byteLength && this.#state === 'transmission') {
      // Not slice: of a Buffer, which these bytes may be, that is no copy.
      this.#rest = new Uint8Array(bytes.subarray(at));
    }
    this.#steerReading();
  }

  /** Decodes until the end or until the session must wait; then sends what has gathered. */
  #decode(bytes: Uint8Array, from: number): number {
    const decoder = this.#decoder;
    this.#decoding = true;
    decoder.paused = this.#mustWait();
    const at = decoder.push(bytes, from, this);
    this.#decoding = false;
    if (decoder.violation !== null) this.#close(decoder.violation);
    else this.#send();
    return at;
  }

  #mustWait(): boolean {
    return (
      this.#state !== 'transmission' ||
      this.#sendingFull ||
      this.#heldBytes() >= this.#options.inFlightBytesMax
    );
  }

  /** Without the write that is being received: to wait for that one would be for ever. */
  #heldBytes(): number {
    return this.#inFlightBytes - (this.#receiving?.chargedBytes ?? 0);
  }

  #steerReading(): void {
    if (this.#state !== 'transmission') return;
    const pause = this.#rest.byteLength > 0 || this.#mustWait();
    if (pause === this.#readingPaused) return;
    this.#readingPaused = pause;
    if (pause) this.#conn.pause();
    else this.#conn.resume();
  }

  /** Goes on after a pause, once half of the room is free again. */
  #resume(): void {
    if (this.#decoding || !this.#readingPaused || this.#mustWait()) return;
    if (this.#heldBytes() * 2 > this.#options.inFlightBytesMax) return;
    const rest = this.#rest;
    this.#rest = EMPTY_BYTES;
    if (rest.byteLength > 0) {
      const at = this.#decode(rest, 0);
      if (at < rest.byteLength) this.#rest = concatBytes([rest.subarray(at), this.#rest]);
    }
    this.#steerReading();
  }

  onWriteHeader(): Uint8Array | null {
    const { lengthBytes } = this.#decoder;
    this.#refusedErrno = this.#judge();
    if (this.#refusedErrno !== 0) {
      if (lengthBytes > NBD_SKIP_BYTES_MAX) this.#decoder.violation = 'Write is too long to skip';
      return null;
    }
    const slot = this.#takeSlot(lengthBytes);
    slot.frame = this.#frames.take(lengthBytes);
    this.#receiving = slot;
    return slot.frame.data;
  }

  onRequest(): void {
    const { command, flags, offsetBytes, lengthBytes } = this.#decoder;
    const receiving = this.#receiving;
    this.#receiving = null;
    if (command === NBD_CMD_DISC) {
      this.#beginDrain();
      return;
    }
    // A write was judged by its header: the device may have grown while the payload came.
    const errorNumber = command === NBD_CMD_WRITE ? this.#refusedErrno : this.#judge();
    if (errorNumber !== 0) {
      this.#refuse(errorNumber);
    } else if (command === NBD_CMD_BLOCK_STATUS) {
      this.#blockStatus();
    } else {
      const slot = receiving ?? this.#takeSlot(command === NBD_CMD_READ ? lengthBytes : 0);
      if (command === NBD_CMD_READ) slot.frame = this.#frames.take(lengthBytes);
      slot.prepare(command, flags, offsetBytes, lengthBytes);
      this.#submit(slot);
    }
    if (this.#mustWait()) this.#decoder.paused = true;
    else if (this.#batchBytes > BATCH_BYTES_MAX || this.#batch.length > BATCH_FRAMES_MAX) {
      this.#send();
    }
  }

  #takeSlot(dataBytes: number): NbdSlot {
    const slot = this.#slots.take();
    slot.cookieHigh = this.#decoder.cookieHigh;
    slot.cookieLow = this.#decoder.cookieLow;
    slot.chargedBytes = Math.max(dataBytes, SMALL_REQUEST_BYTES);
    this.#inFlightBytes += slot.chargedBytes;
    this.#inFlightCount++;
    return slot;
  }

  /** The error number of the request in the decoder's fields, 0 when it may go to the device. */
  #judge(): number {
    const { command, flags, offsetBytes, lengthBytes } = this.#decoder;
    const device = this.#openDevice();
    const { capabilities } = device;
    const allowed = ALLOWED_FLAGS[command];
    if (allowed === undefined || (flags & ~allowed) !== 0) return NBD_EINVAL;
    if ((flags & NBD_CMD_FLAG_FUA) !== 0 && !capabilities.fua) return NBD_EINVAL;
    if ((flags & NBD_CMD_FLAG_DF) !== 0 && !this.#structuredReplies) return NBD_EINVAL;
    if (command === NBD_CMD_FLUSH) {
      return capabilities.flush && offsetBytes === 0 && lengthBytes === 0 ? 0 : NBD_EINVAL;
    }
    const changes = command !== NBD_CMD_READ && command !== NBD_CMD_BLOCK_STATUS;
    if (command === NBD_CMD_TRIM && !capabilities.trim) return NBD_EINVAL;
    if (command === NBD_CMD_WRITE_ZEROES && !capabilities.zero) return NBD_EINVAL;
    if (command === NBD_CMD_BLOCK_STATUS && !this.#baseAllocation) return NBD_EINVAL;
    if (changes && capabilities.readOnly) return NBD_EPERM;
    // An empty range counts as one out of range, as with nbdkit.
    if (lengthBytes === 0 || offsetBytes + lengthBytes > device.sizeBytes) {
      const grows = command === NBD_CMD_WRITE || command === NBD_CMD_WRITE_ZEROES;
      return grows ? NBD_ENOSPC : NBD_EINVAL;
    }
    const carries = command === NBD_CMD_READ || command === NBD_CMD_WRITE;
    if (carries && lengthBytes > NBD_REQUEST_BYTES_MAX) return NBD_ENOMEM;
    if ((flags & NBD_CMD_FLAG_FAST_ZERO) !== 0 && !capabilities.fastZero) return NBD_ENOTSUP;
    return 0;
  }

  #openDevice(): BlockDevice {
    assert(this.#device !== null, 'a session in transmission has a device');
    return this.#device;
  }

  /** The next piece of a request: the whole of it unless it is longer than the device takes. */
  #submit(slot: NbdSlot): void {
    const { request } = slot;
    const device = this.#openDevice();
    const data = slot.frame?.data ?? EMPTY_BYTES;
    const { maxBytes } = device.limits;
    if (data.byteLength <= maxBytes) {
      request.data = data;
    } else {
      const end = Math.min(data.byteLength, slot.doneBytes + maxBytes);
      request.data = data.subarray(slot.doneBytes, end);
      request.offsetBytes = slot.offsetBytes + slot.doneBytes;
      request.lengthBytes = end - slot.doneBytes;
    }
    beginTrace(device, request, 'src/data/frontend', 'nbd');
    device.submit(request);
  }

  #complete(slot: NbdSlot, error: HoldfastError | null): void {
    if (slot.frame !== null && slot.request.data.buffer !== slot.frame.bytes.buffer) {
      slot.frame = movedFrame(slot.frame, slot.doneBytes, slot.request.data);
    }
    if (error === null && slot.frame !== null) {
      slot.doneBytes += slot.request.lengthBytes;
      if (slot.doneBytes < slot.frame.data.byteLength) {
        this.#submit(slot);
        return;
      }
    }
    if (this.#state !== 'closed') {
      if (error === null) this.#replyDone(slot);
      else this.#replyError(slot, error);
    } else if (slot.frame !== null) {
      this.#frames.give(slot.frame);
    }
    this.#release(slot);
  }

  #release(slot: NbdSlot): void {
    this.#inFlightBytes -= slot.chargedBytes;
    this.#inFlightCount--;
    slot.clear();
    this.#slots.give(slot);
    if (this.#decoding) return;
    this.#scheduleSend();
  }

  #blockStatus(): void {
    const { flags, offsetBytes, lengthBytes } = this.#decoder;
    const slot = this.#takeSlot(0);
    slot.prepare(NBD_CMD_BLOCK_STATUS, flags, offsetBytes, lengthBytes);
    const device = this.#openDevice();
    const whole: BlockExtent[] = [{ offsetBytes, lengthBytes, kind: 'data' }];
    const extents = device.capabilities.extents
      ? device.extents(offsetBytes, lengthBytes)
      : Promise.resolve(whole);
    extents.then(
      (found) => {
        if (this.#state !== 'closed') this.#replyStatus(slot, found, flags);
        this.#release(slot);
      },
      (error: unknown) => {
        if (!HoldfastError.is(error)) throw error;
        this.#complete(slot, error);
      },
    );
  }

  // --- replies ---------------------------------------------------------------------------------

  #replyDone(slot: NbdSlot): void {
    const { frame, cookieHigh, cookieLow } = slot;
    if (frame === null || slot.command !== NBD_CMD_READ) {
      if (frame !== null) this.#frames.give(frame);
      this.#replySimple(0, cookieHigh, cookieLow);
      return;
    }
    const { bytes, data } = frame;
    if (this.#structuredReplies) {
      encodeOffsetData(bytes, 0, cookieHigh, cookieLow, slot.offsetBytes, data.byteLength);
      this.#batch.push(frame.structuredReply);
    } else {
      encodeSimpleReply(frame.simpleReply, 0, 0, cookieHigh, cookieLow);
      this.#batch.push(frame.simpleReply);
    }
    this.#batchFrames.push(frame);
    this.#batchBytes += data.byteLength;
  }

  #replyError(slot: NbdSlot, error: HoldfastError): void {
    const { command, frame, cookieHigh, cookieLow } = slot;
    if (frame !== null) this.#frames.give(frame);
    const { verb, offsetBytes, lengthBytes } = slot.request;
    this.#options.log.warn('NBD request failed', {
      export: this.exportName,
      verb,
      offsetBytes,
      lengthBytes,
      code: error.code,
    });
    const grows = command === NBD_CMD_WRITE || command === NBD_CMD_WRITE_ZEROES;
    const errorNumber = grows && error.code === 'out-of-range' ? NBD_ENOSPC : NBD_ERRNO[error.code];
    this.#replyErrno(command, errorNumber, cookieHigh, cookieLow, error.message);
  }

  #refuse(errorNumber: number): void {
    const { command, cookieHigh, cookieLow } = this.#decoder;
    this.#replyErrno(command, errorNumber, cookieHigh, cookieLow, 'Request is refused');
  }

  /**
   * A read must be answered by a chunk once structured replies were negotiated; others need not.
   */
  #replyErrno(
    command: number,
    errorNumber: number,
    cookieHigh: number,
    cookieLow: number,
    message: string,
  ): void {
    const chunk = command === NBD_CMD_READ || command === NBD_CMD_BLOCK_STATUS;
    if (!this.#structuredReplies || !chunk) {
      this.#replySimple(errorNumber, cookieHigh, cookieLow);
      return;
    }
    const reply = encodeErrorReply(errorNumber, cookieHigh, cookieLow, encodeText(message));
    this.#batch.push(reply);
    this.#batchBytes += reply.byteLength;
  }

  #replySimple(errorNumber: number, cookieHigh: number, cookieLow: number): void {
    if (this.#arenaBytes + NBD_SIMPLE_REPLY_BYTES > REPLY_ARENA_BYTES) this.#send();
    encodeSimpleReply(this.#arena, this.#arenaBytes, errorNumber, cookieHigh, cookieLow);
    this.#arenaBytes += NBD_SIMPLE_REPLY_BYTES;
  }

  #replyStatus(slot: NbdSlot, extents: readonly BlockExtent[], flags: number): void {
    const one = (flags & NBD_CMD_FLAG_REQ_ONE) !== 0;
    const statuses: NbdBlockStatus[] = extents
      .slice(0, one ? 1 : STATUS_COUNT_MAX)
      .map(({ lengthBytes, kind }) => ({ lengthBytes, state: STATES[kind] }));
    const reply = encodeBlockStatus(slot.cookieHigh, slot.cookieLow, BASE_ALLOCATION_ID, statuses);
    this.#batch.push(reply);
    this.#batchBytes += reply.byteLength;
  }

  /** Completions that come by themselves gather until the turn is over. */
  #scheduleSend(): void {
    if (this.#sendScheduled) return;
    this.#sendScheduled = true;
    this.#options.clock.defer(() => {
      this.#sendScheduled = false;
      if (this.#state === 'closed') return;
      this.#send();
      this.#resume();
      if (this.#state === 'draining') this.#endWhenIdle();
    });
  }

  #send(): void {
    if (this.#arenaBytes > 0) this.#batch.push(this.#arena.subarray(0, this.#arenaBytes));
    if (this.#batch.length === 0) return;
    const batch = this.#batch;
    if (!this.#conn.write(batch)) {
      this.#sendingFull = true;
      this.#decoder.paused = true;
    }
    for (const frame of this.#batchFrames) this.#frames.give(frame);
    batch.length = 0;
    this.#batchFrames.length = 0;
    this.#batchBytes = 0;
    this.#arenaBytes = 0;
    if (this.#sendingFull && !this.#decoding) this.#steerReading();
  }

  // --- the end ---------------------------------------------------------------------------------

  #beginDrain(): void {
    if (this.#state === 'closed' || this.#state === 'draining') return;
    this.#state = 'draining';
    this.#decoder.paused = true;
    this.#rest = EMPTY_BYTES;
    this.#dropReceiving();
    this.#deadline.cancel();
    this.#scheduleSend();
  }

  #endWhenIdle(): void {
    if (this.#inFlightCount > 0) return;
    this.#conn.end();
    this.#deadline.cancel();
    this.#deadline = this.#options.clock.after(LINGER_MS, () => this.#close('Client lingers'));
    // Reading goes on, so that the peer's own end is seen.
    if (this.#readingPaused) this.#conn.resume();
    this.#readingPaused = false;
    if (this.#conn.queuedBytes() === 0) this.#settleDrained();
  }

  #dropReceiving(): void {
    const slot = this.#receiving;
    if (slot === null) return;
    this.#receiving = null;
    this.#inFlightBytes -= slot.chargedBytes;
    this.#inFlightCount--;
  }

  #close(reason: string): void {
    if (this.#state === 'closed') return;
    this.#options.log.info('NBD session closed', { peer: this.#conn.peer, reason });
    this.#conn.close();
    this.#closed();
  }

  #closed(): void {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    this.#decoder.paused = true;
    this.#deadline.cancel();
    this.#dropReceiving();
    this.#rest = EMPTY_BYTES;
    this.#batch.length = 0;
    this.#batchFrames.length = 0;
    this.#settleDrained();
    this.#options.onClosed(this);
  }

  #settleDrained(): void {
    for (const resolve of this.#drained.splice(0)) resolve();
  }
}

/** Flags that a command may carry, as nbdkit judges them; a command that is absent is unknown. */
const ALLOWED_FLAGS: Readonly<Record<number, number>> = {
  [NBD_CMD_READ]: NBD_CMD_FLAG_FUA | NBD_CMD_FLAG_DF,
  [NBD_CMD_WRITE]: NBD_CMD_FLAG_FUA,
  [NBD_CMD_FLUSH]: NBD_CMD_FLAG_FUA,
  [NBD_CMD_TRIM]: NBD_CMD_FLAG_FUA,
  [NBD_CMD_WRITE_ZEROES]: NBD_CMD_FLAG_FUA | NBD_CMD_FLAG_NO_HOLE | NBD_CMD_FLAG_FAST_ZERO,
  [NBD_CMD_BLOCK_STATUS]: NBD_CMD_FLAG_FUA | NBD_CMD_FLAG_REQ_ONE,
};

const VERBS: Readonly<Record<number, BlockRequest['verb']>> = {
  [NBD_CMD_READ]: 'read',
  [NBD_CMD_WRITE]: 'write',
  [NBD_CMD_FLUSH]: 'flush',
  [NBD_CMD_TRIM]: 'trim',
  [NBD_CMD_WRITE_ZEROES]: 'zero',
  [NBD_CMD_BLOCK_STATUS]: 'read',
};

/**
 * A frame with the bytes that came back in an array of their own. The first still belongs to a
 * disk that hangs, so it is never used again.
 */
function movedFrame(frame: NbdFrame, at: number, data: Uint8Array): NbdFrame {
  const moved = new NbdFrame(frame.capacityBytes);
  moved.setLength(frame.data.byteLength);
  moved.data.set(frame.data);
  moved.data.set(data, at);
  return moved;
}

const STATES: Readonly<Record<BlockExtent['kind'], number>> = {
  data: 0,
  zero: NBD_STATE_ZERO,
  hole: NBD_STATE_HOLE | NBD_STATE_ZERO,
};

/** A request in flight, used again and again. */
class NbdSlot {
  readonly request = createRequest();
  command = 0;
  cookieHigh = 0;
  cookieLow = 0;
  offsetBytes = 0;
  chargedBytes = 0;
  /** Of a transfer longer than the device takes at once: what is done. */
  doneBytes = 0;
  /** Read: to be filled. Write: the payload. Otherwise null. */
  frame: NbdFrame | null = null;

  constructor(complete: (slot: NbdSlot, error: HoldfastError | null) => void) {
    this.request.done = (_request, error) => complete(this, error);
  }

  prepare(command: number, flags: number, offsetBytes: number, lengthBytes: number): void {
    const { request } = this;
    this.command = command;
    this.offsetBytes = offsetBytes;
    request.verb = VERBS[command] ?? 'read';
    request.offsetBytes = offsetBytes;
    request.lengthBytes = lengthBytes;
    request.fua = (flags & NBD_CMD_FLAG_FUA) !== 0 && command !== NBD_CMD_READ;
    request.keepAllocated = (flags & NBD_CMD_FLAG_NO_HOLE) !== 0;
  }

  clear(): void {
    this.frame = null;
    this.doneBytes = 0;
    this.request.data = EMPTY_BYTES;
  }
}
