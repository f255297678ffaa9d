import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type ErrorCode, HoldfastError, type ReplicaId } from '#api/mod.ts';
import {
  type BlockDevice,
  createRequest,
  flushDevice,
  readDevice,
  writeDevice,
} from '#data/block/mod.ts';
import { filled, initialRecord, KIB, Link, members, MIB, phases, Rig } from './nexus.testkit.ts';

const QUICK = { memberDeadlineMs: 400, reconnectMs: 10, reconnectMaxMs: 50 };

async function failsWith(code: ErrorCode, promise: Promise<unknown>): Promise<void> {
  await assert.rejects(promise, (error) => HoldfastError.is(error) && error.code === code);
}

/** The bytes at `done`: perhaps in another array than the one that was given. */
function readBytes(
  device: BlockDevice,
  offset: number,
): Promise<{ data: Uint8Array; same: boolean }> {
  return new Promise((resolve, reject) => {
    const request = createRequest();
    const data = new Uint8Array(4096);
    Object.assign(request, { verb: 'read', offsetBytes: offset, lengthBytes: 4096, data });
    request.done = (done, error) =>
      error === null ? resolve({ data: done.data, same: done.data === data }) : reject(error);
    device.submit(request);
  });
}

/** The array that the owner of a write has at `done`. */
function writeBytes(device: BlockDevice, offset: number, data: Uint8Array): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const request = createRequest();
    const lengthBytes = data.byteLength;
    Object.assign(request, { verb: 'write', offsetBytes: offset, lengthBytes, data });
    request.done = (done, error) => (error === null ? resolve(done.data) : reject(error));
    device.submit(request);
  });
}

describe('Nexus and slow members', () => {
  for (const lengthBytes of [4096, 2 * MIB]) {
    test(`A write of ${lengthBytes} bytes does not give back an array that a hung member still has`, async () => {
      const rig = new Rig({ policy: { ...QUICK, memberDeadlineMs: 1_000 } });
      await rig.run(async () => {
        const nexus = rig.nexus();
        await nexus.start();
        const calm = new Uint8Array(lengthBytes).fill(1);
        assert.equal(await writeBytes(nexus, 0, calm), calm, 'nobody else has it');
        rig.cluster.store('r-2').hold();
        const held = new Uint8Array(lengthBytes).fill(2);
        const given = await writeBytes(nexus, 0, held);
        assert.notEqual(given.buffer, held.buffer);
        assert.equal(given.byteLength, lengthBytes);
        await nexus.close();
      });
    });
  }

  test('Nexus removes a member that hangs and stalls no longer than its deadline', async () => {
    const rig = new Rig({ policy: { ...QUICK, memberDeadlineMs: 5_000 } });
    await rig.run(async () => {
      const nexus = rig.nexus();
      await nexus.start();
      rig.cluster.store('r-2').hold();
      const sinceMs = rig.host.clock.monotonicMs();
      await writeDevice(nexus, 0, filled(1));
      const stallMs = rig.host.clock.monotonicMs() - sinceMs;
      assert.ok(stallMs > 1_000 && stallMs < 6_000, `${stallMs} ms`);
      assert.equal(members(nexus), 2);
      assert.ok(nexus.status().longestStallMs > 1_000);
      await nexus.close();
    });
  });

  test('Nexus removes a member that is much slower than the others before its deadline', async () => {
    let slowMs = 1;
    const rig: Rig = new Rig({
      policy: { ...QUICK, memberDeadlineMs: 5_000 },
      wrap: (member) => {
        const submit = member.submit.bind(member);
        member.submit = (request) => {
          if (member.replica !== 'r-3' || slowMs === 1) submit(request);
          else rig.host.clock.after(slowMs, () => submit(request));
        };
        return member;
      },
    });
    await rig.run(async () => {
      const nexus = rig.nexus();
      await nexus.start();
      slowMs = 300;
      const sinceMs = rig.host.clock.monotonicMs();
      let longestMs = 0;
      while (members(nexus) === 3) {
        const startMs = rig.host.clock.monotonicMs();
        await writeDevice(nexus, 0, filled(1));
        longestMs = Math.max(longestMs, rig.host.clock.monotonicMs() - startMs);
      }
      assert.ok(rig.host.clock.monotonicMs() - sinceMs < 10_000);
      assert.ok(longestMs < 1_000, `${longestMs} ms`);
      assert.equal(nexus.status().counters['grayRemovals'], 1);
      await nexus.close();
    });
  });

  test('Nexus reads elsewhere, into a fresh buffer, when the local member hangs', async () => {
    const rig = new Rig({ policy: { ...QUICK, memberDeadlineMs: 5_000 } });
    await rig.run(async () => {
      const nexus = rig.nexus();
      await nexus.start();
      await writeDevice(nexus, 0, filled(4));
      assert.equal((await readBytes(nexus, 0)).same, true);
      rig.cluster.store('r-1').hold();
      const sinceMs = rig.host.clock.monotonicMs();
      const { data, same } = await readBytes(nexus, 0);
      assert.ok(rig.host.clock.monotonicMs() - sinceMs < 1_500);
      assert.deepEqual(data, filled(4));
      assert.equal(same, false);
      nexus.abandon();
    });
  });
});

describe('Nexus and errors of members', () => {
  test('Nexus removes a member that fails a write before it acknowledges', async () => {
    const rig = new Rig({ policy: QUICK });
    await rig.run(async () => {
      const nexus = rig.nexus();
      await nexus.start();
      for (const code of ['io-error', 'no-space'] as const) {
        rig.cluster.store('r-2').failNext('write', code);
        const { epoch, seq } = nexus.status().record ?? { epoch: 0, seq: 0 };
        await writeDevice(nexus, 0, filled(1));
        assert.ok((nexus.status().record?.seq ?? 0) > seq && nexus.epoch === epoch);
        await rig.until('rejoin', () => members(nexus) === 3);
      }
      await nexus.close();
    });
  });

  test('Nexus passes an error on when every member has it, and goes on', async () => {
    const rig = new Rig({ policy: QUICK });
    await rig.run(async () => {
      const nexus = rig.nexus();
      await nexus.start();
      for (const name of rig.names) rig.cluster.store(name).failNext('write', 'no-space');
      await failsWith('no-space', writeDevice(nexus, 0, filled(1)));
      assert.equal(phases(nexus), 'in-sync in-sync in-sync');
      await writeDevice(nexus, 0, filled(2));
      await nexus.close();
    });
  });

  test('Nexus fails a flush that no member has space for, and stays open', async () => {
    const rig = new Rig({ policy: QUICK });
    await rig.run(async () => {
      const nexus = rig.nexus();
      await nexus.start();
      await writeDevice(nexus, 0, filled(1));
      const { epoch } = nexus;
      for (const name of rig.names) rig.cluster.store(name).failNext('flush', 'no-space');
      await failsWith('no-space', flushDevice(nexus));
      assert.equal(nexus.status().phase, 'serving');
      await flushDevice(nexus);
      await rig.until('all are back', () => phases(nexus) === 'in-sync in-sync in-sync');
      assert.equal(nexus.epoch, epoch, 'it was not opened again');
      await nexus.close();
    });
  });

  test('Nexus does not know the effect of a write that a lost member may have', async () => {
    let swallows = false;
    const rig: Rig = new Rig({
      policy: QUICK,
      wrap: (member) => {
        const submit = member.submit.bind(member);
        member.submit = (request) => {
          if (member.replica !== 'r-3' || !swallows || request.verb !== 'write') submit(request);
          else submit({ ...request, done: () => link.cut('r-3') });
        };
        return member;
      },
    });
    const link = new Link(rig.cluster);
    await rig.run(async () => {
      const nexus = rig.nexus({ connector: link });
      await nexus.start();
      await writeDevice(nexus, 0, filled(1));
      swallows = true;
      for (const name of ['r-1', 'r-2']) rig.cluster.store(name).failNext('write', 'no-space');
      const outcome: unknown = await writeDevice(nexus, 0, filled(2)).catch((error) => error);
      assert.ok(HoldfastError.is(outcome) && outcome.code === 'no-space');
      assert.equal(outcome.effect, 'unknown');
      assert.deepEqual(await readDevice(nexus, 0, 4096), filled(1));
      // Who has the write is no member any more: nobody will choose its copy.
      assert.equal(members(nexus), 2);
      await nexus.close();
    });
  });

  test('Nexus removes a member whose flush fails, before the flush is acknowledged', async () => {
    const rig = new Rig({ policy: QUICK });
    await rig.run(async () => {
      const nexus = rig.nexus();
      await nexus.start();
      await writeDevice(nexus, 0, filled(1));
      rig.cluster.store('r-3').failNext('flush', 'io-error');
      await flushDevice(nexus);
      assert.equal(members(nexus), 2);
      nexus.abandon();
    });
  });

  test('Nexus reads a bad block from another member and repairs it in place', async () => {
    const rig = new Rig({ policy: QUICK });
    await rig.run(async () => {
      const nexus = rig.nexus();
      await nexus.start();
      await writeDevice(nexus, 0, filled(3, 64 * KIB));
      await flushDevice(nexus);
      rig.cluster.disk('r-1').corrupt(8192 + 7);
      assert.equal(Buffer.compare(await readDevice(nexus, 0, 64 * KIB), filled(3, 64 * KIB)), 0);
      await rig.until('repair', () => nexus.status().members[0]?.repairedBlocks === 1);
      assert.deepEqual(rig.cluster.disk('r-1').contents(8192, 4096), filled(3));
      assert.equal(phases(nexus), 'in-sync in-sync in-sync');
      await nexus.close();
    });
  });

  test('Nexus pieces a read together when members are bad in different blocks', async () => {
    const rig = new Rig({ policy: QUICK });
    await rig.run(async () => {
      const nexus = rig.nexus();
      await nexus.start();
      await writeDevice(nexus, 0, filled(3, 64 * KIB));
      for (const [index, name] of rig.names.entries()) rig.cluster.disk(name).corrupt(index * 4096);
      assert.equal(Buffer.compare(await readDevice(nexus, 0, 64 * KIB), filled(3, 64 * KIB)), 0);
      await nexus.close();
    });
  });

  test('Nexus refuses a block that is bad on every member, and only that one', async () => {
    const rig = new Rig({ policy: QUICK });
    await rig.run(async () => {
      const nexus = rig.nexus();
      await nexus.start();
      await writeDevice(nexus, 0, filled(3, 8192));
      for (const [index, name] of rig.names.entries()) rig.cluster.disk(name).corrupt(index * 9);
      await failsWith('checksum-mismatch', readDevice(nexus, 0, 4096));
      assert.deepEqual(await readDevice(nexus, 4096, 4096), filled(3));
      await nexus.close();
    });
  });
});

describe('Nexus and its quorum', () => {
  test('Nexus suspends writes without a majority and goes on when one voter is back', async () => {
    const rig = new Rig({ policy: QUICK });
    await rig.run(async () => {
      const link = new Link(rig.cluster);
      const nexus = rig.nexus({ connector: link });
      await nexus.start();
      link.cut('r-2', 'r-3');
      let done = false;
      const write = writeDevice(nexus, 0, filled(1)).then(() => (done = true));
      await rig.sleep(20_000);
      assert.equal(done, false);
      const { phase, waitingFor } = nexus.status();
      assert.equal(phase, 'suspended');
      assert.deepEqual(waitingFor, ['r-2', 'r-3']);
      link.heal('r-3');
      await write;
      await rig.until('serving', () => nexus.status().phase === 'serving');
      await rig.until('rejoin', () => members(nexus) === 2);
      await nexus.close();
    });
  });

  test('Nexus fails requests after a time when the policy says so, and recovers', async () => {
    const rig = new Rig({ policy: { ...QUICK, onQuorumLoss: 'error', quorumErrorMs: 3_000 } });
    await rig.run(async () => {
      const link = new Link(rig.cluster);
      const nexus = rig.nexus({ connector: link });
      await nexus.start();
      link.cut('r-2', 'r-3');
      const sinceMs = rig.host.clock.monotonicMs();
      await failsWith('quorum-lost', writeDevice(nexus, 0, filled(1)));
      assert.ok(rig.host.clock.monotonicMs() - sinceMs >= 3_000);
      await failsWith('quorum-lost', writeDevice(nexus, 0, filled(2)));
      await failsWith('quorum-lost', readDevice(nexus, 0, 4096));
      link.heal('r-2', 'r-3');
      await rig.until('serving', () => nexus.status().phase === 'serving');
      await writeDevice(nexus, 0, filled(3));
      await rig.until('rejoin', () => members(nexus) === 3);
      await nexus.close();
      for (const name of rig.names) {
        assert.deepEqual(rig.cluster.disk(name).contents(0, 4096), filled(3));
      }
    });
  });

  test('Nexus stops reads when its lease has run out and cannot be renewed', async () => {
    const rig = new Rig({ policy: { ...QUICK, readLeaseMs: 1_000 } });
    await rig.run(async () => {
      const link = new Link(rig.cluster);
      const nexus = rig.nexus({ connector: link });
      await nexus.start();
      await writeDevice(nexus, 0, filled(1));
      link.cut('r-2', 'r-3');
      assert.deepEqual(await readDevice(nexus, 0, 4096), filled(1));
      await rig.sleep(1_100);
      let done = false;
      const read = readDevice(nexus, 0, 4096).then(() => (done = true));
      await rig.sleep(5_000);
      assert.equal(done, false);
      link.heal('r-2');
      await read;
      nexus.abandon();
    });
  });

  test('Nexus renews its lease by reads alone', async () => {
    const rig = new Rig({ policy: { ...QUICK, readLeaseMs: 1_000 } });
    await rig.run(async () => {
      const nexus = rig.nexus();
      await nexus.start();
      for (let i = 0; i < 50; i++) {
        const sinceMs = rig.host.clock.monotonicMs();
        await readDevice(nexus, 0, 4096);
        assert.ok(rig.host.clock.monotonicMs() - sinceMs < 50);
        await rig.sleep(100 + i * 20);
      }
      await nexus.close();
    });
  });

  test('Nexus fails for good when another one took over', async () => {
    const rig = new Rig({ policy: QUICK });
    await rig.run(async () => {
      const first = rig.nexus();
      await first.start();
      await writeDevice(first, 0, filled(1));
      const second = rig.nexus();
      await second.start();
      await failsWith('fenced', writeDevice(first, 0, filled(2)));
      await failsWith('fenced', readDevice(first, 0, 4096));
      assert.equal(first.status().phase, 'failed');
      assert.deepEqual(await readDevice(second, 0, 4096), filled(1));
      await second.close();
    });
  });

  test('Two that open at once: exactly one serves in the end', async () => {
    for (let seed = 1; seed <= 20; seed++) {
      const rig = new Rig({ policy: QUICK, seed });
      await rig.run(async () => {
        const both = [rig.nexus(), rig.nexus()];
        const outcomes = await Promise.allSettled(both.map((nexus) => nexus.start()));
        await rig.sleep(500);
        const serving = [];
        for (const nexus of both) {
          const works = writeDevice(nexus, 0, filled(1)).then(
            () => true,
            () => false,
          );
          if (await works) serving.push(nexus);
        }
        assert.equal(serving.length, 1, `seed ${seed}: ${outcomes.map((o) => o.status).join()}`);
        for (const nexus of both) nexus.abandon();
      });
    }
  });
});

describe('Nexus after a loss', () => {
  test('Sessions older than the loss fail, whichever nexus finds it; new ones go on', async () => {
    const rig = new Rig({ policy: QUICK });
    await rig.run(async () => {
      const first = rig.nexus();
      await first.start();
      const session = first.session();
      await writeDevice(session, 0, filled(1));
      await flushDevice(session);
      await writeDevice(session, 0, filled(2));
      const since = session.sinceEpoch;
      first.abandon();
      for (const name of rig.names) {
        rig.cluster.powerLoss(name, { below: () => 0 });
        rig.cluster.start(name);
      }
      // This one finds the loss and dies; the next one sees matching incarnations.
      const second = rig.nexus();
      await second.start();
      second.abandon();
      const third = rig.nexus();
      await third.start();
      await failsWith('lost-writes', readDevice(third.session(since), 0, 4096));
      assert.deepEqual(await readDevice(third.session(), 0, 4096), filled(1));
      assert.deepEqual(await readDevice(third, 0, 4096), filled(1));
      await third.close();
    });
  });

  test('A replica that kept everything is waited for, by name', async () => {
    const rig = new Rig({ policy: QUICK });
    await rig.run(async () => {
      const first = rig.nexus();
      await first.start();
      await writeDevice(first, 0, filled(1));
      rig.cluster.cut('r-2');
      rig.cluster.cut('r-3');
      rig.cluster.heal('r-3');
      await writeDevice(first, 0, filled(2));
      await rig.until('r-2 out', () => members(first) >= 1 && phases(first).includes('absent'));
      first.abandon();
      rig.cluster.powerLoss('r-3', { below: () => 0 });
      rig.cluster.start('r-3');
      rig.cluster.heal('r-2');
      rig.cluster.cut('r-1');
      const second = rig.nexus();
      let opened = false;
      const start = second.start().then(() => (opened = true));
      await rig.sleep(30_000);
      if (!opened) assert.ok(second.status().waitingFor.includes('r-1' as ReplicaId));
      rig.cluster.heal('r-1');
      await start;
      assert.deepEqual(await readDevice(second, 0, 4096), filled(2));
      await second.close();
    });
  });

  test('A volume whose only replica restarts stalls and goes on, losing nothing', async () => {
    const rig = new Rig({ replicas: ['r-1'], policy: QUICK });
    await rig.run(async () => {
      const nexus = rig.nexus();
      await nexus.start();
      await writeDevice(nexus, 0, filled(1));
      rig.cluster.crash('r-1');
      const write = writeDevice(nexus, 4096, filled(2));
      const read = readDevice(nexus, 0, 4096);
      await rig.sleep(5_000);
      assert.equal(nexus.status().phase, 'opening');
      assert.deepEqual(nexus.status().waitingFor, ['r-1']);
      rig.cluster.start('r-1');
      await write;
      assert.deepEqual(await read, filled(1));
      assert.deepEqual(await readDevice(nexus, 4096, 4096), filled(2));
      await nexus.close();
    });
  });
});

test('A replica of another volume is refused', async () => {
  const rig = new Rig({ replicas: ['r-1'], policy: QUICK, record: initialRecord(['r-1']) });
  await rig.run(async () => {
    const nexus = rig.nexus({ volume: 'volume-2' as never });
    let opened = false;
    void nexus.start().then(
      () => (opened = true),
      () => undefined,
    );
    await rig.sleep(1_000);
    assert.equal(opened, false);
    nexus.abandon();
  });
});
