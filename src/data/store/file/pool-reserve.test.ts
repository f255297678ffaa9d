/** A pool that is full refuses new data and nothing else. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode } from '#api/mod.ts';
import { readPoolFiles } from './pool-files.ts';
import { DIRECTORY, filled, StoreBench } from './store.testkit.ts';

const MIB = 2 ** 20;
const FILM = `${DIRECTORY}/film`;

async function createBench(withReserve: boolean): Promise<StoreBench> {
  const bench = await StoreBench.create({ sim: { disk: { capacityBytes: 64 * MIB } } });
  const { disk } = bench.host;
  if (withReserve) {
    await bench.run(bench.pool.keepReserve(await bench.run(disk.space(DIRECTORY))));
    const files = await bench.run(readPoolFiles(disk, DIRECTORY));
    assert.ok(files.poolBytes >= 256 * 1024 && files.strangeBytes === 0);
  }
  for (let block = 0; block < 8; block++) await bench.write(block, filled(1));
  await bench.flush();
  return bench;
}

/** Somebody else takes what is left, to the last block. */
async function fillUp(bench: StoreBench): Promise<void> {
  const { disk } = bench.host;
  const file = await bench.run(disk.open(FILM, { write: true, create: 'new' }));
  const noise = new Uint8Array(4096).fill(7);
  for (let at = 0, bytes = 4 * MIB; bytes >= 4096; ) {
    try {
      await bench.run(file.write(at, bytes === 4096 ? noise : new Uint8Array(bytes).fill(7)));
      at += bytes;
    } catch (error) {
      assert.ok(hasCode(error, 'no-space'));
      bytes /= 2;
    }
  }
  await bench.run(file.close());
}

test('In a full pool new data is refused; metadata, overwrites and reads go on', async () => {
  const bench = await createBench(true);
  await fillUp(bench);
  await assert.rejects(bench.write(100, filled(2)), (error) => hasCode(error, 'no-space'));
  for (let block = 101; block < 1000; block++) {
    await assert.rejects(bench.write(block, filled(2)), (error) => hasCode(error, 'no-space'));
  }
  await bench.run(bench.store.setPromised(5, 'n'));
  await bench.run(bench.store.setRebuild('half'));
  for (let round = 2; round < 12; round++) {
    await bench.write(3, filled(round));
    await bench.flush();
    assert.deepEqual(await bench.read(3), filled(round));
  }
  assert.equal(bench.store.state().failed, null);
  await bench.run(bench.host.disk.remove(FILM));
  await bench.run(bench.host.clock.sleep(1_000));
  // Notices that there is room.
  await bench.write(100, filled(4)).catch(() => undefined);
  await bench.run(bench.host.clock.sleep(10));
  await bench.write(100, filled(4));
  await bench.flush();
  await bench.powerLoss();
  await bench.settleAll();
  assert.deepEqual(await bench.read(100), filled(4));
  assert.deepEqual(await bench.read(3), filled(11));
  assert.equal(bench.store.state().promised, 5);
});

test('The marks of an overwrite are made in the room that was kept', async () => {
  const bench = await createBench(true);
  await bench.run(bench.store.clearIntents(true));
  await fillUp(bench);
  const fault = bench.world.disk('a').addFault({
    path: /intents/,
    verbs: ['write'],
    times: 1,
    effect: { kind: 'fail', code: 'no-space' },
  });
  await bench.write(3, filled(2));
  fault.remove();
  assert.deepEqual(await bench.read(3), filled(2));
  const files = await bench.run(readPoolFiles(bench.host.disk, DIRECTORY));
  assert.ok(files.poolBytes < 64 * 1024, 'it was given up');
});

test('Without its reserve a full pool takes no promise: what the reserve is for', async () => {
  const bench = await createBench(false);
  await fillUp(bench);
  await assert.rejects(bench.run(bench.store.setPromised(5, 'n')), (error) =>
    hasCode(error, 'no-space'),
  );
});
