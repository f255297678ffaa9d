import { test } from 'node:test';
import { deepEqual, equal, notEqual, ok, rejects } from 'node:assert/strict';
import { hasCode } from '#api/mod.ts';
import { equalBytes, isZero } from '#lib/mod.ts';
import type { DiskFile, Host } from '../mod.ts';
import { SimWorld } from './mod.ts';

/** Quiet: only what the test asks for goes wrong. */
const QUIET = { disk: { writeBackShare: 0, inlineShare: 0 } };

async function pool(world: SimWorld): Promise<{ host: Host; file: DiskFile }> {
  const host = world.addNode('a');
  const file = await world.finish(create(host));
  return { host, file };
}

async function create(host: Host): Promise<DiskFile> {
  await host.disk.makeDirectory('/pool');
  const file = await host.disk.open('/pool/f', { write: true, create: 'new' });
  await file.write(0, new Uint8Array(64 * 1024).fill(1));
  await file.flush();
  await host.disk.syncDirectory('/pool');
  await host.disk.syncDirectory('/');
  return file;
}

const page = (value: number): Uint8Array => new Uint8Array(4096).fill(value);

test('SimDisk loses unflushed writes in part and tears them at sectors', async () => {
  const seen = { all: 0, none: 0, torn: 0 };
  for (let seed = 0; seed < 60; seed++) {
    const world = new SimWorld(seed, QUIET);
    const { file } = await pool(world);
    for (let i = 0; i < 4; i++) await world.finish(file.write(i * 4096, page(2)));
    world.powerLoss('a');
    const bytes = world.disk('a').peek('/pool/f', 0, 4 * 4096);
    let kept = 0;
    for (let sector = 0; sector < 32; sector++) {
      const part = bytes.subarray(sector * 512, sector * 512 + 512);
      ok(
        part.every((byte) => byte === part[0]),
        'a sector is whole',
      );
      if (part[0] === 2) kept++;
    }
    if (kept === 32) seen.all++;
    else if (kept === 0) seen.none++;
    else seen.torn++;
  }
  ok(seen.all > 5 && seen.none > 5 && seen.torn > 5, JSON.stringify(seen));
});

test('SimDisk keeps what a killed process wrote, flushed or not', async () => {
  const world = new SimWorld(1, QUIET);
  const { file } = await pool(world);
  await world.finish(file.write(0, page(2)));
  world.crashProcess('a');
  world.restart('a');
  ok(equalBytes(world.disk('a').peek('/pool/f', 0, 4096), page(2)));
});

test('SimDisk leaves a write under way at a kill whole, undone or cut at a page', async () => {
  const outcomes = new Set<string>();
  for (let seed = 0; seed < 40; seed++) {
    const world = new SimWorld(seed, QUIET);
    const { file } = await pool(world);
    void file.write(0, new Uint8Array(3 * 4096).fill(2));
    world.crashProcess('a');
    const bytes = world.disk('a').peek('/pool/f', 0, 3 * 4096);
    outcomes.add([0, 4096, 8192].map((at) => bytes[at]).join(''));
  }
  deepEqual([...outcomes].toSorted(), ['111', '211', '221', '222']);
});

test('SimDisk loses or keeps names that were not synced, whatever their contents', async () => {
  const outcomes = new Set<string>();
  for (let seed = 0; seed < 60; seed++) {
    const world = new SimWorld(seed, QUIET);
    const { host } = await pool(world);
    const change = async (): Promise<void> => {
      const fresh = await host.disk.open('/pool/new', { write: true, create: 'new' });
      await fresh.write(0, page(3));
      await fresh.flush();
      await host.disk.rename('/pool/new', '/pool/f');
    };
    await world.finish(change());
    world.powerLoss('a');
    const names = await world.finish(world.restart('a').disk.list('/pool'));
    outcomes.add(`${names.join()}:${world.disk('a').peek('/pool/f', 0, 1)[0]}`);
  }
  // Both changes, none, or the creation alone: the rename is never half done.
  deepEqual([...outcomes].toSorted(), ['f,new:1', 'f:1', 'f:3']);
});

test('SimDisk fails a flush once and forgets that pages were dirty', async () => {
  let lost = 0;
  for (let seed = 0; seed < 20; seed++) {
    const world = new SimWorld(seed, QUIET);
    const { file } = await pool(world);
    world.disk('a').addFault({
      verbs: ['flush'],
      times: 1,
      effect: { kind: 'fail', code: 'io-error' },
    });
    await world.finish(file.write(0, page(2)));
    await rejects(world.finish(file.flush()), (error) => hasCode(error, 'io-error'));
    // The classic mistake: trying again, being told that all is well.
    await world.finish(file.flush());
    world.powerLoss('a');
    if (world.disk('a').peek('/pool/f', 0, 1)[0] === 1) lost++;
  }
  equal(lost, 20);
});

test('SimDisk shows what was written over a hole that a failed flush forgot', async () => {
  for (let seed = 0; seed < 20; seed++) {
    const world = new SimWorld(seed, QUIET);
    const { file } = await pool(world);
    const fault = {
      verbs: ['flush'],
      times: 1,
      effect: { kind: 'fail', code: 'io-error' },
    } as const;
    world.disk('a').addFault(fault);
    await world.finish(file.trim(0, 4096));
    await rejects(world.finish(file.flush()), (error) => hasCode(error, 'io-error'));
    await world.finish(file.write(0, page(3)));
    await world.finish(file.flush());
    ok(equalBytes(await world.finish(file.read(0, 4096)), page(3)));
  }
});

test('SimDisk makes durable with a flush only what was written before it', async () => {
  let lost = 0;
  for (let seed = 0; seed < 20; seed++) {
    const world = new SimWorld(seed, QUIET);
    const { file } = await pool(world);
    world.disk('a').addFault({ verbs: ['flush'], effect: { kind: 'delay', ms: 50 } });
    await world.finish(file.write(0, page(2)));
    const flushed = file.flush();
    await world.finish(file.write(0, page(3)));
    await world.finish(flushed);
    world.powerLoss('a');
    const value = world.disk('a').peek('/pool/f', 0, 1)[0];
    notEqual(value, 1);
    if (value === 2) lost++;
  }
  ok(lost > 3, `the later write was lost ${lost} times`);
});

test('SimDisk strikes by path, verb, range, count and chance', async () => {
  const world = new SimWorld(2, QUIET);
  const { host, file } = await pool(world);
  const disk = world.disk('a');
  const fault = disk.addFault({
    path: '/pool',
    verbs: ['read'],
    range: { offsetBytes: 8192, lengthBytes: 1 },
    nth: 2,
    effect: { kind: 'fail', code: 'io-error' },
  });
  await world.finish(file.read(0, 4096));
  await world.finish(file.read(8192, 4096));
  await rejects(world.finish(file.read(4096, 8192)), (error) => hasCode(error, 'io-error'));
  await world.finish(file.read(8192, 4096));
  equal(fault.hits, 1);
  fault.remove();
  const full = disk.addFault({ verbs: ['write'], effect: { kind: 'fail', code: 'no-space' } });
  await rejects(world.finish(file.write(0, page(9))), (error) => hasCode(error, 'no-space'));
  full.remove();
  await world.finish(file.write(0, page(9)));
  disk.addFault({ verbs: ['open'], path: /other$/, effect: { kind: 'fail', code: 'read-only' } });
  await rejects(
    world.finish(host.disk.open('/pool/other', { write: true, create: 'new' })),
    (error) => hasCode(error, 'read-only'),
  );
});

test('SimDisk is slow, hangs for a time, and hangs until the fault is removed', async () => {
  const world = new SimWorld(3, QUIET);
  const { file } = await pool(world);
  const disk = world.disk('a');
  const slow = disk.addFault({ effect: { kind: 'slow', factor: 1000 } });
  const startMs = world.nowMs;
  await world.finish(file.read(0, 512));
  ok(world.nowMs - startMs > 20);
  slow.remove();
  const hang = disk.addFault({ verbs: ['read'], effect: { kind: 'hang' } });
  let done = false;
  void file.read(0, 512).then(() => {
    done = true;
  });
  await world.run({ forMs: 3_600_000 });
  equal(done, false);
  await world.finish(file.write(0, page(1)));
  hang.remove();
  await world.run({ forMs: 100 });
  equal(done, true);
});

test('SimDisk loses, misdirects and flips', async () => {
  const world = new SimWorld(4, QUIET);
  const { file } = await pool(world);
  const disk = world.disk('a');
  const once = { verbs: ['write'], times: 1 } as const;
  disk.addFault({ ...once, effect: { kind: 'lose' } });
  await world.finish(file.write(0, page(2)));
  equal(disk.peek('/pool/f', 0, 1)[0], 1);
  disk.addFault({ ...once, effect: { kind: 'misdirect' } });
  await world.finish(file.write(0, page(2)));
  const bytes = disk.peek('/pool/f', 0, 64 * 1024);
  equal(bytes.filter((byte) => byte === 2).byteLength, 4096);
  notEqual(bytes.indexOf(2), 0);
  const flip = disk.addFault({ verbs: ['read'], effect: { kind: 'flip', stored: false } });
  const read = await world.finish(file.read(0, 4096));
  equal(equalBytes(read, disk.peek('/pool/f', 0, 4096)), false);
  flip.remove();
  disk.flipBit('/pool/f', 40_000, 3);
  notEqual((await world.finish(file.read(40_000, 1)))[0], bytes[40_000]);
  world.powerLoss('a');
  notEqual(disk.peek('/pool/f', 40_000, 1)[0], bytes[40_000]);
});

test('SimDisk cannot read a broken sector until it is written again', async () => {
  const world = new SimWorld(5, QUIET);
  const { file } = await pool(world);
  world.disk('a').breakSectors('/pool/f', 4096, 512);
  await rejects(world.finish(file.read(4608 - 1, 1)), (error) => hasCode(error, 'io-error'));
  await world.finish(file.read(4608, 512));
  await world.finish(file.write(4096, page(7)));
  equal((await world.finish(file.read(4096, 1)))[0], 7);
});

test('SimDisk rolls a directory back, swaps two and erases one', async () => {
  const world = new SimWorld(6, QUIET);
  const { host, file } = await pool(world);
  const disk = world.disk('a');
  const before = await world.finish(file.stat());
  const clone = disk.cloneDirectory('/pool');
  await world.finish(file.write(0, page(2)));
  disk.restoreDirectory('/pool', clone);
  equal(disk.peek('/pool/f', 0, 1)[0], 1);
  const after = await world.finish(host.disk.stat('/pool/f'));
  notEqual(after?.inode, before.inode);
  disk.restoreDirectory('/pool', clone, true);
  equal((await world.finish(host.disk.stat('/pool/f')))?.inode, before.inode);
  await world.finish(host.disk.makeDirectory('/other'));
  disk.swapDirectories('/pool', '/other');
  deepEqual(await world.finish(host.disk.list('/pool')), []);
  deepEqual(await world.finish(host.disk.list('/other')), ['f']);
  disk.eraseDirectory('/other');
  equal(await world.finish(host.disk.stat('/other')), undefined);
});

test('SimDisk is full when its capacity is used up, and has room again after a trim', async () => {
  const world = new SimWorld(7, { disk: { capacityBytes: 128 * 1024 } });
  const { host, file } = await pool(world);
  await world.finish(file.write(64 * 1024, new Uint8Array(64 * 1024).fill(1)));
  await rejects(world.finish(file.write(128 * 1024, page(1))), (error) =>
    hasCode(error, 'no-space'),
  );
  await world.finish(file.write(0, page(2)));
  await world.finish(file.trim(0, 8192));
  ok(isZero(world.disk('a').peek('/pool/f', 0, 8192)));
  equal((await world.finish(host.disk.space('/pool'))).freeBytes, 8192);
  await world.finish(file.write(128 * 1024, page(1)));
});

test('SimDisk gives a lock of a dead process to the next one', async () => {
  const world = new SimWorld(8);
  const { host } = await pool(world);
  await world.finish(host.disk.lock('/pool/lock'));
  await rejects(world.finish(host.disk.lock('/pool/lock')), (error) =>
    hasCode(error, 'store-locked'),
  );
  world.crashProcess('a');
  await world.finish(world.restart('a').disk.lock('/pool/lock'));
});
