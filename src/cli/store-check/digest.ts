/**
 * Digests of contents: SHA-256 over `u64le block ‖ ...` in the order of blocks, so that replicas
 * can be compared without being side by side.
 *
 * - of a *layer*: every block that is not absent, as block ‖ u8 kind ‖ contents when they are not
 *   zero.
 *   Two replicas whose snapshots came and went differently have different layers.
 * - of a *view* (head, snapshot): the size, then every block whose contents are not zero, as
 *   block ‖ contents. Two replicas of a volume agree, whatever their history.
 */
import { isZero, viewOf, writeU64Le } from '#lib/mod.ts';
import { createHash } from 'node:crypto';
import { blockOf, BLOCK_BYTES, type LayerSource } from './layer-source.ts';
import { ENTRIES_PER_PAGE } from './map-replay.ts';
import { ABSENT, DATA, ZERO } from './paged-source.ts';
import type { ReplicaView } from './replica-view.ts';

const ZEROES = new Uint8Array(BLOCK_BYTES);

/** Null when a map page is lost or a block cannot be read. */
export async function digestLayer(layer: LayerSource): Promise<string | null> {
  const hash = createHash('sha256');
  const pages = Math.max(layer.pages, layer.map.pagesInFile);
  for (let page = 0; page < pages; page++) {
    const entries = await layer.entries(page);
    const contents = await layer.contents(page);
    if (entries === 'bad') return null;
    if (entries === 'never' && contents === undefined) continue;
    const start = page * ENTRIES_PER_PAGE;
    const end = Math.min(ENTRIES_PER_PAGE, layer.blocks - start);
    for (let i = 0; i < end; i++) {
      if (contents?.unreadable.has(i) === true) return null;
      const bytes = contents === undefined ? ZEROES : blockOf(contents.bytes, i);
      const kind = entries === 'never' ? ABSENT : entries.kinds[i]!;
      const shows = layer.inDoubt(start + i) || kind === DATA;
      const isData = shows && !isZero(bytes);
      if (kind === ABSENT && !isData) continue;
      hashNumber(hash, start + i);
      hash.update(new Uint8Array([isData ? DATA : ZERO]));
      if (isData) hash.update(bytes);
    }
  }
  return hash.digest('hex');
}

/** Null when some of it is unknown. */
export async function digestView(view: ReplicaView): Promise<string | null> {
  const hash = createHash('sha256');
  hashNumber(hash, view.sizeBytes);
  const pages = Math.ceil(view.sizeBytes / BLOCK_BYTES / ENTRIES_PER_PAGE);
  for (let number = 0; number < pages; number++) {
    const page = await view.page(number);
    if (page === undefined) continue;
    if (page.unknown.size > 0) return null;
    for (let i = 0; i < ENTRIES_PER_PAGE; i++) {
      const bytes = blockOf(page.bytes, i);
      if (isZero(bytes)) continue;
      hashNumber(hash, number * ENTRIES_PER_PAGE + i);
      hash.update(bytes);
    }
  }
  return hash.digest('hex');
}

function hashNumber(hash: ReturnType<typeof createHash>, value: number): void {
  const bytes = new Uint8Array(8);
  writeU64Le(viewOf(bytes), 0, value);
  hash.update(bytes);
}
