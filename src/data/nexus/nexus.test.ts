import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { describeBlockDevice } from '#data/block/block-device.testkit.ts';
import { flushDevice, readDevice, writeDevice } from '#data/block/mod.ts';
import { filled, KIB, MIB, Rig } from './nexus.testkit.ts';

describe('Nexus opens', () => {
  test('Nexus serves a new volume with three replicas', async () => {
    const rig = new Rig();
    await rig.run(async () => {
      const nexus = rig.nexus();
      await nexus.start();
      assert.equal(nexus.status().phase, 'serving');
      assert.equal(nexus.status().record?.members.length, 3);
      await writeDevice(nexus, 0, filled(7));
      await flushDevice(nexus);
      assert.deepEqual(await readDevice(nexus, 0, 4096), filled(7));
      await nexus.close();
      for (const name of rig.names) {
        assert.deepEqual(rig.cluster.disk(name).contents(0, 4096), filled(7));
      }
      const again = rig.nexus();
      await again.start();
      assert.deepEqual(await readDevice(again, 0, 4096), filled(7));
      assert.equal(again.status().counters['reconciledSegments'], undefined);
      await again.close();
    });
  });

  test('Nexus goes on when a replica crashes, and takes it back with what it missed', async () => {
    const rig = new Rig();
    await rig.run(async () => {
      const nexus = rig.nexus();
      await nexus.start();
      await writeDevice(nexus, 0, filled(1, 256 * KIB));
      rig.cluster.crash('r-2');
      await writeDevice(nexus, 4096, filled(2));
      await rig.until('removal', () => nexus.status().record?.members.length === 2);
      rig.cluster.start('r-2');
      await rig.until('rejoin', () => nexus.status().record?.members.length === 3);
      assert.deepEqual(await readDevice(nexus, 4096, 4096), filled(2));
      await nexus.close();
      for (const name of rig.names) {
        assert.deepEqual(rig.cluster.disk(name).contents(4096, 4096), filled(2), name);
        assert.deepEqual(rig.cluster.disk(name).contents(0, 4096), filled(1), name);
      }
    });
  });
});

for (const replicas of [['r-1'], ['r-1', 'r-2', 'r-3']]) {
  describeBlockDevice(`Nexus with ${replicas.length} members`, async () => {
    const rig = new Rig({ replicas, sizeBytes: 2 * MIB, store: {} });
    let nexus = rig.nexus();
    const pump = setInterval(() => void rig.world.run({ forMs: 20 }), 1);
    await nexus.start();
    return {
      device: nexus,
      close: async () => {
        await nexus.close();
        clearInterval(pump);
      },
      reopenAfterCrash: async () => {
        nexus.abandon();
        for (const name of replicas) {
          rig.cluster.powerLoss(name, { below: () => 0 });
          rig.cluster.start(name);
        }
        nexus = rig.nexus();
        await nexus.start();
        return nexus;
      },
    };
  });
}
