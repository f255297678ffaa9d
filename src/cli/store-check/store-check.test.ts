/**
 * The check reads what the production store wrote, and every way of spoiling it is reported. The
 * controls come in two kinds: a pool that was closed, and the files of one whose process died.
 */
import assert from 'node:assert/strict';
import {
  copyFileSync,
  readFileSync,
  renameSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { hasCode } from '#api/mod.ts';
import { BLOCK_BYTES } from '#data/block/mod.ts';
import { runStoreCheck } from '../store-check.ts';
import {
  blocksOf,
  BLOCKS,
  check,
  compare,
  copyOf,
  filesOf,
  flipBit,
  host,
  RealPool,
  type RealReplica,
} from './real-store.testkit.ts';

/**
 * Two layers; intent segments are left in the file. Blocks 0 to 3, 1000 to 1002, and 300 are data.
 */
async function fill(replica: RealReplica): Promise<void> {
  await replica.store.setPromised(3, 'nexus-1');
  await replica.write(0, 1, 2, 3, 4);
  await replica.write(1000, 9, 10, 11);
  await replica.store.flush();
  await replica.snapshot('s1');
  await replica.write(1, 7);
  await replica.write(300, 20);
  await replica.zero(2);
  await replica.trim(1001);
  await replica.store.flush();
}

async function closedPool(t: TestContext): Promise<RealPool> {
  const pool = await RealPool.create(t);
  await fill(await pool.createReplica('r1'));
  await pool.pool.close();
  return pool;
}

/** Segment 0 is settled and durable (no mark), segment 62 (blocks 992 to 1007) has newer writes. */
async function crashedPool(t: TestContext): Promise<string> {
  const pool = await RealPool.create(t);
  const replica = await pool.createReplica('r1');
  await replica.write(0, 1, 2, 3, 4);
  await replica.store.flush();
  await replica.store.clearIntents(true);
  await replica.write(1000, 9, 10, 11);
  await replica.store.flush();
  await replica.write(1010, 5);
  await replica.store.flush();
  await replica.write(1001, 77);
  return pool.crashCopy(t);
}

function home(pool: string, replica = 'r1'): string {
  return join(pool, 'replicas', replica);
}

function layerFiles(directory: string, ending: string): string[] {
  const header = JSON.parse(readFileSync(join(directory, 'replica')).subarray(48).toString()) as {
    layers: { layer: string }[];
  };
  return header.layers.map(({ layer }) => join(directory, `${layer}${ending}`));
}

function assertSays(says: readonly string[], part: RegExp): void {
  assert.ok(
    says.some((line) => part.test(line)),
    `${part} in ${JSON.stringify(says)}`,
  );
}

// --- what is sound
// -------------------------------------------------------------------------------------

test('A closed pool is sound, and its report says what the store was told', async (t) => {
  const pool = await closedPool(t);
  const { code, says, replica, report } = await check(pool.directory);
  assert.deepEqual([code, says], [0, []]);
  assert.deepEqual(report.pool?.pool, { cluster: 'c1', pool: 'p1' });
  assert.equal(replica.replica?.condition, 'clean');
  assert.equal(replica.replica.voter?.promised, 3);
  assert.equal(replica.replica.voter.promisedTo, 'nexus-1');
  assert.deepEqual(
    replica.replica.snapshots.map(({ snapshot, n }) => [snapshot, n]),
    [['s1', 1]],
  );
  assert.deepEqual(
    replica.layers.map(({ state, dataBlocks, zeroBlocks }) => [state, dataBlocks, zeroBlocks]),
    [
      ['sealed', 7, 0],
      ['head', 2, 2],
    ],
  );
});

test('A replica directory alone is checked like its pool, quickly without contents', async (t) => {
  const pool = await closedPool(t);
  const { code, says, replica, report } = await check(pool.pathOf('r1'), '--quick');
  assert.deepEqual([code, says, report.pool], [0, [], null]);
  assert.deepEqual(
    replica.layers.map(({ checkedBlocks, dataBlocks }) => [checkedBlocks, dataBlocks]),
    [
      [0, 7],
      [0, 2],
    ],
  );
});

test('A check changes nothing', async (t) => {
  const { directory } = await closedPool(t);
  const before = filesOf(home(directory)).map((name) => readFileSync(join(home(directory), name)));
  await check(directory, '--digest');
  const after = filesOf(home(directory)).map((name) => readFileSync(join(home(directory), name)));
  assert.deepEqual(after, before);
});

test('A pool that is open is not checked unless asked to, and says so', async (t) => {
  const pool = await RealPool.create(t);
  await fill(await pool.createReplica('r1'));
  const { code, replica, says } = await check(pool.directory);
  assert.deepEqual([code, replica.lock, replica.verdict], [7, 'taken', 'unknown']);
  assertSays(says, /Another process has it open/);
  const live = await check(pool.directory, '--live');
  assert.equal(live.code, 0);
  assert.equal(live.replica.replica?.condition, 'process-crash');
});

test('After a crash newer contents inside intent segments are counted and allowed', async (t) => {
  const { code, replica } = await check(await crashedPool(t));
  assert.equal(code, 0);
  assert.deepEqual([replica.replica?.condition, replica.replica?.inDoubt], ['process-crash', true]);
  assert.equal(replica.replica?.fileIdsFit, false, 'a copy has other inodes');
  assert.equal(replica.layers[0]?.unsettledBlocks, 1);
  assert.ok((replica.replica?.mapLogRecords ?? 0) >= 1);
});

test('A deleted snapshot, a clone and a reset leave a sound pool', async (t) => {
  const pool = await RealPool.create(t);
  const replica = await pool.createReplica('r1');
  await fill(replica);
  await replica.snapshot('s2', 2);
  await replica.write(5, 50);
  await replica.deleteSnapshot('s1');
  const clone = await pool.createReplica('r3', 'v3', 's2');
  await clone.write(6, 60);
  const other = await pool.createReplica('r2', 'v2');
  await fill(other);
  await other.store.reset(64 * BLOCK_BYTES);
  await pool.pool.close();
  const { code, says, report } = await check(pool.directory);
  assert.deepEqual([code, says], [0, []]);
  const homes = report.replicas.map(({ layers }) => layers.map((layer) => layer.home));
  assert.deepEqual(homes, [['r1', 'r1'], ['r2'], ['r1', 'r3']]);
  const shared = layerFiles(pool.pathOf('r3'), '.data')[0]!.split('/').at(-1)!;
  flipBit(join(pool.pathOf('r1'), shared), 7);
  const spoiled = await check(pool.directory);
  assert.deepEqual(
    spoiled.report.replicas.map(({ verdict }) => verdict),
    ['corrupt', 'sound', 'corrupt'],
    'a layer that two share is checked for both',
  );
});

// --- flipped bits
// ---------------------------------------------------------------------------------------

test('A flipped bit anywhere in a metadata file of a closed pool is reported', async (t) => {
  const source = (await closedPool(t)).directory;
  const quiet: string[] = [];
  const work = copyOf(t, source);
  const paths = [
    join(work, 'holdfast-pool'),
    ...filesOf(home(work))
      .filter((name) => !name.endsWith('.data'))
      .map((name) => join(home(work), name)),
  ];
  for (const path of paths) {
    const bytes = readFileSync(path);
    const step = bytes.byteLength < 2000 ? 13 : 97;
    for (let at = 0; at < bytes.byteLength; at += step) {
      const spoiled = Uint8Array.from(bytes);
      spoiled[at]! ^= 1 << (at % 8);
      writeFileSync(path, spoiled);
      if ((await check(work, '--quick')).code !== 8)
        quiet.push(`${path.split('/').at(-1)} at ${at}`);
    }
    writeFileSync(path, bytes);
  }
  assert.deepEqual(quiet, []);
});

test('A flipped bit in the data of a closed pool is reported with its block', async (t) => {
  const { directory } = await closedPool(t);
  const [bottom, head] = layerFiles(home(directory), '.data');
  for (const [path, block, says] of [
    [bottom!, 1000, /do not fit their checksums/],
    [head!, 1, /do not fit their checksums/],
    [head!, 2, /should be zero are not/],
    [head!, 900, /should be zero are not/],
    [bottom!, 2047, /should be zero are not/],
  ] as const) {
    const work = copyOf(t, directory);
    flipBit(join(home(work), path.split('/').at(-1)!), block * BLOCK_BYTES + 77);
    const checked = await check(work);
    assert.equal(checked.code, 8, `block ${block}`);
    assertSays(checked.says, says);
    const found = checked.replica.findings.find((f) => f.severity === 'corruption');
    assert.deepEqual([found?.details['block'], found?.details['count']], [block, 1]);
  }
});

test('After a crash a flipped bit is corruption outside intent segments and doubt inside', async (t) => {
  const source = await crashedPool(t);
  const outside = copyOf(t, source);
  flipBit(layerFiles(home(outside), '.data')[0]!, 2 * BLOCK_BYTES);
  const checked = await check(outside);
  assert.deepEqual([checked.code, checked.replica.layers[0]?.corruptBlocks], [8, 1]);
  const inside = copyOf(t, source);
  flipBit(layerFiles(home(inside), '.data')[0]!, 1000 * BLOCK_BYTES);
  const allowed = await check(inside);
  assert.deepEqual([allowed.code, allowed.replica.layers[0]?.unsettledBlocks], [0, 2]);
});

test('After a crash a flipped bit in the logs is reported', async (t) => {
  const source = await crashedPool(t);
  const reports: Record<string, [number, boolean]> = {};
  for (const [name, at] of [
    ['map-log', 8192 + 60],
    ['map-log', 8192 + 20],
    ['map-log', 8192 + 511],
    ['map-log', 100],
    ['map-log', 4096 + 100],
    ['intents', 8192 + 50],
    ['intents', 8192 + 10],
    ['intents', 8192 + 500],
    ['intents', 60],
  ] as const) {
    const work = copyOf(t, source);
    flipBit(join(home(work), name), at);
    const { code, says } = await check(work);
    reports[`${name} ${at}`] = [code, says.some((line) => line.includes(` ${name}:`))];
  }
  assert.deepEqual(reports, {
    [`map-log ${8192 + 60}`]: [8, true],
    [`map-log ${8192 + 20}`]: [8, true],
    [`map-log ${8192 + 511}`]: [8, true],
    'map-log 100': [0, true],
    [`map-log ${4096 + 100}`]: [0, true],
    [`intents ${8192 + 50}`]: [0, true],
    [`intents ${8192 + 10}`]: [0, true],
    [`intents ${8192 + 500}`]: [8, true],
    'intents 60': [0, true],
  });
});

// --- files that are short, swapped, gone, left over
// -----------------------------------------------------

test('A file that is shorter than it was is reported', async (t) => {
  const { directory } = await closedPool(t);
  for (const name of filesOf(home(directory))) {
    const size = statSync(join(home(directory), name)).size;
    const lengths = name.endsWith('.data') ? [0, BLOCK_BYTES] : [0, size >> 1, size - 1];
    for (const length of lengths) {
      const work = copyOf(t, directory);
      truncateSync(join(home(work), name), length);
      const { code } = await check(work);
      assert.equal(code, 8, `${name} of ${length} bytes`);
    }
  }
});

test('A file that is gone is reported', async (t) => {
  const { directory } = await closedPool(t);
  for (const name of filesOf(home(directory))) {
    const work = copyOf(t, directory);
    renameSync(join(home(work), name), join(work, 'elsewhere'));
    assert.equal((await check(work)).code, 8, name);
  }
});

test('Two blocks that changed places are reported', async (t) => {
  const { directory } = await closedPool(t);
  const path = layerFiles(home(directory), '.data')[0]!;
  const bytes = readFileSync(path);
  const first = Uint8Array.from(bytes.subarray(0, BLOCK_BYTES));
  bytes.copyWithin(0, BLOCK_BYTES, 2 * BLOCK_BYTES);
  bytes.set(first, BLOCK_BYTES);
  writeFileSync(path, bytes);
  const { code, replica } = await check(directory);
  assert.deepEqual([code, replica.layers[0]?.corruptBlocks], [8, 2]);
});

test('Files of two replicas that changed places are reported', async (t) => {
  const pool = await RealPool.create(t);
  await fill(await pool.createReplica('r1'));
  await fill(await pool.createReplica('r2'));
  await pool.pool.close();
  const pairs: [string, string][] = [
    ...(['.map', '.data'] as const).map((ending): [string, string] => [
      layerFiles(pool.pathOf('r1'), ending)[0]!,
      layerFiles(pool.pathOf('r2'), ending)[0]!,
    ]),
    ...['replica', 'voter', 'map-log'].map((name): [string, string] => [
      join(pool.pathOf('r1'), name),
      join(pool.pathOf('r2'), name),
    ]),
  ];
  for (const [one, other] of pairs) {
    swap(one, other);
    const { code, replica, says } = await check(pool.directory);
    const name = one.split('/').at(-1)!;
    // Contents and volume are equal, the log has no name: only file ids tell these two.
    if (name.endsWith('.data') || name === 'map-log') {
      assert.equal(replica.replica?.fileIdsFit, false, name);
      assertSays(says, /File ids differ/);
    } else assert.equal(code, 8, name);
    swap(one, other);
  }
  assert.equal((await check(pool.directory)).code, 0);
});

function swap(one: string, other: string): void {
  renameSync(one, `${one}.x`);
  renameSync(other, one);
  renameSync(`${one}.x`, other);
}

test('A replica of another pool, and one under another name, are reported', async (t) => {
  const { directory } = await closedPool(t);
  const renamed = copyOf(t, directory);
  renameSync(home(renamed), home(renamed, 'r9'));
  assertSays((await check(renamed)).says, /The directory has the name of another replica/);
  const foreign = await RealPool.create(t);
  await foreign.createReplica('r2');
  await foreign.pool.close();
  const moved = copyOf(t, directory);
  copyFileSync(join(foreign.pathOf('r2'), 'voter'), join(home(moved), 'voter'));
  assertSays((await check(moved)).says, /corruption voter: It belongs to another replica/);
});

test('Files that nothing names are listed', async (t) => {
  const { directory } = await closedPool(t);
  for (const name of ['0123456789abcdef.data', 'stamps-0123456789abcdef', 'voter.tmp', 'note']) {
    writeFileSync(join(home(directory), name), 'x');
  }
  const { code, says } = await check(directory);
  assert.equal(code, 0);
  assert.deepEqual(says, [
    'note 0123456789abcdef.data: An orphan: no replica names it',
    'note note: An orphan: no replica names it',
    'note stamps-0123456789abcdef: An orphan: no replica names it',
    'note voter.tmp: Left by a crash: removed at the next open',
  ]);
});

// --- comparing
// -------------------------------------------------------------------------------------------

/** The same contents by two histories. */
async function twoHistories(
  t: TestContext,
): Promise<{ left: string; right: string; pool: RealPool }> {
  const pool = await RealPool.create(t);
  const [one, other] = [await pool.createReplica('r1'), await pool.createReplica('r2')];
  await one.write(0, 1, 2, 3);
  await one.write(1500, 5);
  await one.snapshot('s1');
  await one.write(1, 8);
  await one.trim(1500);
  await other.write(0, 9, 9, 9, 9);
  await other.snapshot('s0');
  await other.write(0, 1, 2, 3);
  await other.zero(3);
  await other.write(1500, 5);
  await other.snapshot('s1', 2);
  await other.deleteSnapshot('s0');
  await other.submit('write', 1500, new Uint8Array(BLOCK_BYTES));
  await other.write(1, 4);
  await other.store.flush();
  await other.write(1, 8);
  await pool.pool.close();
  return { left: pool.pathOf('r1'), right: pool.pathOf('r2'), pool };
}

test('Replicas with the same contents by different histories compare equal', async (t) => {
  const { left, right, pool } = await twoHistories(t);
  const { code, report } = await compare(left, right);
  assert.deepEqual([code, report.equal], [0, true]);
  assert.deepEqual(
    report.views.map((view) => view.snapshot),
    [null, 's1'],
  );
  const { report: digests } = await check(pool.directory, '--digest');
  const [a, b] = digests.replicas.map((replica) => replica.views);
  assert.deepEqual(a, b);
  assert.match(a?.[0]?.digest ?? '', /^[0-9a-f]{64}$/);
});

test('One flipped byte is a difference, and the comparison says whose checksum fits', async (t) => {
  const { left, right, pool } = await twoHistories(t);
  flipBit(layerFiles(right, '.data').at(-1)!, BLOCK_BYTES + 5);
  const { code, report } = await compare(left, right);
  assert.deepEqual([code, report.equal], [8, false]);
  assert.deepEqual(report.views[0]?.differences, [
    { block: 1, count: 1, left: 'verified', right: 'unproven' },
  ]);
  assert.equal(report.views[1]?.equal, true);
  const { report: digests } = await check(pool.directory, '--digest');
  const [a, b] = digests.replicas.map((replica) => replica.views.map((view) => view.digest));
  assert.notEqual(a?.[1], b?.[1]);
  assert.equal(a?.[0], b?.[0]);
});

test('A snapshot that only one has is a difference', async (t) => {
  const pool = await RealPool.create(t);
  const one = await pool.createReplica('r1');
  await pool.createReplica('r2');
  await one.snapshot('s1');
  await pool.pool.close();
  const { code, report } = await compare(pool.pathOf('r1'), pool.pathOf('r2'));
  assert.equal(code, 8);
  assert.deepEqual(
    report.views.map((view) => [view.snapshot, view.equal, view.rightSizeBytes]),
    [
      [null, true, BLOCKS * BLOCK_BYTES],
      ['s1', false, null],
    ],
  );
});

test('Arguments and directories that do not fit are refused by their codes', async (t) => {
  const { directory } = await closedPool(t);
  const run = (...words: string[]): Promise<number> =>
    runStoreCheck({ words, disk: host.disk, cwd: '/', onLine: () => undefined });
  for (const words of [[], [directory, 'x'], ['compare', directory]]) {
    await assert.rejects(run(...words), (error) => hasCode(error, 'invalid-argument'));
  }
  await assert.rejects(run(`${directory}/nothing`), (error) => hasCode(error, 'not-found'));
  await assert.rejects(run('compare', directory, directory), (e) => hasCode(e, 'invalid-argument'));
  assert.equal(await run(directory), 0, 'as text');
});

test('The testkit tells blocks apart in every sector', () => {
  assert.notDeepEqual(blocksOf(1).subarray(0, 512), blocksOf(1).subarray(512, 1024));
});
