import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode, HoldfastError, type SnapshotId } from '#api/mod.ts';
import { filled, StoreBench } from './store.testkit.ts';

const S1 = 's1' as SnapshotId;

/** Blocks of the test's volume that were written, with a snapshot, marks in the log and intents. */
async function busyStore(seed = 1): Promise<StoreBench> {
  const bench = await StoreBench.create({ seed });
  for (let block = 0; block < 64; block += 3) await bench.write(block, filled(1 + block));
  await bench.run(bench.store.setPromised(4, 'nexus'));
  await bench.run(bench.store.createSnapshot(S1, { epoch: 1, n: 1 }));
  for (let block = 0; block < 64; block += 6) await bench.write(block, filled(100 + block));
  await bench.flush();
  await bench.trim(30, 3);
  return bench;
}

function expected(block: number): Uint8Array {
  if (block >= 30 && block < 33) return filled(0);
  if (block % 6 === 0) return filled(100 + block);
  return filled(block % 3 === 0 ? 1 + block : 0);
}

/** Errors that say what happened; a wrong byte says nothing. */
const HONEST = ['checksum-mismatch', 'store-corrupt', 'replica-failed', 'not-current', 'not-found'];

test('A flipped bit in any metadata file is refused or harmless, never wrong data', async () => {
  const files = await (async () => {
    const bench = await busyStore();
    return bench.run(bench.host.disk.list(bench.path('')));
  })();
  let refused = 0;
  for (const name of files.filter((file) => !file.endsWith('.data'))) {
    const size = (await busyStore()).world.disk('a').sizeOf(`/pool/replicas/r1/${name}`);
    // Every part of what is written: heads, pages, records; not each of many equal zeroes.
    const places = new Set<number>();
    for (let at = 0; at < Math.min(size, 20_000); at += at % 4096 < 400 ? 23 : 509) places.add(at);
    for (const at of places) {
      const bench = await busyStore();
      bench.world.crashProcess('a');
      bench.world.disk('a').flipBit(`/pool/replicas/r1/${name}`, at, at % 8);
      try {
        await bench.crashProcess();
        await bench.settleAll();
        for (let block = 0; block < 64; block++) {
          const contents = await bench.read(block);
          assert.deepEqual(contents, expected(block), `block ${block}, ${name} at ${at}`);
        }
      } catch (error) {
        if (!HoldfastError.is(error)) throw error;
        assert.ok(HONEST.includes(error.code), `${error.code}, ${name} at ${at}`);
        refused++;
      }
    }
  }
  assert.ok(refused > 50, `${refused} flips were refused`);
});

test('A truncated metadata file is refused or harmless, never wrong data', async () => {
  const bench = await busyStore();
  const names = (await bench.run(bench.host.disk.list(bench.path('')))).filter(
    (name) => !name.endsWith('.data'),
  );
  let refused = 0;
  for (const name of names) {
    const path = `/pool/replicas/r1/${name}`;
    const size = bench.world.disk('a').sizeOf(path);
    const lengths = [0, 1, 63, 100, 4095, 4096, size >> 1, size - 4096, size - 1];
    for (const length of new Set(lengths.filter((value) => value >= 0 && value < size))) {
      const cut = await busyStore();
      cut.world.crashProcess('a');
      cut.host = cut.world.restart('a');
      const file = await cut.run(cut.host.disk.open(path, { write: true }));
      await cut.run(file.resize(length));
      await cut.run(file.close());
      try {
        await cut.openPool();
        await cut.openStore();
        await cut.settleAll();
        for (let block = 0; block < 64; block++) {
          const isRight = Buffer.compare(await cut.read(block), expected(block)) === 0;
          assert.ok(isRight, `block ${block}, ${name} of ${length} bytes`);
        }
      } catch (error) {
        if (!HoldfastError.is(error)) throw error;
        assert.ok(HONEST.includes(error.code), `${error.code}, ${name} of ${length} bytes`);
        refused++;
      }
      assert.equal(cut.world.disk('a').sizeOf(path) >= Math.min(length, 1), true, 'still there');
    }
  }
  assert.ok(refused > 5, `${refused} cuts were refused`);
});

test('A flipped bit in data is refused, also in a snapshot, and found by a scrub', async () => {
  const bench = await busyStore();
  const disk = bench.world.disk('a');
  const [first, second] = [await bench.find('.data', 0), await bench.find('.data', 1)];
  for (const path of [first, second]) {
    if (disk.peek(path, 6 * 4096, 1)[0] !== 0) disk.flipBit(path, 6 * 4096 + 1234, 3);
  }
  await assert.rejects(bench.read(6), (error) => {
    assert.ok(hasCode(error, 'checksum-mismatch'));
    return (error as HoldfastError).details['offsetBytes'] === 6 * 4096;
  });
  await assert.rejects(bench.read(6, 1, S1), (error) => hasCode(error, 'checksum-mismatch'));
  const { mismatches, done } = await bench.run(bench.store.scrub(1e9));
  assert.equal(done, true);
  assert.deepEqual(mismatches, [
    { layer: S1, block: 6 },
    { layer: null, block: 6 },
  ]);
});

test('A lost write is detected on the next read', async () => {
  const bench = await StoreBench.create();
  await bench.write(5, filled(1));
  const lost = bench.world
    .disk('a')
    .addFault({ path: /\.data$/, verbs: ['write'], effect: { kind: 'lose' } });
  await bench.write(5, filled(2));
  assert.equal(lost.hits, 1);
  await assert.rejects(bench.read(5), (error) => hasCode(error, 'checksum-mismatch'));
});

test('A misdirected write is detected at both places', async () => {
  const bench = await StoreBench.create({ sizeBytes: 64 * 1024 });
  for (let block = 0; block < 16; block++) await bench.write(block, filled(1 + block));
  const astray = bench.world
    .disk('a')
    .addFault({ path: /\.data$/, verbs: ['write'], effect: { kind: 'misdirect' } });
  await bench.write(5, filled(99));
  assert.equal(astray.hits, 1);
  await assert.rejects(bench.read(5), (error) => hasCode(error, 'checksum-mismatch'));
  const { mismatches } = await bench.run(bench.store.scrub(1e9));
  assert.ok(mismatches.length >= 2, 'the place it belongs to and the place it hit');
});

test('A lost map page is found by a scrub', async () => {
  const bench = await StoreBench.create();
  await bench.write(5, filled(1));
  bench.world.disk('a').addFault({ path: /\.map$/, verbs: ['write'], effect: { kind: 'lose' } });
  await bench.reopen();
  const { mismatches } = await bench.run(bench.store.scrub(1e9));
  assert.deepEqual(mismatches, [{ layer: null, block: 5 }]);
});

test('A sync that fails once fails the store for good', async () => {
  for (const path of [/\.data$/, /map-log$/]) {
    const bench = await StoreBench.create();
    await bench.write(5, filled(1));
    bench.world.disk('a').addFault({
      path,
      verbs: ['flush'],
      times: 1,
      effect: { kind: 'fail', code: 'io-error' },
    });
    await assert.rejects(bench.flush(), (error) => hasCode(error, 'io-error'));
    assert.ok(hasCode(bench.store.state().failed, 'replica-failed'));
    await assert.rejects(bench.flush(), (error) => hasCode(error, 'replica-failed'));
    await assert.rejects(bench.read(5), (error) => hasCode(error, 'replica-failed'));
    await assert.rejects(bench.write(6, filled(1)), (error) => hasCode(error, 'replica-failed'));
    const { incarnation } = bench.store.state();
    await bench.run(bench.store.close());
    await bench.openStore();
    assert.equal(bench.store.state().condition, 'cache-lost', 'the kernel may have dropped writes');
    assert.notEqual(bench.store.state().incarnation, incarnation);
  }
});

test('A process that dies after a failed sync leaves a store with a new incarnation', async () => {
  const bench = await StoreBench.create();
  const { incarnation } = bench.store.state();
  await bench.write(5, filled(1));
  bench.world.disk('a').addFault({
    path: /\.data$/,
    verbs: ['flush'],
    times: 1,
    effect: { kind: 'fail', code: 'io-error' },
  });
  await assert.rejects(bench.flush(), (error) => hasCode(error, 'io-error'));
  await bench.world.run({ forMs: 1_000 });
  bench.world.crashProcess('a');
  await bench.crashProcess();
  assert.notEqual(bench.store.state().incarnation, incarnation);
});

test('A bit that flips after the comparison is not blessed by settle', async () => {
  const bench = await StoreBench.create();
  await bench.write(5, filled(1));
  await bench.flush();
  await bench.write(5, filled(2));
  await bench.crashProcess();
  const { store } = bench;
  const { kinds, contentCrcs } = await bench.run(store.inspect(null, 0));
  const settle = () => bench.run(store.settle(0, kinds, contentCrcs, { epoch: 2, n: 0 }));
  const data = /\.data$/;
  let refused = 0;
  for (const nth of [1, 2]) {
    const effect = { kind: 'flip', stored: false } as const;
    const fault = bench.world.disk('a').addFault({ path: data, verbs: ['read'], nth, effect });
    // Only a read of the whole segment tells: both of settle's do.
    await assert.rejects(settle(), (error) => hasCode(error, 'checksum-mismatch'));
    refused += fault.hits;
    fault.remove();
  }
  assert.equal(refused, 2);
  await settle();
  assert.deepEqual(await bench.read(5), filled(2));
});

test('A disk that fills fails the requests that need space and nothing else', async () => {
  const bench = await StoreBench.create();
  for (let block = 0; block < 8; block++) await bench.write(block, filled(1));
  await bench.flush();
  const full = bench.world
    .disk('a')
    .addFault({ path: '/pool', verbs: ['write'], effect: { kind: 'fail', code: 'no-space' } });
  await assert.rejects(bench.write(3, filled(2)), (error) => hasCode(error, 'no-space'));
  await assert.rejects(bench.write(200, filled(2)), (error) => hasCode(error, 'no-space'));
  assert.equal(bench.store.state().failed, null);
  assert.deepEqual(await bench.read(3), filled(1), 'reads are fine');
  full.remove();
  await bench.write(200, filled(3));
  await bench.write(4, filled(4));
  const again = bench.world
    .disk('a')
    .addFault({ path: /map-log/, verbs: ['write'], effect: { kind: 'fail', code: 'no-space' } });
  await assert.rejects(bench.flush(), (error) => hasCode(error, 'no-space'));
  again.remove();
  await bench.flush();
  await bench.powerLoss();
  await bench.settleAll();
  assert.deepEqual(await bench.read(200), filled(3));
  assert.deepEqual(await bench.read(4), filled(4));
  assert.deepEqual(await bench.read(3), filled(1));
});

test('A write that fails with EIO leaves old, new or doubt, never a torn block', async () => {
  for (let seed = 1; seed <= 20; seed++) {
    const bench = await StoreBench.create({ seed });
    await bench.write(5, filled(1));
    bench.world.disk('a').addFault({
      path: /\.data$/,
      verbs: ['write'],
      times: 1,
      effect: { kind: 'fail', code: 'io-error' },
    });
    await assert.rejects(bench.write(5, filled(2)), (error) => hasCode(error, 'io-error'));
    try {
      const [byte] = await bench.read(5);
      assert.deepEqual(await bench.read(5), filled(byte === 1 ? 1 : 2));
    } catch (error) {
      assert.ok(hasCode(error, 'not-current'));
    }
    await bench.write(5, filled(3));
    assert.deepEqual(await bench.read(5), filled(3));
  }
});

test('An older copy of the files is recognised and serves nothing until it is reset', async () => {
  const bench = await StoreBench.create();
  await bench.write(5, filled(1));
  await bench.run(bench.pool.close());
  const yesterday = bench.world.disk('a').cloneDirectory('/pool/replicas/r1');
  await bench.openPool();
  await bench.openStore();
  await bench.write(5, filled(2));
  const before = bench.store.state().incarnation;
  await bench.run(bench.pool.close());
  bench.world.disk('a').restoreDirectory('/pool/replicas/r1', yesterday);
  for (let open = 0; open < 2; open++) {
    await bench.openPool();
    await bench.openStore();
    assert.equal(bench.store.state().condition, 'rolled-back');
    assert.notEqual(bench.store.state().incarnation, before);
    await assert.rejects(bench.read(5), (error) => hasCode(error, 'store-rolled-back'));
    await assert.rejects(bench.write(5, filled(9)), (e) => hasCode(e, 'store-rolled-back'));
    await bench.run(bench.pool.close());
  }
  await bench.openPool();
  await bench.openStore();
  await bench.run(bench.store.reset(8 * 1024 * 1024));
  await bench.write(6, filled(7));
  await bench.reopen();
  assert.equal(bench.store.state().condition, 'clean');
  assert.deepEqual(await bench.read(6), filled(7));
  assert.deepEqual(await bench.read(5), filled(0));
});

test('A flush without changes still syncs the data', async () => {
  const bench = await StoreBench.create();
  await bench.write(5, filled(1));
  await bench.flush();
  const syncs = bench.world
    .disk('a')
    .addFault({ path: /\.data$/, verbs: ['flush'], effect: { kind: 'delay', ms: 0 } });
  const appends = bench.world
    .disk('a')
    .addFault({ path: /map-log/, verbs: ['write', 'flush'], effect: { kind: 'delay', ms: 0 } });
  await bench.flush();
  assert.equal(syncs.hits, 1);
  assert.equal(appends.hits, 0);
});

test('A flush is not answered by a sync that began before it', async () => {
  const bench = await StoreBench.create();
  await bench.write(5, filled(1));
  const syncs = bench.world
    .disk('a')
    .addFault({ path: /\.data$/, verbs: ['flush'], effect: { kind: 'delay', ms: 50 } });
  const first = bench.store.flush();
  await bench.world.run({ until: () => syncs.hits === 1, forMs: 1000 });
  await bench.write(6, filled(2));
  const later = [bench.store.flush(), bench.store.flush(), bench.store.flush()];
  await bench.run(Promise.all([first, ...later]));
  assert.equal(syncs.hits, 2, 'one sync for the first, one for the three that came later');
});

test('A sync of intents that fails once fails the store before any data is written', async () => {
  const bench = await StoreBench.create();
  const disk = bench.world.disk('a');
  const effect = { kind: 'fail', code: 'io-error' } as const;
  disk.addFault({ path: /intents$/, verbs: ['flush'], times: 1, effect });
  const writes = disk.addFault({
    path: /\.data$/,
    verbs: ['write'],
    effect: { kind: 'delay', ms: 0 },
  });
  await assert.rejects(bench.write(5, filled(1)), (error) => hasCode(error, 'io-error'));
  assert.equal(writes.hits, 0);
  await assert.rejects(bench.write(5, filled(1)), (error) => hasCode(error, 'replica-failed'));
});
