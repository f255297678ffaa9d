/**
 * Requests of the transmission phase (proto.md "Request message"): resumable at any byte, many
 * requests in one chunk, nothing allocated. A request is not an object but the decoder's own
 * fields.
 *
 *      offset  bytes
 *           0      4   NBD_REQUEST_MAGIC
 *           4      2   command flags
 *           6      2   type
 *           8      8   cookie
 *          16      8   offset
 *          24      4   length
 *          28  length  data of a write
 */
import { EMPTY_BYTES } from '#lib/mod.ts';
import { NBD_CMD_WRITE, NBD_REQUEST_BYTES, NBD_REQUEST_MAGIC } from './constants.ts';

export interface NbdRequestSink {
  /**
   * A write's header is in the fields. Returns the buffer for its payload, or null to skip that.
   */
  onWriteHeader(): Uint8Array | null;
  /** The request in the fields is whole, payload included. */
  onRequest(): void;
}

export class NbdRequestDecoder {
  flags = 0;
  command = 0;
  cookieHigh = 0;
  cookieLow = 0;
  /** Above 2^53 - 1 it is no longer exact, but beyond the end of every device anyhow. */
  offsetBytes = 0;
  lengthBytes = 0;
  /** Why decoding ended, or null. */
  violation: string | null = null;
  /** Set by the sink to stop after the request at hand. */
  paused = false;

  readonly #carry = new Uint8Array(NBD_REQUEST_BYTES);
  #carryBytes = 0;
  #payload: Uint8Array | null = EMPTY_BYTES;
  /** Of the payload, still to come. */
  #missingBytes = 0;

  /**
   * Decodes from `at` on; returns where it stopped: the end, or earlier when paused or violated.
   */
  push(bytes: Uint8Array, at: number, sink: NbdRequestSink): number {
    const end = bytes.byteLength;
    while (at < end && !this.paused && this.violation === null) {
      if (this.#missingBytes > 0) {
        at = this.#takePayload(bytes, at);
        if (this.#missingBytes === 0) sink.onRequest();
        continue;
      }
      if (this.#carryBytes === 0 && end - at >= NBD_REQUEST_BYTES) {
        this.#decode(bytes, at);
        at += NBD_REQUEST_BYTES;
      } else {
        const count = Math.min(NBD_REQUEST_BYTES - this.#carryBytes, end - at);
        this.#carry.set(bytes.subarray(at, at + count), this.#carryBytes);
        this.#carryBytes += count;
        at += count;
        if (this.#carryBytes < NBD_REQUEST_BYTES) return at;
        this.#carryBytes = 0;
        this.#decode(this.#carry, 0);
      }
      if (this.violation !== null) break;
      if (this.command === NBD_CMD_WRITE) {
        this.#payload = sink.onWriteHeader();
        this.#missingBytes = this.lengthBytes;
        if (this.#missingBytes > 0) continue;
      }
      sink.onRequest();
    }
    return at;
  }

  #takePayload(bytes: Uint8Array, at: number): number {
    const count = Math.min(this.#missingBytes, bytes.byteLength - at);
    if (this.#payload !== null) {
      const whole = at === 0 && count === bytes.byteLength;
      const done = this.lengthBytes - this.#missingBytes;
      this.#payload.set(whole ? bytes : bytes.subarray(at, at + count), done);
    }
    this.#missingBytes -= count;
    return at + count;
  }

  #decode(bytes: Uint8Array, at: number): void {
    if (readU32(bytes, at) !== NBD_REQUEST_MAGIC) {
      this.violation = 'Request has a wrong magic';
      return;
    }
    const flagsAndType = readU32(bytes, at + 4);
    this.flags = flagsAndType >>> 16;
    this.command = flagsAndType & 0xffff;
    this.cookieHigh = readU32(bytes, at + 8);
    this.cookieLow = readU32(bytes, at + 12);
    this.offsetBytes = readU32(bytes, at + 16) * 0x1_0000_0000 + readU32(bytes, at + 20);
    this.lengthBytes = readU32(bytes, at + 24);
  }
}

function readU32(bytes: Uint8Array, at: number): number {
  return (
    (((bytes[at] ?? 0) << 24) |
      ((bytes[at + 1] ?? 0) << 16) |
      ((bytes[at + 2] ?? 0) << 8) |
      (bytes[at + 3] ?? 0)) >>>
    0
  );
}
