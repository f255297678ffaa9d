/**
 * Bodies that are lists of numbers: binary, little-endian (docs/format/peer.md "Segment bodies").
 */
import type { Generation, SegmentInspection, StampedSegment } from '#api/mod.ts';
import { ByteReader, ByteWriter } from '#lib/mod.ts';

/** Blocks of the largest segment: 1 GiB. */
const BLOCKS_MAX = 262_144;
const STAMPED_BYTES = 24;
const HEAD_BYTES = 32;

export function encodeIntents(segments: readonly number[]): Uint8Array {
  const writer = new ByteWriter(new Uint8Array(segments.length * 8), 'little');
  for (const segment of segments) writer.u64(segment);
  return writer.written();
}

export function decodeIntents(bytes: Uint8Array): number[] | undefined {
  if (bytes.byteLength % 8 !== 0) return undefined;
  const reader = new ByteReader(bytes, 'little');
  const segments: number[] = [];
  while (reader.ok && reader.remaining > 0) segments.push(reader.u64());
  return reader.ok ? segments : undefined;
}

export function encodeStamped(entries: readonly StampedSegment[]): Uint8Array {
  const writer = new ByteWriter(new Uint8Array(entries.length * STAMPED_BYTES), 'little');
  for (const { segment, stamp } of entries) writer.u64(segment).u64(stamp.epoch).u64(stamp.n);
  return writer.written();
}

export function decodeStamped(bytes: Uint8Array): StampedSegment[] | undefined {
  if (bytes.byteLength % STAMPED_BYTES !== 0) return undefined;
  const reader = new ByteReader(bytes, 'little');
  const entries: StampedSegment[] = [];
  while (reader.ok && reader.remaining > 0) {
    const segment = reader.u64();
    entries.push({ segment, stamp: { epoch: reader.u64(), n: reader.u64() } });
  }
  return reader.ok ? entries : undefined;
}

function packBits(bytes: Uint8Array): Uint8Array {
  const packed = new Uint8Array(Math.ceil(bytes.byteLength / 8));
  for (let i = 0; i < bytes.byteLength; i += 1) {
    if (bytes[i] !== 0) packed[i >> 3] = (packed[i >> 3] as number) | (1 << (i & 7));
  }
  return packed;
}

function unpackBits(packed: Uint8Array, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i += 1) bytes[i] = ((packed[i >> 3] as number) >> (i & 7)) & 1;
  return bytes;
}

export interface Settlement {
  readonly segment: number;
  readonly kinds: Uint8Array;
  readonly contentCrcs: Uint32Array;
  readonly stamp: Generation;
}

/** Segment, stamp, number of blocks, then bit maps of one bit a block, then the checksums. */
function encodeBlocks(settlement: Settlement, verified: Uint8Array | null): Uint8Array {
  const { segment, kinds, contentCrcs, stamp } = settlement;
  const mapBytes = Math.ceil(kinds.byteLength / 8) * (verified === null ? 1 : 2);
  const bytes = new Uint8Array(HEAD_BYTES + mapBytes + kinds.byteLength * 4);
  const writer = new ByteWriter(bytes, 'little');
  writer.u64(segment).u64(stamp.epoch).u64(stamp.n).u32(kinds.byteLength).u32(0);
  writer.bytes(packBits(kinds));
  if (verified !== null) writer.bytes(packBits(verified));
  for (const crc of contentCrcs) writer.u32(crc);
  return bytes;
}

function decodeBlocks(bytes: Uint8Array, maps: 1 | 2): SegmentInspection | undefined {
  const reader = new ByteReader(bytes, 'little');
  const segment = reader.u64();
  const stamp = { epoch: reader.u64(), n: reader.u64() };
  const blocks = reader.u32();
  if (reader.u32() !== 0 || !reader.ok || blocks > BLOCKS_MAX) return undefined;
  const mapBytes = Math.ceil(blocks / 8);
  if (reader.remaining !== maps * mapBytes + blocks * 4) return undefined;
  const kinds = unpackBits(reader.bytes(mapBytes), blocks);
  const verified = maps === 2 ? unpackBits(reader.bytes(mapBytes), blocks) : new Uint8Array(0);
  const contentCrcs = new Uint32Array(blocks);
  for (let i = 0; i < blocks; i += 1) contentCrcs[i] = reader.u32();
  return { segment, kinds, contentCrcs, verified, stamp };
}

export function encodeInspection(inspection: SegmentInspection): Uint8Array {
  return encodeBlocks(inspection, inspection.verified);
}

export function decodeInspection(bytes: Uint8Array): SegmentInspection | undefined {
  return decodeBlocks(bytes, 2);
}

export function encodeSettlement(settlement: Settlement): Uint8Array {
  return encodeBlocks(settlement, null);
}

export function decodeSettlement(bytes: Uint8Array): Settlement | undefined {
  return decodeBlocks(bytes, 1);
}
