import type { LayerUse, SnapshotId } from '#api/mod.ts';
import { BLOCK_BYTES } from '#data/block/mod.ts';
import type { Clock } from '#host/mod.ts';
import { KIND_ABSENT, KIND_DATA, MAP_ENTRIES } from './format.ts';
import { readEntries } from './inspection.ts';
import type { Layer } from './layer.ts';

interface Tally {
  live: number;
  shared: number;
  unread: number;
  readonly only: Map<SnapshotId, number>;
}

/** Pages that are counted in one go: others wait for no more. */
const PAGES_AT_ONCE = 8;

/**
 * Who needs which blocks of each layer, bottom first. A block belongs to the views from its layer
 * up to the next layer that has it too: to the head, or to the snapshots between. One layer alone
 * is the head's, and nothing is said of it; nor of maps that take longer than `budgetMs`.
 */
export async function layerUses(
  layers: readonly Layer[],
  clock: Clock,
  budgetMs: number,
): Promise<LayerUse[]> {
  if (layers.length === 1) return [];
  const endMs = clock.monotonicMs() + budgetMs;
  const tallies = layers.map((): Tally => ({ live: 0, shared: 0, unread: 0, only: new Map() }));
  let pages = 0;
  for (let page = 0; (page = await nextPresent(layers, page)) >= 0; page += 1) {
    if (clock.monotonicMs() > endMs) return [];
    await countPage(layers, page, tallies);
    pages += 1;
    if (pages % PAGES_AT_ONCE === 0) await clock.sleep(0);
  }
  return tallies.map(({ live, shared, unread, only }, level) => ({
    layer: layers[level]!.id,
    liveBytes: live * BLOCK_BYTES,
    onlyBytes: [...only].map(([snapshot, blocks]) => ({ snapshot, bytes: blocks * BLOCK_BYTES })),
    sharedBytes: shared * BLOCK_BYTES,
    unreadBytes: unread * BLOCK_BYTES,
  }));
}

async function nextPresent(layers: readonly Layer[], page: number): Promise<number> {
  let first = -1;
  for (const layer of layers) {
    const present = await layer.map.nextPresent(page);
    if (present >= 0 && (first < 0 || present < first)) first = present;
  }
  return first;
}

async function countPage(
  layers: readonly Layer[],
  page: number,
  tallies: readonly Tally[],
): Promise<void> {
  const first = page * MAP_ENTRIES;
  const kinds: Uint8Array[] = [];
  for (const layer of layers) {
    const count = Math.min(MAP_ENTRIES, layer.sizeBlocks - first);
    kinds.push(count <= 0 ? new Uint8Array(0) : (await readEntries(layer, first, count)).kinds);
  }
  for (let i = 0; i < MAP_ENTRIES; i += 1) {
    let above = layers.length;
    for (let level = layers.length - 1; level >= 0; level -= 1) {
      const kind = kinds[level]![i] ?? KIND_ABSENT;
      if (kind === KIND_ABSENT) continue;
      if (kind === KIND_DATA) count(layers, tallies[level]!, level, above);
      above = level;
    }
  }
}

/** One block of `level` that the next layer with the block, `above`, hides from there on. */
function count(layers: readonly Layer[], tally: Tally, level: number, above: number): void {
  if (above === layers.length) {
    tally.live += 1;
    return;
  }
  let readers = 0;
  let reader: SnapshotId | null = null;
  for (let at = level; at < above; at += 1) {
    const { snapshot } = layers[at]!;
    if (snapshot === null) continue;
    readers += 1;
    reader = snapshot;
  }
  if (reader === null) tally.unread += 1;
  else if (readers > 1) tally.shared += 1;
  else tally.only.set(reader, (tally.only.get(reader) ?? 0) + 1);
}
