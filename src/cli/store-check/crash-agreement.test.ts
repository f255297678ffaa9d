/**
 * The check against the engine after crashes of a simulated machine: what the check makes of the
 * files is what the store serves once it opened them and its doubt was settled, and neither calls
 * the traces of a crash corruption.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SnapshotId } from '#api/mod.ts';
import { BLOCK_BYTES } from '#data/block/mod.ts';
import { DIRECTORY, REPLICA, StoreBench } from '#data/store/file/store.testkit.ts';
import { Findings } from './findings.ts';
import { ENTRIES_PER_PAGE } from './map-replay.ts';
import { readReplica } from './replica-image.ts';
import { viewsOf } from './replica-view.ts';
import { checkStore } from './store-report.ts';

const BLOCKS = 2 * ENTRIES_PER_PAGE;
const READ_BLOCKS = 240;

/** A few operations, the last ones cut off by the crash. */
async function live(bench: StoreBench, seed: number, round: number): Promise<void> {
  const rng = bench.world.rng(`agreement-${seed}-${round}`);
  const { store } = bench;
  const one = async (): Promise<void> => {
    const block = rng.chance(0.7) ? rng.below(3) * 600 + rng.below(24) : rng.below(BLOCKS - 4);
    const count = 1 + rng.below(4);
    const kind = rng.below(10);
    if (kind < 6) {
      const data = rng.bytes(count * BLOCK_BYTES);
      if (rng.chance(0.2)) data.fill(0, 0, BLOCK_BYTES / 2);
      await bench.submit('write', block, data);
    } else if (kind < 8) {
      await bench.submit(kind === 6 ? 'trim' : 'zero', block, new Uint8Array(0), count);
    } else await store.flush();
  };
  for (let step = 0; step < 12; step++) {
    await bench.run(one());
    if (step === 6 && rng.chance(0.4)) {
      await bench.run(store.createSnapshot(`s${round}` as SnapshotId, { epoch: 1, n: round + 1 }));
    }
    if (step === 9 && rng.chance(0.3)) {
      await bench.run(store.flush());
      await bench.run(store.clearIntents(true));
    }
    if (step === 8 && rng.chance(0.3)) {
      const oldest = store.state().snapshots[0];
      if (oldest !== undefined) await bench.run(store.deleteSnapshot(oldest.id));
    }
  }
  const last = rng.chance(0.3)
    ? [store.createSnapshot(`t${round}` as SnapshotId, { epoch: 1, n: round + 1 })]
    : [one(), one(), one(), store.flush()];
  for (const promise of last) promise.catch(() => undefined);
  await bench.world.run({ forMs: rng.between(0, rng.chance(0.5) ? 3 : 20) });
}

type Contents = Map<string, Uint8Array>;

async function contentsByCheck(bench: StoreBench): Promise<Contents> {
  const { disk } = bench.host;
  const directory = `${DIRECTORY}/replicas/${REPLICA}`;
  const findings = new Findings();
  const image = await readReplica({ disk, directory, pool: undefined, findings });
  assert.ok(image !== undefined, JSON.stringify(findings.list));
  const all: Contents = new Map();
  for (const view of viewsOf(image)) {
    const bytes = new Uint8Array(view.sizeBytes);
    for (let number = 0; number < BLOCKS / ENTRIES_PER_PAGE; number++) {
      const page = await view.page(number);
      if (page !== undefined) bytes.set(page.bytes, number * ENTRIES_PER_PAGE * BLOCK_BYTES);
    }
    all.set(view.snapshot ?? '', bytes);
  }
  await image.close();
  return all;
}

async function contentsByStore(bench: StoreBench): Promise<Contents> {
  const all: Contents = new Map();
  const snapshots = bench.store.state().snapshots.filter((snapshot) => snapshot.sealed);
  for (const id of [...snapshots.map((snapshot) => snapshot.id), null]) {
    const bytes = new Uint8Array(BLOCKS * BLOCK_BYTES);
    for (let block = 0; block < BLOCKS; block += READ_BLOCKS) {
      bytes.set(await bench.read(block, READ_BLOCKS, id), block * BLOCK_BYTES);
    }
    all.set(id ?? '', bytes);
  }
  return all;
}

function differences(a: Contents, b: Contents): string[] {
  const found: string[] = [];
  for (const key of new Set([...a.keys(), ...b.keys()])) {
    const [one, other] = [a.get(key), b.get(key)];
    if (one === undefined || other === undefined) found.push(`${key} is missing`);
    else {
      for (let at = 0; at < one.byteLength; at += BLOCK_BYTES) {
        const end = at + BLOCK_BYTES;
        if (Buffer.compare(one.subarray(at, end), other.subarray(at, end)) === 0) continue;
        found.push(`block ${at / BLOCK_BYTES} of ${key || 'head'}`);
      }
    }
  }
  return found;
}

for (let seed = 1; seed <= 12; seed++) {
  test(`Check and store agree after crashes: seed ${seed}`, async () => {
    const bench = await StoreBench.create({
      seed,
      sizeBytes: BLOCKS * BLOCK_BYTES,
      pool: { cachePages: 8, limits: { logBytes: 12 * 1024, dirtyPages: 5 } },
    });
    for (let round = 0; round < 6; round++) {
      await live(bench, seed, round);
      if ((seed + round) % 3 !== 0) bench.world.powerLoss('a');
      bench.host = bench.world.restart('a');
      const { disk } = bench.host;
      const options = { disk, directory: DIRECTORY, quick: false, digest: false, live: false };
      const { pool, replicas } = await bench.run(checkStore(options));
      const wrong = [...(pool?.findings ?? []), ...replicas.flatMap((one) => one.findings)];
      const bad = wrong.filter((f) => f.severity !== 'note' || f.message.includes('stamp'));
      assert.deepEqual(bad, [], `seed ${seed} round ${round}`);
      const expected = await bench.run(contentsByCheck(bench));
      await bench.openPool();
      await bench.openStore();
      await bench.settleAll();
      const served = await contentsByStore(bench);
      assert.deepEqual(differences(expected, served), [], `seed ${seed} round ${round}`);
    }
  });
}
