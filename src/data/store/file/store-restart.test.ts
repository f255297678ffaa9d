/** What a store may still say of itself after its process or its machine went away (R14, R15). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IntentSet } from './intent-set.ts';
import { filled, SOUND_PARTS, StoreBench } from './store.testkit.ts';

const SEGMENT_BLOCKS = 16;

/** Marks that are left when a nexus clears too early, before anything was stamped anew. */
async function marksLeft(parts = SOUND_PARTS, crash: 'power' | 'process'): Promise<number[]> {
  const segmentBytes = SEGMENT_BLOCKS * 4096;
  const bench = await StoreBench.create({ segmentBytes, parts });
  // Accepted, and perhaps in the file; the durable stamp is (0,0), which is complete.
  await bench.write(3, filled(7), { epoch: 1, n: 1 });
  if (crash === 'power') await bench.powerLoss();
  else await bench.crashProcess();
  await bench.flush();
  await bench.run(bench.store.clearIntents(false));
  return bench.store.intents();
}

test('An intent found at start stays until its segment is stamped (R14)', async () => {
  for (const crash of ['power', 'process'] as const) {
    assert.deepEqual(await marksLeft(SOUND_PARTS, crash), [0], crash);
  }
});

/** Takes marks that were found for marks of this life: their stamps pass for known. */
class KnowsStamps extends IntentSet {
  #opened = false;

  override segments(): number[] {
    const found = this.#opened ? super.segments() : [];
    this.#opened = true;
    return found;
  }
}

test('A store that believes the stamps it finds is caught (R14)', async () => {
  const parts = { ...SOUND_PARTS, IntentSet: KnowsStamps };
  assert.deepEqual(await marksLeft(parts, 'process'), []);
});

test('Not even an orderly close takes a mark whose segment was not stamped (R14)', async () => {
  const bench = await StoreBench.create({ segmentBytes: SEGMENT_BLOCKS * 4096 });
  await bench.write(3, filled(7));
  await bench.crashProcess();
  await bench.run(bench.store.clearIntents(true));
  assert.deepEqual(bench.store.intents(), [0]);
  await bench.reopen();
  assert.equal(bench.store.state().condition, 'process-crash');
  await bench.run(bench.store.clearIntents(true));
  assert.deepEqual(bench.store.intents(), [0]);
});

test('A write to part of a segment does not make its old stamp known (R14)', async () => {
  const bench = await StoreBench.create({ segmentBytes: SEGMENT_BLOCKS * 4096 });
  await bench.write(3, filled(7), { epoch: 1, n: 1 });
  await bench.crashProcess();
  await bench.write(4, filled(8), { epoch: 2, n: 1 });
  bench.store.setCompleted({ epoch: 2, n: 1 });
  await bench.flush();
  await bench.run(bench.store.clearIntents(false));
  assert.deepEqual(bench.store.intents(), [0]);
  await bench.settleAll({ epoch: 2, n: 2 });
  await bench.run(bench.store.clearIntents(false));
  assert.deepEqual(bench.store.intents(), [0], 'stamped, not complete');
  bench.store.setCompleted({ epoch: 2, n: 2 });
  await bench.run(bench.store.clearIntents(false));
  assert.deepEqual(bench.store.intents(), []);
});

test('The clean mark is gone before anything can be written (R15)', async () => {
  const bench = await StoreBench.create();
  await bench.reopen();
  const { condition, incarnation } = bench.store.state();
  assert.equal(condition, 'clean');
  // Power goes before the first write, and before any record was sent to it.
  await bench.powerLoss();
  assert.equal(bench.store.state().condition, 'cache-lost');
  assert.notEqual(bench.store.state().incarnation, incarnation);
});

test('A store that was closed in order keeps its incarnation over a power loss (R15)', async () => {
  const bench = await StoreBench.create();
  await bench.write(3, filled(7));
  const { incarnation } = bench.store.state();
  await bench.run(bench.pool.close());
  await bench.powerLoss();
  assert.equal(bench.store.state().condition, 'clean');
  assert.equal(bench.store.state().incarnation, incarnation);
  assert.deepEqual(await bench.read(3), filled(7));
});
