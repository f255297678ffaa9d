import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findCondition } from '#api/kinds/mod.ts';
import { changeStatus } from '#control/kube/mod.ts';
import { Fleet } from './fleet.testkit.ts';

test('A status that a stranger forges is written over, and moves nothing', async () => {
  await new Fleet(71, 3).run(async (fleet) => {
    const { client } = fleet;
    await fleet.createClaim('demo');
    await fleet.createMount('demo', '/mnt/demo');
    const [volume] = (await client.list('Volume')).items;
    assert.ok(volume !== undefined);
    const key = { name: volume.metadata.name };
    const attached = fleet.calls('volume.attach');
    await changeStatus(client, 'Volume', key, (status) => ({
      ...status,
      conditions: (status.conditions ?? []).map((one) => ({
        ...one,
        status: 'False' as const,
        reason: 'Forged',
        message: 'A stranger says so',
      })),
    }));
    await fleet.until('told right again', async () => {
      const { status } = await client.get('Volume', key);
      const ready = findCondition(status?.conditions, 'Ready');
      assert.equal(ready?.status, 'True');
      assert.notEqual(ready.reason, 'Forged');
    });
    const after = await client.get('Volume', key);
    assert.deepEqual(after.spec, volume.spec);
    assert.equal(fleet.calls('volume.attach'), attached);
  });
});
