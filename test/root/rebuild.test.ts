/**
 * How much a returning replica is sent, by the nexus's own count and by what the joiner's process
 * wrote; and kill -9 of joiner, nexus and source in the middle of a rebuild.
 */
import { equal, ok } from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, describe, test, type TestContext } from 'node:test';
import { flushDevice, readDevice, writeDevice } from '#data/block/mod.ts';
import { patternBytes, randomBelow } from '#data/block/block-device.testkit.ts';
import type { NbdClientDevice } from '#data/frontend/mod.ts';
import {
  EngineTrio,
  MIB,
  replicaOf,
  TRIO_VOLUME,
  type TrioNode,
  whyNotRoot,
} from './engine-trio.testkit.ts';

const SIZE_BYTES = 192 * MIB;
const CHANGED_BYTES = 64 * MIB;
/** Changed when somebody is killed: enough to be killed in the middle of. */
const MOST_BYTES = 160 * MIB;
const BLOCK = 4096;
const SCATTERED = 300;
/** So much was copied when somebody is killed. */
const MIDDLE_BYTES = 4 * MIB;
const AMPLIFICATION_MAX = 1.5;

describe('a replica that returns', { skip: whyNotRoot() }, () => {
  let trio: EngineTrio;
  let device: NbdClientDevice;
  const model = Buffer.alloc(SIZE_BYTES);
  let seed = 1;

  before(async () => {
    trio = await EngineTrio.start();
    await trio.createVolume(SIZE_BYTES);
    await trio.attach(SIZE_BYTES);
    device = await trio.connect();
    await write(0, SIZE_BYTES);
    await flushDevice(device);
  });

  after(() => trio?.destroy());

  /** Sequentially, with new contents. */
  async function write(offsetBytes: number, lengthBytes: number): Promise<void> {
    seed += 1;
    const noise = patternBytes(MIB + BLOCK, seed);
    for (let at = offsetBytes; at < offsetBytes + lengthBytes; at += MIB) {
      const part = Math.min(MIB, offsetBytes + lengthBytes - at);
      const data = noise.subarray((at / MIB) % BLOCK).subarray(0, part);
      await writeDevice(device, at, data);
      model.set(data, at);
    }
  }

  async function demandContents(): Promise<void> {
    for (let at = 0; at < SIZE_BYTES; at += 8 * MIB) {
      const bytes = await readDevice(device, at, 8 * MIB);
      equal(Buffer.compare(bytes, model.subarray(at, at + 8 * MIB)), 0, `differs from ${at} on`);
    }
  }

  /** As read by a program that shares no code with the store. */
  async function demandEqualReplicas(): Promise<void> {
    await device.close();
    await trio.detach();
    await trio.killAll();
    await trio.demandEqualReplicas();
    await trio.startAll();
    await trio.attach(SIZE_BYTES);
    device = await trio.connect();
    await trio.waitUntilWhole();
  }

  /** What c was sent while it became level: counted by the nexus, and written by its process. */
  async function bringBack(): Promise<{ sentBytes: number; writtenBytes: number }> {
    const before = await trio.counter('rebuildCopiedBytes');
    await trio.startEngine('c');
    const pid = await trio.enginePid('c');
    await trio.waitUntilWhole();
    const sentBytes = (await trio.counter('rebuildCopiedBytes')) - before;
    return { sentBytes, writtenBytes: await bytesOf(pid, 'wchar') };
  }

  /** Waits until the rebuild of a node's replica is under way; how many bytes it copied so far. */
  async function middleOfRebuild(node: TrioNode): Promise<number> {
    let copiedBytes = 0;
    await trio.waitFor(`the middle of the rebuild of ${node}`, async () => {
      const { rebuild } = await trio.member(node);
      copiedBytes = rebuild?.copiedBytes ?? 0;
      return copiedBytes >= MIDDLE_BYTES;
    });
    return copiedBytes;
  }

  test('is sent what was written while it was away', async (t: TestContext) => {
    await trio.kill('c');
    await write(32 * MIB, CHANGED_BYTES);
    await flushDevice(device);
    const { sentBytes, writtenBytes } = await bringBack();
    t.diagnostic(
      `64 MiB changed: ${toMib(sentBytes)} MiB sent, ${toMib(writtenBytes)} MiB written by the joiner`,
    );
    ok(sentBytes >= CHANGED_BYTES, `the count is not honest: ${sentBytes}`);
    ok(writtenBytes >= sentBytes, `wrote ${writtenBytes}, was sent ${sentBytes}`);
    ok(sentBytes <= AMPLIFICATION_MAX * CHANGED_BYTES, `sent ${sentBytes}`);
    ok(writtenBytes <= AMPLIFICATION_MAX * CHANGED_BYTES, `wrote ${writtenBytes}`);
    await demandContents();
  });

  test('is sent only the blocks that differ after scattered writes', async (t: TestContext) => {
    await trio.kill('c');
    const below = randomBelow(11);
    const changed = new Set<number>();
    for (let n = 0; n < SCATTERED; n += 1) {
      const block = below(SIZE_BYTES / BLOCK);
      // Every third one gets the bytes that it has: written, but not different.
      if (n % 3 === 0) {
        await writeDevice(
          device,
          block * BLOCK,
          model.subarray(block * BLOCK, (block + 1) * BLOCK),
        );
        continue;
      }
      await write(block * BLOCK, BLOCK);
      changed.add(block);
    }
    await flushDevice(device);
    const { sentBytes } = await bringBack();
    t.diagnostic(`${SCATTERED} writes, ${changed.size} blocks differ: ${sentBytes / BLOCK} sent`);
    equal(sentBytes, changed.size * BLOCK);
    await demandContents();
    await demandEqualReplicas();
  });

  test('The count sees a rebuild that copies everything', async (t: TestContext) => {
    const before = await trio.counter('rebuildCopiedBytes');
    await trio.client('a').call('volume.rebuild', {
      volume: TRIO_VOLUME,
      replica: replicaOf('c'),
      full: true,
    });
    await trio.waitFor('the full rebuild', async () => (await trio.counter('rebuilds')) > 0);
    await trio.waitUntilWhole();
    const sentBytes = (await trio.counter('rebuildCopiedBytes')) - before;
    t.diagnostic(`full rebuild of 192 MiB: ${toMib(sentBytes)} MiB sent`);
    ok(sentBytes > AMPLIFICATION_MAX * CHANGED_BYTES);
  });

  test('goes on where it was when joiner and nexus are killed', async (t: TestContext) => {
    await trio.kill('c');
    await write(0, MOST_BYTES);
    await flushDevice(device);
    await trio.startEngine('c');
    const atFirst = await middleOfRebuild('c');
    await trio.kill('c');
    const sentFirst = await trio.counter('rebuildCopiedBytes');
    await trio.startEngine('c');
    const atSecond = await middleOfRebuild('c');
    await trio.kill('a');
    await trio.startEngine('a');
    device = await trio.connect();
    await trio.waitUntilWhole();
    const sentLast = await trio.counter('rebuildCopiedBytes');
    t.diagnostic(
      `killed after ${toMib(atFirst)} and ${toMib(atSecond)} MiB; ${toMib(sentLast)} MiB by the last`,
    );
    ok(sentFirst >= atFirst);
    ok(
      sentLast <= MOST_BYTES - MIDDLE_BYTES,
      `what was copied before was copied again: ${sentLast}`,
    );
    await demandContents();
    await demandEqualReplicas();
  });

  test('goes on from another source when its source is killed', async (t: TestContext) => {
    const before = { b: await readBy('b'), c: await readBy('c') };
    await trio.client('a').call('volume.rebuild', {
      volume: TRIO_VOLUME,
      replica: replicaOf('a'),
      full: true,
    });
    const copied = await middleOfRebuild('a');
    const source = (await readBy('b')) - before.b > (await readBy('c')) - before.c ? 'b' : 'c';
    await trio.kill(source);
    await trio.waitForReport(({ status }) =>
      status.members.some(
        ({ replica, phase }) => replica === replicaOf('a') && phase === 'in-sync',
      ),
    );
    await trio.startEngine(source);
    await trio.waitUntilWhole();
    t.diagnostic(`source ${source} was killed after ${toMib(copied)} MiB`);
    await demandContents();
    await demandEqualReplicas();
  });

  async function readBy(node: TrioNode): Promise<number> {
    return bytesOf(await trio.enginePid(node), 'rchar');
  }
});

/** What a process read or wrote by system calls; sockets written to by other calls not. */
async function bytesOf(pid: number, field: 'rchar' | 'wchar'): Promise<number> {
  const text = await readFile(`/proc/${pid}/io`, 'utf8');
  return Number(new RegExp(`^${field}: (\\d+)$`, 'm').exec(text)?.[1]);
}

function toMib(bytes: number): string {
  return (bytes / MIB).toFixed(1);
}
