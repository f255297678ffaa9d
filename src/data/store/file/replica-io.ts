import type { HoldfastError } from '#api/mod.ts';
import type { ReplicaRequest } from '#data/block/mod.ts';
import type { DiskRequest } from '#host/mod.ts';
import { EMPTY_BYTES } from '#lib/mod.ts';
import { MAP_ENTRIES } from './format.ts';
import type { Layer } from './layer.ts';
import type { Page } from './page-cache.ts';

/** What a request does when it goes on: methods of the DataPath. */
export interface IoSteps {
  diskDone(io: ReplicaIo, error: HoldfastError | null): void;
  advance(io: ReplicaIo, error: HoldfastError | null): void;
  pageLoaded(io: ReplicaIo, page: Page | null, error: HoldfastError | null): void;
}

/**
 * A request on its way through the store. Used again and again: its callbacks are bound once, so a
 * request in the steady state allocates nothing.
 */
export class ReplicaIo {
  request: ReplicaRequest | null = null;
  layer: Layer | null = null;
  /** Write: position of `layer` in the stack, 0 when nothing lies below it. */
  level = 0;
  /** The part that is done in one step: a run of a read, a chunk of a write. */
  block = 0;
  count = 0;
  endBlock = 0;
  /** Read: where the run lies; null reads as zero. */
  source: Layer | null = null;
  readonly crcs = new Uint32Array(MAP_ENTRIES);
  readonly kinds = new Uint8Array(MAP_ENTRIES);
  /** Write: some blocks become zero over a lower layer, which must be marked. */
  marks = false;
  /** Set while something waits for the disk's answer instead of the usual step. */
  answered: ((error: HoldfastError | null) => void) | null = null;
  /** Pages that were loaded for this step, pinned. */
  readonly loadedPages: Page[] = [];
  mapPage: Page | null = null;
  mapPageNext: Page | null = null;
  stampPage: Page | null = null;
  stampPageNext: Page | null = null;
  /** Parity of the era it came in (DataPath.turnOver). */
  era = 0;
  /** The chunk is being submitted; and it was answered before that returned. */
  submitting = false;
  again = false;
  /** Its marks found no room once, and are written in what was kept for them. */
  triedAgain = false;
  /** In the list of writes in flight. */
  linked = false;
  before: ReplicaIo | null = null;
  next: ReplicaIo | null = null;
  readonly disk: DiskRequest;
  readonly resume: (error: HoldfastError | null) => void;
  readonly loaded: (page: Page | null, error: HoldfastError | null) => void;

  constructor(steps: IoSteps) {
    this.disk = {
      verb: 'read',
      offsetBytes: 0,
      lengthBytes: 0,
      data: EMPTY_BYTES,
      done: (error) => steps.diskDone(this, error),
    };
    this.resume = (error) => steps.advance(this, error);
    this.loaded = (page, error) => steps.pageLoaded(this, page, error);
  }
}
