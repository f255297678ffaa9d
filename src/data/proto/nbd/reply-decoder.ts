/**
 * Replies of the transmission phase, as the client sees them: simple ones and structured chunks,
 * resumable at any byte. Data of a read goes straight to where the sink says.
 */
import { EMPTY_BYTES, readU64Be, viewOf } from '#lib/mod.ts';
import {
  NBD_REPLY_FLAG_DONE,
  NBD_REPLY_TYPE_BLOCK_STATUS,
  NBD_REPLY_TYPE_NONE,
  NBD_REPLY_TYPE_OFFSET_DATA,
  NBD_REPLY_TYPE_OFFSET_HOLE,
  NBD_SIMPLE_REPLY_BYTES,
  NBD_SIMPLE_REPLY_MAGIC,
  NBD_STRUCTURED_REPLY_BYTES,
  NBD_STRUCTURED_REPLY_MAGIC,
} from './constants.ts';
import type { NbdBlockStatus } from './reply-encoder.ts';

/** Longest chunk that is not data. */
const CHUNK_BYTES_MAX = 1024 * 1024;

export interface NbdReplySink {
  /** The simple reply's data, which follows when there was no error: where it goes, maybe empty. */
  onSimple(cookie: number, errorNumber: number): Uint8Array | null;
  /** Where this piece of a read goes; null when the request does not cover it. */
  onData(cookie: number, offsetBytes: number, lengthBytes: number): Uint8Array | null;
  onBlockStatus(cookie: number, statuses: readonly NbdBlockStatus[]): void;
  onError(cookie: number, errorNumber: number): void;
  /** Nothing more comes for this request. */
  onDone(cookie: number): void;
}

export class NbdReplyDecoder {
  /** Why decoding ended, or null. */
  violation: string | null = null;

  readonly #header = new Uint8Array(28);
  readonly #view = viewOf(this.#header);
  #headerBytes = 0;
  #neededBytes = NBD_SIMPLE_REPLY_BYTES;
  #cookie = 0;
  #final = true;
  /** The rest of the reply: data of a read, or a chunk that is gathered first. */
  #body: Uint8Array = EMPTY_BYTES;
  #bodyBytes = 0;
  #chunkType: number | null = null;

  push(bytes: Uint8Array, sink: NbdReplySink): void {
    let at = 0;
    while (this.violation === null) {
      if (this.#bodyBytes < this.#body.byteLength) {
        const count = Math.min(this.#body.byteLength - this.#bodyBytes, bytes.byteLength - at);
        this.#body.set(bytes.subarray(at, at + count), this.#bodyBytes);
        this.#bodyBytes += count;
        at += count;
        if (this.#bodyBytes < this.#body.byteLength) return;
        this.#finishBody(sink);
        continue;
      }
      const count = Math.min(this.#neededBytes - this.#headerBytes, bytes.byteLength - at);
      this.#header.set(bytes.subarray(at, at + count), this.#headerBytes);
      this.#headerBytes += count;
      at += count;
      if (this.#headerBytes < this.#neededBytes) return;
      this.#decodeHeader(sink);
    }
  }

  /** Called when the header holds as much as was asked for; asks for more when that is not all. */
  #decodeHeader(sink: NbdReplySink): void {
    const view = this.#view;
    const magic = view.getUint32(0);
    this.#cookie = view.getUint32(12);
    if (magic === NBD_SIMPLE_REPLY_MAGIC) {
      this.#final = true;
      this.#expectBody(sink.onSimple(this.#cookie, view.getUint32(4)), null, sink);
      return;
    }
    if (magic !== NBD_STRUCTURED_REPLY_MAGIC) {
      this.violation = 'Reply has a wrong magic';
      return;
    }
    if (this.#headerBytes < NBD_STRUCTURED_REPLY_BYTES) {
      this.#neededBytes = NBD_STRUCTURED_REPLY_BYTES;
      return;
    }
    this.#final = (view.getUint16(4) & NBD_REPLY_FLAG_DONE) !== 0;
    const type = view.getUint16(6);
    const length = view.getUint32(16);
    if (type === NBD_REPLY_TYPE_OFFSET_DATA) {
      if (length < 9) this.violation = 'Chunk of data is empty';
      else if (this.#headerBytes < 28) this.#neededBytes = 28;
      else {
        const target = sink.onData(this.#cookie, readU64Be(view, 20), length - 8);
        this.#expectBody(target, null, sink);
      }
    } else if (length > CHUNK_BYTES_MAX) {
      this.violation = 'Chunk is too long';
    } else {
      this.#expectBody(new Uint8Array(length), type, sink);
    }
  }

  #expectBody(body: Uint8Array | null, chunkType: number | null, sink: NbdReplySink): void {
    this.#headerBytes = 0;
    this.#neededBytes = NBD_SIMPLE_REPLY_BYTES;
    if (body === null) {
      this.violation = 'Reply fits no request';
      return;
    }
    this.#body = body;
    this.#bodyBytes = 0;
    this.#chunkType = chunkType;
    if (body.byteLength === 0) this.#finishBody(sink);
  }

  #finishBody(sink: NbdReplySink): void {
    const body = this.#body;
    this.#body = EMPTY_BYTES;
    this.#bodyBytes = 0;
    if (this.#chunkType !== null) this.#takeChunk(this.#chunkType, body, sink);
    if (this.violation === null && this.#final) sink.onDone(this.#cookie);
  }

  #takeChunk(type: number, body: Uint8Array, sink: NbdReplySink): void {
    const view = viewOf(body);
    const length = body.byteLength;
    if (type === NBD_REPLY_TYPE_NONE) return;
    if (type === NBD_REPLY_TYPE_OFFSET_HOLE && length === 12) {
      const target = sink.onData(this.#cookie, readU64Be(view, 0), view.getUint32(8));
      if (target === null) this.violation = 'Reply fits no request';
      else target.fill(0);
    } else if (type === NBD_REPLY_TYPE_BLOCK_STATUS && length >= 12 && length % 8 === 4) {
      const statuses: NbdBlockStatus[] = [];
      for (let at = 4; at < length; at += 8) {
        statuses.push({ lengthBytes: view.getUint32(at), state: view.getUint32(at + 4) });
      }
      sink.onBlockStatus(this.#cookie, statuses);
    } else if ((type & 0x8000) !== 0 && length >= 6) {
      // "NBD_REPLY_TYPE_ERROR", its relative with an offset, and any that is still unknown.
      sink.onError(this.#cookie, view.getUint32(0));
    } else {
      this.violation = 'Chunk is malformed';
    }
  }
}
