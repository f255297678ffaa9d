import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SimWorld } from '#host/sim/mod.ts';
import { MemberSession } from './member-session.ts';
import { MemberSlot } from './member-slot.ts';
import { ReadLease } from './read-lease.ts';

test('A read that waits for a voter without a session is let go once it is back', async () => {
  const world = new SimWorld(1);
  const { clock } = world.addNode('n');
  let asked = 0;
  const confirm = async (): Promise<boolean> => {
    asked++;
    await clock.sleep(1);
    return true;
  };
  const voters = ['r-1', 'r-2'] as never[];
  const slots = voters.map((replica, index) => new MemberSlot(replica, index, index === 0, clock));
  const connect = (slot: MemberSlot | undefined): void => {
    if (slot) slot.session = new MemberSession({ state: {}, confirm } as never, true);
  };
  const record = { members: [{ replica: voters[0] }], voters, formerVoters: null };
  let waits = true;
  const lease = new ReadLease({
    roster: { slots } as never,
    membership: { newest: record, epoch: 1, controlPlaneTrusted: false } as never,
    controlPlane: null,
    leaseMs: 1_000,
    deadlineMs: 1_000,
    retryMs: 20,
    clock,
    onRenewed: () => {
      if (waits) waits = !lease.valid(clock.monotonicMs());
    },
    onFenced: () => undefined,
    onVoterLost: () => undefined,
  });
  connect(slots[0]);
  await world.finish(
    (async () => {
      // The only read there is: no other one comes and asks.
      assert.equal(lease.valid(clock.monotonicMs()), false);
      await clock.sleep(500);
      assert.equal(waits, true);
      connect(slots[1]);
      await clock.sleep(100);
      assert.equal(waits, false);
      // Nothing waits: nobody is asked any more.
      const before = asked;
      await clock.sleep(5_000);
      assert.equal(asked, before);
    })(),
  );
});
