/**
 * A replica that is put back to an older copy while all else runs: by copying its files back,
 * and by putting back its whole disk, where only the membership record can tell (R16).
 */
import { deepEqual, equal, notEqual } from 'node:assert/strict';
import { rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test, type TestContext } from 'node:test';
import { parseId, type SnapshotId } from '#api/mod.ts';
import type { NbdClientDevice } from '#data/frontend/mod.ts';
import { BLOCK, BlockHistory } from './block-history.testkit.ts';
import { EngineTrio, MIB, replicaOf, TRIO_VOLUME, whyNotRoot } from './engine-trio.testkit.ts';
import { LoopDisks } from './loop-disks.testkit.ts';

const SIZE_BYTES = 32 * MIB;
const LOAD_MS = 400;
const C = replicaOf('c');

describe('a replica put back to an older copy', { skip: whyNotRoot() }, () => {
  let disks: LoopDisks;
  let trio: EngineTrio;
  let device: NbdClientDevice;
  const history = new BlockHistory(SIZE_BYTES / BLOCK, 7);

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

  async function writeForAWhile(): Promise<void> {
    const load = history.load(device, { depth: 16, flushEveryMs: 40 });
    await trio.host.clock.sleep(LOAD_MS);
    await load.stop();
    equal(load.error, null);
    await history.settle(device);
  }

  /**
   * Puts c back while the others serve; how it was brought level. All that is read meanwhile must
   * be current.
   */
  async function putBack(change: () => Promise<void>): Promise<readonly string[]> {
    await trio.kill('c');
    await trio.waitForReport(({ status }) =>
      status.members.some(({ replica, phase }) => replica === C && phase === 'absent'),
    );
    const logged = (await trio.log('a')).length;
    await writeForAWhile();
    await change();
    const returned = trio.startEngine('c');
    await trio.waitFor('c in sync', async () => {
      await history.verify(device, 'acknowledged');
      return (await trio.member('c')).phase === 'in-sync';
    });
    await returned;
    await trio.waitUntilWhole();
    return (await trio.log('a'))
      .slice(logged)
      .split('\n')
      .filter((line) => line.includes('"Rebuild begins"') && line.includes(`"${C}"`))
      .map((line) => (JSON.parse(line) as { kind: string }).kind);
  }

  async function demandRecovered(rollbacksBefore: number): Promise<void> {
    notEqual(await trio.counter('rollbacks'), rollbacksBefore);
    await history.verify(device, 'acknowledged');
    await history.settle(device);
    await trio.detach();
    await trio.killAll();
    await trio.demandEqualReplicas();
    await trio.startAll();
    await trio.attach(SIZE_BYTES);
    device = await trio.connect();
    await trio.waitUntilWhole();
  }

  test('its files copied back: recognised by the store, filled anew', async (t: TestContext) => {
    const directory = trio.replicaDirectory('c');
    const copy = join(trio.disk('c'), 'yesterday');
    await writeForAWhile();
    await trio.kill('c');
    await trio.run(['cp', '-a', directory, copy]);
    await trio.startEngine('c');
    await trio.waitUntilWhole();
    await writeForAWhile();
    const rollbacks = await trio.counter('rollbacks');
    const kinds = await putBack(async () => {
      await rm(directory, { recursive: true });
      await rename(copy, directory);
    });
    deepEqual([...new Set(kinds)], ['full'], 'the old copy was built upon');
    await demandRecovered(rollbacks);
    t.diagnostic(`files put back: rebuilt ${kinds.join(', ')}`);
  });

  test('its whole disk put back: recognised by the record, filled anew', async (t: TestContext) => {
    await writeForAWhile();
    await disks.copy('c', 'c-yesterday');
    await writeForAWhile();
    // A day has more records than one; a snapshot makes one at once.
    const snapshot = parseId<SnapshotId>('snapshot', 'snap-trio-1');
    await trio.client('a').call('volume.createSnapshot', { volume: TRIO_VOLUME, snapshot });
    await trio.client('a').call('volume.deleteSnapshot', { volume: TRIO_VOLUME, snapshot });
    await writeForAWhile();
    const rollbacks = await trio.counter('rollbacks');
    const kinds = await putBack(() => disks.putBack('c', 'c-yesterday'));
    deepEqual([...new Set(kinds)], ['full'], 'the old copy was built upon');
    const voters = (await trio.describe()).status.record?.voters ?? [];
    t.diagnostic(`disk put back: rebuilt ${kinds.join(', ')}; voters ${voters.join(' ')}`);
    await demandRecovered(rollbacks);
  });

  test('a restart without an older copy is no rollback', async () => {
    await writeForAWhile();
    const rollbacks = await trio.counter('rollbacks');
    const kinds = await putBack(() => Promise.resolve());
    equal(await trio.counter('rollbacks'), rollbacks);
    deepEqual([...new Set(kinds)], ['delta'], 'it was filled anew for nothing');
  });
});
