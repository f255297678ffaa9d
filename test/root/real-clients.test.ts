/**
 * Other people's NBD clients against a volume of three replicas, each in an engine of its own, and
 * what the replicas hold afterwards. Needs libnbd-bin and qemu-utils.
 */
import { equal } from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { EngineTrio, MIB, TRIO_VOLUME, whyNotRoot } from './engine-trio.testkit.ts';
import {
  checkBlkverify,
  checkMap,
  checkRoundTrip,
  checkZeroAndDiscard,
  missingPrograms,
  type NbdExportPlace,
  run,
  uriOf,
} from './nbd-programs.testkit.ts';

const SIZE_BYTES = 128 * MIB;
const skip = whyNotRoot() || missingPrograms(['nbdinfo', 'nbdcopy', 'qemu-img', 'qemu-io']);

describe('real clients of a replicated volume', { skip }, () => {
  let trio: EngineTrio;
  let place: NbdExportPlace;

  before(async () => {
    trio = await EngineTrio.start();
    await trio.createVolume(SIZE_BYTES);
    await trio.attach(SIZE_BYTES);
    place = {
      socket: trio.nbdSocket(),
      name: TRIO_VOLUME,
      sizeBytes: SIZE_BYTES,
      directory: trio.directory,
    };
  });

  after(() => trio?.destroy());

  test('nbdinfo --json shows the export', async () => {
    const { stdout } = await run('nbdinfo', ['--json', uriOf(place)]);
    const [found = {}] = (JSON.parse(stdout) as { exports: Record<string, unknown>[] }).exports;
    equal(found['export-size'], SIZE_BYTES);
    for (const able of ['can_flush', 'can_fua', 'can_multi_conn', 'can_trim', 'can_zero']) {
      equal(found[able], true, able);
    }
  });

  test('nbdinfo --map tells data from holes', () => checkMap(place));

  test('nbdcopy and qemu-img carry an image there and back', () => checkRoundTrip(place, 5_000));

  test('qemu-io zeroes and discards as a model does', () => checkZeroAndDiscard(place, 2_000));

  test('qemu-io under blkverify finds no difference in 20,000 operations', () =>
    checkBlkverify(place, 20_000));

  test('the replicas hold the same afterwards', async () => {
    await trio.waitUntilWhole();
    await trio.detach();
    await trio.killAll();
    await trio.demandEqualReplicas();
  });
});
