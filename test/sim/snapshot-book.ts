/**
 * Snapshots of the simulated volume: which there should be, and what they must hold. Contents are
 * read at the end, from every replica's store, and held against one point in the order of writes
 * between the call and its answer.
 */
import { hasCode, HoldfastError, parseId, type SnapshotId } from '#api/mod.ts';
import { BLOCK_BYTES } from '#data/block/mod.ts';
import type { Nexus } from '#data/nexus/mod.ts';
import type { ReplicaStore } from '#data/store/mod.ts';
import { readBlock } from './block-payload.ts';
import type { Ledger } from './ledger.ts';

interface Snapshot {
  readonly id: SnapshotId;
  readonly invokedAt: number;
  /** Infinity: not acknowledged, so it may be there or not. */
  completedAt: number;
  /** Somebody asked for it to go. */
  leaving: boolean;
  gone: boolean;
}

export class SnapshotBook {
  created = 0;
  deleted = 0;
  readonly #ledger: Ledger;
  readonly #snapshots = new Map<SnapshotId, Snapshot>();

  constructor(ledger: Ledger) {
    this.#ledger = ledger;
  }

  /** Resolves when it is answered, whatever the answer. */
  async create(nexus: Nexus): Promise<void> {
    const id = parseId<SnapshotId>('snapshot', `s-${this.#snapshots.size + 1}`);
    const snapshot = {
      id,
      invokedAt: this.#ledger.tick(),
      completedAt: Infinity,
      leaving: false,
      gone: false,
    };
    this.#snapshots.set(id, snapshot);
    await tolerant(nexus.createSnapshot(id), () => {
      snapshot.completedAt = this.#ledger.tick();
      this.created += 1;
    });
  }

  /** The oldest but one, so that layers are merged in the middle and at the end. */
  async delete(nexus: Nexus): Promise<void> {
    const ids = nexus.listSnapshots().map((snapshot) => snapshot.id);
    const id = ids[Math.min(1, ids.length - 1)];
    const snapshot = id === undefined ? undefined : this.#snapshots.get(id);
    if (!snapshot) return;
    snapshot.leaving = true;
    await tolerant(nexus.deleteSnapshot(snapshot.id), () => {
      snapshot.gone = true;
      this.deleted += 1;
    });
  }

  /** What is wrong with the list that the volume shows. */
  checkList(ids: readonly SnapshotId[]): string | null {
    for (const { id, completedAt, leaving, gone } of this.#snapshots.values()) {
      const there = ids.includes(id);
      if (gone && there) return `snapshot ${id} was deleted and is there`;
      if (completedAt < Infinity && !leaving && !there) return `snapshot ${id} is lost`;
    }
    return null;
  }

  /** Reads a snapshot of one replica and notes what the clients' histories have to explain. */
  async note(store: ReplicaStore, id: SnapshotId): Promise<void> {
    const snapshot = this.#snapshots.get(id);
    if (!snapshot) throw new Error(`Nobody asked for snapshot ${id}`);
    const values: number[][] = [];
    for (const block of this.#ledger.blocks.keys()) {
      values.push(readBlock(await readSnapshotBlock(store, id, block), block));
    }
    // One point for all blocks: it lies after the beginning of every write that the snapshot holds.
    let from = snapshot.invokedAt;
    for (const [block, history] of this.#ledger.blocks.entries()) {
      for (const value of values[block] ?? []) from = Math.max(from, history.invokedAt(value));
    }
    for (const [block, history] of this.#ledger.blocks.entries()) {
      history.readSnapshot(values[block] ?? [], from, snapshot.completedAt);
    }
  }
}

/** An operation that may fail while faults strike: then nothing is known of its effect. */
export async function tolerant(work: Promise<unknown>, onDone: () => void): Promise<void> {
  try {
    await work;
    onDone();
  } catch (error) {
    if (!HoldfastError.is(error) || hasCode(error, 'invalid-argument')) throw error;
  }
}

function readSnapshotBlock(
  store: ReplicaStore,
  layer: SnapshotId,
  block: number,
): Promise<Uint8Array> {
  const data = new Uint8Array(BLOCK_BYTES);
  const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
  store.submit({
    verb: 'read',
    layer,
    offsetBytes: block * BLOCK_BYTES,
    lengthBytes: BLOCK_BYTES,
    data,
    stampEpoch: 0,
    stampN: 0,
    done: (error) => (error === null ? resolve(data) : reject(error)),
  });
  return promise;
}
