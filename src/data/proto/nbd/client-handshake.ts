/**
 * The client's side of the fixed newstyle negotiation: structured replies, then base:allocation,
 * then NBD_OPT_GO. Servers that know neither still work. Bytes in, events out, resumable at any
 * byte.
 */
import { assert, ByteReader, ByteWriter, decodeText, encodeText } from '#lib/mod.ts';
import {
  BASE_ALLOCATION,
  IHAVEOPT,
  NBD_FLAG_FIXED_NEWSTYLE,
  NBD_FLAG_NO_ZEROES,
  NBD_INFO_BLOCK_SIZE,
  NBD_INFO_EXPORT,
  NBD_OPT_GO,
  NBD_OPT_SET_META_CONTEXT,
  NBD_OPT_STRUCTURED_REPLY,
  NBD_REP_ACK,
  NBD_REP_ERR_UNKNOWN,
  NBD_REP_INFO,
  NBD_REP_MAGIC,
  NBD_REP_META_CONTEXT,
  NBDMAGIC,
} from './constants.ts';
import { GatheredBytes } from './gathered-bytes.ts';

/** Longest option reply that is believed. */
const REPLY_BYTES_MAX = 64 * 1024;

export interface NbdExportTerms {
  readonly sizeBytes: number;
  readonly flags: number;
  /** Undefined when the server does not say. */
  readonly blockSize: { minBytes: number; preferredBytes: number; maxBytes: number } | undefined;
  readonly structuredReplies: boolean;
  /** The id of base:allocation, or null when the server does not offer it. */
  readonly contextId: number | null;
}

export type NbdClientHandshakeEvent =
  | { readonly kind: 'send'; readonly bytes: Uint8Array }
  | { readonly kind: 'transmission'; readonly terms: NbdExportTerms; readonly consumed: number }
  | { readonly kind: 'refused'; readonly unknown: boolean; readonly message: string }
  | { readonly kind: 'violation'; readonly reason: string };

type Terms = { -readonly [key in keyof NbdExportTerms]: NbdExportTerms[key] };

export class NbdClientHandshake {
  readonly #name: Uint8Array;
  readonly #gathered = new GatheredBytes();
  readonly #terms: Terms = {
    sizeBytes: -1,
    flags: 0,
    blockSize: undefined,
    structuredReplies: false,
    contextId: null,
  };
  #stage: 'greeting' | 'reply' | 'data' | 'over' = 'greeting';
  #option = 0;
  #replyType = 0;
  #events: NbdClientHandshakeEvent[] = [];

  constructor(exportName: string) {
    this.#name = encodeText(exportName);
    this.#gathered.expect(18);
  }

  /** After `transmission`, `refused` or `violation` it takes no more bytes. */
  push(bytes: Uint8Array): readonly NbdClientHandshakeEvent[] {
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
    if (this.#stage === 'greeting') {
      this.#greet(reader);
    } else if (this.#stage === 'reply') {
      const magic = reader.u64Id();
      const option = reader.u32();
      this.#replyType = reader.u32();
      const length = reader.u32();
      if (magic !== NBD_REP_MAGIC || option !== this.#option || length > REPLY_BYTES_MAX) {
        this.#end({ kind: 'violation', reason: 'Option reply is malformed' });
        return;
      }
      this.#stage = 'data';
      this.#gathered.expect(length);
    } else {
      this.#take(reader, field, consumed);
      this.#expectReply();
    }
  }

  #greet(reader: ByteReader): void {
    const newstyle = reader.u64Id() === NBDMAGIC && reader.u64Id() === IHAVEOPT;
    const flags = reader.u16();
    if (!newstyle || (flags & NBD_FLAG_FIXED_NEWSTYLE) === 0) {
      this.#end({ kind: 'violation', reason: 'Server does not speak fixed newstyle' });
      return;
    }
    const writer = new ByteWriter(new Uint8Array(4), 'big');
    writer.u32(flags & (NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES));
    this.#events.push({ kind: 'send', bytes: writer.written() });
    this.#ask(NBD_OPT_STRUCTURED_REPLY, new Uint8Array(0));
    this.#expectReply();
  }

  #take(reader: ByteReader, data: Uint8Array, consumed: number): void {
    const final = this.#replyType === NBD_REP_ACK || this.#replyType >= 0x80000000;
    const agreed = this.#replyType === NBD_REP_ACK;
    if (this.#option === NBD_OPT_STRUCTURED_REPLY) {
      if (!final) return;
      this.#terms.structuredReplies = agreed;
      if (agreed) this.#askContext();
      else this.#askGo();
    } else if (this.#option === NBD_OPT_SET_META_CONTEXT) {
      if (this.#replyType === NBD_REP_META_CONTEXT) {
        const id = reader.u32();
        const name = decodeText(reader.bytes(reader.remaining));
        if (name === BASE_ALLOCATION) this.#terms.contextId = id;
      }
      if (final) this.#askGo();
    } else if (this.#replyType === NBD_REP_INFO) {
      this.#takeInfo(reader);
    } else if (agreed && this.#terms.sizeBytes >= 0) {
      this.#end({ kind: 'transmission', terms: this.#terms, consumed });
    } else if (final) {
      const unknown = this.#replyType === NBD_REP_ERR_UNKNOWN;
      this.#end({ kind: 'refused', unknown, message: decodeText(data) });
    }
  }

  #takeInfo(reader: ByteReader): void {
    const type = reader.u16();
    if (type === NBD_INFO_EXPORT) {
      const sizeBytes = reader.u64();
      this.#terms.flags = reader.u16();
      if (reader.ok) this.#terms.sizeBytes = sizeBytes;
    } else if (type === NBD_INFO_BLOCK_SIZE) {
      const blockSize = {
        minBytes: reader.u32(),
        preferredBytes: reader.u32(),
        maxBytes: reader.u32(),
      };
      if (reader.ok && blockSize.minBytes > 0) this.#terms.blockSize = blockSize;
    }
  }

  #askContext(): void {
    const context = encodeText(BASE_ALLOCATION);
    const length = 12 + this.#name.byteLength + context.byteLength;
    const writer = new ByteWriter(new Uint8Array(length), 'big');
    writer.u32(this.#name.byteLength).bytes(this.#name);
    writer.u32(1).u32(context.byteLength).bytes(context);
    this.#ask(NBD_OPT_SET_META_CONTEXT, writer.written());
  }

  #askGo(): void {
    const writer = new ByteWriter(new Uint8Array(8 + this.#name.byteLength), 'big');
    writer.u32(this.#name.byteLength).bytes(this.#name);
    writer.u16(1).u16(NBD_INFO_BLOCK_SIZE);
    this.#ask(NBD_OPT_GO, writer.written());
  }

  #ask(option: number, data: Uint8Array): void {
    this.#option = option;
    const writer = new ByteWriter(new Uint8Array(16 + data.byteLength), 'big');
    writer.u64Id(IHAVEOPT).u32(option).u32(data.byteLength).bytes(data);
    this.#events.push({ kind: 'send', bytes: writer.written() });
  }

  #expectReply(): void {
    if (this.#stage === 'over') return;
    this.#stage = 'reply';
    this.#gathered.expect(20);
  }

  #end(event: NbdClientHandshakeEvent): void {
    assert(this.#stage !== 'over', 'a negotiation ends once');
    this.#stage = 'over';
    this.#events.push(event);
  }
}
