/** What the head or a snapshot reads as: docs/format/store.md "Reading" and "Segments in doubt". */
import { isZero } from '#lib/mod.ts';
import { blockOf, BLOCK_BYTES, type LayerSource, PAGE_DATA_BYTES } from './layer-source.ts';
import { ENTRIES_PER_PAGE } from './map-replay.ts';
import { ABSENT, DATA } from './paged-source.ts';
import type { ReplicaImage } from './replica-image.ts';

const SECTOR_BYTES = 512;

/** 960 blocks as a view reads them. */
export interface ViewPage {
  readonly bytes: Uint8Array;
  /** Indices whose contents cannot be trusted: a lost map page, a block that cannot be read. */
  readonly unknown: ReadonlySet<number>;
  /** Indices whose contents are in doubt or do not fit the checksum of the layer they come from. */
  readonly unfit: ReadonlySet<number>;
}

export interface ReplicaView {
  /** Null is the head. */
  readonly snapshot: string | null;
  readonly sizeBytes: number;
  /** Undefined when all of it reads as zero. */
  page(number: number): Promise<ViewPage | undefined>;
}

/** Head last. Snapshots that a rebuild is still filling are left out. */
export function viewsOf(image: ReplicaImage): ReplicaView[] {
  const layers = image.layers ?? [];
  return layers.flatMap(({ layer }, i) => {
    const isSnapshot = layer.snapshot !== null && layer.state === 'sealed';
    if (layer.state !== 'head' && !isSnapshot) return [];
    return [new StackView(layers.slice(0, i + 1), image.healing)];
  });
}

class StackView implements ReplicaView {
  readonly snapshot: string | null;
  readonly sizeBytes: number;
  readonly #layers: readonly LayerSource[];
  readonly #healing: boolean;

  constructor(layers: readonly LayerSource[], healing: boolean) {
    const { layer } = layers.at(-1)!;
    this.snapshot = layer.state === 'head' ? null : layer.snapshot;
    this.sizeBytes = layer.sizeBytes;
    this.#layers = layers;
    this.#healing = healing;
  }

  async page(number: number): Promise<ViewPage | undefined> {
    const page = new PageBuilder(number, this.sizeBytes, this.#healing);
    for (const layer of this.#layers) await page.put(layer);
    return page.finish();
  }
}

/** Lays the layers over each other, the bottom one first. */
class PageBuilder {
  readonly #number: number;
  readonly #blocks: number;
  readonly #healing: boolean;
  readonly #unknown = new Set<number>();
  readonly #unfit = new Set<number>();
  #bytes: Uint8Array | undefined;
  #below: Uint8Array = new Uint8Array(ENTRIES_PER_PAGE);

  constructor(number: number, sizeBytes: number, healing: boolean) {
    this.#number = number;
    this.#blocks = sizeBytes / BLOCK_BYTES;
    this.#healing = healing;
  }

  async put(layer: LayerSource): Promise<void> {
    const entries = await layer.entries(this.#number);
    const contents = await layer.contents(this.#number);
    if (entries === 'never' && contents === undefined) return;
    const bytes = (this.#bytes ??= new Uint8Array(PAGE_DATA_BYTES));
    const start = this.#number * ENTRIES_PER_PAGE;
    const end = Math.min(ENTRIES_PER_PAGE, layer.blocks - start, this.#blocks - start);
    for (let i = 0; i < end; i++) {
      const block = start + i;
      const own = contents === undefined ? ZEROES : blockOf(contents.bytes, i);
      const kind = typeof entries === 'string' ? ABSENT : entries.kinds[i]!;
      if (entries === 'bad') {
        this.#unknown.add(i);
        continue;
      }
      const doubt = layer.inDoubt(block);
      const shows = kind !== ABSENT || (doubt && !isZero(own));
      if (!shows) continue;
      const readable = contents?.unreadable.has(i) !== true;
      mark(this.#unknown, i, !readable);
      const checksum = typeof entries === 'string' ? 0 : entries.checksums[i]!;
      const fit = kind === DATA ? layer.fits(block, own, checksum) : isZero(own);
      mark(this.#unfit, i, !fit);
      // Kind zero outside doubt reads as zero whatever lies there.
      const taken = kind === DATA || doubt ? own : ZEROES;
      const target = blockOf(bytes, i);
      if (kind === ABSENT && this.#healing && this.#below[i] === DATA) healInto(target, taken);
      else target.set(taken);
      this.#below[i] = kind === ABSENT ? DATA : kind;
    }
  }

  finish(): ViewPage | undefined {
    if (this.#bytes === undefined) return undefined;
    if (this.#unknown.size === 0 && isZero(this.#bytes)) return undefined;
    return { bytes: this.#bytes, unknown: this.#unknown, unfit: this.#unfit };
  }
}

/** Sectors that did not arrive read as before. */
function healInto(target: Uint8Array, torn: Uint8Array): void {
  for (let at = 0; at < BLOCK_BYTES; at += SECTOR_BYTES) {
    const sector = torn.subarray(at, at + SECTOR_BYTES);
    if (!isZero(sector)) target.set(sector, at);
  }
}

function mark(set: Set<number>, index: number, value: boolean): void {
  if (value) set.add(index);
  else set.delete(index);
}

const ZEROES = new Uint8Array(BLOCK_BYTES);
