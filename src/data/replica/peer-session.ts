/**
 * One accepted connection of a PeerServer: hello, then the verbs of one LocalMember.
 *
 *     stranger ──hello──▶ open ──violation, silence, end──▶ closed
 *                          │ replica ends the session: `lost` with the reason, then the end
 *
 * What a connection may make us hold is bounded: one payload that is arriving, and requests in work
 * up to `inFlightBytesMax`; above that decoding stops in the middle of a chunk and the socket is
 * left alone. Answers are gathered into one write a turn.
 */
import {
  HoldfastError,
  type LayerRef,
  parseId,
  type ReplicaId,
  type SnapshotId,
} from '#api/mod.ts';
import type { ReplicaRequest, ReplicaVerb } from '#data/block/mod.ts';
import {
  ANSWER_BYTES_MAX,
  COLD_BYTES_MAX,
  decodeJson,
  encodeJson,
  findColdVerb,
  FLAG_ERROR,
  FLAG_MORE,
  FLAG_REPLY,
  FRAME,
  type Frame,
  FrameBatch,
  FrameDecoder,
  type Hello,
  plainError,
  plainReplicaState,
  PROTOCOL_MAX,
  PROTOCOL_MIN,
  readHello,
} from '#data/proto/peer/mod.ts';
import type { Clock, Conn, Log } from '#host/mod.ts';
import { CRC_BLOCK_BYTES, decodeText, EMPTY_BYTES } from '#lib/mod.ts';
import type { BufferShelf } from './buffer-shelf.ts';
import { serveCold } from './cold-service.ts';
import type { LocalMember } from './local-member.ts';
import type { PeerLimits } from './peer-limits.ts';
import type { Replica } from './replica.ts';

/** What a request weighs beside its data. */
const REQUEST_BYTES = 512;

/** A hot request in work: the ReplicaRequest that goes down to the store is the object itself. */
class Work implements ReplicaRequest {
  verb: ReplicaVerb = 'read';
  layer: LayerRef = null;
  offsetBytes = 0;
  lengthBytes = 0;
  data: Uint8Array = EMPTY_BYTES;
  blockCrcs: Uint32Array | null = null;
  stampEpoch = 0;
  stampN = 0;
  type = 0;
  requestId = 0;
  weight = 0;
  #crcMemory = new Uint32Array(1);
  readonly #session: PeerSession;
  done: (error: HoldfastError | null) => void;

  constructor(session: PeerSession) {
    this.#session = session;
    this.done = (error) => this.#session.finished(this, error);
  }

  /** The decoder's own are overwritten by the next frame. */
  keepCrcs(crcs: Uint32Array, count: number): void {
    if (this.#crcMemory.length < count) this.#crcMemory = new Uint32Array(count);
    for (let i = 0; i < count; i++) this.#crcMemory[i] = crcs[i]!;
    this.blockCrcs = this.#crcMemory;
  }
}

export interface PeerSessionOptions {
  readonly conn: Conn;
  readonly clock: Clock;
  readonly log: Log;
  readonly limits: PeerLimits;
  readonly shelf: BufferShelf;
  readonly lookup: (replica: ReplicaId) => Replica | undefined;
  /** The hello was good: the connection is no stranger any more. */
  readonly onOpen: () => void;
  readonly onClosed: () => void;
}

export class PeerSession {
  readonly #options: PeerSessionOptions;
  readonly #conn: Conn;
  readonly #decoder = new FrameDecoder((frame) => this.#place(frame));
  readonly #batch: FrameBatch;
  readonly #spare: Work[] = [];
  /** Answered reads: their buffers go back when the batch is written. */
  readonly #sending: Work[] = [];
  #member: LocalMember | null = null;
  #state: 'stranger' | 'open' | 'closing' | 'closed' = 'stranger';
  #inFlightBytes = 0;
  /** Not decoding: too much in work, or the socket does not take our answers. */
  #paused = false;
  #draining = false;
  #decoding = false;
  #flushQueued = false;
  #heard = false;
  #silentTicks = 0;

  constructor(options: PeerSessionOptions) {
    this.#options = options;
    this.#conn = options.conn;
    this.#batch = new FrameBatch((chunks) => this.#conn.write(chunks));
  }

  /** Begins to receive: the owner has stored the session. */
  start(): void {
    const { clock, limits } = this.#options;
    clock.after(limits.helloMs, () => {
      if (this.#state === 'stranger') this.#drop('Peer sent no hello in time', {});
    });
    this.#conn.start({
      onBytes: (bytes) => this.#onBytes(bytes),
      onDrain: () => {
        this.#draining = false;
        this.#goOn();
      },
      onClose: (error) => this.#close(error),
    });
  }

  /** Bytes of requests that are not answered yet. */
  get inFlightBytes(): number {
    return this.#inFlightBytes;
  }

  /** Called at the server's pace. */
  tick(): void {
    if (this.#state !== 'open') return;
    this.#silentTicks = this.#heard ? 0 : this.#silentTicks + 1;
    this.#heard = false;
    // A peer that we do not read from cannot be heard.
    if (this.#paused) this.#silentTicks = 0;
    if (this.#silentTicks >= this.#options.limits.serverLostTicks) {
      this.#drop('Peer fell silent', {});
    }
  }

  close(): void {
    this.#close(null);
    this.#conn.close();
  }

  // --- receiving
  // ----------------------------------------------------------------------------------------

  #onBytes(bytes: Uint8Array): void {
    if (this.#state === 'closed' || this.#state === 'closing') return;
    this.#heard = true;
    this.#decoder.feed(bytes);
    this.#decode();
  }

  get #mustWait(): boolean {
    return this.#draining || this.#inFlightBytes >= this.#options.limits.inFlightBytesMax;
  }

  #decode(): void {
    this.#decoding = true;
    for (;;) {
      if (this.#mustWait) this.#flush();
      if (this.#mustWait) {
        this.#decoder.keepRest();
        if (!this.#paused) this.#conn.pause();
        this.#paused = true;
        break;
      }
      const step = this.#decoder.next();
      if (step === 'need-more') {
        if (this.#paused) this.#conn.resume();
        this.#paused = false;
        break;
      }
      if (step === 'violation') {
        this.#violation(this.#decoder.violation ?? 'unknown');
        break;
      }
      this.#accept(this.#decoder.frame);
      if (this.#state === 'closed' || this.#state === 'closing') break;
    }
    this.#decoding = false;
    this.#flush();
  }

  /** Answers left, or the socket took them: decode what was put aside. */
  #goOn(): void {
    if (this.#state === 'closed' || this.#state === 'closing') return;
    if (this.#decoding) return;
    this.#flush();
    if (this.#paused && !this.#mustWait) this.#decode();
  }

  #place(frame: Frame): Uint8Array | null {
    if (frame.flags !== 0 || frame.type === FRAME.lost) return null;
    if ((frame.type === FRAME.hello) !== (this.#state === 'stranger')) return null;
    if (frame.type === FRAME.write && frame.layerBytes === 0) {
      if (frame.payloadBytes !== frame.lengthBytes) return null;
      return this.#options.shelf.take(frame.payloadBytes);
    }
    return new Uint8Array(frame.payloadBytes);
  }

  #accept(frame: Frame): void {
    const { type } = frame;
    if (frame.flags !== 0 || type === FRAME.lost) return this.#violation('unexpected-frame');
    if (this.#state === 'stranger') {
      if (type !== FRAME.hello) return this.#violation('unexpected-frame');
      const hello = decodeJson(frame.payload, readHello);
      if (hello === undefined) return this.#violation('malformed-body');
      return this.#hello(hello);
    }
    const member = this.#member as LocalMember;
    switch (type) {
      case FRAME.read:
      case FRAME.write:
      case FRAME.trim:
      case FRAME.zero:
        return this.#submit(member, frame);
      case FRAME.flush:
        return this.#flushStore(member, frame.requestId);
      case FRAME.complete:
        return member.complete({ epoch: frame.stampEpoch, n: frame.stampN });
      case FRAME.ping:
        return this.#reply(FRAME.ping, FLAG_REPLY, frame.requestId, EMPTY_BYTES);
      case FRAME.hello:
        return this.#violation('unexpected-frame');
      default:
        return this.#cold(member, frame);
    }
  }

  // --- hello
  // ----------------------------------------------------------------------------------------------

  #hello(hello: Hello): void {
    const member = this.#admit(hello);
    if (HoldfastError.is(member)) {
      this.#options.log.warn('Peer was refused', {
        peer: this.#conn.peer,
        client: hello.client,
        replica: hello.replica,
        code: member.code,
      });
      this.#reply(FRAME.hello, FLAG_REPLY | FLAG_ERROR, 0, encodeJson(plainError(member)));
      return this.#end();
    }
    this.#member = member;
    member.onLost((error) => this.#lost(error));
    this.#state = 'open';
    this.#options.onOpen();
    const welcome = {
      protocol: Math.min(hello.protocolMax, PROTOCOL_MAX),
      capabilities: [],
      session: member.number,
      state: plainReplicaState(member.state),
    };
    this.#reply(FRAME.hello, FLAG_REPLY, 0, encodeJson(welcome));
  }

  /** W8: the replica that is meant, in the volume and cluster that are meant, or nobody. */
  #admit(hello: Hello): LocalMember | HoldfastError {
    if (hello.protocolMin > PROTOCOL_MAX || hello.protocolMax < PROTOCOL_MIN) {
      return new HoldfastError('unsupported', 'No protocol version in common', {
        details: {
          protocolMin: PROTOCOL_MIN,
          protocolMax: PROTOCOL_MAX,
          remedy: 'Run versions on both nodes that have one in common',
        },
      });
    }
    if (hello.auth.scheme !== 'none') {
      return new HoldfastError('unsupported', 'No such authentication scheme');
    }
    const replica = this.#options.lookup(hello.replica as ReplicaId);
    if (replica === undefined) {
      return new HoldfastError('not-found', 'No such replica here', {
        details: { replica: hello.replica, remedy: 'Check the node and pool of the replica' },
      });
    }
    const { identity } = replica.state();
    if (
      identity.replica !== hello.replica ||
      identity.volume !== hello.volume ||
      identity.cluster !== hello.cluster
    ) {
      return new HoldfastError('wrong-identity', 'Replica belongs to another volume or cluster', {
        details: {
          replica: hello.replica,
          volume: hello.volume,
          cluster: hello.cluster,
          remedy: 'Check whose directory is mounted there',
        },
      });
    }
    try {
      return replica.openSession();
    } catch (error) {
      if (HoldfastError.is(error)) return error;
      throw error;
    }
  }

  // --- hot verbs
  // ------------------------------------------------------------------------------------------

  #submit(member: LocalMember, frame: Frame): void {
    const work = this.#spare.pop() ?? new Work(this);
    const { type, layerBytes, payload } = frame;
    work.type = type;
    work.requestId = frame.requestId;
    work.offsetBytes = frame.offsetBytes;
    work.lengthBytes = frame.lengthBytes;
    work.stampEpoch = frame.stampEpoch;
    work.stampN = frame.stampN;
    work.layer = null;
    work.data = EMPTY_BYTES;
    work.blockCrcs = null;
    let data = payload;
    if (layerBytes > 0) {
      const layer = findLayer(payload.subarray(0, layerBytes));
      if (layer === undefined) return this.#violation('malformed-body');
      work.layer = layer;
      data = payload.subarray(layerBytes);
    }
    let dataBytes = 0;
    if (type === FRAME.write) {
      if (data.byteLength !== frame.lengthBytes) return this.#violation('unexpected-length');
      work.verb = 'write';
      dataBytes = data.byteLength;
      // Behind a layer's name the data has no alignment: a rare case, and one more copy.
      if (layerBytes > 0) {
        work.data = this.#options.shelf.take(dataBytes);
        work.data.set(data);
      } else {
        work.data = data;
        if (frame.blockCrcs !== null) {
          work.keepCrcs(frame.blockCrcs, dataBytes / CRC_BLOCK_BYTES);
        }
      }
    } else {
      if (data.byteLength !== 0) return this.#violation('unexpected-length');
      if (type === FRAME.read) {
        if (frame.lengthBytes > 1024 * 1024) return this.#violation('unexpected-length');
        work.verb = 'read';
        dataBytes = frame.lengthBytes;
        work.data = this.#options.shelf.take(dataBytes);
      } else {
        work.verb = type === FRAME.trim ? 'trim' : 'zero';
      }
    }
    work.weight = dataBytes + REQUEST_BYTES;
    this.#inFlightBytes += work.weight;
    member.submit(work);
  }

  /** Called by a request when the store is done with it, perhaps inside `submit`. */
  finished(work: Work, error: HoldfastError | null): void {
    if (this.#state !== 'open') {
      this.#recycle(work);
      return;
    }
    if (this.#batch.full) this.#flush();
    const flags = error === null ? FLAG_REPLY : FLAG_REPLY | FLAG_ERROR;
    let data: Uint8Array = EMPTY_BYTES;
    if (error !== null) data = encodeJson(plainError(error));
    else if (work.type === FRAME.read) data = work.data;
    this.#batch.addHot(work.type, flags, work.requestId, 0, 0, 0, 0, EMPTY_BYTES, data);
    if (work.type === FRAME.read && error === null) {
      this.#sending.push(work);
    } else {
      this.#recycle(work);
    }
    this.#flushSoon();
  }

  #recycle(work: Work): void {
    this.#inFlightBytes -= work.weight;
    this.#options.shelf.give(work.data);
    work.data = EMPTY_BYTES;
    this.#spare.push(work);
  }

  #flushStore(member: LocalMember, requestId: number): void {
    this.#inFlightBytes += REQUEST_BYTES;
    member.flush().then(
      () => this.#coldDone(FRAME.flush, requestId, EMPTY_BYTES, REQUEST_BYTES),
      (error: unknown) => this.#coldFailed(FRAME.flush, requestId, error, REQUEST_BYTES),
    );
  }

  // --- cold verbs
  // -----------------------------------------------------------------------------------------

  #cold(member: LocalMember, frame: Frame): void {
    const { type, requestId } = frame;
    const name = findColdVerb(type);
    if (name === undefined || frame.layerBytes !== 0) return this.#violation('unexpected-frame');
    const outcome = serveCold(name, member, frame.payload);
    if (outcome === undefined) return this.#violation('malformed-body');
    const weight = frame.payloadBytes + REQUEST_BYTES;
    this.#inFlightBytes += weight;
    outcome.then(
      (body) => this.#coldDone(type, requestId, body, weight),
      (error: unknown) => this.#coldFailed(type, requestId, error, weight),
    );
  }

  #coldDone(type: number, requestId: number, body: Uint8Array, weight: number): void {
    this.#inFlightBytes -= weight;
    if (body.byteLength > ANSWER_BYTES_MAX) {
      const error = new HoldfastError('out-of-range', 'Answer is too long: ask for less');
      this.#reply(type, FLAG_REPLY | FLAG_ERROR, requestId, encodeJson(plainError(error)));
      return;
    }
    let rest = body;
    while (rest.byteLength > COLD_BYTES_MAX) {
      this.#reply(type, FLAG_REPLY | FLAG_MORE, requestId, rest.subarray(0, COLD_BYTES_MAX));
      rest = rest.subarray(COLD_BYTES_MAX);
    }
    this.#reply(type, FLAG_REPLY, requestId, rest);
  }

  #coldFailed(type: number, requestId: number, error: unknown, weight: number): void {
    this.#inFlightBytes -= weight;
    // What is no operating error is a mistake of ours: it ends the process, as everywhere.
    if (!HoldfastError.is(error)) throw error;
    this.#reply(type, FLAG_REPLY | FLAG_ERROR, requestId, encodeJson(plainError(error)));
  }

  // --- sending
  // --------------------------------------------------------------------------------------------

  #reply(type: number, flags: number, requestId: number, payload: Uint8Array): void {
    if (this.#state === 'closed' || this.#state === 'closing') return;
    if (this.#batch.full) this.#flush();
    this.#batch.addHot(type, flags, requestId, 0, 0, 0, 0, EMPTY_BYTES, payload);
    this.#flushSoon();
  }

  #flushSoon(): void {
    if (this.#decoding || this.#flushQueued) return;
    this.#flushQueued = true;
    this.#options.clock.defer(() => {
      this.#flushQueued = false;
      this.#goOn();
    });
  }

  #flush(): void {
    if (this.#state === 'closed' || this.#batch.empty) return;
    if (!this.#batch.flush()) this.#draining = true;
    for (let work = this.#sending.pop(); work !== undefined; work = this.#sending.pop()) {
      this.#recycle(work);
    }
  }

  // --- the end
  // --------------------------------------------------------------------------------------------

  /** The replica ended the session: the nexus learns why. */
  #lost(error: HoldfastError): void {
    if (this.#state !== 'open') return;
    this.#reply(FRAME.lost, 0, 0, encodeJson(plainError(error)));
    this.#end();
  }

  #end(): void {
    this.#flush();
    this.#state = 'closing';
    this.#conn.end();
    // A peer that does not end its side is not waited for.
    this.#options.clock.after(this.#options.limits.helloMs, () => this.close());
  }

  #violation(reason: string): void {
    this.#drop('Peer broke the protocol', { reason });
  }

  #drop(message: string, fields: Record<string, string>): void {
    if (this.#state === 'closed') return;
    const replica = this.#member?.replica ?? '';
    this.#options.log.warn(message, { peer: this.#conn.peer, replica, ...fields });
    this.close();
  }

  #close(_error: HoldfastError | null): void {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    this.#member?.close();
    this.#options.onClosed();
  }
}

function findLayer(name: Uint8Array): SnapshotId | undefined {
  try {
    return parseId<SnapshotId>('layer', decodeText(name));
  } catch {
    return undefined;
  }
}
