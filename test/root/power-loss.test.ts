/**
 * kill -9 and power loss of real engines with many writes in flight. Each pool lies on a loop image
 * of its own; the power goes when the image is replaced by a copy that was taken while the engines
 * stood still, right after a flush was answered.
 *
 * HOLDFAST_CRASH_ROUNDS says how often each is done (CI: 1).
 */
import { equal, match, rejects } from 'node:assert/strict';
import { open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test, type TestContext } from 'node:test';
import type { NbdClientDevice } from '#data/frontend/mod.ts';
import { BLOCK, BlockHistory, type Load } from './block-history.testkit.ts';
import { EngineTrio, MIB, TRIO_NODES, type TrioNode, whyNotRoot } from './engine-trio.testkit.ts';
import { LoopDisks } from './loop-disks.testkit.ts';

const SIZE_BYTES = 64 * MIB;
const ROUNDS = Number(process.env['HOLDFAST_CRASH_ROUNDS'] ?? 1);
const DEPTH = 32;
const IN_FLIGHT_MIN = 16;
const LOAD_MS = 700;

describe('crashes of real engines', { skip: whyNotRoot() }, () => {
  let disks: LoopDisks;
  let trio: EngineTrio;
  let device: NbdClientDevice;
  const history = new BlockHistory(SIZE_BYTES / BLOCK, 5);

  before(async () => {
    disks = await LoopDisks.create();
    trio = await EngineTrio.start({ makeDisk: (node, path) => disks.create(node, path) });
    await trio.createVolume(SIZE_BYTES);
    await trio.attach(SIZE_BYTES);
    device = await trio.connect();
  });

  after(async () => {
    await trio?.destroy(() => disks.destroy());
  });

  /** A load that has run for a while. */
  async function startLoad(onFlushed?: () => void): Promise<Load> {
    const load = history.load(device, {
      depth: DEPTH,
      flushEveryMs: 40,
      ...(onFlushed ? { onFlushed } : {}),
    });
    await trio.host.clock.sleep(LOAD_MS);
    equal(load.error, null);
    return load;
  }

  /** The volume is whole and every block is one that may be read. */
  async function demandContents(floor: 'acknowledged' | 'flushed'): Promise<void> {
    device = await trio.connect();
    await history.verify(device, floor);
    await trio.waitUntilWhole();
    await history.verify(device, 'acknowledged');
    await history.settle(device);
  }

  /** Ends everything in order, has an independent reader compare, and starts again. */
  async function demandEqualReplicas(): Promise<void> {
    await device.close();
    await trio.detach();
    await trio.killAll();
    await trio.demandEqualReplicas();
    await trio.startAll();
    await trio.attach(SIZE_BYTES);
    device = await trio.connect();
  }

  /** Kills while the load runs; which writes were under way is known only after that. */
  async function killUnder(load: Load, victims: readonly TrioNode[]): Promise<number> {
    await trio.waitFor('enough writes in flight', async () => load.inFlight >= IN_FLIGHT_MIN);
    const { inFlight } = load;
    await Promise.all(victims.map((node) => trio.kill(node)));
    return inFlight;
  }

  for (const victim of ['b', 'c'] as const) {
    test(`kill -9 of engine ${victim}, which serves a member, costs nothing`, async (t: TestContext) => {
      for (let round = 0; round < ROUNDS; round += 1) {
        const load = await startLoad();
        const inFlight = await killUnder(load, [victim]);
        await trio.host.clock.sleep(LOAD_MS);
        await trio.startEngine(victim);
        await trio.waitUntilWhole();
        await load.stop();
        equal(load.error, null);
        await demandContents('acknowledged');
        await demandEqualReplicas();
        t.diagnostic(
          `kill -9 of ${victim}: ${inFlight} writes in flight, ${history.writes} writes`,
        );
      }
    });
  }

  for (const victims of [['a'], TRIO_NODES] as const) {
    test(`kill -9 of ${victims.join(', ')} under load loses no acknowledged write`, async (t) => {
      for (let round = 0; round < ROUNDS; round += 1) {
        const load = await startLoad();
        const inFlight = await killUnder(load, victims);
        await load.ended();
        await Promise.all(victims.map((node) => trio.startEngine(node)));
        await demandContents('acknowledged');
        await demandEqualReplicas();
        t.diagnostic(`kill -9 of ${victims.join('')}: ${inFlight} writes in flight`);
      }
    });
  }

  /** Stops the engines the moment a flush is answered, and copies what the disks hold then. */
  async function copyAtFlush(copyName: (node: TrioNode) => string): Promise<number> {
    const cut = Promise.withResolvers<number>();
    let armed: Load | null = null;
    const load = await startLoad(() => {
      if (armed === null || armed.inFlight < IN_FLIGHT_MIN) return;
      for (const node of TRIO_NODES) trio.signal(node, 'SIGSTOP');
      cut.resolve(armed.inFlight);
      armed = null;
    });
    armed = load;
    const inFlight = await cut.promise;
    await Promise.all(TRIO_NODES.map((node) => disks.copy(node, copyName(node))));
    await trio.killAll();
    await load.ended();
    return inFlight;
  }

  async function putBackAll(copyName: (node: TrioNode) => string): Promise<void> {
    await trio.killAll();
    for (const node of TRIO_NODES) await disks.putBack(node, copyName(node));
    await trio.startAll();
  }

  test('Power loss everywhere loses nothing that was flushed', async (t: TestContext) => {
    for (let round = 0; round < ROUNDS; round += 1) {
      const inFlight = await copyAtFlush((node) => `${node}-cut`);
      const before = history.acknowledged.slice();
      await putBackAll((node) => `${node}-cut`);
      await demandContents('flushed');
      const lost = before.filter((version, block) => version > (history.acknowledged[block] ?? 0));
      const { status } = await trio.describe();
      t.diagnostic(
        `power loss: ${inFlight} writes in flight, ${history.flushes} flushes so far, ` +
          `${lost.length} blocks with unflushed writes lost, loss epoch ${status.record?.loss}`,
      );
      await demandEqualReplicas();
    }
  });

  test('Power loss of one node costs nothing, and it returns', async (t: TestContext) => {
    for (let round = 0; round < ROUNDS; round += 1) {
      const load = await startLoad();
      trio.signal('c', 'SIGSTOP');
      await disks.copy('c', 'c-cut');
      const inFlight = await killUnder(load, ['c']);
      await disks.putBack('c', 'c-cut');
      await trio.startEngine('c');
      await trio.waitUntilWhole();
      await load.stop();
      equal(load.error, null);
      await demandContents('acknowledged');
      await demandEqualReplicas();
      t.diagnostic(`power loss of c: ${inFlight} writes in flight`);
    }
  });

  test('The check fails when flushed writes are missing', async () => {
    for (const node of TRIO_NODES) await disks.copy(node, `${node}-old`);
    const load = await startLoad();
    await load.stop();
    await history.settle(device);
    await putBackAll((node) => `${node}-old`);
    device = await trio.connect();
    await rejects(history.verify(device, 'flushed'), /blocks are wrong: .*older than/);
    // What is there from here on is what counts.
    history.flushed.fill(0);
    await history.verify(device, 'flushed');
    await demandEqualReplicas();
  });

  test('A flipped byte fails the comparison', async () => {
    await device.close();
    await trio.detach();
    await trio.killAll();
    const [a, , c] = TRIO_NODES.map((node) => trio.replicaDirectory(node));
    await flipByte(c!);
    const compared = await trio.holdfast(['store', 'check', 'compare', a!, c!]);
    equal(compared.exitCode, 8, compared.stdout);
    const checked = await trio.holdfast(['store', 'check', c!]);
    equal(checked.exitCode, 8, checked.stdout);
    match(checked.stdout, /corrupt/);
  });
});

/** One bit in the middle of the data of the head. */
async function flipByte(directory: string): Promise<void> {
  const names = await readdir(directory);
  const sized = await Promise.all(
    names.map(async (name) => ({ name, size: (await stat(join(directory, name))).size })),
  );
  const data = sized.reduce((left, right) => (right.size > left.size ? right : left));
  const file = await open(join(directory, data.name), 'r+');
  const byte = Buffer.alloc(1);
  let at = 0;
  for (; byte[0] === 0; at += BLOCK) await file.read(byte, 0, 1, at + 100);
  at += 100 - BLOCK;
  await file.write(Buffer.from([(byte[0] ?? 0) ^ 1]), 0, 1, at);
  await file.close();
}
