/**
 * RemoteMember: a session with a replica of another process, over one connection.
 *
 * - Hot verbs: the caller's request object waits in a slot; write data goes from the caller's
 *   memory into the socket, read data from the receive buffer into the caller's memory. What is
 *   submitted in one turn leaves in one write. Nothing is allocated in steady state but views.
 * - Order: everything leaves in the order in which it was asked for.
 * - Half-open: a ping goes out after `busyPingTicks` without a byte when something is outstanding,
 *   else after `idlePingTicks`; after `lostTicks` without a byte the session is lost.
 * - When the session is lost everything pending fails, effect unknown, and nothing is sent again.
 *   The replica's own reason (`fenced`, `stale-session`, `replica-failed`) is passed on if it came.
 */
import {
  type Generation,
  HoldfastError,
  type LayerRef,
  type MembershipRecord,
  type ReplicaId,
  type ReplicaState,
  type ReplicaUsage,
  type ScrubReport,
  type SegmentInspection,
  type SnapshotId,
  type StampedSegment,
  type VoterState,
} from '#api/mod.ts';
import { type BlockExtent, REPLICA_IO_BYTES, type ReplicaRequest } from '#data/block/mod.ts';
import type { Member } from '#data/member/mod.ts';
import {
  ANSWER_BYTES_MAX,
  COLD_VERBS,
  type ColdBodies,
  type ColdName,
  decodeJson,
  encodeJson,
  FLAG_ERROR,
  FLAG_MORE,
  FLAG_REPLY,
  FRAME,
  type Frame,
  FrameBatch,
  FrameDecoder,
  type Hello,
  PROTOCOL_MAX,
  PROTOCOL_MIN,
  readError,
  readWelcome,
  type Welcome,
} from '#data/proto/peer/mod.ts';
import type { Clock, Conn, Log } from '#host/mod.ts';
import {
  assert,
  concatBytes,
  CRC_BLOCK_BYTES,
  Deferred,
  EMPTY_BYTES,
  encodeText,
  joinBlockCrcs,
} from '#lib/mod.ts';
import { type PeerLimits, untilTickMs } from './peer-limits.ts';

/** Low half of a request id: its slot; high half: how often the slot was used. */
const SLOTS_MAX = 0x1_0000;

/** One thing that was asked for and is not answered yet. */
class Slot {
  readonly index: number;
  uses = 0;
  busy = false;
  type = 0;
  request: ReplicaRequest | null = null;
  payload: Uint8Array = EMPTY_BYTES;
  answer: Deferred<Uint8Array> | null = null;
  parts: Uint8Array[] = [];
  partsBytes = 0;
  epoch = 0;
  n = 0;

  constructor(index: number) {
    this.index = index;
  }

  get id(): number {
    return this.uses * SLOTS_MAX + this.index;
  }
}

export interface RemoteMemberOptions {
  readonly conn: Conn;
  readonly clock: Clock;
  readonly log: Log;
  readonly limits: PeerLimits;
  readonly cluster: string;
  readonly volume: string;
  readonly replica: ReplicaId;
  /** For the replica's logs: who we are. */
  readonly client: string;
}

export class RemoteMember implements Member {
  readonly replica: ReplicaId;
  readonly voter: ReplicaId;
  readonly #options: RemoteMemberOptions;
  readonly #conn: Conn;
  readonly #decoder = new FrameDecoder((frame) => this.#place(frame));
  readonly #batch: FrameBatch;
  readonly #slots: Slot[] = [];
  readonly #spare: Slot[] = [];
  /** Not sent yet, in order; `#queueAt` is the next. */
  readonly #queue: Slot[] = [];
  #queueAt = 0;
  #outstanding = 0;
  #draining = false;
  #receiving = false;
  #flushQueued = false;
  #welcome: Welcome | null = null;
  readonly #opened = new Deferred<void>();
  #lost: HoldfastError | null = null;
  #onLost: ((error: HoldfastError) => void) | null = null;
  #heard = false;
  #silentTicks = 0;
  readonly #layers = new Map<string, Uint8Array>();

  private constructor(options: RemoteMemberOptions) {
    this.#options = options;
    this.replica = options.replica;
    this.voter = options.replica;
    this.#conn = options.conn;
    this.#batch = new FrameBatch((chunks) => this.#conn.write(chunks));
  }

  /** Says hello and resolves when the replica proved to be the one that is meant (W8). */
  static async open(options: RemoteMemberOptions, timeoutMs: number): Promise<RemoteMember> {
    const member = new RemoteMember(options);
    const timer = options.clock.after(timeoutMs, () => {
      member.#lose(new HoldfastError('timed-out', 'Replica did not answer the hello in time'));
    });
    member.#start();
    try {
      await member.#opened.promise;
    } finally {
      timer.cancel();
    }
    return member;
  }

  #start(): void {
    const { cluster, volume, replica, client } = this.#options;
    this.#conn.start({
      onBytes: (bytes) => this.#onBytes(bytes),
      onDrain: () => {
        this.#draining = false;
        this.#send();
      },
      onClose: (error) => this.#lose(lostError(error)),
    });
    const hello: Hello = {
      protocolMin: PROTOCOL_MIN,
      protocolMax: PROTOCOL_MAX,
      cluster,
      volume,
      replica,
      client: client.slice(0, 256),
      capabilities: [],
      auth: { scheme: 'none', token: '' },
    };
    this.#batch.add({ type: FRAME.hello }, encodeJson(hello));
    this.#batch.flush();
  }

  get state(): ReplicaState {
    assert(this.#welcome !== null, 'a member is handed out after its hello');
    return this.#welcome.state;
  }

  onLost(listener: (error: HoldfastError) => void): void {
    assert(this.#onLost === null, 'a session has one listener');
    this.#onLost = listener;
  }

  close(): void {
    this.#finish(new HoldfastError('aborted', 'Session was closed', { effect: 'unknown' }));
  }

  // --- hot path
  // -----------------------------------------------------------------------------------------

  submit(request: ReplicaRequest): void {
    if (this.#lost !== null) {
      request.done(untouched(this.#lost));
      return;
    }
    const { verb } = request;
    if (verb === 'read' || verb === 'write') {
      assert(request.lengthBytes <= REPLICA_IO_BYTES, 'a read or write fits REPLICA_IO_BYTES');
      assert(request.data.byteLength === request.lengthBytes, 'data has the length of the request');
    }
    const slot = this.#takeSlot(FRAME[verb]);
    slot.request = request;
    request.trace?.add('src/data/proto/peer', 'sent to another engine');
    this.#queue.push(slot);
    this.#sendSoon();
  }

  #takeSlot(type: number): Slot {
    let slot = this.#spare.pop();
    if (slot === undefined) {
      assert(this.#slots.length < SLOTS_MAX, 'fewer than 65,536 requests are in flight');
      slot = new Slot(this.#slots.length);
      this.#slots.push(slot);
    }
    slot.uses = (slot.uses + 1) % SLOTS_MAX;
    slot.busy = true;
    slot.type = type;
    this.#outstanding += 1;
    return slot;
  }

  #freeSlot(slot: Slot): void {
    slot.busy = false;
    slot.request = null;
    slot.answer = null;
    slot.payload = EMPTY_BYTES;
    if (slot.partsBytes > 0) {
      slot.parts = [];
      slot.partsBytes = 0;
    }
    this.#outstanding -= 1;
    this.#spare.push(slot);
  }

  #sendSoon(): void {
    if (this.#flushQueued || this.#receiving || this.#draining) return;
    this.#flushQueued = true;
    this.#options.clock.defer(() => {
      this.#flushQueued = false;
      this.#send();
    });
  }

  #send(): void {
    while (this.#queueAt < this.#queue.length && !this.#draining && this.#lost === null) {
      if (this.#batch.full) {
        if (!this.#batch.flush()) this.#draining = true;
        continue;
      }
      const slot = this.#queue[this.#queueAt] as Slot;
      this.#queueAt += 1;
      this.#addFrame(slot);
    }
    if (this.#queueAt === this.#queue.length) {
      this.#queue.length = 0;
      this.#queueAt = 0;
    }
    if (this.#lost === null && !this.#batch.flush()) this.#draining = true;
  }

  #addFrame(slot: Slot): void {
    const { request, type } = slot;
    if (request === null) {
      this.#batch.addHot(type, 0, slot.id, 0, 0, slot.epoch, slot.n, EMPTY_BYTES, slot.payload);
      // Rule 9 is told, not asked: there is no answer to wait for.
      if (type === FRAME.complete) this.#freeSlot(slot);
      return;
    }
    const { stampEpoch, stampN, offsetBytes, lengthBytes } = request;
    const data = type === FRAME.write ? request.data : EMPTY_BYTES;
    const layer = request.layer === null ? EMPTY_BYTES : this.#layerName(request.layer);
    const { id } = slot;
    const crcs = request.blockCrcs ?? null;
    const crc =
      type === FRAME.write && crcs !== null
        ? joinBlockCrcs(crcs, lengthBytes / CRC_BLOCK_BYTES)
        : -1;
    this.#batch.addHot(type, 0, id, offsetBytes, lengthBytes, stampEpoch, stampN, layer, data, crc);
  }

  #layerName(layer: SnapshotId): Uint8Array {
    let name = this.#layers.get(layer);
    if (name === undefined) {
      name = encodeText(layer);
      if (this.#layers.size >= 1024) this.#layers.clear();
      this.#layers.set(layer, name);
    }
    return name;
  }

  // --- receiving
  // ----------------------------------------------------------------------------------------

  #onBytes(bytes: Uint8Array): void {
    if (this.#lost !== null) return;
    this.#heard = true;
    this.#receiving = true;
    this.#decoder.feed(bytes);
    for (;;) {
      const step = this.#decoder.next();
      if (step === 'need-more') break;
      if (step === 'violation') {
        this.#violation(this.#decoder.violation ?? 'unknown');
        break;
      }
      this.#accept(this.#decoder.frame);
      // `#accept` may have lost the session, by way of a `done` that closes it.
      if (this.#ended()) break;
    }
    this.#receiving = false;
    this.#send();
  }

  #ended(): boolean {
    return this.#lost !== null;
  }

  #findSlot(frame: Frame): Slot | undefined {
    const slot = this.#slots[frame.requestId % SLOTS_MAX];
    const fits = slot?.busy === true && slot.type === frame.type && slot.id === frame.requestId;
    return fits ? slot : undefined;
  }

  #place(frame: Frame): Uint8Array | null {
    const { type, flags } = frame;
    if (type === FRAME.lost) return new Uint8Array(frame.payloadBytes);
    if ((flags & FLAG_REPLY) === 0) return null;
    if ((type === FRAME.hello) !== (this.#welcome === null)) return null;
    if (type === FRAME.hello) return new Uint8Array(frame.payloadBytes);
    const slot = this.#findSlot(frame);
    if (slot === undefined) return null;
    if (type === FRAME.read && flags === FLAG_REPLY) {
      const { data } = slot.request as ReplicaRequest;
      return data.byteLength === frame.payloadBytes ? data : null;
    }
    return new Uint8Array(frame.payloadBytes);
  }

  #accept(frame: Frame): void {
    const { type, flags } = frame;
    if (type === FRAME.lost) return this.#lose(this.#decodeError(frame));
    if ((flags & FLAG_REPLY) === 0) return this.#violation('unexpected-frame');
    if (this.#welcome === null) return this.#onHello(frame);
    if (type === FRAME.ping) return;
    const slot = this.#findSlot(frame);
    if (slot === undefined) return this.#violation('unknown-request');
    if ((flags & FLAG_MORE) !== 0) return this.#onPart(slot, frame);
    const error = (flags & FLAG_ERROR) === 0 ? null : this.#decodeError(frame);
    const { request, answer } = slot;
    if (request !== null) {
      if (type === FRAME.read && error === null && frame.payload !== request.data) {
        return this.#violation('unexpected-length');
      }
      this.#freeSlot(slot);
      request.done(error);
      return;
    }
    const body =
      slot.partsBytes === 0 ? frame.payload : concatBytes([...slot.parts, frame.payload]);
    this.#freeSlot(slot);
    if (error === null) answer?.resolve(body);
    else answer?.reject(error);
  }

  #onPart(slot: Slot, frame: Frame): void {
    slot.parts.push(frame.payload);
    slot.partsBytes += frame.payload.byteLength;
    if (slot.partsBytes > ANSWER_BYTES_MAX || frame.payload.byteLength === 0) {
      this.#violation('too-long');
    }
  }

  #onHello(frame: Frame): void {
    if (frame.type !== FRAME.hello) return this.#violation('unexpected-frame');
    if ((frame.flags & FLAG_ERROR) !== 0) return this.#lose(this.#decodeError(frame));
    const welcome = decodeJson(frame.payload, readWelcome);
    if (welcome === undefined) return this.#violation('malformed-body');
    const { cluster, volume, replica } = this.#options;
    const { identity } = welcome.state;
    if (
      identity.cluster !== cluster ||
      identity.volume !== volume ||
      identity.replica !== replica
    ) {
      const details = { cluster, volume, replica, answered: identity.replica };
      return this.#lose(
        new HoldfastError('wrong-identity', 'Another replica answered', { details }),
      );
    }
    if (welcome.protocol < PROTOCOL_MIN || welcome.protocol > PROTOCOL_MAX) {
      return this.#violation('unknown-version');
    }
    this.#welcome = welcome;
    this.#tickLater();
    this.#opened.resolve();
  }

  #decodeError(frame: Frame): HoldfastError {
    return (
      decodeJson(frame.payload, readError) ??
      new HoldfastError('protocol-violation', 'Peer sent a malformed error', { effect: 'unknown' })
    );
  }

  // --- half-open
  // ----------------------------------------------------------------------------------------

  #tickLater(): void {
    const { clock, limits } = this.#options;
    clock.after(untilTickMs(clock.monotonicMs(), limits.tickMs), () => this.#tick());
  }

  #tick(): void {
    if (this.#lost !== null) return;
    const { limits } = this.#options;
    this.#silentTicks = this.#heard ? 0 : this.#silentTicks + 1;
    this.#heard = false;
    if (this.#silentTicks >= limits.lostTicks) {
      return this.#lose(
        new HoldfastError('disconnected', 'Replica fell silent', { effect: 'unknown' }),
      );
    }
    const pingTicks = this.#outstanding > 0 ? limits.busyPingTicks : limits.idlePingTicks;
    // Once more each `pingTicks`: a ping is 64 bytes, and one that is queued says nothing new.
    if (this.#silentTicks > 0 && this.#silentTicks % pingTicks === 0 && !this.#draining) {
      this.#batch.add({ type: FRAME.ping });
      this.#send();
    }
    this.#tickLater();
  }

  // --- the end
  // ------------------------------------------------------------------------------------------

  #violation(reason: string): void {
    this.#options.log.warn('Replica broke the peer protocol', { replica: this.replica, reason });
    this.#lose(
      new HoldfastError('protocol-violation', 'Replica broke the peer protocol', {
        effect: 'unknown',
        details: { reason },
      }),
    );
  }

  #lose(error: HoldfastError): void {
    if (this.#lost !== null) return;
    this.#finish(error);
    this.#onLost?.(error);
  }

  #finish(error: HoldfastError): void {
    if (this.#lost !== null) return;
    this.#lost = error;
    this.#conn.close();
    const pending = new HoldfastError(error.code, error.message, {
      effect: 'unknown',
      details: error.details,
      cause: error.cause,
    });
    this.#opened.promise.catch(() => {});
    this.#opened.reject(error);
    this.#queue.length = 0;
    for (const slot of this.#slots) {
      if (!slot.busy) continue;
      const { request, answer } = slot;
      this.#freeSlot(slot);
      request?.done(pending);
      answer?.reject(pending);
    }
  }

  // --- cold verbs
  // ---------------------------------------------------------------------------------------

  #ask(type: number, payload: Uint8Array): Promise<Uint8Array> {
    if (this.#lost !== null) return Promise.reject(untouched(this.#lost));
    const slot = this.#takeSlot(type);
    slot.payload = payload;
    slot.answer = new Deferred();
    slot.epoch = 0;
    slot.n = 0;
    this.#queue.push(slot);
    this.#sendSoon();
    return slot.answer.promise;
  }

  async #call<Name extends ColdName>(
    name: Name,
    args: ColdBodies[Name][0],
  ): Promise<ColdBodies[Name][1]> {
    const verb = COLD_VERBS[name];
    const body = await this.#ask(verb.type, verb.args.encode(args));
    const answer = verb.answer.decode(body);
    if (answer !== undefined) return answer;
    this.#violation('malformed-body');
    throw new HoldfastError('protocol-violation', 'Replica sent a malformed answer', {
      effect: 'unknown',
      details: { verb: name },
    });
  }

  async flush(): Promise<void> {
    await this.#ask(FRAME.flush, EMPTY_BYTES);
  }

  complete(generation: Generation): void {
    if (this.#lost !== null) return;
    const slot = this.#takeSlot(FRAME.complete);
    slot.epoch = generation.epoch;
    slot.n = generation.n;
    this.#queue.push(slot);
    this.#sendSoon();
  }

  promise(epoch: number, nexus: string): Promise<VoterState> {
    return this.#call('promise', { epoch, nexus });
  }

  commit(record: MembershipRecord): Promise<VoterState> {
    return this.#call('commit', record);
  }

  confirm(epoch: number): Promise<boolean> {
    return this.#call('confirm', { epoch });
  }

  refresh(): Promise<ReplicaState> {
    return this.#call('refresh', null);
  }

  intents(): Promise<number[]> {
    return this.#call('intents', null);
  }

  stampedSince(
    generation: Generation,
    fromSegment: number,
    limit: number,
  ): Promise<StampedSegment[]> {
    return this.#call('stampedSince', { generation, fromSegment, limit });
  }

  inspect(layer: LayerRef, segment: number): Promise<SegmentInspection> {
    return this.#call('inspect', { layer, segment });
  }

  async settle(
    segment: number,
    kinds: Uint8Array,
    contentCrcs: Uint32Array,
    stamp: Generation,
  ): Promise<void> {
    await this.#call('settle', { segment, kinds, contentCrcs, stamp });
  }

  async clearIntents(all: boolean): Promise<void> {
    await this.#call('clearIntents', { all });
  }

  async reset(sizeBytes: number): Promise<void> {
    await this.#call('reset', { sizeBytes });
  }

  async setRebuild(text: string): Promise<void> {
    await this.#call('setRebuild', { text });
  }

  async createSnapshot(id: SnapshotId, generation: Generation): Promise<void> {
    await this.#call('createSnapshot', { id, generation });
  }

  async deleteSnapshot(id: SnapshotId): Promise<void> {
    await this.#call('deleteSnapshot', { id });
  }

  async beginSnapshotInstall(id: SnapshotId, generation: Generation): Promise<void> {
    await this.#call('beginSnapshotInstall', { id, generation });
  }

  async sealSnapshot(id: SnapshotId): Promise<void> {
    await this.#call('sealSnapshot', { id });
  }

  async grow(sizeBytes: number): Promise<void> {
    await this.#call('grow', { sizeBytes });
  }

  scrub(budgetBlocks: number): Promise<ScrubReport> {
    return this.#call('scrub', { budgetBlocks });
  }

  usage(): Promise<ReplicaUsage> {
    return this.#call('usage', null);
  }

  extents(offsetBytes: number, lengthBytes: number): Promise<BlockExtent[]> {
    return this.#call('extents', { offsetBytes, lengthBytes });
  }
}

function lostError(error: HoldfastError | null): HoldfastError {
  return new HoldfastError('disconnected', 'Replica went away', {
    effect: 'unknown',
    ...(error === null ? {} : { cause: error }),
  });
}

/** For what is asked after the loss: it was never sent. */
function untouched(error: HoldfastError): HoldfastError {
  return new HoldfastError(error.code, error.message, {
    effect: 'none',
    details: error.details,
    cause: error.cause,
  });
}
