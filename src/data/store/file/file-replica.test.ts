import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode, type SnapshotId } from '#api/mod.ts';
import { BLOCK_BYTES } from '#data/block/mod.ts';
import { takeBlockCrcs } from '#lib/mod.ts';
import { filled, StoreBench } from './store.testkit.ts';

const S1 = 's1' as SnapshotId;
const S2 = 's2' as SnapshotId;

test('FileReplica reads what was written, zeroes elsewhere', async () => {
  const bench = await StoreBench.create();
  assert.equal(bench.store.state().condition, 'clean');
  await bench.write(3, filled(7, 2));
  assert.deepEqual(
    await bench.read(2, 4),
    new Uint8Array([...filled(0), ...filled(7, 2), ...filled(0)]),
  );
  await bench.flush();
  await bench.reopen();
  assert.equal(bench.store.state().condition, 'clean');
  assert.deepEqual(await bench.read(3, 2), filled(7, 2));
});

test('FileReplica keeps flushed data over a power loss and refuses it until settled', async () => {
  const bench = await StoreBench.create();
  await bench.write(3, filled(7));
  await bench.flush();
  const before = bench.store.state().incarnation;
  await bench.powerLoss();
  assert.equal(bench.store.state().condition, 'cache-lost');
  assert.notEqual(bench.store.state().incarnation, before);
  assert.deepEqual(bench.store.intents(), [0]);
  await assert.rejects(bench.read(3), (error) => hasCode(error, 'not-current'));
  const found = await bench.run(bench.store.inspect(null, 0));
  assert.equal(found.verified[3], 1);
  assert.equal(found.kinds[3], 1);
  await bench.settleAll();
  assert.deepEqual(await bench.read(3), filled(7));
});

test('FileReplica keeps accepted writes over a process crash with the same incarnation', async () => {
  const bench = await StoreBench.create();
  await bench.write(3, filled(7));
  const before = bench.store.state().incarnation;
  await bench.crashProcess();
  assert.equal(bench.store.state().condition, 'process-crash');
  assert.equal(bench.store.state().incarnation, before);
  const found = await bench.run(bench.store.inspect(null, 0));
  assert.equal(found.kinds[3], 1);
  assert.equal(found.verified[3], 0);
  await bench.settleAll();
  assert.deepEqual(await bench.read(3), filled(7));
});

test('FileReplica drops intents only when stamp and flush cover them', async () => {
  const bench = await StoreBench.create();
  await bench.write(3, filled(7), { epoch: 1, n: 5 });
  bench.store.setCompleted({ epoch: 1, n: 4 });
  await bench.run(bench.store.clearIntents(false));
  assert.deepEqual(bench.store.intents(), [0]);
  bench.store.setCompleted({ epoch: 1, n: 5 });
  await bench.run(bench.store.clearIntents(false));
  assert.deepEqual(bench.store.intents(), []);
  await bench.powerLoss();
  assert.deepEqual(bench.store.intents(), []);
  assert.deepEqual(await bench.read(3), filled(7));
  assert.deepEqual(bench.store.state().completed, { epoch: 1, n: 5 });
  assert.deepEqual(await bench.run(bench.store.stampedSince({ epoch: 0, n: 0 }, 0, 10)), [
    { segment: 0, stamp: { epoch: 1, n: 5 } },
  ]);
});

test('FileReplica freezes a snapshot and reads both views', async () => {
  const bench = await StoreBench.create();
  await bench.write(0, filled(1, 3));
  await bench.run(bench.store.createSnapshot(S1, { epoch: 1, n: 2 }));
  await bench.write(1, filled(2));
  await bench.trim(2, 1);
  assert.deepEqual(await bench.read(0, 4, S1), new Uint8Array([...filled(1, 3), ...filled(0)]));
  assert.deepEqual(
    await bench.read(0, 4),
    new Uint8Array([...filled(1), ...filled(2), ...filled(0, 2)]),
  );
  assert.deepEqual(
    bench.store.state().snapshots.map(({ id, sealed }) => ({ id, sealed })),
    [{ id: S1, sealed: true }],
  );
  await assert.rejects(bench.write(0, filled(9), undefined, S1), (e) => hasCode(e, 'read-only'));
  await bench.run(bench.store.createSnapshot(S2, { epoch: 1, n: 3 }));
  await bench.write(0, filled(5));
  await bench.run(bench.store.deleteSnapshot(S1));
  assert.deepEqual(
    await bench.read(0, 3, S2),
    new Uint8Array([...filled(1), ...filled(2), ...filled(0)]),
  );
  await bench.run(bench.store.deleteSnapshot(S2));
  assert.deepEqual(
    await bench.read(0, 3),
    new Uint8Array([...filled(5), ...filled(2), ...filled(0)]),
  );
  assert.equal(bench.store.state().snapshots.length, 0);
  const scrubbed = await bench.run(bench.store.scrub(1_000_000));
  assert.deepEqual(scrubbed.mismatches, []);
  await bench.reopen();
  assert.deepEqual(
    await bench.read(0, 3),
    new Uint8Array([...filled(5), ...filled(2), ...filled(0)]),
  );
});

test('FileReplica keeps zeroes over a snapshot through a process crash', async () => {
  const bench = await StoreBench.create();
  await bench.write(0, filled(1, 4));
  await bench.run(bench.store.createSnapshot(S1, { epoch: 1, n: 2 }));
  await bench.zero(0, 1);
  await bench.write(1, filled(0));
  await bench.write(2, filled(9));
  await bench.zero(2, 1);
  await bench.crashProcess();
  await bench.settleAll();
  assert.deepEqual(await bench.read(0, 4), new Uint8Array([...filled(0, 3), ...filled(1)]));
});

test('FileReplica grows online', async () => {
  const bench = await StoreBench.create({ sizeBytes: 1024 * 1024 });
  await assert.rejects(bench.read(256), (error) => hasCode(error, 'out-of-range'));
  await bench.run(bench.store.grow(64 * 1024 * 1024));
  await bench.write(10_000, filled(4));
  await bench.flush();
  await bench.reopen();
  assert.equal(bench.store.state().sizeBytes, 64 * 1024 * 1024);
  assert.deepEqual(await bench.read(10_000), filled(4));
});

test('FileReplica resets to nothing', async () => {
  const bench = await StoreBench.create();
  await bench.write(0, filled(1, 4));
  await bench.run(bench.store.createSnapshot(S1, { epoch: 1, n: 2 }));
  bench.store.setCompleted({ epoch: 1, n: 1 });
  await bench.flush();
  await bench.run(bench.store.reset(16 * 1024 * 1024));
  assert.deepEqual(await bench.read(0, 4), filled(0, 4));
  const { snapshots, completed, sizeBytes } = bench.store.state();
  assert.deepEqual(
    { snapshots, completed, sizeBytes },
    {
      snapshots: [],
      completed: { epoch: 0, n: 0 },
      sizeBytes: 16 * 1024 * 1024,
    },
  );
  await bench.write(1, filled(3));
  await bench.reopen();
  assert.deepEqual(await bench.read(1), filled(3));
  assert.deepEqual(await bench.run(bench.host.disk.list(bench.path(''))).then((n) => n.length), 8);
});

test('FileReplica is filled with a snapshot layer by a rebuild', async () => {
  const bench = await StoreBench.create();
  await bench.write(0, filled(1, 4));
  await bench.run(bench.store.beginSnapshotInstall(S1, { epoch: 1, n: 2 }));
  await bench.write(1, filled(2), undefined, S1);
  await bench.write(2, filled(3));
  await assert.rejects(bench.read(1, 1, S1), (error) => hasCode(error, 'not-current'));
  assert.equal(bench.store.state().snapshots[0]!.sealed, false);
  const found = await bench.run(bench.store.inspect(S1, 0));
  assert.deepEqual([...found.kinds.subarray(0, 5)], [1, 1, 1, 1, 0]);
  await bench.crashProcess();
  await bench.settleAll();
  // What no checksum confirms is not sealed as it lies: a rebuild writes it anew.
  const seal = () => bench.run(bench.store.sealSnapshot(S1));
  await assert.rejects(seal(), (error) => hasCode(error, 'checksum-mismatch'));
  const { verified } = await bench.run(bench.store.inspect(S1, 0));
  assert.deepEqual([...verified.subarray(0, 3)], [1, 0, 1]);
  await bench.write(1, filled(2), undefined, S1);
  await seal();
  assert.deepEqual(
    await bench.read(0, 3, S1),
    new Uint8Array([...filled(1), ...filled(2), ...filled(1)]),
  );
  assert.deepEqual(
    await bench.read(0, 3),
    new Uint8Array([...filled(1), ...filled(2), ...filled(3)]),
  );
});

test('FileReplica says which of its bytes are data, zero and hole', async () => {
  const bench = await StoreBench.create({ sizeBytes: 64 * 1024 * 1024 });
  await bench.write(10, filled(1, 4));
  await bench.zero(12, 1);
  await bench.trim(13, 1);
  assert.deepEqual(
    (await bench.run(bench.store.extents(0, 64 * 1024 * 1024))).map(
      ({ offsetBytes, lengthBytes, kind }) => [offsetBytes / 4096, lengthBytes / 4096, kind],
    ),
    [
      [0, 10, 'hole'],
      [10, 2, 'data'],
      [12, 1, 'zero'],
      [13, 16_371, 'hole'],
    ],
  );
  const usage = await bench.run(bench.store.usage());
  assert.ok(usage.headBytes >= 2 * 4096 && usage.headBytes <= 4 * 4096);
});

test('FileReplica trims terabytes without a stack as deep as they are long', async () => {
  const sizeBytes = 2 ** 36;
  const bench = await StoreBench.create({ sizeBytes, segmentBytes: 2 ** 24 });
  await bench.write(5, filled(1));
  await bench.trim(0, sizeBytes / 4096);
  assert.deepEqual(await bench.read(5), filled(0));
});

test('FileReplica keeps the checksums that a write brings, and reads by them alone', async () => {
  const bench = await StoreBench.create();
  const data = new Uint8Array([...filled(7), ...filled(8)]);
  const write = (blockCrcs: Uint32Array): Promise<void> =>
    bench.run(
      new Promise((resolve, reject) => {
        bench.store.submit({
          verb: 'write',
          layer: null,
          offsetBytes: 3 * BLOCK_BYTES,
          lengthBytes: 2 * BLOCK_BYTES,
          data,
          blockCrcs,
          stampEpoch: 1,
          stampN: 1,
          done: (error) => (error === null ? resolve() : reject(error)),
        });
      }),
    );
  const crcs = new Uint32Array(2);
  takeBlockCrcs(data, crcs);
  await write(crcs);
  assert.deepEqual(await bench.read(3, 2), data);
  // Bytes that changed on their way from where the checksum was taken.
  crcs[1]! ^= 1;
  await write(crcs);
  await assert.rejects(bench.read(3, 2), (error) => hasCode(error, 'checksum-mismatch'));
});

test('FileReplica settles what was inspected, but not what was written since', async () => {
  const bench = await StoreBench.create();
  await bench.write(3, filled(7));
  await bench.crashProcess();
  const { kinds, contentCrcs } = await bench.run(bench.store.inspect(null, 0));
  await bench.write(4, filled(8));
  const stamp = { epoch: 2, n: 0 };
  const late = bench.run(bench.store.settle(0, kinds, contentCrcs, stamp));
  await assert.rejects(late, (error) => hasCode(error, 'checksum-mismatch'));
  await bench.settleAll();
  assert.deepEqual(await bench.read(3, 2), new Uint8Array([...filled(7), ...filled(8)]));
});
