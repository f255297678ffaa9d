/**
 * Frames to chunks for one gathering write. Headers are written one after another into one piece of
 * memory, so frames without payload are one chunk together; payloads are not copied and must stay
 * as they are until `flush` returns.
 */
import { assert, crc32c, EMPTY_BYTES, viewOf, writeU64Le } from '#lib/mod.ts';
import { HEADER_BYTES, MAGIC } from './frame-types.ts';
import { headerCrc } from './header-crc.ts';

const FRAMES_MAX = 256;
const BYTES_MAX = 1024 * 1024;

/** The fields of a header that the caller chooses. */
export interface FrameFields {
  readonly type: number;
  readonly flags?: number;
  readonly requestId?: number;
  readonly offsetBytes?: number;
  readonly lengthBytes?: number;
  readonly stampEpoch?: number;
  readonly stampN?: number;
}

export class FrameBatch {
  readonly #write: (chunks: readonly Uint8Array[]) => boolean;
  readonly #memory = new Uint8Array(FRAMES_MAX * HEADER_BYTES);
  readonly #view = viewOf(this.#memory);
  readonly #chunks: Uint8Array[] = [];
  /** Where the headers begin that are not in a chunk yet. */
  #runStart = 0;
  #end = 0;
  #bytes = 0;

  constructor(write: (chunks: readonly Uint8Array[]) => boolean) {
    this.#write = write;
  }

  get empty(): boolean {
    return this.#end === 0;
  }

  /** Time to flush: another frame may not fit. */
  get full(): boolean {
    return this.#end === this.#memory.byteLength || this.#bytes >= BYTES_MAX;
  }

  /**
   * The hot form of `add`: nothing is allocated. `dataCrc` is the checksum of `data` where the
   * caller has it, else -1.
   */
  addHot(
    type: number,
    flags: number,
    requestId: number,
    offsetBytes: number,
    lengthBytes: number,
    stampEpoch: number,
    stampN: number,
    layer: Uint8Array,
    data: Uint8Array,
    dataCrc = -1,
  ): void {
    assert(this.#end < this.#memory.byteLength, 'a full batch is flushed first');
    const at = this.#end;
    const view = this.#view;
    const layerBytes = layer.byteLength;
    const dataBytes = data.byteLength;
    let crc = layerBytes === 0 ? 0 : crc32c(layer);
    if (dataCrc >= 0 && layerBytes === 0) crc = dataCrc;
    else if (dataBytes > 0) crc = crc32c(data, crc);
    view.setUint32(at, MAGIC, true);
    view.setUint32(at + 4, type | (flags << 8) | (layerBytes << 16), true);
    view.setUint32(at + 8, requestId, true);
    view.setUint32(at + 12, layerBytes + dataBytes, true);
    writeU64Le(view, at + 16, offsetBytes);
    writeU64Le(view, at + 24, lengthBytes);
    writeU64Le(view, at + 32, stampEpoch);
    writeU64Le(view, at + 40, stampN);
    view.setUint32(at + 48, 0, true);
    view.setUint32(at + 52, 0, true);
    view.setUint32(at + 56, crc, true);
    view.setUint32(at + 60, headerCrc(view, at), true);
    this.#end = at + HEADER_BYTES;
    this.#bytes += HEADER_BYTES + layerBytes + dataBytes;
    if (layerBytes + dataBytes === 0) return;
    this.#closeRun();
    if (layerBytes > 0) this.#chunks.push(layer);
    if (dataBytes > 0) this.#chunks.push(data);
  }

  add(fields: FrameFields, payload: Uint8Array = EMPTY_BYTES): void {
    this.addHot(
      fields.type,
      fields.flags ?? 0,
      fields.requestId ?? 0,
      fields.offsetBytes ?? 0,
      fields.lengthBytes ?? 0,
      fields.stampEpoch ?? 0,
      fields.stampN ?? 0,
      EMPTY_BYTES,
      payload,
    );
  }

  #closeRun(): void {
    if (this.#runStart === this.#end) return;
    this.#chunks.push(this.#memory.subarray(this.#runStart, this.#end));
    this.#runStart = this.#end;
  }

  /** False when the connection wants to be left alone until it drains. */
  flush(): boolean {
    if (this.#end === 0) return true;
    this.#closeRun();
    this.#runStart = 0;
    this.#end = 0;
    this.#bytes = 0;
    const goOn = this.#write(this.#chunks);
    this.#chunks.length = 0;
    return goOn;
  }
}

/** One frame in fresh memory: for tests and single messages. */
export function encodeFrame(fields: FrameFields, payload: Uint8Array = EMPTY_BYTES): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES + payload.byteLength);
  const batch = new FrameBatch((chunks) => {
    let at = 0;
    for (const chunk of chunks) {
      bytes.set(chunk, at);
      at += chunk.byteLength;
    }
    return true;
  });
  batch.add(fields, payload);
  batch.flush();
  return bytes;
}
