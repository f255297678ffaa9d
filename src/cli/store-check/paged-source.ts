/** docs/format/store.md "Paged file": `.map` and `stamps-` files, read through the map log. */
import {
  Bitmap,
  crc32c,
  decodeText,
  encodeText,
  isZero,
  readU64Le,
  viewOf,
  writeU64Le,
} from '#lib/mod.ts';
import { decodeEnvelope, type EnvelopeKind, takeEnvelope } from './envelope.ts';
import type { Findings } from './findings.ts';
import { type Changes, ENTRIES_PER_PAGE } from './map-replay.ts';
import type { SourceFile } from './source-file.ts';

export const PAGE_BYTES = 4096;
export const STAMPS_PER_PAGE = 255;
const CRC_SIZE = 4;
const BODY_OFFSET = 16;
const CHECKSUMS_OFFSET = 256;

export const ABSENT = 0;
export const ZERO = 1;
export const DATA = 2;

export interface PagedOptions {
  readonly file: SourceFile;
  /** The 16 digits that its pages are seeded with. */
  readonly id: string;
  readonly changes: Changes;
  readonly findings: Findings;
  /** Closed in order: a page that does not fit is not a torn one. */
  readonly clean: boolean;
}

/** A page: its bytes, `never` when it was never written, `bad` when neither file nor log has it. */
export type RawPage = Uint8Array | 'never' | 'bad';

export class PagedSource {
  readonly #options: PagedOptions;
  /** Pages that were reported: once each. */
  readonly #reported = new Set<number>();

  constructor(options: PagedOptions) {
    this.#options = options;
  }

  get file(): SourceFile {
    return this.#options.file;
  }

  get changes(): Changes {
    return this.#options.changes;
  }

  /** Pages that the file has room for, a broken one at its end too. */
  get pagesInFile(): number {
    return Math.max(0, Math.ceil(this.file.sizeBytes / PAGE_BYTES) - 1);
  }

  /** The payload of the header; undefined after a finding. */
  async header(kind: EnvelopeKind): Promise<unknown> {
    const { file, findings, clean } = this.#options;
    const bytes = await file.read(0, Math.min(PAGE_BYTES, file.sizeBytes));
    const payload = takeEnvelope(
      decodeEnvelope(bytes, kind, 'padded'),
      file.path,
      'padded',
      findings,
    );
    if (bytes.byteLength < PAGE_BYTES) findings.corruption(file.path, 'The header is cut off');
    else if (file.sizeBytes % PAGE_BYTES !== 0) {
      const details = { sizeBytes: file.sizeBytes };
      if (clean) findings.damage(file.path, 'The last page is cut off', details);
      else findings.note(file.path, 'The last page is cut off', details);
    }
    return payload;
  }

  async page(number: number): Promise<RawPage> {
    const { file, findings, changes, id, clean } = this.#options;
    const offset = PAGE_BYTES * (1 + number);
    const bytes = await file.read(offset, PAGE_BYTES);
    const cut = offset < file.sizeBytes && offset + PAGE_BYTES > file.sizeBytes;
    const never = isZero(bytes) && !cut;
    const fits = never || isPage(bytes, id, number);
    const image = changes.image(number);
    if (image !== undefined) {
      if (!isPage(image, id, number)) {
        this.#report(number, () =>
          findings.corruption(file.path, 'An image of a page is not valid', { page: number }),
        );
        return 'bad';
      }
      if (!fits) {
        this.#report(number, () =>
          findings.note(file.path, 'A page is torn, its image in the log is whole', {
            page: number,
          }),
        );
      }
      return image;
    }
    if (fits) return never ? 'never' : bytes;
    this.#report(number, () =>
      findings.corruption(file.path, 'A page does not fit its checksum', { page: number, clean }),
    );
    return 'bad';
  }

  #report(page: number, add: () => void): void {
    if (this.#reported.has(page)) return;
    this.#reported.add(page);
    add();
  }
}

function isPage(bytes: Uint8Array, id: string, page: number): boolean {
  if (bytes.byteLength !== PAGE_BYTES || decodeText(bytes.subarray(4, 8)) !== 'HFPG') return false;
  const number = new Uint8Array(8);
  writeU64Le(viewOf(number), 0, page);
  const crc = crc32c(bytes.subarray(CRC_SIZE), crc32c(number, crc32c(encodeText(id))));
  return crc === viewOf(bytes).getUint32(0, true);
}

/** Kinds and checksums of 960 blocks. */
export interface MapPage {
  readonly kinds: Uint8Array;
  readonly checksums: Uint32Array;
}

/** `never`: every kind is absent. */
export async function readMapPage(
  source: PagedSource,
  number: number,
  findings: Findings,
): Promise<MapPage | 'never' | 'bad'> {
  const raw = await source.page(number);
  if (raw === 'bad') return 'bad';
  const runs = source.changes.runsOf(number);
  if (raw === 'never' && runs.length === 0) return 'never';
  const kinds = new Uint8Array(ENTRIES_PER_PAGE);
  const checksums = new Uint32Array(ENTRIES_PER_PAGE);
  if (raw !== 'never') {
    const view = viewOf(raw);
    for (let i = 0; i < ENTRIES_PER_PAGE; i++) {
      kinds[i] = (raw[BODY_OFFSET + (i >>> 2)]! >>> (2 * (i & 3))) & 3;
      checksums[i] = view.getUint32(CHECKSUMS_OFFSET + 4 * i, true);
    }
  }
  for (const run of runs) {
    kinds.fill(run.kind, run.first, run.first + run.count);
    for (let i = 0; i < run.count; i++) checksums[run.first + i] = run.checksums[i] ?? 0;
  }
  const wrong = kinds.findIndex((kind, i) => kind === 3 || (kind !== DATA && checksums[i] !== 0));
  if (wrong >= 0) {
    const details = { page: number, entry: wrong };
    findings.corruption(source.file.path, 'An entry of a map page is not valid', details);
    return 'bad';
  }
  return { kinds, checksums };
}

export interface StampsSummary {
  readonly pages: number;
  readonly highest: { readonly epoch: number; readonly n: number };
  /** Segments that have a stamp above (0, 0). */
  readonly stamped: Bitmap;
}

/** Reads every page; the findings say what does not fit. */
export async function readStamps(source: PagedSource, segments: number): Promise<StampsSummary> {
  let highest = { epoch: 0, n: 0 };
  const stamped = new Bitmap(segments);
  const raise = (segment: number, epoch: number, n: number): void => {
    if (segment < segments && (epoch > 0 || n > 0)) stamped.set(segment);
    if (epoch > highest.epoch || (epoch === highest.epoch && n > highest.n)) highest = { epoch, n };
  };
  let pages = 0;
  const count = Math.max(source.pagesInFile, Math.ceil(segments / STAMPS_PER_PAGE));
  for (let number = 0; number < count; number++) {
    const raw = await source.page(number);
    if (typeof raw === 'string') continue;
    pages++;
    const view = viewOf(raw);
    for (let i = 0; i < STAMPS_PER_PAGE; i++) {
      const at = BODY_OFFSET + 16 * i;
      raise(number * STAMPS_PER_PAGE + i, readU64Le(view, at), readU64Le(view, at + 8));
    }
  }
  for (const run of source.changes.stamps) {
    for (const [i, { epoch, n }] of run.stamps.entries()) raise(run.segment + i, epoch, n);
  }
  return { pages, highest, stamped };
}
