/**
 * Flush is honest, as the kernel sees it: strace on every engine shows a sync of the replica's data
 * that began after the client asked for the flush and ended before it was answered, on every
 * in-sync replica, for every flush.
 */
import { equal, ok } from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { flushDevice, writeDevice } from '#data/block/mod.ts';
import { patternBytes } from '#data/block/block-device.testkit.ts';
import { BlockHistory } from './block-history.testkit.ts';
import { EngineTrio, MIB, TRIO_NODES, type TrioNode, whyNotRoot } from './engine-trio.testkit.ts';

const SIZE_BYTES = 32 * MIB;
const FLUSHES = 40;
/** A sync that comes late must not be taken for that of the next flush. */
const PAUSE_MS = 120;
const EARLY = new URL('./early-ack-engine.testkit.ts', import.meta.url).pathname;
const skip = whyNotRoot() || (existsSync('/usr/bin/strace') ? false : 'needs strace');

/** By the wall clock, in seconds. */
interface Span {
  readonly from: number;
  readonly to: number;
}

function nowSeconds(): number {
  return Date.now() / 1000;
}

/** Traces the syncs of a process and its threads; returns what ends it. */
async function trace(pid: number, file: string): Promise<() => Promise<void>> {
  const calls = 'trace=fsync,fdatasync,sync_file_range,syncfs,io_uring_enter';
  const argv = ['-f', '-y', '-ttt', '-T', '-e', calls, '-o', file, '-p', String(pid)];
  const strace = spawn('strace', argv, { stdio: ['ignore', 'ignore', 'pipe'] });
  const ended = new Promise<void>((resolve) => strace.once('exit', () => resolve()));
  await new Promise<void>((resolve, reject) => {
    strace.stderr.on('data', (text: Buffer) => text.includes('attached') && resolve());
    strace.once('exit', () => reject(new Error('strace did not attach')));
  });
  return async () => {
    strace.kill('SIGINT');
    await ended;
  };
}

/** The finished syncs of files whose path contains `part`. */
async function syncsOf(file: string, part: string): Promise<Span[]> {
  const open = new Map<string, number>();
  const spans: Span[] = [];
  for (const line of (await readFile(file, 'utf8')).split('\n')) {
    const found = /^(\d+) +(\d+\.\d+) (.*)$/.exec(line);
    if (!found) continue;
    const [, pid = '', time = '', text = ''] = found;
    const seconds = /= 0 <(\d+\.\d+)>$/.exec(text)?.[1];
    const at = Number(time);
    if (/^f(data)?sync\(/.test(text) && text.includes(part)) {
      if (seconds === undefined) open.set(pid, at);
      else spans.push({ from: at, to: at + Number(seconds) });
    } else if (/^<\.\.\. f(data)?sync resumed>/.test(text)) {
      const from = open.get(pid);
      open.delete(pid);
      if (from !== undefined && seconds !== undefined) spans.push({ from, to: at });
    }
  }
  return spans;
}

/** Flushes that no sync answers for. */
function unsynced(flushes: readonly Span[], syncs: readonly Span[]): number {
  return flushes.filter(
    (flush) => !syncs.some((sync) => sync.from >= flush.from && sync.to <= flush.to),
  ).length;
}

/** Writes and flushes with other writes under way; by node, how many flushes had no sync. */
async function countUnsynced(
  t: TestContext,
  early: TrioNode | null,
): Promise<Record<TrioNode, number>> {
  const trio = await EngineTrio.start({
    entryOf: (node) => (node === early ? EARLY : undefined),
  });
  const stops: (() => Promise<void>)[] = [];
  try {
    await trio.createVolume(SIZE_BYTES);
    await trio.attach(SIZE_BYTES);
    const device = await trio.connect();
    const load = new BlockHistory(1024, 3).load(device, { depth: 4, flushEveryMs: null });
    for (const node of TRIO_NODES) {
      const file = join(trio.directory, `${node}.strace`);
      stops.push(await trace(await trio.enginePid(node), file));
    }
    const flushes: Span[] = [];
    for (let n = 0; n < FLUSHES; n += 1) {
      await writeDevice(device, 16 * MIB + n * 4096, patternBytes(4096, n));
      const from = nowSeconds();
      await flushDevice(device);
      // The clock has milliseconds: this one is not over yet.
      flushes.push({ from, to: nowSeconds() + 0.001 });
      await trio.host.clock.sleep(PAUSE_MS);
    }
    await load.stop();
    equal(load.error, null);
    for (const stop of stops.splice(0)) await stop();
    const counts = { a: 0, b: 0, c: 0 };
    for (const node of TRIO_NODES) {
      const file = join(trio.directory, `${node}.strace`);
      const syncs = await syncsOf(file, '.data>');
      const metadata = await syncsOf(file, '/map-log>');
      counts[node] = unsynced(flushes, syncs) + unsynced(flushes, metadata);
      t.diagnostic(
        `${node}: ${FLUSHES} flushes, ${syncs.length} syncs of data, ${metadata.length} of the map log, ` +
          `${counts[node]} missing`,
      );
    }
    return counts;
  } finally {
    for (const stop of stops) await stop();
    await trio.destroy();
  }
}

describe('flush', { skip }, () => {
  test('is a sync on every in-sync replica, each time', async (t) => {
    const counts = await countUnsynced(t, null);
    equal(counts.a + counts.b + counts.c, 0);
  });

  for (const early of ['a', 'c'] as const) {
    test(`An acknowledgement before the sync on ${early} is caught`, async (t) => {
      const counts = await countUnsynced(t, early);
      ok(counts[early] > FLUSHES / 2, `only ${counts[early]} of ${FLUSHES} were seen`);
      for (const node of TRIO_NODES) if (node !== early) equal(counts[node], 0);
    });
  }
});
