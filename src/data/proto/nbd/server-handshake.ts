/**
 * The server's side of the fixed newstyle negotiation (proto.md "Fixed newstyle negotiation"):
 * bytes in, events out, resumable at any byte.
 *
 *     flags ──▶ option ──▶ data ──▶ option … ──▶ transmission
 *                  └── ABORT: ended     └── not the protocol: violation
 *
 * Nothing is allocated for a client beyond `OPTION_BYTES_MAX`. Deliberately not done: STARTTLS
 * (answered as unsupported) and the old styles.
 */
import { ByteReader, ByteWriter, decodeText, encodeText } from '#lib/mod.ts';
import {
  BASE_ALLOCATION,
  IHAVEOPT,
  NBD_FLAG_FIXED_NEWSTYLE,
  NBD_FLAG_NO_ZEROES,
  NBD_FLAG_SEND_DF,
  NBD_INFO_BLOCK_SIZE,
  NBD_INFO_DESCRIPTION,
  NBD_INFO_EXPORT,
  NBD_INFO_NAME,
  NBD_OPT_ABORT,
  NBD_OPT_EXPORT_NAME,
  NBD_OPT_GO,
  NBD_OPT_INFO,
  NBD_OPT_LIST,
  NBD_OPT_LIST_META_CONTEXT,
  NBD_OPT_SET_META_CONTEXT,
  NBD_OPT_STRUCTURED_REPLY,
  NBD_REP_ACK,
  NBD_REP_ERR_INVALID,
  NBD_REP_ERR_UNKNOWN,
  NBD_REP_ERR_UNSUP,
  NBD_REP_INFO,
  NBD_REP_MAGIC,
  NBD_REP_META_CONTEXT,
  NBD_REP_SERVER,
  NBD_STRING_BYTES_MAX,
  NBDMAGIC,
} from './constants.ts';
import { GatheredBytes } from './gathered-bytes.ts';

/** Longer option data ends the connection; a name and a dozen queries are far below. */
export const OPTION_BYTES_MAX = 64 * 1024;
/** So that nobody haggles for ever. */
const OPTION_COUNT_MAX = 1024;
/** The id under which base:allocation is selected. */
export const BASE_ALLOCATION_ID = 1;

export interface NbdExportOffer {
  readonly name: string;
  readonly description: string;
  readonly sizeBytes: number;
  /** Transmission flags; NBD_FLAG_SEND_DF is added when structured replies were negotiated. */
  readonly flags: number;
  readonly minBytes: number;
  readonly preferredBytes: number;
  readonly maxBytes: number;
}

/** The exports as they are now; an empty name asks for the default. */
export interface NbdExportSource {
  list(): readonly NbdExportOffer[];
  find(name: string): NbdExportOffer | undefined;
}

export type NbdHandshakeEvent =
  | { readonly kind: 'send'; readonly bytes: Uint8Array }
  | {
      readonly kind: 'transmission';
      readonly offer: NbdExportOffer;
      readonly structuredReplies: boolean;
      readonly baseAllocation: boolean;
      /** How many of the pushed bytes belonged to the negotiation; the rest are requests. */
      readonly consumed: number;
    }
  /** The client ended in order. */
  | { readonly kind: 'ended' }
  | { readonly kind: 'violation'; readonly reason: string };

export class NbdServerHandshake {
  readonly #exports: NbdExportSource;
  readonly #gathered = new GatheredBytes();
  #stage: 'flags' | 'option' | 'data' | 'over' = 'flags';
  #option = 0;
  #optionCount = 0;
  #noZeroes = false;
  #structuredReplies = false;
  /** The export for which base:allocation was selected. */
  #contextName: string | null = null;
  #events: NbdHandshakeEvent[] = [];

  constructor(exports: NbdExportSource) {
    this.#exports = exports;
    this.#gathered.expect(4);
  }

  /** What the server says first. */
  greeting(): Uint8Array {
    const writer = new ByteWriter(new Uint8Array(18), 'big');
    writer.u64Id(NBDMAGIC);
    writer.u64Id(IHAVEOPT);
    writer.u16(NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES);
    return writer.written();
  }

  /** After `transmission`, `ended` or `violation` it takes no more bytes. */
  push(bytes: Uint8Array): readonly NbdHandshakeEvent[] {
    this.#events = [];
    let at = 0;
    while (this.#stage !== 'over') {
      at += this.#gathered.take(bytes, at);
      if (!this.#gathered.complete) break;
      this.#advance(this.#gathered.field, at);
    }
    return this.#events;
  }

  #advance(field: Uint8Array, consumed: number): void {
    const reader = new ByteReader(field, 'big');
    if (this.#stage === 'flags') {
      const flags = reader.u32();
      if ((flags & ~(NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES)) !== 0) {
        this.#violate('Client sent unknown handshake flags');
      }
      this.#noZeroes = (flags & NBD_FLAG_NO_ZEROES) !== 0;
      this.#expectOption();
    } else if (this.#stage === 'option') {
      if (reader.u64Id() !== IHAVEOPT) this.#violate('Option has a wrong magic');
      this.#option = reader.u32();
      const length = reader.u32();
      if (length > OPTION_BYTES_MAX) this.#violate('Option is too long');
      if (++this.#optionCount > OPTION_COUNT_MAX) this.#violate('Client sent too many options');
      if (this.#over()) return;
      this.#stage = 'data';
      this.#gathered.expect(length);
    } else {
      this.#answer(field, consumed);
      this.#expectOption();
    }
  }

  #expectOption(): void {
    if (this.#over()) return;
    this.#stage = 'option';
    this.#gathered.expect(16);
  }

  #over(): boolean {
    return this.#stage === 'over';
  }

  #answer(data: Uint8Array, consumed: number): void {
    switch (this.#option) {
      case NBD_OPT_EXPORT_NAME:
        this.#exportName(data, consumed);
        return;
      case NBD_OPT_ABORT:
        this.#reply(NBD_REP_ACK);
        this.#end({ kind: 'ended' });
        return;
      case NBD_OPT_LIST:
        this.#list(data);
        return;
      case NBD_OPT_INFO:
      case NBD_OPT_GO:
        this.#info(data, consumed);
        return;
      case NBD_OPT_STRUCTURED_REPLY:
        if (data.byteLength !== 0) {
          this.#replyError(NBD_REP_ERR_INVALID, 'Option takes no data');
          return;
        }
        this.#structuredReplies = true;
        this.#reply(NBD_REP_ACK);
        return;
      case NBD_OPT_LIST_META_CONTEXT:
      case NBD_OPT_SET_META_CONTEXT:
        this.#metaContext(data);
        return;
      default:
        this.#replyError(NBD_REP_ERR_UNSUP, 'Option is not supported');
    }
  }

  /** There is no error reply to this option: an unknown name ends the connection. */
  #exportName(data: Uint8Array, consumed: number): void {
    const offer = this.#exports.find(decodeText(data));
    if (offer === undefined) {
      this.#violate('Client asked for an unknown export');
      return;
    }
    const writer = new ByteWriter(new Uint8Array(134), 'big');
    writer.u64(offer.sizeBytes);
    writer.u16(this.#flagsOf(offer));
    if (!this.#noZeroes) writer.zeroes(124);
    this.#events.push({ kind: 'send', bytes: writer.written() });
    this.#transmit(offer, consumed);
  }

  #list(data: Uint8Array): void {
    if (data.byteLength !== 0) {
      this.#replyError(NBD_REP_ERR_INVALID, 'Option takes no data');
      return;
    }
    for (const { name, description } of this.#exports.list()) {
      const encoded = encodeText(name);
      const text = encodeText(description).subarray(0, NBD_STRING_BYTES_MAX);
      const writer = new ByteWriter(
        new Uint8Array(4 + encoded.byteLength + text.byteLength),
        'big',
      );
      writer.u32(encoded.byteLength);
      writer.bytes(encoded);
      writer.bytes(text);
      this.#reply(NBD_REP_SERVER, writer.written());
    }
    this.#reply(NBD_REP_ACK);
  }

  #info(data: Uint8Array, consumed: number): void {
    const reader = new ByteReader(data, 'big');
    const name = decodeText(reader.bytes(reader.u32()));
    const count = reader.u16();
    const asked = new Set<number>();
    for (let n = 0; n < count && reader.ok; n++) asked.add(reader.u16());
    if (!reader.ok || reader.remaining !== 0) {
      this.#replyError(NBD_REP_ERR_INVALID, 'Option is malformed');
      return;
    }
    const offer = this.#exports.find(name);
    if (offer === undefined) {
      this.#replyError(NBD_REP_ERR_UNKNOWN, 'No such export');
      return;
    }
    this.#replyInfo(NBD_INFO_EXPORT, (writer) => {
      writer.u64(offer.sizeBytes);
      writer.u16(this.#flagsOf(offer));
    });
    if (asked.has(NBD_INFO_NAME)) {
      this.#replyInfo(NBD_INFO_NAME, (writer) => void writer.bytes(encodeText(offer.name)));
    }
    if (asked.has(NBD_INFO_DESCRIPTION) && offer.description !== '') {
      const text = encodeText(offer.description).subarray(0, NBD_STRING_BYTES_MAX);
      this.#replyInfo(NBD_INFO_DESCRIPTION, (writer) => void writer.bytes(text));
    }
    if (asked.has(NBD_INFO_BLOCK_SIZE)) {
      this.#replyInfo(NBD_INFO_BLOCK_SIZE, (writer) => {
        writer.u32(offer.minBytes);
        writer.u32(offer.preferredBytes);
        writer.u32(offer.maxBytes);
      });
    }
    this.#reply(NBD_REP_ACK);
    if (this.#option !== NBD_OPT_GO) return;
    // A context that was selected for another export does not count ("NBD_OPT_SET_META_CONTEXT").
    if (this.#contextName !== name) this.#contextName = null;
    this.#transmit(offer, consumed);
  }

  #metaContext(data: Uint8Array): void {
    const select = this.#option === NBD_OPT_SET_META_CONTEXT;
    if (select) this.#contextName = null;
    if (!this.#structuredReplies) {
      this.#replyError(NBD_REP_ERR_INVALID, 'Structured replies come first');
      return;
    }
    const reader = new ByteReader(data, 'big');
    const name = decodeText(reader.bytes(reader.u32()));
    const count = reader.u32();
    let wanted = !select && count === 0;
    for (let n = 0; n < count && reader.ok; n++) {
      const query = decodeText(reader.bytes(reader.u32()));
      wanted ||= query === BASE_ALLOCATION || (!select && query === 'base:');
    }
    if (!reader.ok || reader.remaining !== 0) {
      this.#replyError(NBD_REP_ERR_INVALID, 'Option is malformed');
      return;
    }
    if (this.#exports.find(name) === undefined) {
      this.#replyError(NBD_REP_ERR_UNKNOWN, 'No such export');
      return;
    }
    if (wanted) {
      const writer = new ByteWriter(new Uint8Array(64), 'big');
      writer.u32(select ? BASE_ALLOCATION_ID : 0);
      writer.bytes(encodeText(BASE_ALLOCATION));
      this.#reply(NBD_REP_META_CONTEXT, writer.written());
      if (select) this.#contextName = name;
    }
    this.#reply(NBD_REP_ACK);
  }

  #flagsOf(offer: NbdExportOffer): number {
    return offer.flags | (this.#structuredReplies ? NBD_FLAG_SEND_DF : 0);
  }

  #transmit(offer: NbdExportOffer, consumed: number): void {
    this.#end({
      kind: 'transmission',
      offer,
      structuredReplies: this.#structuredReplies,
      baseAllocation: this.#contextName !== null,
      consumed,
    });
  }

  #replyInfo(type: number, write: (writer: ByteWriter) => void): void {
    const writer = new ByteWriter(new Uint8Array(2 + NBD_STRING_BYTES_MAX), 'big');
    writer.u16(type);
    write(writer);
    this.#reply(NBD_REP_INFO, writer.written());
  }

  #replyError(type: number, message: string): void {
    this.#reply(type, encodeText(message));
  }

  #reply(type: number, data: Uint8Array = new Uint8Array(0)): void {
    const writer = new ByteWriter(new Uint8Array(20 + data.byteLength), 'big');
    writer.u64Id(NBD_REP_MAGIC);
    writer.u32(this.#option);
    writer.u32(type);
    writer.u32(data.byteLength);
    writer.bytes(data);
    this.#events.push({ kind: 'send', bytes: writer.written() });
  }

  #violate(reason: string): void {
    if (!this.#over()) this.#end({ kind: 'violation', reason });
  }

  #end(event: NbdHandshakeEvent): void {
    this.#stage = 'over';
    this.#events.push(event);
  }
}
