/**
 * The bytes of the `file` store (docs/format/store.md): envelope, pages, records, sections. Pure:
 * nothing here does I/O. Metadata payloads are in metadata.ts.
 *
 * Map page (4,096 bytes, little-endian):
 *   0    u32      crc32c of id digits ‖ u64 page number ‖ bytes 4..4095
 *   4    "HFPG"
 *   8    u64      number of the checkpoint that wrote it
 *   16   u2[960]  kinds: 0 absent, 1 zero, 2 data
 *   256  u32[960] checksums
 * Stamps page: the same header, then {u64 epoch, u64 n}[255].
 */
import { HoldfastError } from '#api/mod.ts';
import {
  assert,
  crc32c,
  decodeText,
  encodeText,
  formatHex,
  isZero,
  parseHex,
  readU64Le,
  viewOf,
  writeU64Le,
} from '#lib/mod.ts';

assert(new Uint8Array(new Uint32Array([1]).buffer)[0] === 1, 'the machine is little-endian');

export const PAGE_BYTES = 4096;
export const PAGED_HEADER_BYTES = 4096;
export const MAP_ENTRIES = 960;
export const STAMP_ENTRIES = 255;
export const KINDS_OFFSET = 16;
/** In words of 4 bytes. */
export const CRCS_WORD = 64;
export const STAMPS_WORD = 4;

export const KIND_ABSENT = 0;
export const KIND_ZERO = 1;
export const KIND_DATA = 2;

export const FORMAT_VERSION = 1;
const ENVELOPE_BYTES = 48;
const PAYLOAD_BYTES_MAX = 16 * 1024 * 1024;

export type EnvelopeKind = 'POOL' | 'REPL' | 'VOTE' | 'LMAP' | 'STMP' | 'MLOG' | 'INTS';

/** Everything that the envelope needs to be trusted; `path` is only for the message. */
export function corrupt(path: string, reason: string): HoldfastError {
  return new HoldfastError('store-corrupt', 'Store metadata is damaged', {
    details: { path, reason, remedy: 'Let the replica be rebuilt from the others' },
  });
}

function newer(path: string, reason: string): HoldfastError {
  return new HoldfastError('store-newer-format', 'Store was written by a newer version', {
    details: { path, reason, remedy: 'Run the version of Holdfast that wrote it, or a newer one' },
  });
}

export function encodeEnvelope(kind: EnvelopeKind, payload: object): Uint8Array {
  const text = encodeText(JSON.stringify(payload));
  const bytes = new Uint8Array(ENVELOPE_BYTES + text.byteLength);
  const view = viewOf(bytes);
  bytes.set(encodeText(`HOLDFAST${kind}`), 0);
  view.setUint32(12, FORMAT_VERSION, true);
  view.setUint32(40, text.byteLength, true);
  bytes.set(text, ENVELOPE_BYTES);
  view.setUint32(44, crc32c(text, crc32c(bytes.subarray(0, 44))), true);
  return bytes;
}

/** `exact`: the envelope is the whole file. Otherwise zeroes, or something else, may follow. */
export function decodeEnvelope(
  path: string,
  kind: EnvelopeKind,
  bytes: Uint8Array,
  exact: boolean,
): unknown {
  if (bytes.byteLength < ENVELOPE_BYTES) throw corrupt(path, 'shorter than its header');
  if (decodeText(bytes.subarray(0, 8)) !== 'HOLDFAST') throw corrupt(path, 'magic is missing');
  const view = viewOf(bytes);
  const length = view.getUint32(40, true);
  const end = ENVELOPE_BYTES + length;
  if (length > PAYLOAD_BYTES_MAX || end > bytes.byteLength) {
    throw corrupt(path, 'length is beyond the end of the file');
  }
  const text = bytes.subarray(ENVELOPE_BYTES, end);
  if (crc32c(text, crc32c(bytes.subarray(0, 44))) !== view.getUint32(44, true)) {
    throw corrupt(path, 'checksum does not match');
  }
  // Only after the checksum: a flipped bit in the version is damage, not a newer format.
  if (view.getUint32(12, true) > FORMAT_VERSION) throw newer(path, 'version');
  if (view.getUint32(12, true) === 0) throw corrupt(path, 'version 0');
  if (!isZero(bytes.subarray(32, 40))) throw newer(path, 'incompatible features');
  // There is no way to open a replica for reading only, so these bits stop us as well.
  if (!isZero(bytes.subarray(24, 32))) throw newer(path, 'read-only compatible features');
  if (decodeText(bytes.subarray(8, 12)) !== kind) throw corrupt(path, 'kind of file');
  if (exact ? end !== bytes.byteLength : !isZero(bytes.subarray(end))) {
    throw corrupt(path, 'bytes after the end');
  }
  try {
    return JSON.parse(decodeText(text)) as unknown;
  } catch {
    throw corrupt(path, 'payload is no JSON');
  }
}

/** An envelope padded to a page: head of a paged file or slot of a log. */
export function encodeHeaderPage(kind: EnvelopeKind, payload: object): Uint8Array {
  const page = new Uint8Array(PAGED_HEADER_BYTES);
  page.set(encodeEnvelope(kind, payload));
  return page;
}

// --- hex8 ids ---

const HEX8_PATTERN = /^[0-9a-f]{16}$/;

export function isHex8(text: unknown): text is string {
  return typeof text === 'string' && HEX8_PATTERN.test(text);
}

export function hex8Bytes(hex8: string): Uint8Array {
  const bytes = parseHex(hex8);
  assert(bytes !== undefined && bytes.byteLength === 8, 'a hex8 is 16 hexadecimal digits');
  return bytes;
}

// --- pages ---

const PAGE_MAGIC = encodeText('HFPG');

function pageCrc(idCrc: number, index: number, page: Uint8Array): number {
  const number = new Uint8Array(8);
  writeU64Le(viewOf(number), 0, index);
  return crc32c(page.subarray(4), crc32c(number, idCrc));
}

/** Crc of the id that the checksums of its pages begin with. */
export function pageIdCrc(hex8: string): number {
  return crc32c(encodeText(hex8));
}

/** Fills in the header of a page that goes to the disk. */
export function sealPage(idCrc: number, index: number, checkpoint: number, page: Uint8Array): void {
  const view = viewOf(page);
  page.set(PAGE_MAGIC, 4);
  writeU64Le(view, 8, checkpoint);
  view.setUint32(0, pageCrc(idCrc, index, page), true);
}

/** True for a page that was never written, too. */
export function isPageIntact(idCrc: number, index: number, page: Uint8Array): boolean {
  const view = viewOf(page);
  if (decodeText(page.subarray(4, 8)) !== 'HFPG') return isZero(page);
  return view.getUint32(0, true) === pageCrc(idCrc, index, page);
}

export function readKind(page: Uint8Array, entry: number): number {
  return (page[KINDS_OFFSET + (entry >>> 2)]! >>> ((entry & 3) * 2)) & 3;
}

export function writeKind(page: Uint8Array, entry: number, kind: number): void {
  const at = KINDS_OFFSET + (entry >>> 2);
  const shift = (entry & 3) * 2;
  page[at] = (page[at]! & ~(3 << shift)) | (kind << shift);
}

// --- records ---

export const LOG_HEADER_BYTES = 8192;
export const RECORD_ALIGN = 512;
export const RECORD_HEADER_BYTES = 48;
const RECORD_BYTES_MAX = 64 * 1024 * 1024;
const RECORD_MAGIC = 0x524c_4648; // "HFLR"

export const SECTION_ENTRIES = 1;
export const SECTION_PAGE = 2;
export const SECTION_STAMPS = 3;
export const SECTION_COMPLETED = 4;
export const SECTION_MARK = 5;
export const SECTION_SEGMENTS = 16;

export interface RecordHeader {
  readonly crc: number;
  readonly sequence: number;
  readonly synced: number;
  readonly lengthBytes: number;
  readonly previousCrc: number;
}

export function alignUp(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit;
}

/** Room for a record with these sections, padded; sections start at RECORD_HEADER_BYTES. */
export function allocateRecord(sectionBytes: number): Uint8Array {
  return new Uint8Array(alignUp(RECORD_HEADER_BYTES + sectionBytes, RECORD_ALIGN));
}

/** Fills in the header of a record from `allocateRecord`; returns its crc. */
export function sealRecord(
  record: Uint8Array,
  lengthBytes: number,
  salt: Uint8Array,
  sequence: number,
  synced: number,
  previousCrc: number,
): number {
  assert(lengthBytes <= RECORD_BYTES_MAX, 'a record has a limit');
  const view = viewOf(record);
  view.setUint32(0, RECORD_MAGIC, true);
  record.set(salt, 8);
  writeU64Le(view, 16, sequence);
  writeU64Le(view, 24, synced);
  view.setUint32(32, lengthBytes, true);
  view.setUint32(36, previousCrc, true);
  writeU64Le(view, 40, 0);
  const crc = crc32c(record.subarray(8, lengthBytes));
  view.setUint32(4, crc, true);
  return crc;
}

/** The record that begins at `at`, or undefined when its magic, salt, length or crc do not fit. */
export function decodeRecord(
  bytes: Uint8Array,
  at: number,
  salt: Uint8Array,
): RecordHeader | undefined {
  if (at + RECORD_HEADER_BYTES > bytes.byteLength) return undefined;
  const view = viewOf(bytes);
  if (view.getUint32(at, true) !== RECORD_MAGIC || !hasSalt(bytes, at, salt)) return undefined;
  const lengthBytes = view.getUint32(at + 32, true);
  if (lengthBytes < RECORD_HEADER_BYTES || lengthBytes > RECORD_BYTES_MAX) return undefined;
  if (at + lengthBytes > bytes.byteLength) return undefined;
  const crc = view.getUint32(at + 4, true);
  if (crc32c(bytes.subarray(at + 8, at + lengthBytes)) !== crc) return undefined;
  return {
    crc,
    sequence: readU64Le(view, at + 16),
    synced: readU64Le(view, at + 24),
    lengthBytes,
    previousCrc: view.getUint32(at + 36, true),
  };
}

function hasSalt(bytes: Uint8Array, at: number, salt: Uint8Array): boolean {
  for (let i = 0; i < 8; i++) if (bytes[at + 8 + i] !== salt[i]) return false;
  return true;
}

/** Whether a record of this log was begun here: magic or salt survived. */
export function looksLikeRecord(bytes: Uint8Array, at: number, salt: Uint8Array): boolean {
  if (at + RECORD_HEADER_BYTES > bytes.byteLength) return false;
  return viewOf(bytes).getUint32(at, true) === RECORD_MAGIC
    ? hasSalt(bytes, at, salt) || !isOldRecord(bytes, at)
    : hasSalt(bytes, at, salt);
}

/** A record of an earlier restart that still lies there whole is not the tail of this log. */
function isOldRecord(bytes: Uint8Array, at: number): boolean {
  return decodeRecord(bytes, at, bytes.subarray(at + 8, at + 16)) !== undefined;
}

export interface Section {
  readonly type: number;
  readonly body: Uint8Array;
}

/**
 * Sections of a record that `decodeRecord` accepted; throws `store-corrupt` when they do not fit.
 */
export function decodeSections(path: string, record: Uint8Array): Section[] {
  const sections: Section[] = [];
  const view = viewOf(record);
  let at = RECORD_HEADER_BYTES;
  while (at + 8 <= record.byteLength) {
    const type = view.getUint32(at, true);
    const length = view.getUint32(at + 4, true);
    if (at + 8 + length > record.byteLength) throw corrupt(path, 'section is too long');
    sections.push({ type, body: record.subarray(at + 8, at + 8 + length) });
    at += 8 + alignUp(length, 8);
  }
  return sections;
}

/** Writes a section's head at `at`, returns where the next one begins. */
export function putSection(view: DataView, at: number, type: number, bodyBytes: number): number {
  view.setUint32(at, type, true);
  view.setUint32(at + 4, bodyBytes, true);
  return at + 8 + alignUp(bodyBytes, 8);
}

export function formatHex8(bytes: Uint8Array): string {
  return formatHex(bytes.subarray(0, 8));
}
