/**
 * Frames of the RPC: a length and a JSON value, nothing else.
 *
 *     offset  bytes  type    meaning
 *     0       4      u32 BE  length of the body in bytes, 1 to 8 MiB
 *     4       n      UTF-8   one JSON value
 *
 * A HoldfastError anywhere in a value crosses as {"$holdfastError": {code, effect, message,
 * details}}.
 */
import {
  ERROR_CODES,
  HoldfastError,
  type Effect,
  type ErrorCode,
  type ErrorDetails,
} from '#api/mod.ts';
import { decodeText, EMPTY_BYTES, encodeText, viewOf } from '#lib/mod.ts';

export const FRAME_BODY_BYTES_MAX = 8 * 1024 * 1024;
/** Of a peer that has not said hello. */
export const HELLO_BYTES_MAX = 1024;
const HEADER_BYTES = 4;
const ERROR_KEY = '$holdfastError';
const KNOWN_CODES: ReadonlySet<string> = new Set(ERROR_CODES);

export interface WireError {
  readonly code: string;
  readonly effect: Effect;
  readonly message: string;
  readonly details: ErrorDetails;
}

export function encodeError(error: HoldfastError): WireError {
  const { code, effect, message, details } = error;
  return { code, effect, message, details };
}

/** A code that this version does not know (a newer peer) arrives as `protocol-violation`. */
export function decodeError(value: WireError): HoldfastError {
  const isKnown = KNOWN_CODES.has(value.code);
  return new HoldfastError(
    isKnown ? (value.code as ErrorCode) : 'protocol-violation',
    String(value.message),
    {
      effect: value.effect === 'applied' || value.effect === 'unknown' ? value.effect : 'none',
      details: isKnown ? (value.details ?? {}) : { ...value.details, peerCode: String(value.code) },
    },
  );
}

function replaceErrors(_key: string, value: unknown): unknown {
  return HoldfastError.is(value) ? { [ERROR_KEY]: encodeError(value) } : value;
}

function reviveErrors(_key: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || !(ERROR_KEY in value)) return value;
  return decodeError(value[ERROR_KEY] as WireError);
}

/** One frame; `out-of-range` when the value is larger than a frame may be. */
export function encodeFrame(value: unknown): Uint8Array[] {
  const body = encodeText(JSON.stringify(value, replaceErrors));
  if (body.byteLength > FRAME_BODY_BYTES_MAX) {
    throw new HoldfastError('out-of-range', 'RPC message is too large', {
      details: { bytes: body.byteLength, bytesMax: FRAME_BODY_BYTES_MAX },
    });
  }
  const header = new Uint8Array(HEADER_BYTES);
  viewOf(header).setUint32(0, body.byteLength);
  return [header, body];
}

/** Cuts a stream into frames. After a violation it must not be fed again. */
export class FrameDecoder {
  /** Longer bodies are a violation, before anything of them is kept. May change between frames. */
  bodyBytesMax: number;
  #buffer: Uint8Array = EMPTY_BYTES;
  #haveBytes = 0;

  constructor(bodyBytesMax = FRAME_BODY_BYTES_MAX) {
    this.bodyBytesMax = bodyBytesMax;
  }

  /** Copies what it keeps, gives whole values to `take`. Throws `protocol-violation`. */
  push(bytes: Uint8Array, take: (value: unknown) => void): void {
    this.#append(bytes);
    let at = 0;
    for (;;) {
      const length = this.#lengthAt(at);
      if (length === undefined || this.#haveBytes - at < HEADER_BYTES + length) break;
      take(parseBody(this.#buffer.subarray(at + HEADER_BYTES, at + HEADER_BYTES + length)));
      at += HEADER_BYTES + length;
    }
    this.#drop(at);
  }

  /** Undefined while the header is not there yet. */
  #lengthAt(at: number): number | undefined {
    if (this.#haveBytes - at < HEADER_BYTES) return undefined;
    const length = viewOf(this.#buffer).getUint32(at);
    if (length > 0 && length <= this.bodyBytesMax) return length;
    throw new HoldfastError('protocol-violation', 'RPC frame has an impossible length', {
      details: { length, bytesMax: this.bodyBytesMax },
    });
  }

  /** Grows by doubling, with what has come: never with what a header announces. */
  #append(bytes: Uint8Array): void {
    const needBytes = this.#haveBytes + bytes.byteLength;
    if (needBytes > this.#buffer.byteLength) {
      const larger = new Uint8Array(Math.max(needBytes, 2 * this.#haveBytes));
      larger.set(this.#buffer.subarray(0, this.#haveBytes));
      this.#buffer = larger;
    }
    this.#buffer.set(bytes, this.#haveBytes);
    this.#haveBytes = needBytes;
  }

  #drop(countBytes: number): void {
    if (countBytes === 0) return;
    const rest = this.#buffer.slice(countBytes, this.#haveBytes);
    this.#buffer = rest;
    this.#haveBytes = rest.byteLength;
  }
}

function parseBody(body: Uint8Array): unknown {
  try {
    return JSON.parse(decodeText(body), reviveErrors) as unknown;
  } catch (cause) {
    throw new HoldfastError('protocol-violation', 'RPC frame is not JSON', { cause });
  }
}

/** What every message is at least. */
export function asRecord(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return value as Readonly<Record<string, unknown>>;
  }
  throw new HoldfastError('protocol-violation', 'RPC message is not an object');
}
