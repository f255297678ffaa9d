/**
 * An export of some NBD server as a BlockDevice: for a plain user's tour and for tests.
 *
 *     const device = await NbdClientDevice.connect(host, { kind: 'unix', path }, 'demo');
 *
 * One connection, any number of requests in flight. What was in flight when it breaks fails with
 * `disconnected`, a change with effect unknown; it does not connect again. Trim reads as zero only
 * where the server makes it so, as ours does.
 */
import { type ErrorCode, type ErrorDetails, HoldfastError } from '#api/mod.ts';
import {
  type BlockCapabilities,
  type BlockDevice,
  type BlockExtent,
  type BlockLimits,
  type BlockRequest,
  checkRequest,
  createRequest,
} from '#data/block/mod.ts';
import {
  encodeRequest,
  NBD_CMD_BLOCK_STATUS,
  NBD_CMD_DISC,
  NBD_CMD_FLAG_FUA,
  NBD_CMD_FLAG_NO_HOLE,
  NBD_CMD_FLUSH,
  NBD_CMD_READ,
  NBD_CMD_TRIM,
  NBD_CMD_WRITE,
  NBD_CMD_WRITE_ZEROES,
  NBD_FLAG_READ_ONLY,
  NBD_FLAG_SEND_FAST_ZERO,
  NBD_FLAG_SEND_FLUSH,
  NBD_FLAG_SEND_FUA,
  NBD_FLAG_SEND_TRIM,
  NBD_FLAG_SEND_WRITE_ZEROES,
  NBD_REQUEST_BYTES,
  NBD_STATE_HOLE,
  NBD_STATE_ZERO,
  type NbdBlockStatus,
  NbdClientHandshake,
  type NbdClientHandshakeEvent,
  type NbdExportTerms,
  NbdReplyDecoder,
  type NbdReplySink,
} from '#data/proto/nbd/mod.ts';
import type { Address, Clock, Conn, ConnHandler, Host } from '#host/mod.ts';
import { assert, Deferred, EMPTY_BYTES } from '#lib/mod.ts';
import { codeOfErrno } from './nbd-errno.ts';

/** Trim, zero and block status have a 32-bit length; a power of two keeps the pieces aligned. */
const PIECE_BYTES_MAX = 1 << 30;
/** What a server that says nothing may be given ("Block size constraints"). */
const DEFAULT_LIMITS: BlockLimits = {
  minBytes: 1,
  preferredBytes: 4096,
  maxBytes: 32 * 1024 * 1024,
};
const COMMANDS: Readonly<Record<BlockRequest['verb'], number>> = {
  read: NBD_CMD_READ,
  write: NBD_CMD_WRITE,
  flush: NBD_CMD_FLUSH,
  trim: NBD_CMD_TRIM,
  zero: NBD_CMD_WRITE_ZEROES,
};

export class NbdClientDevice implements BlockDevice {
  readonly sizeBytes: number;
  readonly limits: BlockLimits;
  readonly capabilities: BlockCapabilities;
  readonly #link: NbdLink;
  #closed = false;

  private constructor(link: NbdLink, terms: NbdExportTerms) {
    const { flags, blockSize = DEFAULT_LIMITS } = terms;
    const offers = (flag: number): boolean => (flags & flag) !== 0;
    const minBytes = terms.sizeBytes % blockSize.minBytes === 0 ? blockSize.minBytes : 1;
    const maxBytes = Math.min(blockSize.maxBytes, DEFAULT_LIMITS.maxBytes);
    this.#link = link;
    this.sizeBytes = terms.sizeBytes;
    this.limits = {
      minBytes,
      preferredBytes: Math.max(minBytes, blockSize.preferredBytes),
      maxBytes: Math.max(minBytes, maxBytes - (maxBytes % minBytes)),
    };
    this.capabilities = {
      trim: offers(NBD_FLAG_SEND_TRIM),
      zero: offers(NBD_FLAG_SEND_WRITE_ZEROES),
      fastZero: offers(NBD_FLAG_SEND_FAST_ZERO),
      flush: offers(NBD_FLAG_SEND_FLUSH),
      fua: offers(NBD_FLAG_SEND_FUA),
      extents: terms.contextId !== null,
      readOnly: offers(NBD_FLAG_READ_ONLY),
    };
  }

  /**
   * Rejects with `not-found` (no such export), `refused`, `protocol-violation`, `timed-out`, and
   * what
   * `Net.connect` says. `timeoutMs` (default 10 s) covers connection and negotiation.
   */
  static async connect(
    host: Pick<Host, 'net' | 'clock'>,
    address: Address,
    exportName: string,
    options: { readonly timeoutMs?: number } = {},
  ): Promise<NbdClientDevice> {
    const timeoutMs = options.timeoutMs ?? 10_000;
    const conn = await host.net.connect(address, { timeoutMs });
    const link = new NbdLink(conn, host.clock, exportName);
    const timer = host.clock.after(timeoutMs, () => {
      link.fail('timed-out', 'Server did not finish the negotiation in time');
    });
    try {
      return new NbdClientDevice(link, await link.open());
    } finally {
      timer.cancel();
    }
  }

  submit(request: BlockRequest): void {
    const error = this.#closed ? closedError() : checkRequest(this, request);
    if (error === null) this.#link.submit(request);
    else request.done(request, error);
  }

  async extents(offsetBytes: number, lengthBytes: number): Promise<BlockExtent[]> {
    const extents: BlockExtent[] = [];
    const end = Math.min(offsetBytes + lengthBytes, this.sizeBytes);
    let at = offsetBytes;
    while (at < end) {
      if (this.#closed) throw closedError();
      const statuses = this.capabilities.extents
        ? await this.#link.blockStatus(at, Math.min(end - at, PIECE_BYTES_MAX))
        : [{ lengthBytes: end - at, state: 0 }];
      const before = at;
      for (const { lengthBytes: told, state } of statuses) {
        // The last one may reach beyond what was asked.
        const length = Math.min(told, end - at);
        if (length > 0) appendStatus(extents, at, length, state);
        at += length;
      }
      if (at === before) throw new HoldfastError('protocol-violation', 'Block status is empty');
    }
    return extents;
  }

  /** Waits for the replies, says NBD_CMD_DISC and ends the connection. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#link.close();
  }
}

function closedError(): HoldfastError {
  return new HoldfastError('aborted', 'Device is closed');
}

function appendStatus(
  extents: BlockExtent[],
  offsetBytes: number,
  lengthBytes: number,
  state: number,
): void {
  const zero = (state & NBD_STATE_ZERO) !== 0;
  const kind = !zero ? 'data' : (state & NBD_STATE_HOLE) !== 0 ? 'hole' : 'zero';
  const last = extents.at(-1);
  if (last?.kind === kind) {
    extents.pop();
    extents.push({ ...last, lengthBytes: last.lengthBytes + lengthBytes });
  } else {
    extents.push({ offsetBytes, lengthBytes, kind });
  }
}

/** The connection: slots by cookie, requests gathered into one write a turn. */
class NbdLink implements ConnHandler, NbdReplySink {
  readonly #conn: Conn;
  readonly #clock: Clock;
  readonly #exportName: string;
  readonly #handshake: NbdClientHandshake;
  readonly #decoder = new NbdReplyDecoder();
  readonly #opened = new Deferred<NbdExportTerms>();
  #open = false;
  #broken: HoldfastError | null = null;

  readonly #slots: ClientSlot[] = [];
  readonly #free: ClientSlot[] = [];
  #idle: (() => void)[] = [];

  #batch: Uint8Array[] = [];
  #sendScheduled = false;
  #sendingFull = false;

  constructor(conn: Conn, clock: Clock, exportName: string) {
    this.#conn = conn;
    this.#clock = clock;
    this.#exportName = exportName;
    this.#handshake = new NbdClientHandshake(exportName);
  }

  open(): Promise<NbdExportTerms> {
    this.#conn.start(this);
    return this.#opened.promise;
  }

  submit(request: BlockRequest): void {
    if (this.#broken !== null) {
      request.done(request, this.#broken);
      return;
    }
    const slot = this.#take(request);
    this.#send(slot);
  }

  async blockStatus(offsetBytes: number, lengthBytes: number): Promise<readonly NbdBlockStatus[]> {
    if (this.#broken !== null) throw this.#broken;
    const request = createRequest();
    const statuses: NbdBlockStatus[] = [];
    const answered = new Promise<void>((resolve, reject) => {
      request.done = (_request, error) => {
        if (error === null) resolve();
        else reject(error);
      };
    });
    const slot = this.#take({ ...request, verb: 'read', offsetBytes, lengthBytes });
    slot.statuses = statuses;
    this.#send(slot);
    await answered;
    return statuses;
  }

  async close(): Promise<void> {
    if (this.#broken !== null) return;
    if (this.#slots.length > this.#free.length) {
      await new Promise<void>((resolve) => this.#idle.push(resolve));
    }
    if (this.#broken !== null) return;
    const bytes = new Uint8Array(NBD_REQUEST_BYTES);
    encodeRequest(bytes, NBD_CMD_DISC, 0, 0, 0, 0);
    this.#conn.write([bytes]);
    this.#conn.end();
  }

  fail(code: ErrorCode, message: string, details: ErrorDetails = {}): void {
    this.#conn.close();
    this.#break(new HoldfastError(code, message, { details }));
  }

  onBytes(bytes: Uint8Array): void {
    if (this.#open) {
      this.#receive(bytes);
      return;
    }
    for (const event of this.#handshake.push(bytes)) this.#takeHandshakeEvent(event, bytes);
  }

  onDrain(): void {
    this.#sendingFull = false;
    this.#flushBatch();
  }

  onClose(error: HoldfastError | null): void {
    this.#break(error ?? new HoldfastError('disconnected', 'Server ended the connection'));
  }

  onSimple(cookie: number, errorNumber: number): Uint8Array | null {
    const slot = this.#find(cookie);
    if (slot === null) return null;
    if (errorNumber !== 0) slot.errorNumber = errorNumber;
    const data = slot.request.verb === 'read' && slot.statuses === null && errorNumber === 0;
    return data ? slot.request.data : EMPTY_BYTES;
  }

  onData(cookie: number, offsetBytes: number, lengthBytes: number): Uint8Array | null {
    const request = this.#find(cookie)?.request;
    if (request === undefined || request.verb !== 'read') return null;
    const at = offsetBytes - request.offsetBytes;
    if (at < 0 || at + lengthBytes > request.data.byteLength) return null;
    return request.data.subarray(at, at + lengthBytes);
  }

  onBlockStatus(cookie: number, statuses: readonly NbdBlockStatus[]): void {
    this.#find(cookie)?.statuses?.push(...statuses);
  }

  onError(cookie: number, errorNumber: number): void {
    const slot = this.#find(cookie);
    if (slot !== null) slot.errorNumber = errorNumber;
  }

  onDone(cookie: number): void {
    const slot = this.#find(cookie);
    if (slot === null) {
      this.fail('protocol-violation', 'Server answered a request that was not asked');
      return;
    }
    const { request } = slot;
    if (slot.errorNumber === 0) {
      slot.doneBytes += slot.pieceBytes;
      if (slot.doneBytes < request.lengthBytes && slot.statuses === null) {
        this.#send(slot);
        return;
      }
      this.#finish(slot, null);
      return;
    }
    const code = codeOfErrno(slot.errorNumber);
    const { verb, offsetBytes, lengthBytes } = request;
    const details = { verb, offsetBytes, lengthBytes, errorNumber: slot.errorNumber };
    const effect = verb === 'read' ? 'none' : 'unknown';
    this.#finish(
      slot,
      new HoldfastError(code, 'Server answered with an error', { details, effect }),
    );
  }

  #takeHandshakeEvent(event: NbdClientHandshakeEvent, bytes: Uint8Array): void {
    switch (event.kind) {
      case 'send':
        this.#conn.write([event.bytes]);
        return;
      case 'refused':
        this.fail(event.unknown ? 'not-found' : 'refused', 'Server refused the export', {
          export: this.#exportName.slice(0, 80),
          remedy: 'Ask the server for its exports: nbdinfo --list',
        });
        return;
      case 'violation':
        this.fail('protocol-violation', event.reason);
        return;
      case 'transmission':
        this.#open = true;
        this.#opened.resolve(event.terms);
        if (event.consumed < bytes.byteLength) this.#receive(bytes.subarray(event.consumed));
    }
  }

  #receive(bytes: Uint8Array): void {
    this.#decoder.push(bytes, this);
    if (this.#decoder.violation !== null) this.fail('protocol-violation', this.#decoder.violation);
  }

  #take(request: BlockRequest): ClientSlot {
    let slot = this.#free.pop();
    if (slot === undefined) {
      slot = new ClientSlot(this.#slots.length);
      this.#slots.push(slot);
    }
    slot.request = request;
    slot.busy = true;
    return slot;
  }

  #find(cookie: number): ClientSlot | null {
    const slot = this.#slots[cookie];
    return slot?.busy === true ? slot : null;
  }

  /** The whole request, or its next piece. */
  #send(slot: ClientSlot): void {
    const { request } = slot;
    const { verb } = request;
    slot.pieceBytes =
      verb === 'trim' || verb === 'zero'
        ? Math.min(request.lengthBytes - slot.doneBytes, PIECE_BYTES_MAX)
        : request.lengthBytes;
    const flags =
      (request.fua && verb !== 'read' ? NBD_CMD_FLAG_FUA : 0) |
      (request.keepAllocated && verb === 'zero' ? NBD_CMD_FLAG_NO_HOLE : 0);
    const command = slot.statuses === null ? COMMANDS[verb] : NBD_CMD_BLOCK_STATUS;
    const offset = verb === 'flush' ? 0 : request.offsetBytes + slot.doneBytes;
    encodeRequest(slot.header, command, flags, slot.cookie, offset, slot.pieceBytes);
    this.#batch.push(slot.header);
    if (verb === 'write') this.#batch.push(request.data);
    if (this.#sendScheduled || this.#sendingFull) return;
    this.#sendScheduled = true;
    this.#clock.defer(() => {
      this.#sendScheduled = false;
      if (!this.#sendingFull) this.#flushBatch();
    });
  }

  #flushBatch(): void {
    if (this.#broken !== null || this.#batch.length === 0) return;
    if (!this.#conn.write(this.#batch)) this.#sendingFull = true;
    this.#batch.length = 0;
  }

  #finish(slot: ClientSlot, error: HoldfastError | null): void {
    const { request } = slot;
    assert(slot.busy, 'a request is completed once');
    slot.clear();
    this.#free.push(slot);
    request.done(request, error);
    if (this.#free.length === this.#slots.length) {
      for (const resolve of this.#idle.splice(0)) resolve();
    }
  }

  #break(error: HoldfastError): void {
    if (this.#broken !== null) return;
    this.#broken = error;
    this.#batch.length = 0;
    this.#opened.reject(error);
    for (const slot of this.#slots) {
      if (!slot.busy) continue;
      const effect = slot.request.verb === 'read' ? 'none' : 'unknown';
      this.#finish(
        slot,
        new HoldfastError('disconnected', 'Connection broke', { effect, cause: error }),
      );
    }
  }
}

const IDLE = createRequest();

class ClientSlot {
  readonly cookie: number;
  readonly header = new Uint8Array(NBD_REQUEST_BYTES);
  request: BlockRequest = IDLE;
  busy = false;
  errorNumber = 0;
  pieceBytes = 0;
  doneBytes = 0;
  /** Only of a block status request. */
  statuses: NbdBlockStatus[] | null = null;

  constructor(cookie: number) {
    this.cookie = cookie;
  }

  clear(): void {
    this.request = IDLE;
    this.busy = false;
    this.errorNumber = 0;
    this.pieceBytes = 0;
    this.doneBytes = 0;
    this.statuses = null;
  }
}
