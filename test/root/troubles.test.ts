/**
 * Troubles are planted in one running cluster: `explain` names the cause of each in its first line,
 * in the words of a condition and an Event, and says that all is well when it is over. Meanwhile
 * no object stays without a reason.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test, type TestContext } from 'node:test';
import { whyNotHere } from './real-cluster.testkit.ts';
import { runGroup } from './trouble.testkit.ts';
import { TROUBLE_GROUPS } from './trouble-table.testkit.ts';
import { TroubleWorld } from './trouble-world.testkit.ts';

const skip = whyNotHere(['mkfs.ext4', 'losetup', 'mount', 'umount']);

describe('Troubles', { skip }, () => {
  let world: TroubleWorld;

  before(async () => {
    world = await TroubleWorld.start();
  });
  after(() => world?.stop());

  for (const group of TROUBLE_GROUPS) {
    test(`${group.name}: each cause is named first, and gone when it is over`, async (t: TestContext) => {
      const { failures, times } = await runGroup(world, group);
      for (const line of times) t.diagnostic(line);
      assert.deepEqual(failures, []);
    });
  }
});
