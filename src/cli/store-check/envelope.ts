/** docs/format/store.md "Envelope": what every file but `.data` begins with. */
import { crc32c, decodeText, isZero, readU64Le, viewOf } from '#lib/mod.ts';
import type { Findings } from './findings.ts';

export type EnvelopeKind = 'POOL' | 'REPL' | 'VOTE' | 'LMAP' | 'STMP' | 'MLOG' | 'INTS';

const MAGIC = 'HOLDFAST';
const HEADER_BYTES = 48;
const CRC_OFFSET = 44;
const PAYLOAD_BYTES_MAX = 16 * 1024 * 1024;
const VERSION = 1;

export type Envelope =
  | {
      readonly ok: true;
      readonly payload: unknown;
      /** Bytes behind the payload that are not zero, or any where none may be. */
      readonly trailing: boolean;
      /** Bits of a later version that a reader may ignore. */
      readonly unknownFeatures: boolean;
    }
  | { readonly ok: false; readonly reason: string; readonly newer: boolean };

/** `exact`: nothing may follow the payload; `padded`: zeroes to the end of `bytes`. */
export function decodeEnvelope(
  bytes: Uint8Array,
  kind: EnvelopeKind,
  tail: 'exact' | 'padded',
): Envelope {
  if (bytes.byteLength < HEADER_BYTES) return bad('Shorter than an envelope');
  if (decodeText(bytes.subarray(0, 8)) !== MAGIC) return bad('The magic is missing');
  const view = viewOf(bytes);
  const length = view.getUint32(40, true);
  const end = HEADER_BYTES + length;
  if (length > PAYLOAD_BYTES_MAX || end > bytes.byteLength) return bad('The length does not fit');
  const crc = crc32c(bytes.subarray(HEADER_BYTES, end), crc32c(bytes.subarray(0, CRC_OFFSET)));
  if (crc !== view.getUint32(CRC_OFFSET, true)) return bad('The checksum does not fit');
  if (decodeText(bytes.subarray(8, 12)) !== kind) return bad('It is of another kind');
  const version = view.getUint32(12, true);
  const incompatible = readU64Le(view, 32) !== 0;
  if (version > VERSION || incompatible) {
    return { ok: false, reason: 'A newer version wrote it', newer: true };
  }
  if (version !== VERSION) return bad('There is no such version');
  const payload = parseJson(decodeText(bytes.subarray(HEADER_BYTES, end)));
  if (payload === undefined) return bad('The payload is not a JSON object');
  const rest = bytes.subarray(end);
  return {
    ok: true,
    payload,
    trailing: tail === 'exact' ? rest.byteLength > 0 : !isZero(rest),
    unknownFeatures: !isZero(bytes.subarray(16, 32)),
  };
}

/** The payload, or undefined after the finding was added. */
export function takeEnvelope(
  envelope: Envelope,
  file: string,
  tail: 'exact' | 'padded',
  findings: Findings,
): unknown {
  if (!envelope.ok) {
    if (envelope.newer) findings.newer(file, envelope.reason);
    else findings.corruption(file, 'The envelope is not valid', { reason: envelope.reason });
    return undefined;
  }
  if (envelope.trailing && tail === 'exact') {
    findings.corruption(file, 'The file is longer than its envelope');
    return undefined;
  }
  if (envelope.trailing) findings.damage(file, 'The padding behind the envelope is not zero');
  if (envelope.unknownFeatures) findings.note(file, 'It has features of a newer version');
  return envelope.payload;
}

function bad(reason: string): Envelope {
  return { ok: false, reason, newer: false };
}

function parseJson(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
