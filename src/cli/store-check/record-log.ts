/** docs/format/store.md "Record logs": slots and records of `map-log` and `intents`. */
import { crc32c, decodeText, equalBytes, isZero, parseHex, readU64Le, viewOf } from '#lib/mod.ts';
import { decodeEnvelope } from './envelope.ts';
import type { Findings } from './findings.ts';
import { logPayload, type LogPayload, parsePayload } from './payloads.ts';

const SLOT_BYTES = 4096;
const RECORDS_OFFSET = 2 * SLOT_BYTES;
const STEP_BYTES = 512;
const RECORD_HEADER_BYTES = 48;
const RECORD_BYTES_MAX = 64 * 1024 * 1024;

export interface Section {
  readonly type: number;
  readonly body: Uint8Array;
}

export interface LogRecord {
  readonly offset: number;
  readonly length: number;
  readonly crc: number;
  readonly sequence: number;
  readonly synced: number;
  readonly formerCrc: number;
  readonly sections: readonly Section[];
}

export interface LogImage {
  readonly header: LogPayload;
  readonly records: readonly LogRecord[];
  /** Only of the map log: something of this log that is no valid record follows the last one. */
  readonly torn: boolean;
}

export interface LogContext {
  readonly bytes: Uint8Array;
  readonly file: string;
  readonly findings: Findings;
  /** The store was closed in order: no power failure explains what does not fit. */
  readonly clean: boolean;
}

export function readMapLog(context: LogContext): LogImage | undefined {
  const header = readSlots(context, 'MLOG');
  if (header === undefined) return undefined;
  const { bytes, file, findings } = context;
  const salt = parseHex(header.salt)!;
  const records: LogRecord[] = [];
  let offset = RECORDS_OFFSET;
  let formerCrc = 0;
  for (;;) {
    const record = recordAt(bytes, offset, salt);
    if (record?.sequence !== records.length + 1 || record.formerCrc !== formerCrc) break;
    checkPadding(context, record);
    records.push(record);
    formerCrc = record.crc;
    offset = nextPlace(record);
  }
  const expected = records.length + 1;
  for (let at = offset; at < bytes.byteLength; at += STEP_BYTES) {
    const later = recordAt(bytes, at, salt);
    if (later === undefined || later.synced < expected) continue;
    findings.corruption(file, 'A durable record is damaged', { offset, sequence: expected });
    return undefined;
  }
  const torn = hasSalt(bytes, offset, salt);
  if (torn) findings.note(file, 'The tail was being written and is dropped', { offset });
  if (context.clean && (records.length > 0 || torn)) {
    findings.corruption(file, 'The log of a clean store is not empty', { records: records.length });
  }
  return { header, records, torn };
}

export function readIntentLog(context: LogContext): LogImage | undefined {
  const header = readSlots(context, 'INTS');
  if (header === undefined) return undefined;
  const { bytes, file, findings } = context;
  const salt = parseHex(header.salt)!;
  const records: LogRecord[] = [];
  const damaged: number[] = [];
  for (let at = RECORDS_OFFSET; at < bytes.byteLength; ) {
    const record = recordAt(bytes, at, salt);
    if (record !== undefined) {
      checkPadding(context, record);
      records.push(record);
      at = nextPlace(record);
      continue;
    }
    if (!isZero(bytes.subarray(at, at + STEP_BYTES))) damaged.push(at);
    at += STEP_BYTES;
  }
  if (damaged.length > 0) {
    const details = { offset: damaged[0]!, places: damaged.length };
    if (context.clean) findings.damage(file, 'A record of intent marks is damaged', details);
    else findings.note(file, 'A record of intent marks is torn or damaged', details);
  }
  return { header, records, torn: false };
}

/** The slot that counts. */
function readSlots(context: LogContext, kind: 'MLOG' | 'INTS'): LogPayload | undefined {
  const { bytes, file, findings, clean } = context;
  const slots = [0, 1].map((slot) => {
    const part = bytes.subarray(slot * SLOT_BYTES, (slot + 1) * SLOT_BYTES);
    const envelope = decodeEnvelope(part, kind, 'padded');
    if (!envelope.ok) {
      if (envelope.newer) findings.newer(file, envelope.reason);
      else if (clean) findings.damage(file, 'A slot is damaged', { slot, reason: envelope.reason });
      else findings.note(file, 'A slot is torn or damaged', { slot, reason: envelope.reason });
      return undefined;
    }
    if (envelope.trailing || part.byteLength < SLOT_BYTES) {
      findings.damage(file, 'The padding of a slot is not zero', { slot });
    }
    return parsePayload(logPayload, envelope.payload, file, findings);
  });
  // The padding of the last record is written with it.
  if (bytes.byteLength % STEP_BYTES !== 0) {
    const details = { sizeBytes: bytes.byteLength };
    if (clean) findings.damage(file, 'The last record is cut off', details);
    else findings.note(file, 'The last record is cut off', details);
  }
  const [a, b] = slots;
  if (a === undefined && b === undefined) {
    findings.corruption(file, 'Neither slot is valid');
    return undefined;
  }
  if (a !== undefined && b !== undefined && clean && JSON.stringify(a) !== JSON.stringify(b)) {
    findings.damage(file, 'The slots of a clean store differ');
  }
  if (a === undefined || b === undefined) return a ?? b;
  return b.restart > a.restart ? b : a;
}

/** A record whose magic, salt and own crc fit. */
function recordAt(bytes: Uint8Array, offset: number, salt: Uint8Array): LogRecord | undefined {
  if (offset + RECORD_HEADER_BYTES > bytes.byteLength) return undefined;
  if (!hasMagic(bytes, offset) || !hasSalt(bytes, offset, salt)) return undefined;
  const view = viewOf(bytes);
  const length = view.getUint32(offset + 32, true);
  if (length < RECORD_HEADER_BYTES || length > RECORD_BYTES_MAX) return undefined;
  if (offset + length > bytes.byteLength) return undefined;
  const crc = view.getUint32(offset + 4, true);
  if (crc32c(bytes.subarray(offset + 8, offset + length)) !== crc) return undefined;
  const sections = sectionsOf(bytes.subarray(offset + RECORD_HEADER_BYTES, offset + length));
  if (sections === undefined) return undefined;
  return {
    offset,
    length,
    crc,
    sequence: readU64Le(view, offset + 16),
    synced: readU64Le(view, offset + 24),
    formerCrc: view.getUint32(offset + 36, true),
    sections,
  };
}

function sectionsOf(bytes: Uint8Array): Section[] | undefined {
  const view = viewOf(bytes);
  const sections: Section[] = [];
  let at = 0;
  while (at < bytes.byteLength) {
    if (at + 8 > bytes.byteLength) return undefined;
    const length = view.getUint32(at + 4, true);
    const end = at + 8 + length;
    if (end > bytes.byteLength) return undefined;
    sections.push({ type: view.getUint32(at, true), body: bytes.subarray(at + 8, end) });
    at += 8 + Math.ceil(length / 8) * 8;
  }
  return sections;
}

/**
 * The padding is not under the crc; it shares the last sector of the record, so it is never torn.
 */
function checkPadding({ bytes, file, findings }: LogContext, record: LogRecord): void {
  const { offset, length } = record;
  if (isZero(bytes.subarray(offset + length, nextPlace(record)))) return;
  findings.damage(file, 'The padding of a record is not zero', { offset: offset + length });
}

function nextPlace({ offset, length }: LogRecord): number {
  return offset + Math.ceil(length / STEP_BYTES) * STEP_BYTES;
}

function hasMagic(bytes: Uint8Array, offset: number): boolean {
  return decodeText(bytes.subarray(offset, offset + 4)) === 'HFLR';
}

function hasSalt(bytes: Uint8Array, offset: number, salt: Uint8Array): boolean {
  return equalBytes(bytes.subarray(offset + 8, offset + 16), salt);
}
