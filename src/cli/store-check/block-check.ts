/** Contents against map, layer by layer: docs/format/store.md §4 and "Segments in doubt". */
import { isZero } from '#lib/mod.ts';
import type { Findings } from './findings.ts';
import { blockOf, type LayerSource, type PageContents } from './layer-source.ts';
import { ENTRIES_PER_PAGE } from './map-replay.ts';
import { ABSENT, DATA, type MapPage, ZERO } from './paged-source.ts';

/** Runs of blocks that are named one by one; the count has all. */
const RUNS_NAMED_MAX = 32;

export interface BlockCounts {
  data: number;
  zero: number;
  /** Data blocks whose checksum was computed. */
  checked: number;
  /** Outside segments in doubt: corruption. */
  corrupt: number;
  /** Inside segments in doubt: newer, torn or rotten; only the other replicas can tell. */
  unsettled: number;
  /** Blocks under a map page that is lost. */
  unknown: number;
}

export function noBlocks(): BlockCounts {
  return { data: 0, zero: 0, checked: 0, corrupt: 0, unsettled: 0, unknown: 0 };
}

type Wrong = 'checksum' | 'not-zero' | 'unreadable' | 'beyond-end';

const MESSAGES: Readonly<Record<Wrong, string>> = {
  checksum: 'Blocks do not fit their checksums',
  'not-zero': 'Blocks that should be zero are not',
  unreadable: 'Blocks cannot be read',
  'beyond-end': 'The map has blocks beyond the end of the layer',
};

/** Reads maps and, unless `quick`, contents; `onPresent`: of each block that is not absent. */
export async function checkBlocks(
  layers: readonly LayerSource[],
  findings: Findings,
  quick: boolean,
  onPresent: (block: number) => void,
): Promise<BlockCounts[]> {
  const all: BlockCounts[] = [];
  for (const [i, layer] of layers.entries()) {
    const below = layers[i - 1];
    const check = new LayerCheck(layer, below?.layer.state === 'merging', quick, onPresent);
    all.push(await check.run(findings));
  }
  return all;
}

class LayerCheck {
  readonly #layer: LayerSource;
  readonly #mayHoldCopies: boolean;
  readonly #quick: boolean;
  readonly #onPresent: (block: number) => void;
  readonly #counts = noBlocks();
  readonly #runs: { wrong: Wrong; block: number; count: number }[] = [];

  constructor(
    layer: LayerSource,
    mayHoldCopies: boolean,
    quick: boolean,
    onPresent: (block: number) => void,
  ) {
    this.#onPresent = onPresent;
    this.#layer = layer;
    this.#mayHoldCopies = mayHoldCopies;
    this.#quick = quick;
  }

  async run(findings: Findings): Promise<BlockCounts> {
    const layer = this.#layer;
    const pages = Math.max(layer.pages, layer.map.pagesInFile);
    for (let page = 0; page < pages; page++) await this.#checkPage(page);
    const { data } = layer;
    const beyond = await data.allocated(layer.layer.sizeBytes, data.sizeBytes);
    if (beyond.length > 0) findings.note(data.path, 'Contents lie beyond the end of the layer');
    const names = layer.layer.snapshot === null ? {} : { snapshot: layer.layer.snapshot };
    for (const { wrong, block, count } of this.#runs.slice(0, RUNS_NAMED_MAX)) {
      const file = wrong === 'beyond-end' ? layer.map.file.path : data.path;
      findings.corruption(file, MESSAGES[wrong], { block, count, ...names });
    }
    if (this.#runs.length > RUNS_NAMED_MAX) {
      const runs = this.#runs.length - RUNS_NAMED_MAX;
      findings.corruption(data.path, 'More blocks are wrong than are named', { runs, ...names });
    }
    return this.#counts;
  }

  async #checkPage(page: number): Promise<void> {
    const layer = this.#layer;
    const entries = await layer.entries(page);
    if (entries === 'bad') {
      this.#counts.unknown += ENTRIES_PER_PAGE;
      return;
    }
    const contents = this.#quick ? undefined : await layer.contents(page);
    if (entries === 'never' && contents === undefined) return;
    const start = page * ENTRIES_PER_PAGE;
    for (let i = 0; i < ENTRIES_PER_PAGE; i++) {
      const kind = entries === 'never' ? ABSENT : entries.kinds[i]!;
      if (start + i >= layer.blocks) {
        if (kind !== ABSENT) this.#wrong('beyond-end', start + i);
        continue;
      }
      if (kind === DATA) this.#counts.data++;
      if (kind === ZERO) this.#counts.zero++;
      if (kind !== ABSENT) this.#onPresent(start + i);
      if (this.#quick) continue;
      this.#checkBlock(start + i, i, kind, entries, contents);
    }
  }

  #checkBlock(
    block: number,
    index: number,
    kind: number,
    entries: MapPage | 'never',
    contents: PageContents | undefined,
  ): void {
    if (contents === undefined && kind !== DATA) return;
    if (contents?.unreadable.has(index) === true) {
      this.#wrong('unreadable', block);
      return;
    }
    const bytes = contents === undefined ? ZEROES : blockOf(contents.bytes, index);
    let wrong: Wrong | undefined;
    if (kind === DATA) {
      this.#counts.checked++;
      const checksum = entries === 'never' ? 0 : entries.checksums[index]!;
      if (!this.#layer.fits(block, bytes, checksum)) wrong = 'checksum';
    } else if (!isZero(bytes)) {
      wrong = kind === ABSENT && this.#mayHoldCopies ? undefined : 'not-zero';
    }
    if (wrong === undefined) return;
    if (this.#layer.inDoubt(block)) this.#counts.unsettled++;
    else this.#wrong(wrong, block);
  }

  #wrong(wrong: Wrong, block: number): void {
    this.#counts.corrupt++;
    const last = this.#runs.at(-1);
    if (last?.wrong === wrong && last.block + last.count === block) last.count++;
    else this.#runs.push({ wrong, block, count: 1 });
  }
}

const ZEROES = new Uint8Array(4096);
