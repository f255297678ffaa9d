/**
 * Bytes to frames, resumable at any byte. Holds at most one header and one payload.
 *
 *     decoder.feed(chunk);
 *     for (;;) { const step = decoder.next(); … 'frame' → decoder.frame, 'need-more' → wait }
 *
 * - The length of a payload is checked against its type before its place is asked for, and the
 *   place is asked for only after the header's checksum fitted.
 * - A payload is copied once, from the chunk to where `place` says: a pooled buffer, or the
 *   reader's
 *   own. Nothing else is allocated per frame but one short-lived view.
 * - A violation is final.
 */
import {
  assert,
  CRC_BLOCK_BYTES,
  crc32c,
  EMPTY_BYTES,
  joinBlockCrcs,
  readU64Le,
  takeBlockCrcs,
  viewOf,
} from '#lib/mod.ts';
import { FRAME, HEADER_BYTES, LAYER_BYTES_MAX, MAGIC, payloadBytesMax } from './frame-types.ts';
import { headerCrc } from './header-crc.ts';

/** The fields of the frame that was decoded last: used again for the next one. */
export interface Frame {
  type: number;
  flags: number;
  /** How much of the payload's beginning names a layer; 0 is the head. */
  layerBytes: number;
  requestId: number;
  payloadBytes: number;
  offsetBytes: number;
  lengthBytes: number;
  stampEpoch: number;
  stampN: number;
  /** What `place` returned; empty when there is none. */
  payload: Uint8Array;
  /** Of a write to the head: the checksums of its blocks, until the next frame. */
  blockCrcs: Uint32Array | null;
}

export type Violation =
  | 'bad-magic'
  | 'header-checksum'
  | 'reserved-not-zero'
  | 'unknown-type'
  | 'too-long'
  | 'number-too-large'
  | 'unexpected-frame'
  | 'payload-checksum';

export class FrameDecoder {
  readonly frame: Frame = {
    type: 0,
    flags: 0,
    layerBytes: 0,
    requestId: 0,
    payloadBytes: 0,
    offsetBytes: 0,
    lengthBytes: 0,
    stampEpoch: 0,
    stampN: 0,
    payload: EMPTY_BYTES,
    blockCrcs: null,
  };
  readonly #place: (frame: Frame) => Uint8Array | null;
  #chunk: Uint8Array = EMPTY_BYTES;
  #view: DataView = viewOf(EMPTY_BYTES);
  #at = 0;
  /** A header that came in pieces. */
  readonly #partial = new Uint8Array(HEADER_BYTES);
  readonly #partialView = viewOf(this.#partial);
  #partialBytes = 0;
  #payloadCrc = 0;
  #blockCrcs = new Uint32Array(1);
  /** Bytes of the payload that are in place; -1 between frames. */
  #placed = -1;
  #violation: Violation | null = null;

  /**
   * `place` gives the memory for the payload of a frame, exactly `payloadBytes` long, or null when
   * such a frame may not come now. Called only for frames that have a payload.
   */
  constructor(place: (frame: Frame) => Uint8Array | null) {
    this.#place = place;
  }

  /** Why `next` said `violation`. */
  get violation(): Violation | null {
    return this.#violation;
  }

  /** True when nothing of a frame has arrived yet: the peer may end here in order. */
  get between(): boolean {
    return this.#placed < 0 && this.#partialBytes === 0 && this.#at === this.#chunk.byteLength;
  }

  /** The chunk must stay as it is until `next` says `need-more` or `keepRest` is called. */
  feed(chunk: Uint8Array): void {
    assert(this.#at === this.#chunk.byteLength, 'the chunk before was used up');
    this.#chunk = chunk;
    this.#view = viewOf(chunk);
    this.#at = 0;
  }

  /** Copies what is left of the chunk, so that decoding may go on later. */
  keepRest(): void {
    this.#chunk = this.#chunk.slice(this.#at);
    this.#view = viewOf(this.#chunk);
    this.#at = 0;
  }

  next(): 'frame' | 'need-more' | 'violation' {
    if (this.#violation !== null) return 'violation';
    if (this.#placed < 0) {
      const step = this.#header();
      if (step !== 'frame') return step;
    }
    return this.#payload();
  }

  #header(): 'frame' | 'need-more' | 'violation' {
    const left = this.#chunk.byteLength - this.#at;
    if (this.#partialBytes === 0 && left >= HEADER_BYTES) {
      const at = this.#at;
      this.#at += HEADER_BYTES;
      return this.#parse(this.#view, at);
    }
    const take = Math.min(left, HEADER_BYTES - this.#partialBytes);
    this.#partial.set(this.#chunk.subarray(this.#at, this.#at + take), this.#partialBytes);
    this.#at += take;
    this.#partialBytes += take;
    // Garbage is told from the first four bytes: nobody waits for the rest of a header.
    if (this.#partialBytes >= 4 && this.#partialView.getUint32(0, true) !== MAGIC) {
      return this.#fail('bad-magic');
    }
    if (this.#partialBytes < HEADER_BYTES) return 'need-more';
    this.#partialBytes = 0;
    return this.#parse(this.#partialView, 0);
  }

  #parse(view: DataView, at: number): 'frame' | 'violation' {
    if (view.getUint32(at, true) !== MAGIC) return this.#fail('bad-magic');
    if (view.getUint32(at + 60, true) !== headerCrc(view, at)) return this.#fail('header-checksum');
    const { frame } = this;
    frame.type = view.getUint8(at + 4);
    frame.flags = view.getUint8(at + 5);
    frame.layerBytes = view.getUint8(at + 6);
    frame.requestId = view.getUint32(at + 8, true);
    frame.payloadBytes = view.getUint32(at + 12, true);
    frame.offsetBytes = readU64Le(view, at + 16);
    frame.lengthBytes = readU64Le(view, at + 24);
    frame.stampEpoch = readU64Le(view, at + 32);
    frame.stampN = readU64Le(view, at + 40);
    frame.payload = EMPTY_BYTES;
    frame.blockCrcs = null;
    this.#payloadCrc = view.getUint32(at + 56, true);
    if (
      view.getUint8(at + 7) !== 0 ||
      view.getUint32(at + 48, true) !== 0 ||
      view.getUint32(at + 52, true) !== 0 ||
      frame.flags > 7
    ) {
      return this.#fail('reserved-not-zero');
    }
    const bytesMax = payloadBytesMax(frame.type, frame.flags);
    if (bytesMax < 0) return this.#fail('unknown-type');
    if (frame.payloadBytes > bytesMax) return this.#fail('too-long');
    if (frame.layerBytes > Math.min(frame.payloadBytes, LAYER_BYTES_MAX)) {
      return this.#fail('too-long');
    }
    // TOO_LARGE is negative.
    if (
      frame.offsetBytes < 0 ||
      frame.lengthBytes < 0 ||
      frame.stampEpoch < 0 ||
      frame.stampN < 0 ||
      frame.offsetBytes + frame.lengthBytes > Number.MAX_SAFE_INTEGER
    ) {
      return this.#fail('number-too-large');
    }
    this.#placed = 0;
    if (frame.payloadBytes === 0) return 'frame';
    const place = this.#place(frame);
    if (place === null) return this.#fail('unexpected-frame');
    assert(place.byteLength === frame.payloadBytes, 'a place has the length of the payload');
    frame.payload = place;
    return 'frame';
  }

  #payload(): 'frame' | 'need-more' | 'violation' {
    const { frame } = this;
    const missing = frame.payloadBytes - this.#placed;
    if (missing > 0) {
      const take = Math.min(missing, this.#chunk.byteLength - this.#at);
      if (take > 0) {
        frame.payload.set(this.#chunk.subarray(this.#at, this.#at + take), this.#placed);
        this.#at += take;
        this.#placed += take;
      }
      if (take < missing) return 'need-more';
    }
    this.#placed = -1;
    const crc = frame.payloadBytes === 0 ? 0 : this.#checksum(frame);
    return crc === this.#payloadCrc ? 'frame' : this.#fail('payload-checksum');
  }

  /** A write's by blocks: the store needs those, and they make up the whole. */
  #checksum(frame: Frame): number {
    const { type, layerBytes, payload, payloadBytes } = frame;
    if (type !== FRAME.write || layerBytes > 0 || payloadBytes % CRC_BLOCK_BYTES !== 0) {
      return crc32c(payload);
    }
    const count = payloadBytes / CRC_BLOCK_BYTES;
    if (this.#blockCrcs.length < count) this.#blockCrcs = new Uint32Array(count);
    takeBlockCrcs(payload, this.#blockCrcs);
    frame.blockCrcs = this.#blockCrcs;
    return joinBlockCrcs(this.#blockCrcs, count);
  }

  #fail(violation: Violation): 'violation' {
    this.#violation = violation;
    return 'violation';
  }
}
