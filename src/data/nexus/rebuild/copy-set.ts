/**
 * CopySet: the segments that a joiner may lack (rule 13). Four parts, each of which loses a write
 * when it is left out: stamped above its `completed` at the source, or at itself (it may have what
 * nobody acknowledged), its intents (its stamps died with its process), and what was in flight when
 * it began to receive.
 */
import type { Generation, StampedSegment } from '#api/mod.ts';
import { Bitmap } from '#lib/mod.ts';

export interface CopySetSources {
  stampedAtSource(from: number, limit: number): Promise<readonly StampedSegment[]>;
  stampedAtJoiner(from: number, limit: number): Promise<readonly StampedSegment[]>;
  intentsOfJoiner(): Promise<readonly number[]>;
  readonly inFlight: readonly number[];
}

/** Answers are asked for in pages: a volume of many segments must not fill a frame. */
const PAGE = 4096;

export async function findCopySet(segments: number, sources: CopySetSources): Promise<Bitmap> {
  const set = new Bitmap(segments);
  const add = (segment: number): void => {
    // Beyond the end: a replica that is larger than the volume.
    if (segment < segments) set.set(segment);
  };
  for (const segment of sources.inFlight) add(segment);
  for (const segment of await sources.intentsOfJoiner()) add(segment);
  await addPages(add, (from) => sources.stampedAtSource(from, PAGE));
  await addPages(add, (from) => sources.stampedAtJoiner(from, PAGE));
  return set;
}

async function addPages(
  add: (segment: number) => void,
  page: (from: number) => Promise<readonly StampedSegment[]>,
): Promise<void> {
  let from = 0;
  for (;;) {
    const found = await page(from);
    for (const { segment } of found) add(segment);
    const last = found.at(-1);
    if (last === undefined || found.length < PAGE) return;
    from = last.segment + 1;
  }
}

/** What a joiner is compared with: everything after the last generation that it has completely. */
export function joinsFrom(completed: Generation, full: boolean): Generation {
  return full ? { epoch: 0, n: 0 } : completed;
}
