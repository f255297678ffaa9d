/**
 * One member's disk becomes slow (2 s a request) or never answers again, while a client writes at a
 * steady pace: the member is removed, the client sees one stall and no error, and a volume on
 * another disk of the same engine sees nothing.
 *
 * HOLDFAST_GRAY_SECONDS is the length of a run (CI: 25; in full: 60). A third of it is undisturbed.
 */
import { equal, ok } from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { parseId, type PoolId, type VolumeId } from '#api/mod.ts';
import { BLOCK, BlockHistory, type Load, type Sample } from './block-history.testkit.ts';
import {
  EngineTrio,
  MIB,
  TRIO_NODES,
  TRIO_VOLUME,
  type TrioNode,
  whyNotRoot,
} from './engine-trio.testkit.ts';
import { SlowDisk } from './slow-disk.testkit.ts';

const SECONDS = Number(process.env['HOLDFAST_GRAY_SECONDS'] ?? 25);
const SIZE_BYTES = 64 * MIB;
const SLOW_MS = 2_000;
const REMOVED_MS = 10_000;
const STALL_MS = 6_000;
const STALL_FROM_MS = 1_000;
/** At first every segment has its intent marked; that is not what is compared with. */
const WARM_MS = 3_000;
/** What two cores and ten processes do by themselves; a ratio of less says nothing. */
const NOISE_MS = 10;
const SECOND = parseId<VolumeId>('volume', 'vol-second');
const SECOND_POOL = parseId<PoolId>('pool', 'second-pool');

const skip =
  whyNotRoot() ||
  (existsSync('/dev/fuse') && existsSync('/dev/loop-control') ? false : 'needs FUSE and loop');

/** Of writes, in milliseconds: before the change, and after it apart from the longest stall. */
interface Latency {
  readonly beforeMs: number;
  readonly afterMs: number;
  /** The longest write or flush after the change, and how many stalls of a second there were. */
  readonly longestMs: number;
  readonly stalls: number;
}

interface Disturbance {
  readonly removedMs: number;
  readonly first: Latency;
  /** Of the volume whose replica lies on another disk of the same engine. */
  readonly second: Latency;
}

function p99(samples: readonly Sample[]): number {
  const sorted = samples.map(({ tookMs }) => tookMs).toSorted((left, right) => left - right);
  return sorted[Math.floor(sorted.length * 0.99)] ?? 0;
}

function endOf({ startedMs, tookMs }: Sample): number {
  return startedMs + tookMs;
}

function measure(load: Load, atMs: number): Latency {
  const warmMs = (load.samples[0]?.startedMs ?? 0) + WARM_MS;
  const before = load.samples.filter((sample) => sample.startedMs > warmMs && endOf(sample) < atMs);
  const after = load.samples.filter((sample) => endOf(sample) >= atMs);
  const all = [...after, ...load.flushSamples.filter((sample) => endOf(sample) >= atMs)];
  const longest = all.reduce((left, right) => (right.tookMs > left.tookMs ? right : left));
  const calm = after.filter(
    (sample) => sample.startedMs > endOf(longest) || endOf(sample) < longest.startedMs,
  );
  const { tookMs: longestMs } = longest;
  return { beforeMs: p99(before), afterMs: p99(calm), longestMs, stalls: countStalls(all) };
}

/** What overlaps is one stall. */
function countStalls(samples: readonly Sample[]): number {
  const long = samples
    .filter(({ tookMs }) => tookMs > STALL_FROM_MS)
    .toSorted((left, right) => left.startedMs - right.startedMs);
  let stalls = 0;
  let endMs = 0;
  for (const sample of long) {
    if (sample.startedMs > endMs) stalls += 1;
    endMs = Math.max(endMs, endOf(sample));
  }
  return stalls;
}

/** Runs with a sick disk for one node's pool, and always makes it well again at the end. */
async function withSickDisk<T>(
  sick: TrioNode,
  run: (trio: EngineTrio, disk: SlowDisk) => Promise<T>,
): Promise<T> {
  let disk: SlowDisk | undefined;
  const trio = await EngineTrio.start({
    makeDisk: async (node, path) => {
      if (node === sick) disk = await SlowDisk.mount(path);
    },
  });
  try {
    return await run(trio, disk!);
  } finally {
    await disk?.release();
    await trio.destroy(async () => disk?.destroy());
  }
}

/** Two volumes under a steady load; after a third of the run something happens to a disk. */
async function disturb(
  sick: TrioNode,
  seconds: number,
  change: (disk: SlowDisk) => Promise<void>,
): Promise<Disturbance> {
  return withSickDisk(sick, async (trio, disk) => {
    const loads = await startLoads(trio, sick);
    await trio.host.clock.sleep((seconds / 3) * 1000);
    const atMs = performance.now();
    await change(disk);
    let removedMs = 0;
    await trio.waitFor('the removal', async () => {
      removedMs = performance.now() - atMs;
      return (await trio.member(sick)).phase === 'absent';
    });
    await trio.host.clock.sleep(Math.max(0, (seconds * 2000) / 3 - (performance.now() - atMs)));
    for (const load of loads) await load.stop();
    for (const load of loads) equal(load.error, null);
    const [first, second] = loads.map((load) => measure(load, atMs));
    return { removedMs, first: first!, second: second! };
  });
}

async function startLoads(trio: EngineTrio, sick: TrioNode): Promise<readonly Load[]> {
  const directory = join(trio.directory, 'second');
  await mkdir(directory);
  await trio.client(sick).call('pool.ensure', { pool: SECOND_POOL, directory, create: true });
  await trio.createVolume(SIZE_BYTES);
  const places = TRIO_NODES.map((node) =>
    node === sick ? trio.place(node, SECOND, SECOND_POOL) : trio.place(node, SECOND),
  );
  await trio.createVolume(SIZE_BYTES, SECOND, places);
  await trio.attach(SIZE_BYTES);
  await trio.attach(SIZE_BYTES, ['nbd'], SECOND, places);
  return [await startLoad(trio, TRIO_VOLUME), await startLoad(trio, SECOND)];
}

/** At a steady pace, so that a latency is that of a request and not of a queue. */
async function startLoad(trio: EngineTrio, volume: VolumeId): Promise<Load> {
  const history = new BlockHistory(SIZE_BYTES / BLOCK, 9);
  const device = await trio.connect(volume);
  return history.load(device, { depth: 4, pauseMs: 5, flushEveryMs: 100 });
}

function report(t: TestContext, what: string, seen: Disturbance): void {
  const text = ({ beforeMs, afterMs, longestMs, stalls }: Latency): string =>
    `p99 ${beforeMs.toFixed(1)} → ${afterMs.toFixed(1)} ms, longest ${longestMs.toFixed(0)} ms, ` +
    `${stalls} stalls`;
  t.diagnostic(
    `${what}: removed after ${seen.removedMs.toFixed(0)} ms; ${text(seen.first)}; ` +
      `other disk: ${text(seen.second)}`,
  );
}

function demandCalm({ removedMs, first, second }: Disturbance): void {
  ok(removedMs < REMOVED_MS, `removed after ${removedMs} ms`);
  ok(first.longestMs < STALL_MS, `a write or flush took ${first.longestMs} ms`);
  ok(first.stalls <= 1, `${first.stalls} stalls`);
  ok(first.afterMs < 3 * Math.max(first.beforeMs, NOISE_MS), 'the volume stays slow');
  ok(second.afterMs < 2 * Math.max(second.beforeMs, NOISE_MS), 'another disk suffers too');
  equal(second.stalls, 0);
}

describe('a sick disk', { skip }, () => {
  test('that takes 2 s a request costs one stall', async (t) => {
    const seen = await disturb('c', SECONDS, (disk) => disk.slow(SLOW_MS));
    report(t, 'slow disk', seen);
    demandCalm(seen);
  });

  for (const [sick, where] of [
    ['c', 'of a member'],
    ['a', 'beside the nexus'],
  ] as const) {
    test(`${where} that never answers costs one stall`, async (t) => {
      const seen = await disturb(sick, SECONDS * 0.7, (disk) => disk.hang());
      report(t, `hung disk ${where}`, seen);
      demandCalm(seen);
    });
  }

  test('The measure sees a volume that lies on the slow disk alone', async (t) => {
    const seen = await withSickDisk('c', async (trio, disk) => {
      const places = [trio.place('c')];
      await trio.createVolume(SIZE_BYTES, TRIO_VOLUME, places);
      await trio.attach(SIZE_BYTES, ['nbd'], TRIO_VOLUME, places);
      const load = await startLoad(trio, TRIO_VOLUME);
      await trio.host.clock.sleep(2_000);
      const atMs = performance.now();
      await disk.slow(SLOW_MS);
      await trio.host.clock.sleep(5_000);
      await disk.release();
      await load.stop();
      return measure(load, atMs);
    });
    t.diagnostic(`one replica on the slow disk: longest ${seen.longestMs.toFixed(0)} ms`);
    ok(seen.longestMs >= SLOW_MS && seen.stalls > 0);
  });
});
