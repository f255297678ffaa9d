/**
 * Random histories against a model: writes, zeroes, trims, flushes, snapshots, clearing of intents;
 * broken off by a process crash or a power loss at any moment; opened, settled as a nexus of one
 * replica would, and compared sector by sector. `runHistory` throws what it finds.
 *
 * What may be there after a crash, per sector of a block (reliability.md W13, W14, §4.2): the value
 * of the last write that a finished flush covers, or of any later one; after a process crash only
 * the last accepted one, or one that was still in flight.
 */
import assert from 'node:assert/strict';
import type { SegmentInspection, SnapshotId } from '#api/mod.ts';
import { BLOCK_BYTES, SECTOR_BYTES } from '#data/block/mod.ts';
import type { SimRng } from '#host/sim/mod.ts';
import { equalBytes, isZero } from '#lib/mod.ts';
import type { StoreParts } from './file-pool.ts';
import { BlockChecksum } from './block-checksum.ts';
import { ReplicaHeaderFile } from './replica-directory.ts';
import { SEGMENT_BLOCKS, StoreBench, submitTo, VOLUME } from './store.testkit.ts';

const BLOCKS = 3 * 960;

interface Write {
  readonly contents: Uint8Array;
  done: boolean;
}

/** A block: what is surely durable, and what came after, in order. */
class BlockModel {
  base: Uint8Array = new Uint8Array(BLOCK_BYTES);
  later: Write[] = [];

  latest(): Uint8Array {
    return this.later.findLast((write) => write.done)?.contents ?? this.base;
  }

  settle(contents: Uint8Array): void {
    this.base = contents;
    this.later = [];
  }
}

export interface HistoryOptions {
  readonly seed: number;
  readonly rounds: number;
  readonly parts?: StoreParts;
}

export async function runHistory(options: HistoryOptions): Promise<void> {
  const bench = await StoreBench.create({
    seed: options.seed,
    sizeBytes: BLOCKS * BLOCK_BYTES,
    ...(options.parts === undefined ? {} : { parts: options.parts }),
    pool: { cachePages: 8, limits: { logBytes: 12 * 1024, dirtyPages: 5 } },
  });
  const history = new History(bench, bench.world.rng('history'));
  for (let round = 0; round < options.rounds; round++) await history.round();
  await history.finish();
}

class History {
  readonly #bench: StoreBench;
  readonly #rng: SimRng;
  readonly #blocks = new Map<number, BlockModel>();
  readonly #snapshots = new Map<SnapshotId, Map<number, Uint8Array>>();
  readonly #checksum = new BlockChecksum(VOLUME);
  #n = 1;
  #names = 0;
  /** Set when the present life ends: answers that come later are those of a dead process. */
  #life = 0;

  constructor(bench: StoreBench, rng: SimRng) {
    this.#bench = bench;
    this.#rng = rng;
  }

  async round(): Promise<void> {
    const rng = this.#rng;
    const steps = 2 + rng.below(6);
    for (let step = 0; step < steps; step++) await this.#bench.run(this.#step());
    if (rng.chance(0.15)) {
      await this.#bench.reopen();
      await this.#check(null);
      return;
    }
    // The last step is not waited for.
    const last = this.#step();
    last.catch(() => undefined);
    await this.#bench.world.run({ forMs: rng.between(0, rng.chance(0.5) ? 3 : 30) });
    this.#life++;
    const power = rng.chance(0.6);
    if (power) await this.#bench.powerLoss();
    else await this.#bench.crashProcess();
    await this.#check(power);
  }

  async finish(): Promise<void> {
    const { mismatches } = await this.#bench.run(this.#bench.store.scrub(1e9));
    assert.deepEqual(mismatches, [], 'a scrub finds nothing in the end');
  }

  // --- operations ---

  async #step(): Promise<void> {
    const { store } = this.#bench;
    const rng = this.#rng;
    const kind = rng.below(20);
    if (kind < 11) await this.#burst();
    else if (kind < 15) await this.#flush();
    else if (kind === 15) {
      await this.#flush();
      store.setCompleted({ epoch: 1, n: this.#n - 1 });
      await store.clearIntents(rng.chance(0.2));
    } else if (kind === 16 && this.#snapshots.size < 3) await this.#createSnapshot();
    else if (kind === 17 && this.#snapshots.size > 0) await this.#deleteSnapshot();
    else if (kind === 18) await Promise.all([this.#burst(), this.#flush()]);
    else await this.#burst();
  }

  async #burst(): Promise<void> {
    const rng = this.#rng;
    const taken = new Set<number>();
    const all: Promise<void>[] = [];
    for (let i = 1 + rng.below(12); i > 0; i--) {
      const count = 1 + rng.below(4);
      // A few places often, so that layers, segments and pages meet.
      const block = rng.chance(0.7)
        ? rng.below(3) * 958 + rng.below(24)
        : rng.below(BLOCKS - count);
      const blocks = Array.from({ length: count }, (_, j) => block + j);
      if (blocks.some((b) => taken.has(b) || b >= BLOCKS)) continue;
      for (const b of blocks) taken.add(b);
      all.push(this.#write(block, count));
    }
    await Promise.all(all);
  }

  async #write(block: number, count: number): Promise<void> {
    const life = this.#life;
    const verb = this.#rng.chance(0.2) ? (this.#rng.chance(0.5) ? 'trim' : 'zero') : 'write';
    const data = new Uint8Array(count * BLOCK_BYTES);
    if (verb === 'write') this.#fill(data);
    const writes = Array.from({ length: count }, (_, i) => {
      const contents = data.slice(i * BLOCK_BYTES, (i + 1) * BLOCK_BYTES);
      const write: Write = { contents, done: false };
      this.#model(block + i).later.push(write);
      return write;
    });
    const stamp = { epoch: 1, n: this.#n };
    await submitTo(this.#bench.store, verb, block, data, count, stamp);
    if (life === this.#life) for (const write of writes) write.done = true;
  }

  /** Sectors of zeroes and blocks of zeroes are where stores go wrong. */
  #fill(data: Uint8Array): void {
    const rng = this.#rng;
    for (let at = 0; at < data.byteLength; at += BLOCK_BYTES) {
      if (rng.chance(0.15)) continue;
      const zeroes = rng.chance(0.5) ? 0 : 0.4;
      for (let sector = 0; sector < BLOCK_BYTES; sector += SECTOR_BYTES) {
        if (rng.chance(zeroes)) continue;
        data.fill(1 + rng.below(255), at + sector, at + sector + SECTOR_BYTES);
        data.set(rng.bytes(8), at + sector);
      }
    }
  }

  async #flush(): Promise<void> {
    const life = this.#life;
    this.#n++;
    const covered = new Map<BlockModel, number>();
    for (const model of this.#blocks.values()) {
      const last = model.later.findLastIndex((write) => write.done);
      if (last >= 0) covered.set(model, last);
    }
    await this.#bench.store.flush();
    if (life !== this.#life) return;
    for (const [model, last] of covered) {
      model.base = model.later[last]!.contents;
      model.later.splice(0, last + 1);
    }
  }

  async #createSnapshot(): Promise<void> {
    const life = this.#life;
    const id = `snap-${++this.#names}` as SnapshotId;
    const view = new Map<number, Uint8Array>();
    for (const [block, model] of this.#blocks) view.set(block, model.latest());
    this.#snapshots.set(id, view);
    await this.#bench.store.createSnapshot(id, { epoch: 1, n: this.#n });
    if (life !== this.#life) return;
    for (const model of this.#blocks.values()) model.settle(model.latest());
  }

  async #deleteSnapshot(): Promise<void> {
    const ids = [...this.#snapshots.keys()];
    const id = ids[this.#rng.below(ids.length)]!;
    this.#snapshots.delete(id);
    // With writes beside it: readers and writers of the head see no change.
    await Promise.all([this.#bench.store.deleteSnapshot(id), this.#burst()]);
  }

  #model(block: number): BlockModel {
    let model = this.#blocks.get(block);
    if (model === undefined) {
      model = new BlockModel();
      this.#blocks.set(block, model);
    }
    return model;
  }

  // --- after a restart ---

  /** `power`: null after an orderly close. */
  async #check(power: boolean | null): Promise<void> {
    const bench = this.#bench;
    const { store } = bench;
    const { condition } = store.state();
    if (power === null) assert.equal(condition, 'clean');
    else if (power) assert.ok(condition !== 'process-crash', `power loss is ${condition}`);
    else assert.ok(condition !== 'cache-lost', `process crash is ${condition}`);
    await this.#checkSnapshots(false);
    const { logTorn } = await bench.run(ReplicaHeaderFile.read(bench.host.disk, bench.path('')));
    for (const segment of condition === 'clean' ? [] : store.intents()) {
      const found = await bench.run(store.inspect(null, segment));
      await bench.run(
        store.settle(segment, found.kinds, found.contentCrcs, { epoch: 1, n: this.#n }),
      );
      await this.#checkSegment(segment, found, power === true && !logTorn);
    }
    for (const [block, model] of this.#blocks) {
      const contents = await bench.read(block);
      if (power === null) assert.ok(equalBytes(contents, model.latest()), `block ${block} changed`);
      else this.#checkContents(block, model, contents, power);
      model.settle(contents);
    }
    await bench.flush();
    if (this.#rng.chance(0.3)) {
      // Deletions that were broken off are taken up by the next one.
      await bench.run(store.deleteSnapshot('nothing' as SnapshotId));
    }
    await this.#checkSnapshots(true);
  }

  async #checkSnapshots(settled: boolean): Promise<void> {
    const there = new Set(this.#bench.store.state().snapshots.map(({ id }) => id));
    for (const id of settled ? there : []) {
      // Deleted, but the crash came first: delete again.
      if (!this.#snapshots.has(id)) await this.#bench.run(this.#bench.store.deleteSnapshot(id));
    }
    for (const [id, view] of this.#snapshots) {
      if (!there.has(id)) {
        this.#snapshots.delete(id);
        continue;
      }
      for (const [block, contents] of view) {
        const found = await this.#bench.read(block, 1, id);
        assert.ok(equalBytes(found, contents), `block ${block} of snapshot ${id} changed`);
      }
    }
  }

  /**
   * What is called verified is one write's contents; what is surely flushed is called verified,
   * unless (`exact` false) the log lost its tail, which puts all that lies under an absent block in
   * question.
   */
  async #checkSegment(segment: number, found: SegmentInspection, exact: boolean): Promise<void> {
    for (let i = 0; i < found.kinds.length; i++) {
      const block = segment * SEGMENT_BLOCKS + i;
      const model = this.#blocks.get(block);
      if (model === undefined) continue;
      const contents = await this.#bench.read(block);
      const crc = isZero(contents) ? 0 : this.#checksum.of(block, contents);
      assert.equal(found.contentCrcs[i], crc, `block ${block} is not what was inspected`);
      const whole = [model.base, ...model.later.map((write) => write.contents)];
      if (found.verified[i] === 1) {
        const known = whole.some((candidate) => equalBytes(candidate, contents));
        assert.ok(known, `block ${block} is verified but torn`);
      } else if (exact && !isZero(contents)) {
        const flushed = equalBytes(contents, model.base);
        assert.ok(!flushed, `block ${block} is flushed but not verified`);
      }
    }
  }

  #checkContents(block: number, model: BlockModel, contents: Uint8Array, power: boolean): void {
    const last = model.later.findLastIndex((write) => write.done);
    const from = power ? -1 : last;
    const candidates = model.later.slice(Math.max(0, from)).map((write) => write.contents);
    if (from < 0) candidates.push(model.base);
    for (let at = 0; at < BLOCK_BYTES; at += SECTOR_BYTES) {
      const sector = contents.subarray(at, at + SECTOR_BYTES);
      const known = candidates.some((c) => equalBytes(c.subarray(at, at + SECTOR_BYTES), sector));
      assert.ok(known, `sector ${at / SECTOR_BYTES} of block ${block} is neither old nor new`);
    }
  }
}
