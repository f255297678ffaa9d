/** Snapshots that a rebuild began to install, and that the volume deleted before it was done. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HoldfastError, hasCode, type SnapshotId } from '#api/mod.ts';
import { filled, StoreBench } from './store.testkit.ts';

const S1 = 's1' as SnapshotId;
const S2 = 's2' as SnapshotId;

/** Block 0 overwritten in the unsealed layer, block 1 new there, block 2 in the head. */
const CONTENTS = new Uint8Array([...filled(2), ...filled(3), ...filled(4), ...filled(0)]);

async function halfInstalled(seed = 1): Promise<StoreBench> {
  const bench = await StoreBench.create({ seed });
  await bench.write(0, filled(1));
  await bench.flush();
  await bench.run(bench.store.beginSnapshotInstall(S1, { epoch: 1, n: 2 }));
  await bench.write(0, filled(2), undefined, S1);
  await bench.write(1, filled(3), undefined, S1);
  await bench.write(2, filled(4));
  return bench;
}

async function deleteAndLook(bench: StoreBench): Promise<Uint8Array> {
  await bench.settleAll();
  await bench.run(bench.store.deleteSnapshot(S1));
  assert.deepEqual(bench.store.state().snapshots, []);
  // What nothing confirmed is compared with the others before the replica counts.
  assert.deepEqual(bench.store.intents(), [0]);
  assert.deepEqual((await bench.run(bench.store.scrub(1e9))).mismatches, []);
  return bench.read(0, 4);
}

test('A half installed snapshot that a crash left in doubt is deleted as it lies', async () => {
  const bench = await halfInstalled();
  await bench.crashProcess();
  assert.equal(Buffer.compare(await deleteAndLook(bench), CONTENTS), 0);
  await bench.reopen();
  assert.equal(Buffer.compare(await bench.read(0, 4), CONTENTS), 0);
  assert.deepEqual(bench.store.intents(), [0]);
});

test('An older snapshot is merged once the half installed one above it is out of doubt', async () => {
  const bench = await StoreBench.create();
  await bench.write(0, filled(1, 4));
  await bench.run(bench.store.createSnapshot(S1, { epoch: 1, n: 1 }));
  await bench.run(bench.store.beginSnapshotInstall(S2, { epoch: 1, n: 2 }));
  await bench.write(1, filled(2), undefined, S2);
  await bench.crashProcess();
  await bench.settleAll();
  // It may hold something newer than what is to be copied there.
  const early = bench.run(bench.store.deleteSnapshot(S1));
  await assert.rejects(early, (error) => hasCode(error, 'not-current'));
  await bench.run(bench.store.deleteSnapshot(S2));
  const wanted = new Uint8Array([...filled(1), ...filled(2), ...filled(1, 2)]);
  assert.equal(Buffer.compare(await bench.read(0, 4), wanted), 0);
  assert.deepEqual(bench.store.state().snapshots, []);
});

test('A half installed snapshot that reads now so, now so is not taken', async () => {
  const bench = await halfInstalled();
  await bench.crashProcess();
  await bench.settleAll();
  const path = await bench.find('.data');
  const disk = bench.world.disk('a');
  const lie = disk.addFault({
    path,
    verbs: ['read'],
    nth: 1,
    effect: { kind: 'flip', stored: false },
  });
  const deleting = bench.run(bench.store.deleteSnapshot(S1));
  await assert.rejects(deleting, (error) => hasCode(error, 'checksum-mismatch'));
  lie.remove();
  assert.equal(Buffer.compare(await deleteAndLook(bench), CONTENTS), 0);
});

for (const crash of ['process', 'power'] as const) {
  test(`Deleting a half installed snapshot survives a ${crash} crash anywhere`, async () => {
    for (let nth = 1; ; nth++) {
      assert.ok(nth < 300, 'the deletion ends');
      const bench = await halfInstalled(nth);
      const cut = bench.world.disk('a').addFault({ path: '/pool', nth, effect: { kind: 'hang' } });
      let settled = false;
      const note = (): void => {
        settled = true;
      };
      bench.store.deleteSnapshot(S1).then(note, note);
      await bench.world.run({ forMs: 5_000, until: () => cut.hits > 0 || settled });
      if (cut.hits === 0) break;
      await bench.world.run({ forMs: 5 });
      bench.world.disk('a').removeFaults();
      if (crash === 'power') await bench.powerLoss();
      else await bench.crashProcess();
      const found = await deleteAndLook(bench).catch((error: unknown) => {
        assert.ok(HoldfastError.is(error));
        assert.fail(`operation ${nth}: ${error.message}`);
      });
      if (crash === 'process') assert.equal(Buffer.compare(found, CONTENTS), 0, `at ${nth}`);
    }
  });
}
