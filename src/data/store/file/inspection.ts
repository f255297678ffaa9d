/**
 * Looks at the contents of segments as they lie on disk, in doubt or not, and ends the doubt once
 * the replicas were compared (docs/format/store.md §7, protocol.md rule 6).
 */
import { type Generation, HoldfastError, type SegmentInspection } from '#api/mod.ts';
import { BLOCK_BYTES } from '#data/block/mod.ts';
import type { DiskFile } from '#host/mod.ts';
import { EMPTY_BYTES, isZero, Pool } from '#lib/mod.ts';
import type { BlockChecksum } from './block-checksum.ts';
import { KIND_ABSENT, KIND_DATA, KIND_ZERO } from './format.ts';
import { crcIn, kindIn, type Layer, pageOf, setEntry } from './layer.ts';

/** Read and checksummed while it is still in the processor's cache. */
const CHUNK_BLOCKS = 64;
const SPARE_CHUNKS = 4;

/**
 * After a crash there are many segments: fresh memory for each would cost more than the reading.
 */
const chunks = new Pool(() => new Uint8Array(CHUNK_BLOCKS * BLOCK_BYTES), SPARE_CHUNKS);

export interface BlockInspection {
  readonly kinds: Uint8Array;
  readonly contentCrcs: Uint32Array;
  readonly verified: Uint8Array;
}

/** The blocks as the layer at `level` and those below show them; checksums as of `reference`. */
export async function inspectBlocks(
  layers: readonly Layer[],
  level: number,
  first: number,
  count: number,
  reference: BlockChecksum,
  logTorn: boolean,
): Promise<BlockInspection> {
  const result = {
    kinds: new Uint8Array(count),
    contentCrcs: new Uint32Array(count),
    verified: new Uint8Array(count).fill(1),
  };
  for (let at = 0; at < count; at += CHUNK_BLOCKS) {
    const chunk = new ChunkInspection(result, at, first + at, Math.min(CHUNK_BLOCKS, count - at));
    for (let l = level; l >= 0 && chunk.open > 0; l--) await chunk.lookInto(layers[l]!, reference);
    chunk.applyNewer();
    if (logTorn) chunk.distrustShadows();
  }
  return result;
}

/** Some blocks on the way down the stack: those that no layer had yet are open. */
class ChunkInspection {
  open: number;
  readonly #result: BlockInspection;
  readonly #at: number;
  readonly #first: number;
  readonly #count: number;
  readonly #decided: Uint8Array;
  /** Absent in a layer where they are in doubt. */
  readonly #doubtfullyAbsent: Uint8Array;
  /** Checksums of contents that lie where the map says absent; those of the topmost layer. */
  readonly #newer = new Map<number, number>();

  constructor(result: BlockInspection, at: number, first: number, count: number) {
    this.open = count;
    this.#result = result;
    this.#at = at;
    this.#first = first;
    this.#count = count;
    this.#decided = new Uint8Array(count);
    this.#doubtfullyAbsent = new Uint8Array(count);
  }

  async lookInto(layer: Layer, reference: BlockChecksum): Promise<void> {
    const count = Math.min(this.#count, layer.sizeBlocks - this.#first);
    if (count <= 0) return;
    const { kinds, crcs } = await readEntries(layer, this.#first, count);
    const needed = this.#needsContents(layer, kinds);
    const read = (bytes: Uint8Array): void => this.#compare(layer, reference, kinds, crcs, bytes);
    if (needed) await withContents(layer.data, this.#first, count, read);
    else read(EMPTY_BYTES);
  }

  #compare(
    layer: Layer,
    reference: BlockChecksum,
    kinds: Uint8Array,
    crcs: Uint32Array,
    bytes: Uint8Array,
  ): void {
    const count = kinds.length;
    // Of one volume are all layers but those below a clone: then one checksum does for both.
    const isOwn = reference.equals(layer.checksum);
    for (let i = 0; i < count; i++) {
      if (this.#decided[i] === 1) continue;
      const block = this.#first + i;
      const doubt = layer.doubt.has(block);
      const kind = kinds[i]!;
      if (kind !== KIND_DATA && !doubt) {
        if (kind === KIND_ZERO) this.#decide(i, 0, 0, true);
        continue;
      }
      const contents = bytes.subarray(i * BLOCK_BYTES, (i + 1) * BLOCK_BYTES);
      const zero = isZero(contents);
      const crc = kind === KIND_DATA || !zero ? layer.checksum.of(block, contents) : 0;
      const matches = kind === KIND_DATA && crc === crcs[i];
      if (!zero) {
        const contentCrc = isOwn ? crc : reference.of(block, contents);
        if (kind === KIND_ABSENT) this.#noteNewer(i, contentCrc);
        else this.#decide(i, 1, contentCrc, matches);
      } else if (kind !== KIND_ABSENT) this.#decide(i, 0, 0, kind === KIND_ZERO || matches);
      else this.#doubtfullyAbsent[i] = 1;
    }
  }

  /**
   * Contents where the map has none: a write that no flush covered, or the copy of a merge that was
   * broken off. The latter is what the layer below says it is.
   */
  applyNewer(): void {
    const { kinds, contentCrcs, verified } = this.#result;
    this.#newer.forEach((crc, i) => {
      const at = this.#at + i;
      if (kinds[at] === 1 && contentCrcs[at] === crc) return;
      kinds[at] = 1;
      contentCrcs[at] = crc;
      verified[at] = 0;
    });
  }

  /** The log lost its tail: a block may have been zeroed over what lies below (§7). */
  distrustShadows(): void {
    const { kinds, verified } = this.#result;
    for (let i = 0; i < this.#count; i++) {
      if (this.#doubtfullyAbsent[i] === 1 && kinds[this.#at + i] === 1) verified[this.#at + i] = 0;
    }
  }

  #noteNewer(i: number, crc: number): void {
    if (!this.#newer.has(i)) this.#newer.set(i, crc);
  }

  #needsContents(layer: Layer, kinds: Uint8Array): boolean {
    for (let i = 0; i < kinds.length; i++) {
      if (this.#decided[i] === 1) continue;
      if (kinds[i] === KIND_DATA || layer.doubt.has(this.#first + i)) return true;
    }
    return false;
  }

  #decide(i: number, kind: number, crc: number, verified: boolean): void {
    this.#decided[i] = 1;
    this.open--;
    this.#result.kinds[this.#at + i] = kind;
    this.#result.contentCrcs[this.#at + i] = crc;
    this.#result.verified[this.#at + i] = verified ? 1 : 0;
  }
}

/** Kinds and checksums of a range, pages loaded as needed. */
export async function readEntries(
  layer: Layer,
  first: number,
  count: number,
): Promise<{ kinds: Uint8Array; crcs: Uint32Array }> {
  const kinds = new Uint8Array(count);
  const crcs = new Uint32Array(count);
  let i = 0;
  while (i < count) {
    const index = pageOf(first + i);
    const page = await layer.map.acquire(index);
    for (; i < count && pageOf(first + i) === index; i++) {
      kinds[i] = kindIn(page, first + i);
      crcs[i] = crcIn(page, first + i);
    }
    page.pins--;
  }
  return { kinds, crcs };
}

/** What a block in doubt was found to hold; `mapKind` is what the map says of it so far. */
type Judge = (block: number, contents: Uint8Array | null, mapKind: number, crc: number) => boolean;

/**
 * Ends the doubt in the head's blocks of a segment: they get the checksums that were compared.
 * Throws `checksum-mismatch` when the disk gives something else now, and settles nothing then.
 */
export async function acceptCompared(
  head: Layer,
  segment: number,
  compared: Pick<BlockInspection, 'kinds' | 'contentCrcs'>,
  reference: BlockChecksum,
): Promise<void> {
  const first = segment * head.doubt.segmentBlocks;
  await acceptAsItLies(head, segment, (block, contents, mapKind) => {
    const kind = compared.kinds[block - first];
    if (contents !== null) {
      return kind === 1 && reference.of(block, contents) === compared.contentCrcs[block - first];
    }
    // Zeroes where the map has nothing say nothing: the layers below show through.
    return mapKind === KIND_ABSENT || kind === 0;
  });
}

/**
 * Ends the doubt in a layer that was compared with its source, where what nothing confirmed was
 * written anew: what is still in doubt has to fit the map.
 */
export async function acceptConfirmed(layer: Layer, segment: number): Promise<void> {
  await acceptAsItLies(layer, segment, (block, contents, mapKind, crc) => {
    if (contents === null) return true;
    return mapKind === KIND_DATA && layer.checksum.of(block, contents) === crc;
  });
}

/** Two passes, so that nothing is settled unless all may be: `contents` is null for zeroes. */
async function acceptAsItLies(layer: Layer, segment: number, judge: Judge): Promise<void> {
  const { segmentBlocks } = layer.doubt;
  const first = segment * segmentBlocks;
  const end = Math.min(first + segmentBlocks, layer.sizeBlocks);
  const kinds = new Uint8Array(end - first);
  const crcs = new Uint32Array(end - first);
  for (let from = first; from < end; from += CHUNK_BLOCKS) {
    const count = Math.min(CHUNK_BLOCKS, end - from);
    const known = await readEntries(layer, from, count);
    await withContents(layer.data, from, count, (bytes) => {
      for (let i = 0; i < count; i++) {
        const block = from + i;
        if (!layer.doubt.has(block)) continue;
        const contents = bytes.subarray(i * BLOCK_BYTES, (i + 1) * BLOCK_BYTES);
        const isData = !isZero(contents);
        const mapKind = known.kinds[i]!;
        if (!judge(block, isData ? contents : null, mapKind, known.crcs[i]!)) {
          throw changedError(block);
        }
        kinds[block - first] = isData ? KIND_DATA : mapKind === KIND_DATA ? KIND_ZERO : mapKind;
        crcs[block - first] = isData ? layer.checksum.of(block, contents) : 0;
      }
    });
  }
  for (let block = first; block < end; block++) {
    const kind = kinds[block - first]!;
    if (!layer.doubt.has(block) || kind === KIND_ABSENT) continue;
    const page = await layer.map.acquire(pageOf(block));
    setEntry(page, block, kind, crcs[block - first]!);
    page.pins--;
  }
  layer.unsynced = true;
  layer.doubt.clearSegment(segment);
}

/**
 * The same from what an inspection found, where the head is the only layer and its checksums are
 * those that were compared. What no checksum confirmed is read once more: a disk that lies now and
 * then must not make its lie the truth.
 */
export async function acceptAsFound(
  layer: Layer,
  segment: number,
  found: BlockInspection,
): Promise<void> {
  const first = segment * layer.doubt.segmentBlocks;
  for (let i = 0; i < found.kinds.length; i++) {
    const block = first + i;
    if (found.verified[i] === 1 || !layer.doubt.has(block)) continue;
    const contents = await layer.data.read(block * BLOCK_BYTES, BLOCK_BYTES);
    const same = isZero(contents)
      ? found.kinds[i] === 0
      : found.kinds[i] === 1 && layer.checksum.of(block, contents) === found.contentCrcs[i];
    if (!same) throw changedError(block);
  }
  await accept(layer, first, found.kinds, found.contentCrcs);
  layer.unsynced = true;
  layer.doubt.clearSegment(segment);
}

/** Entries of the blocks in doubt, page by page. */
async function accept(
  layer: Layer,
  first: number,
  kinds: Uint8Array,
  crcs: Uint32Array,
): Promise<void> {
  let i = 0;
  while (i < kinds.length) {
    const index = pageOf(first + i);
    const page = await layer.map.acquire(index);
    for (; i < kinds.length && pageOf(first + i) === index; i++) {
      const block = first + i;
      if (!layer.doubt.has(block)) continue;
      if (kinds[i] === 1) setEntry(page, block, KIND_DATA, crcs[i]!);
      else if (kindIn(page, block) === KIND_DATA) setEntry(page, block, KIND_ZERO, 0);
    }
    page.pins--;
  }
}

/** `look` must not keep the bytes. At most a chunk. */
async function withContents(
  file: DiskFile,
  first: number,
  count: number,
  look: (bytes: Uint8Array) => void,
): Promise<void> {
  const chunk = chunks.take();
  const data = chunk.subarray(0, count * BLOCK_BYTES);
  try {
    await new Promise<void>((resolve, reject) => {
      file.submit({
        verb: 'read',
        offsetBytes: first * BLOCK_BYTES,
        lengthBytes: data.byteLength,
        data,
        done: (error) => (error === null ? resolve() : reject(error)),
      });
    });
    look(data);
  } finally {
    chunks.give(chunk);
  }
}

/** Throws `checksum-mismatch` unless the contents are those that were compared. */
export function checkSettlement(
  found: BlockInspection,
  kinds: Uint8Array,
  contentCrcs: Uint32Array,
  firstBlock: number,
): void {
  const count = found.kinds.length;
  if (kinds.length !== count || contentCrcs.length !== count) {
    throw new HoldfastError('invalid-argument', 'Settlement has another number of blocks', {
      details: { field: 'kinds', value: kinds.length, remedy: `Give ${count} blocks` },
    });
  }
  for (let i = 0; i < count; i++) {
    if (found.kinds[i] === kinds[i] && found.contentCrcs[i] === contentCrcs[i]) continue;
    throw changedError(firstBlock + i);
  }
}

function changedError(block: number): HoldfastError {
  return new HoldfastError('checksum-mismatch', 'Segment changed since it was compared', {
    details: { offsetBytes: block * BLOCK_BYTES, block },
  });
}

export function toInspection(
  segment: number,
  found: BlockInspection,
  stamp: Generation,
): SegmentInspection {
  return { segment, ...found, stamp };
}
