/**
 * Memory of one transfer: room for the longest reply header, then the data, so that a reply to a
 * read leaves as one piece.
 *
 *      0            28                 28 + length
 *      ├─ header ────┼──── data ────────┤
 *           12       structured reply = all of it; simple reply = from byte 12 on
 */
import { EMPTY_BYTES } from '#lib/mod.ts';
import { NBD_OFFSET_DATA_BYTES, NBD_SIMPLE_REPLY_BYTES } from '#data/proto/nbd/mod.ts';

const SIMPLE_START = NBD_OFFSET_DATA_BYTES - NBD_SIMPLE_REPLY_BYTES;
const SMALLEST_SHIFT = 12;
/** Larger frames are not kept. */
const LARGEST_SHIFT = 20;

export class NbdFrame {
  readonly capacityBytes: number;
  readonly bytes: Uint8Array;
  /** Views for the present length; made anew only when the length changes. */
  data: Uint8Array = EMPTY_BYTES;
  structuredReply: Uint8Array = EMPTY_BYTES;
  simpleReply: Uint8Array = EMPTY_BYTES;

  constructor(capacityBytes: number) {
    this.capacityBytes = capacityBytes;
    this.bytes = new Uint8Array(NBD_OFFSET_DATA_BYTES + capacityBytes);
  }

  setLength(lengthBytes: number): void {
    if (this.data.byteLength === lengthBytes) return;
    const end = NBD_OFFSET_DATA_BYTES + lengthBytes;
    this.data = this.bytes.subarray(NBD_OFFSET_DATA_BYTES, end);
    this.structuredReply = this.bytes.subarray(0, end);
    this.simpleReply = this.bytes.subarray(SIMPLE_START, end);
  }
}

/** Frames by power of two from 4 KiB to 1 MiB; what is spare is bounded in bytes. */
export class NbdFrames {
  readonly #spare: NbdFrame[][] = [];
  readonly #spareBytesMax: number;
  #spareBytes = 0;

  constructor(spareBytesMax: number) {
    this.#spareBytesMax = spareBytesMax;
    for (let shift = SMALLEST_SHIFT; shift <= LARGEST_SHIFT; shift++) this.#spare.push([]);
  }

  take(lengthBytes: number): NbdFrame {
    const spare = this.#spare[classOf(lengthBytes)];
    let frame = spare?.pop();
    if (frame !== undefined) {
      this.#spareBytes -= frame.capacityBytes;
    } else {
      const capacity = spare === undefined ? lengthBytes : 1 << shiftOf(lengthBytes);
      frame = new NbdFrame(capacity);
    }
    frame.setLength(lengthBytes);
    return frame;
  }

  give(frame: NbdFrame): void {
    const spare = this.#spare[classOf(frame.capacityBytes)];
    if (spare === undefined || this.#spareBytes + frame.capacityBytes > this.#spareBytesMax) return;
    this.#spareBytes += frame.capacityBytes;
    spare.push(frame);
  }
}

function shiftOf(lengthBytes: number): number {
  return Math.max(SMALLEST_SHIFT, 32 - Math.clz32(lengthBytes - 1));
}

function classOf(lengthBytes: number): number {
  return shiftOf(lengthBytes) - SMALLEST_SHIFT;
}
