import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Fleet } from './fleet.testkit.ts';

test('A volume that was kept when its claim went is taken by another claim, with its data', async () => {
  await new Fleet(61, 3).run(async (fleet) => {
    const { client } = fleet;
    await client.create('StorageClass', {
      apiVersion: 'storage.k8s.io/v1',
      kind: 'StorageClass',
      metadata: { name: 'kept' },
      provisioner: 'csi.holdfast.dev',
      parameters: { replicas: '2' },
      reclaimPolicy: 'Retain',
    });
    await fleet.createClaim('old', { storageClassName: 'kept' });
    await fleet.until('bound', async () => {
      const claim = await client.get('PersistentVolumeClaim', {
        namespace: 'default',
        name: 'old',
      });
      return claim.status?.phase === 'Bound';
    });
    const [volume] = (await client.list('Volume')).items;
    const [persistent] = (await client.list('PersistentVolume')).items;
    assert.ok(volume !== undefined && persistent !== undefined);
    const key = { name: persistent.metadata.name };
    await client.delete('PersistentVolumeClaim', { namespace: 'default', name: 'old' });
    await fleet.until('released', async () => {
      const { status } = await client.get('PersistentVolume', key);
      return status?.phase === 'Released';
    });
    await fleet.host.clock.sleep(60_000);
    const kept = await client.get('Volume', { name: volume.metadata.name });
    assert.equal(kept.spec.claimRef?.name, 'old');
    assert.equal(fleet.calls('replica.delete'), 0);
    // As an administrator gives it back.
    await client.patch('PersistentVolume', key, { spec: { claimRef: null } });
    await fleet.createClaim('new', { storageClassName: 'kept', volumeName: key.name });
    await fleet.until('adopted', async () => {
      const claim = await client.get('PersistentVolumeClaim', {
        namespace: 'default',
        name: 'new',
      });
      assert.equal(claim.status?.phase, 'Bound');
      const { metadata, spec } = await client.get('Volume', { name: volume.metadata.name });
      assert.equal(metadata.uid, volume.metadata.uid);
      assert.deepEqual(spec.placement, volume.spec.placement);
      assert.equal(spec.claimRef?.name, 'new');
    });
    assert.equal(fleet.calls('replica.create'), 2);
  });
});
