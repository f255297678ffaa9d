import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { flushDevice, writeDevice } from '#data/block/mod.ts';
import { filled, KIB, Rig } from './nexus.testkit.ts';

describe('FlushRounds', () => {
  test('Flushes that are asked for during a round share the next one', async () => {
    const rig = new Rig({ latencyMs: 10 });
    await rig.run(async () => {
      const nexus = rig.nexus();
      await nexus.start();
      await writeDevice(nexus, 0, filled(1));
      const before = rig.cluster.store('r-2').counts.sync;
      await Promise.all(Array.from({ length: 20 }, () => flushDevice(nexus)));
      assert.equal(rig.cluster.store('r-2').counts.sync - before, 2);
      await nexus.close();
    });
  });

  test('A flush covers a write that ended before it, also while a round runs', async () => {
    const rig = new Rig({ latencyMs: 10 });
    await rig.run(async () => {
      const nexus = rig.nexus();
      await nexus.start();
      await writeDevice(nexus, 0, filled(1));
      const running = flushDevice(nexus);
      await writeDevice(nexus, 64 * KIB, filled(2));
      await flushDevice(nexus);
      await running;
      nexus.abandon();
      for (const name of rig.names) {
        rig.cluster.powerLoss(name, { below: () => 0 });
        assert.deepEqual(rig.cluster.disk(name).contents(64 * KIB, 4096), filled(2), name);
      }
    });
  });

  test('n rises when a round starts, and what is complete has no write in flight (R8, R9)', async () => {
    const rig = new Rig({ latencyMs: 10, policy: { generationMs: 100_000 } });
    await rig.run(async () => {
      const nexus = rig.nexus();
      await nexus.start();
      const { epoch } = nexus;
      assert.deepEqual(nexus.status().completed, { epoch, n: 0 });
      assert.deepEqual(nexus.status().generation, { epoch, n: 1 });
      await writeDevice(nexus, 0, filled(1));
      const write = writeDevice(nexus, 0, filled(2));
      const flush = flushDevice(nexus);
      assert.deepEqual(nexus.status().generation, { epoch, n: 2 });
      await Promise.all([write, flush]);
      // The write of n = 1 was in flight when the round began.
      assert.deepEqual(nexus.status().completed, { epoch, n: 0 });
      await flushDevice(nexus);
      assert.deepEqual(nexus.status().completed, { epoch, n: 2 });
      await nexus.close();
    });
  });

  test('A forced write is durable on every member', async () => {
    const rig = new Rig();
    await rig.run(async () => {
      const nexus = rig.nexus();
      await nexus.start();
      await writeDevice(nexus, 0, filled(3), { fua: true });
      nexus.abandon();
      for (const name of rig.names) {
        rig.cluster.powerLoss(name, { below: () => 0 });
        assert.deepEqual(rig.cluster.disk(name).contents(0, 4096), filled(3), name);
      }
    });
  });
});
