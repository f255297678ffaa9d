import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type ErrorCode, HoldfastError, type SnapshotId, type TraceEvent } from '#api/mod.ts';
import { flushDevice, readDevice, trimDevice, writeDevice, zeroDevice } from '#data/block/mod.ts';
import { MemoryCluster } from '#data/replica/memory-cluster.testkit.ts';
import { filled, initialRecord, KIB, members, MemoryVoter, MIB, Rig } from './nexus.testkit.ts';

const QUICK = { memberDeadlineMs: 400, reconnectMs: 10, reconnectMaxMs: 50 };
const SNAPSHOT = 's-1' as SnapshotId;

async function failsWith(code: ErrorCode, promise: Promise<unknown>): Promise<void> {
  await assert.rejects(promise, (error) => HoldfastError.is(error) && error.code === code);
}

/** Every replica holds the same, and the first this. */
function assertEqualReplicas(rig: Rig, lengthBytes: number, layer: SnapshotId | null = null): void {
  const [first, ...others] = rig.names.map((name) =>
    rig.cluster.disk(name).contents(0, lengthBytes, layer),
  );
  for (const other of others) assert.equal(Buffer.compare(first as Uint8Array, other), 0);
}

describe('Snapshots', () => {
  test('Nexus takes the same point on every member and keeps writing', async () => {
    const rig = new Rig({ policy: QUICK });
    await rig.run(async () => {
      const nexus = rig.nexus();
      await nexus.start();
      await writeDevice(nexus, 0, filled(1, 64 * KIB));
      const writes = Array.from({ length: 16 }, (_, i) => writeDevice(nexus, i * 4096, filled(2)));
      const read = readDevice(nexus, 128 * KIB, 4096);
      await nexus.createSnapshot(SNAPSHOT);
      await Promise.all([...writes, read]);
      await writeDevice(nexus, 0, filled(3, 64 * KIB));
      assert.deepEqual(nexus.status().snapshots, [SNAPSHOT]);
      assertEqualReplicas(rig, 64 * KIB, SNAPSHOT);
      const kept = rig.cluster.disk('r-1').contents(0, 64 * KIB, SNAPSHOT);
      assert.ok(kept.every((byte) => byte === 1 || byte === 2));
      await failsWith('already-exists', nexus.createSnapshot(SNAPSHOT));
      await nexus.deleteSnapshot(SNAPSHOT);
      await failsWith('not-found', nexus.deleteSnapshot(SNAPSHOT));
      assert.equal(Buffer.compare(await readDevice(nexus, 0, 64 * KIB), filled(3, 64 * KIB)), 0);
      await nexus.close();
    });
  });

  test('A returning replica gets the snapshots it missed, loses those that are gone', async () => {
    const rig = new Rig({ policy: QUICK });
    await rig.run(async () => {
      const nexus = rig.nexus();
      await nexus.start();
      await writeDevice(nexus, 0, filled(1, 64 * KIB));
      await nexus.createSnapshot('gone' as SnapshotId);
      rig.cluster.crash('r-3');
      await writeDevice(nexus, 0, filled(2, 64 * KIB));
      await nexus.createSnapshot('s-1' as SnapshotId);
      await writeDevice(nexus, 16 * KIB, filled(3, 64 * KIB));
      await nexus.createSnapshot('s-2' as SnapshotId);
      await writeDevice(nexus, 0, filled(4));
      await nexus.deleteSnapshot('gone' as SnapshotId);
      rig.cluster.start('r-3');
      await rig.until('rejoin', () => members(nexus) === 3);
      const { snapshots } = rig.cluster.store('r-3').state();
      assert.deepEqual(
        snapshots.map((each) => each.id),
        ['s-1', 's-2'],
      );
      await nexus.close();
      for (const layer of [null, 's-1', 's-2'] as const) {
        assertEqualReplicas(rig, 128 * KIB, layer as SnapshotId | null);
      }
    });
  });

  test('A rebuilt snapshot has the size that the volume had then', async () => {
    const rig = new Rig({ policy: QUICK });
    await rig.run(async () => {
      const nexus = rig.nexus();
      await nexus.start();
      await nexus.createSnapshot(SNAPSHOT);
      await nexus.grow(16 * MIB);
      nexus.rebuild('r-3' as never, { full: true });
      await rig.until('rebuilt', () => nexus.status().members[2]?.phase === 'in-sync', 30_000);
      const [first, , third] = rig.names.map((name) => rig.cluster.store(name).state());
      assert.equal(third?.sizeBytes, 16 * MIB);
      assert.equal(third.snapshots[0]?.sizeBytes, first?.snapshots[0]?.sizeBytes);
      assert.notEqual(third.snapshots[0]?.sizeBytes, 16 * MIB);
      await nexus.close();
    });
  });

  test('A snapshot during a rebuild is whole on the rebuilt replica too', async () => {
    const rig = new Rig({ policy: { ...QUICK, rebuildConcurrency: 1 }, latencyMs: 2 });
    await rig.run(async () => {
      const nexus = rig.nexus();
      await nexus.start();
      rig.cluster.crash('r-3');
      await writeDevice(nexus, 0, filled(1, MIB));
      rig.cluster.start('r-3');
      await rig.until(
        'half way',
        () => (nexus.status().members[2]?.rebuild?.segmentsDone ?? 0) > 4,
      );
      await nexus.createSnapshot(SNAPSHOT);
      await writeDevice(nexus, 0, filled(2, 32 * KIB));
      await rig.until('rejoin', () => members(nexus) === 3);
      await nexus.close();
      assertEqualReplicas(rig, MIB, SNAPSHOT);
      assertEqualReplicas(rig, MIB);
      assert.equal(
        Buffer.compare(rig.cluster.disk('r-3').contents(0, MIB, SNAPSHOT), filled(1, MIB)),
        0,
      );
    });
  });

  test('A snapshot that only some members have was never acknowledged: the next opening takes it away', async () => {
    const rig = new Rig({ policy: QUICK });
    await rig.run(async () => {
      const nexus = rig.nexus();
      await nexus.start();
      await writeDevice(nexus, 0, filled(1));
      await rig.cluster.store('r-1').createSnapshot(SNAPSHOT, { epoch: 1, n: 1 });
      nexus.abandon();
      const second = rig.nexus();
      await second.start();
      assert.deepEqual(second.status().snapshots, []);
      assert.deepEqual(rig.cluster.store('r-1').state().snapshots, []);
      assert.deepEqual(await readDevice(second, 0, 4096), filled(1));
      await second.close();
    });
  });
});

describe('Rebuilds', () => {
  test('A returning replica gets little more than what changed', async () => {
    const rig = new Rig({ policy: QUICK, sizeBytes: 32 * MIB, segmentBytes: MIB });
    await rig.run(async () => {
      const nexus = rig.nexus();
      await nexus.start();
      await writeDevice(nexus, 0, filled(1, 16 * MIB));
      await flushDevice(nexus);
      await rig.sleep(12_000);
      rig.cluster.crash('r-2');
      await writeDevice(nexus, 4 * MIB, filled(2, 4 * MIB));
      rig.cluster.start('r-2');
      let copied = 0;
      await rig.until('rejoin', () => {
        copied = Math.max(copied, nexus.status().members[1]?.rebuild?.copiedBytes ?? 0);
        return members(nexus) === 3;
      });
      assert.ok(copied <= 1.5 * 4 * MIB, `${copied} bytes`);
      await nexus.close();
      assertEqualReplicas(rig, 16 * MIB);
    });
  });

  test('After scattered writes only blocks whose checksums differ are sent', async () => {
    const rig = new Rig({ policy: QUICK, sizeBytes: 32 * MIB, segmentBytes: MIB });
    await rig.run(async () => {
      const nexus = rig.nexus();
      await nexus.start();
      await writeDevice(nexus, 0, filled(1, 32 * MIB));
      await flushDevice(nexus);
      rig.cluster.crash('r-2');
      for (let i = 0; i < 32; i++) await writeDevice(nexus, i * MIB + 8192, filled(2));
      const before = rig.cluster.disk('r-1');
      rig.cluster.start('r-2');
      const { counts } = rig.cluster.store('r-2');
      await rig.until('rejoin', () => members(nexus) === 3);
      assert.equal(counts.write, 32);
      assert.deepEqual(before.contents(8192, 4096), filled(2));
      await nexus.close();
      assertEqualReplicas(rig, 32 * MIB);
    });
  });

  test('A rebuild survives the death of joiner, source and nexus in the middle', async () => {
    for (const victim of ['joiner', 'source', 'nexus'] as const) {
      const rig = new Rig({ policy: { ...QUICK, rebuildConcurrency: 1 }, latencyMs: 2 });
      await rig.run(async () => {
        let nexus = rig.nexus();
        await nexus.start();
        rig.cluster.crash('r-3');
        await writeDevice(nexus, 0, filled(1, MIB));
        rig.cluster.start('r-3');
        const sent = rig.cluster.store('r-3').counts;
        await rig.until(
          'half way',
          () => (nexus.status().members[2]?.rebuild?.segmentsDone ?? 0) > 7,
        );
        if (victim === 'joiner') rig.cluster.crash('r-3');
        if (victim === 'source') rig.cluster.crash('r-1');
        if (victim === 'nexus') nexus.abandon();
        const write = victim === 'nexus' ? null : writeDevice(nexus, 512 * KIB, filled(9));
        await rig.sleep(50);
        if (victim === 'joiner') rig.cluster.start('r-3');
        if (victim === 'source') rig.cluster.start('r-1');
        if (victim === 'nexus') {
          nexus = rig.nexus();
          await nexus.start();
        }
        await write;
        await rig.until('all', () => members(nexus) === 3);
        // What was copied before is compared, not sent again.
        if (victim === 'nexus') assert.ok(sent.write <= 20, `${sent.write} writes`);
        await nexus.close();
        assertEqualReplicas(rig, MIB);
      });
    }
  });

  test('Writes during a rebuild reach the joiner, and copies never overwrite them', async () => {
    const rig = new Rig({ policy: { ...QUICK, rebuildConcurrency: 2 }, latencyMs: 1 });
    await rig.run(async () => {
      const nexus = rig.nexus();
      await nexus.start();
      rig.cluster.crash('r-3');
      await writeDevice(nexus, 0, filled(1, MIB));
      rig.cluster.start('r-3');
      let turn = 0;
      const writer = async (): Promise<void> => {
        while (members(nexus) < 3) {
          await writeDevice(nexus, rig.host.rng.below(256) * 4096, filled(++turn & 255));
        }
      };
      await Promise.all([writer(), writer(), writer(), writer()]);
      assert.ok(turn > 20);
      await nexus.close();
      assertEqualReplicas(rig, MIB);
    });
  });

  test('A rebuild on request is full or delta, and never of the last member', async () => {
    const rig = new Rig({ policy: QUICK });
    await rig.run(async () => {
      const nexus = rig.nexus();
      await nexus.start();
      await writeDevice(nexus, 0, filled(1, 256 * KIB));
      await flushDevice(nexus);
      const { counts } = rig.cluster.store('r-3');
      const before = counts.write;
      nexus.rebuild(rig.cluster.ids[2] as never, { full: true });
      await rig.until('rebuild', () => nexus.status().counters['rebuilds'] === 1, 5_000);
      assert.ok(counts.write > before);
      await nexus.close();
      assertEqualReplicas(rig, 256 * KIB);
    });
  });

  test('A joiner that hangs does not stall writes for long, nor again and again', async () => {
    const rig = new Rig({ policy: { ...QUICK, memberDeadlineMs: 5_000 } });
    await rig.run(async () => {
      const nexus = rig.nexus();
      await nexus.start();
      rig.cluster.crash('r-3');
      await writeDevice(nexus, 0, filled(1, MIB));
      rig.cluster.start('r-3');
      await rig.until('joiner', () => nexus.status().members[2]?.phase === 'joining');
      rig.cluster.store('r-3').hold();
      let stalledMs = 0;
      const endMs = rig.host.clock.monotonicMs() + 60_000;
      while (rig.host.clock.monotonicMs() < endMs) {
        const sinceMs = rig.host.clock.monotonicMs();
        await writeDevice(nexus, 4 * MIB, filled(1));
        const ms = rig.host.clock.monotonicMs() - sinceMs;
        assert.ok(ms < 2_000, `${ms} ms`);
        if (ms > 100) stalledMs += ms;
        await rig.sleep(10);
      }
      assert.ok(stalledMs < 12_000, `${stalledMs} ms of 60 s`);
      nexus.abandon();
    });
  });
});

describe('Replicas come and go', () => {
  test('Nexus takes a new replica in and an old one out, voters included', async () => {
    const names = ['r-1', 'r-2', 'r-3'];
    const rig = new Rig({ policy: QUICK, record: initialRecord(names) });
    await rig.run(async () => {
      const fresh = new MemoryCluster({
        replicas: ['r-4'],
        sizeBytes: 8 * MIB,
        segmentBytes: 64 * KIB,
        store: { clock: rig.host.clock, latencyMs: () => 1 },
      });
      const nexus = rig.nexus({
        connector: {
          connect: (replica, options) =>
            (replica === 'r-4' ? fresh : rig.cluster).connect(replica, options),
        },
      });
      await nexus.start();
      await writeDevice(nexus, 0, filled(6, 256 * KIB));
      nexus.addReplica(fresh.ids[0] as never);
      await rig.until('new one in sync', () => members(nexus) === 4);
      assert.equal(
        Buffer.compare(fresh.disk('r-4').contents(0, 256 * KIB), filled(6, 256 * KIB)),
        0,
      );
      await nexus.removeReplica(rig.cluster.ids[0] as never);
      const voters = [...(nexus.status().record?.voters ?? [])].sort();
      assert.deepEqual(voters, ['r-2', 'r-3', 'r-4']);
      assert.equal(members(nexus), 3);
      assert.equal(nexus.status().members.length, 3);
      await writeDevice(nexus, 0, filled(7));
      assert.deepEqual(await readDevice(nexus, 0, 4096), filled(7));
      await nexus.close();
    });
  });

  test('A new replica that an opening finds gets its vote like one that comes later', async () => {
    const rig = new Rig({ policy: QUICK });
    await rig.run(async () => {
      const fresh = new MemoryCluster({
        replicas: ['r-4'],
        sizeBytes: 8 * MIB,
        segmentBytes: 64 * KIB,
        store: { clock: rig.host.clock, latencyMs: () => 1 },
      });
      const nexus = rig.nexus({
        // First, so that it is there when the majority is.
        replicas: [fresh.ids[0] as never, ...rig.cluster.ids],
        connector: {
          connect: (replica, options) =>
            (replica === 'r-4' ? fresh : rig.cluster).connect(replica, options),
        },
      });
      await nexus.start();
      await rig.until('vote', () => nexus.status().record?.voters.length === 4);
      assert.equal(nexus.status().counters['rollbacks'] ?? 0, 0);
      await nexus.close();
    });
  });

  test('The last replica with a vote cannot be taken out', async () => {
    const rig = new Rig({
      replicas: ['r-1', 'r-2'],
      policy: QUICK,
      controlPlane: new MemoryVoter(),
    });
    await rig.run(async () => {
      const first = rig.nexus();
      await first.start();
      const image = rig.cluster.disk('r-2').image();
      await writeDevice(first, 0, filled(1));
      await first.close();
      rig.cluster.crash('r-2');
      rig.cluster.disk('r-2').restore(image);
      rig.cluster.start('r-2');
      const nexus = rig.nexus();
      await nexus.start();
      await rig.until('rebuilt', () => members(nexus) === 2, 30_000);
      await failsWith('conflict', nexus.removeReplica(rig.cluster.ids[0] as never));
      await nexus.removeReplica(rig.cluster.ids[1] as never);
      await nexus.close();
    });
  });

  test('The last replica in sync cannot be taken out', async () => {
    const rig = new Rig({ replicas: ['r-1'], policy: QUICK });
    await rig.run(async () => {
      const nexus = rig.nexus();
      await nexus.start();
      await failsWith('conflict', nexus.removeReplica(rig.cluster.ids[0] as never));
      await nexus.close();
    });
  });
});

describe('Growth', () => {
  test('Nexus shows the new size when every member has it; an absent one catches up', async () => {
    const rig = new Rig({ policy: QUICK });
    await rig.run(async () => {
      const nexus = rig.nexus();
      await nexus.start();
      rig.cluster.crash('r-2');
      await writeDevice(nexus, 0, filled(1));
      await nexus.grow(16 * MIB);
      assert.equal(nexus.sizeBytes, 16 * MIB);
      await writeDevice(nexus, 16 * MIB - 4096, filled(2));
      await failsWith('invalid-argument', nexus.grow(8 * MIB));
      await failsWith('invalid-argument', nexus.grow(16 * MIB + 1));
      rig.cluster.start('r-2');
      await rig.until('rejoin', () => members(nexus) === 3);
      await nexus.close();
      assert.deepEqual(rig.cluster.disk('r-2').contents(16 * MIB - 4096, 4096), filled(2));
      // The object may still say the old size.
      const second = rig.nexus();
      await second.start();
      assert.equal(second.sizeBytes, 16 * MIB);
      await second.close();
    });
  });

  test('A growth that reached some members is finished by the next opening', async () => {
    const rig = new Rig({ policy: QUICK });
    await rig.run(async () => {
      const nexus = rig.nexus();
      await nexus.start();
      await rig.cluster.store('r-2').grow(16 * MIB);
      nexus.abandon();
      const second = rig.nexus();
      await second.start();
      assert.equal(second.sizeBytes, 16 * MIB);
      for (const name of rig.names)
        assert.equal(rig.cluster.store(name).state().sizeBytes, 16 * MIB);
      await second.close();
    });
  });
});

describe('Scrub', () => {
  test('A scrub finds bad blocks that nobody read, and repairs them', async () => {
    const rig = new Rig({ policy: QUICK });
    await rig.run(async () => {
      const nexus = rig.nexus();
      await nexus.start();
      await writeDevice(nexus, 0, filled(5, 256 * KIB));
      await flushDevice(nexus);
      rig.cluster.disk('r-2').corrupt(40 * KIB);
      rig.cluster.disk('r-3').corrupt(80 * KIB);
      const outcome = await nexus.scrub({ compare: true });
      assert.equal(outcome.repairedBlocks, 2);
      assert.deepEqual(outcome.unrepaired, []);
      assert.deepEqual(outcome.differingSegments, []);
      assert.ok(outcome.checkedBlocks >= 3 * 64);
      await nexus.close();
      assertEqualReplicas(rig, 256 * KIB);
    });
  });
});

describe('Damage', () => {
  test('A block that no member has a good copy of is counted until it is good again', async () => {
    const rig = new Rig({ policy: QUICK });
    await rig.run(async () => {
      const nexus = rig.nexus();
      await nexus.start();
      await writeDevice(nexus, 0, filled(5, 256 * KIB));
      await flushDevice(nexus);
      assert.equal(nexus.status().damagedBlocks, 0);
      for (const name of rig.names) rig.cluster.disk(name).corrupt(40 * KIB);
      await nexus.scrub({});
      assert.equal(nexus.status().damagedBlocks, 1);
      await failsWith('checksum-mismatch', readDevice(nexus, 40 * KIB, 4 * KIB));
      await writeDevice(nexus, 40 * KIB, filled(6, 4 * KIB));
      await flushDevice(nexus);
      await nexus.scrub({});
      assert.equal(nexus.status().damagedBlocks, 0);
      await nexus.close();
    });
  });
});

describe('Small things', () => {
  test('A write tells its life', async () => {
    const rig = new Rig({ policy: QUICK });
    await rig.run(async () => {
      const nexus = rig.nexus();
      await nexus.start();
      const events: TraceEvent[] = [];
      nexus.traceNext((event) => events.push(event));
      await writeDevice(nexus, 0, filled(1), { fua: true });
      const own = events.filter((event) => event.place === 'src/data/nexus');
      const steps = own.map((event) => event.step);
      assert.deepEqual(steps.slice(0, 5), ['submitted', 'ordered', 'sent', 'sent', 'sent']);
      assert.deepEqual(steps.slice(5), ['accepted', 'accepted', 'accepted', 'flushing']);
      await nexus.close();
    });
  });

  test('An idle volume does nothing', async () => {
    const rig = new Rig();
    await rig.run(async () => {
      const nexus = rig.nexus();
      await nexus.start();
      await writeDevice(nexus, 0, filled(1));
      await rig.sleep(60_000);
      for (const name of rig.names) assert.deepEqual(rig.cluster.store(name).intents(), []);
      const before = rig.world.events;
      await rig.sleep(400_000);
      assert.ok(rig.world.events - before <= 2, `${rig.world.events - before} events`);
      await nexus.close();
    });
  });

  test('seq rises with time, so that a rollback can be told', async () => {
    const rig = new Rig({ policy: { floorMs: 60_000 } });
    await rig.run(async () => {
      const nexus = rig.nexus();
      await nexus.start();
      await rig.sleep(200_000);
      const { seq, floor } = nexus.status().record ?? { seq: 0, floor: { seq: 0 } };
      assert.equal(seq, 4);
      assert.equal(floor.seq, 3);
      await nexus.close();
    });
  });

  test('Long requests are split and come back whole', async () => {
    const rig = new Rig({ policy: QUICK });
    await rig.run(async () => {
      const nexus = rig.nexus();
      await nexus.start();
      const data = new Uint8Array(7 * MIB).map((_, i) => (i * 7) & 255);
      await writeDevice(nexus, 4096, data, { fua: true });
      assert.equal(Buffer.compare(await readDevice(nexus, 4096, 7 * MIB), data), 0);
      await zeroDevice(nexus, 0, 4 * MIB, { keepAllocated: true });
      await trimDevice(nexus, 4 * MIB, 4 * MIB);
      assert.equal(Buffer.compare(await readDevice(nexus, 0, 8 * MIB), new Uint8Array(8 * MIB)), 0);
      assert.deepEqual(await nexus.extents(4 * MIB, 4 * MIB), [
        { offsetBytes: 4 * MIB, lengthBytes: 4 * MIB, kind: 'hole' },
      ]);
      await nexus.close();
    });
  });

  test('Close after close, and abandon after close, do nothing', async () => {
    const rig = new Rig({ policy: QUICK });
    await rig.run(async () => {
      const nexus = rig.nexus();
      await nexus.start();
      await nexus.close();
      await nexus.close();
      nexus.abandon();
      assert.equal(nexus.status().phase, 'closed');
      assert.equal(rig.cluster.store('r-1').state().record?.closed, true);
    });
  });
});
