/** Records and votes: schedules with planted mistakes for R16 and R17. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { CONTROL_PLANE, type MembershipRecord, type ReplicaId, type VoterId } from '#api/mod.ts';
import { readDevice, writeDevice } from '#data/block/mod.ts';
import type { ControlPlaneAnswer, ReplicaAnswer, SetChoice } from './choose-set.ts';
import { Membership } from './membership.ts';
import { filled, Link, members, MemoryVoter, phases, Rig } from './nexus.testkit.ts';
import type { Nexus } from './nexus.ts';
import type { NexusClasses } from './nexus-classes.ts';
import { Opening } from './opening.ts';
import { planted, QUICK, within } from './schedule.testkit.ts';

/**
 * The schedule of correction 3. The first nexus removes r-3 and then hands its vote to the control
 * plane, but that record reaches only r-2 and the control plane. The second one opens with r-1 and
 * r-3, which know nothing of it; the third one finds it.
 */
async function halfHandOver(
  classes: Partial<NexusClasses>,
  look: (rig: Rig, third: () => ReturnType<Rig['nexus']>) => Promise<string | null>,
): Promise<string | null> {
  const voter = new MemoryVoter();
  let lossy = true;
  const rig: Rig = new Rig({
    controlPlane: voter,
    policy: { ...QUICK, handOverVoteMs: 1_000 },
    classes,
    wrap: (member) => {
      const commit = member.commit.bind(member);
      member.commit = (record) => {
        const changes = record.voters.includes(CONTROL_PLANE);
        if (!lossy || !changes || member.replica === 'r-2') return commit(record);
        return new Promise<never>(() => undefined);
      };
      return member;
    },
  });
  return rig.run(async () => {
    const first = rig.nexus();
    await first.start();
    await writeDevice(first, 0, filled(1));
    rig.cluster.cut('r-3');
    await rig.until('proposal', () => voter.record !== null);
    first.abandon();
    lossy = false;
    rig.cluster.heal('r-3');
    const link = new Link(rig.cluster);
    link.cut('r-2');
    const away = new MemoryVoter();
    away.down = true;
    const second = rig.nexus({ connector: link, controlPlane: away });
    await second.start();
    await writeDevice(second, 0, filled(2));
    const outcome = await look(rig, () => {
      const other = new Link(rig.cluster);
      other.cut('r-1', 'r-3');
      return rig.nexus({ connector: other });
    });
    second.abandon();
    return outcome;
  });
}

async function readsStale(rig: Rig, third: () => ReturnType<Rig['nexus']>): Promise<string | null> {
  const nexus = third();
  await within(rig, 30_000, nexus.start());
  const outcome = await within(rig, 100, readDevice(nexus, 0, 4096));
  nexus.abandon();
  return outcome instanceof Uint8Array && outcome[0] === 1 ? 'an acknowledged write is gone' : null;
}

describe('Changing voters (R17)', () => {
  class OneSet extends Membership {
    protected override formerVoters(): readonly VoterId[] | null {
      return null;
    }
  }

  planted(
    'a change of voters that carries the new set only',
    (classes) => halfHandOver(classes, readsStale),
    { Membership: OneSet },
  );

  class OpensWithNew extends Opening {
    protected override choose(
      answers: readonly ReplicaAnswer[],
      controlPlane: ControlPlaneAnswer | null,
    ): SetChoice {
      const strip = (record: MembershipRecord | null): MembershipRecord | null =>
        record === null ? null : { ...record, formerVoters: null };
      return super.choose(
        answers.map((answer) => ({ ...answer, record: strip(answer.record) })),
        controlPlane === null ? null : { ...controlPlane, record: strip(controlPlane.record) },
      );
    }
  }

  planted(
    'an opening with a majority of the new voters only',
    (classes) => halfHandOver(classes, readsStale),
    { Opening: OpensWithNew },
  );

  test('An opening that finds a joint record commits a joint one, then forgets', async () => {
    const voter = new MemoryVoter();
    const joints: boolean[] = [];
    let hold = true;
    const rig: Rig = new Rig({
      controlPlane: voter,
      policy: { ...QUICK, handOverVoteMs: 1_000 },
      wrap: (member) => {
        const commit = member.commit.bind(member);
        member.commit = (record) => {
          const joint = record.formerVoters !== null;
          if (member.replica === 'r-2') joints.push(joint);
          const forgets = !joint && record.voters.includes(CONTROL_PLANE);
          return hold && forgets ? new Promise<never>(() => undefined) : commit(record);
        };
        return member;
      },
    });
    await rig.run(async () => {
      const first = rig.nexus();
      await first.start();
      voter.down = true;
      rig.cluster.cut('r-3');
      await rig.until('joint', () => (first.status().record?.formerVoters ?? null) !== null);
      first.abandon();
      hold = false;
      voter.down = false;
      assert.equal(rig.cluster.store('r-2').state().record?.formerVoters?.length, 3);
      joints.length = 0;
      const second = rig.nexus();
      await second.start();
      await rig.until('settled', () => second.status().record?.formerVoters === null);
      assert.deepEqual(joints.slice(0, 2), [true, false]);
      assert.deepEqual([...(second.status().record?.voters ?? [])].sort(), [
        CONTROL_PLANE,
        'r-1',
        'r-2',
      ]);
      await second.close();
    });
  });
});

/**
 * r-2 comes back as an older copy that only the record betrays, and the nexus that noticed dies at
 * the very moment when r-2 has the newest record: `crashes` times. Then r-3 is gone too: r-1 and
 * r-2 must not pass for a majority.
 */
async function forgetsTwice(
  classes: Partial<NexusClasses>,
  found: 'by the opening' | 'while serving',
  crashes: number,
): Promise<string | null> {
  let onCommit: (() => void) | null = null;
  const rig: Rig = new Rig({
    policy: QUICK,
    classes,
    wrap: (member) => {
      const commit = member.commit.bind(member);
      member.commit = async (record) => {
        const answer = await commit(record);
        if (member.replica === 'r-2' && answer.granted) onCommit?.();
        return answer;
      };
      return member;
    },
  });
  return rig.run(async () => {
    const first = rig.nexus();
    await first.start();
    await writeDevice(first, 0, filled(1));
    await first.close();
    const yesterday = rig.cluster.disk('r-2').image();
    const second = rig.nexus();
    await second.start();
    await writeDevice(second, 0, filled(2));
    if (found === 'by the opening') second.abandon();
    rig.cluster.crash('r-2');
    if (found === 'while serving') {
      await rig.until('removal', () => second.status().record?.members.length === 2);
    }
    rig.cluster.disk('r-2').restore(yesterday, { unnoticed: true });
    let nexus = second;
    for (let crash = 0; crash < crashes; crash++) {
      let died = false;
      onCommit = () => {
        died = true;
        nexus.abandon();
      };
      rig.cluster.start('r-2');
      if (found === 'by the opening' || crash > 0) {
        nexus = rig.nexus();
        void nexus.start().catch(() => undefined);
      }
      await rig.until('r-2 has the record', () => died);
      onCommit = null;
      rig.cluster.crash('r-2');
    }
    rig.cluster.start('r-2');
    rig.cluster.cut('r-3');
    const last = rig.nexus();
    const outcome = await within(rig, 20_000, last.start());
    last.abandon();
    return outcome === 'waits' ? null : 'a voter that forgot was counted';
  });
}

describe('Voters that forgot (R16)', () => {
  class KeepsVote extends Opening {
    protected override noteForgetful(): Promise<void> {
      return Promise.resolve();
    }
  }

  planted(
    'a vote that comes back with the first record',
    (classes) => forgetsTwice(classes, 'by the opening', 1),
    { Opening: KeepsVote },
  );

  for (const found of ['by the opening', 'while serving'] as const) {
    for (const crashes of [1, 2]) {
      test(`A store rolled back has no vote: noticed ${found}, ${crashes} crashes`, async () => {
        assert.equal(await forgetsTwice({}, found, crashes), null);
      });
    }
  }
});

/** A control plane as a backup has it, and put back. */
function backup(voter: MemoryVoter): () => void {
  const { promised, promisedTo, record } = voter;
  return () => Object.assign(voter, { promised, promisedTo, record });
}

/** r-2 is away, r-1 goes on with the control plane, which is restored; then r-1 is away. */
async function restoredAtOpening(classes: Partial<NexusClasses>): Promise<string | null> {
  const voter = new MemoryVoter();
  const rig = new Rig({
    replicas: ['r-1', 'r-2'],
    controlPlane: voter,
    policy: { ...QUICK, floorMs: 1_000 },
    classes,
  });
  return rig.run(async () => {
    const first = rig.nexus();
    await first.start();
    await writeDevice(first, 0, filled(1));
    const restore = backup(voter);
    await rig.sleep(2_500);
    rig.cluster.cut('r-2');
    await writeDevice(first, 0, filled(2));
    first.abandon();
    restore();
    rig.cluster.heal('r-2');
    rig.cluster.crash('r-1');
    const second = rig.nexus();
    const outcome = await within(rig, 20_000, second.start());
    second.abandon();
    return outcome === 'waits' ? null : 'an acknowledged write is gone';
  });
}

describe('A restored control plane (R16, R17)', () => {
  class TrustsOldVote extends Opening {
    protected override choose(
      answers: readonly ReplicaAnswer[],
      controlPlane: ControlPlaneAnswer | null,
    ): SetChoice {
      const strip = (record: MembershipRecord | null): MembershipRecord | null =>
        record === null ? null : { ...record, held: [] };
      return super.choose(
        answers.map((answer) => ({ ...answer, record: strip(answer.record) })),
        controlPlane === null ? null : { ...controlPlane, record: strip(controlPlane.record) },
      );
    }
  }

  planted('a restored control plane that keeps its vote', restoredAtOpening, {
    Opening: TrustsOldVote,
  });

  test('A control plane restored while the volume serves votes again as a new voter', async () => {
    for (const empty of [false, true]) {
      const voter = new MemoryVoter();
      const rig = new Rig({
        replicas: ['r-1', 'r-2'],
        controlPlane: voter,
        policy: { ...QUICK, floorMs: 1_000 },
      });
      await rig.run(async () => {
        const zero = rig.nexus();
        await zero.start();
        const restore = backup(voter);
        zero.abandon();
        const nexus = rig.nexus();
        await nexus.start();
        if (empty) Object.assign(voter, { promised: 0, promisedTo: '', record: null });
        else restore();
        await rig.until('told', () => voter.record?.epoch === nexus.epoch);
        await rig.until('out and in again', () => nexus.status().counters['voterChanges'] === 2);
        assert.equal(nexus.status().record?.voters.length, 3);
        rig.cluster.cut('r-2');
        await writeDevice(nexus, 0, filled(3));
        assert.equal(nexus.status().record?.members.length, 1);
        await nexus.close();
      });
    }
  });
});

test('A nexus without its only voter stops its reads (R4)', async () => {
  const rig = new Rig({ policy: { ...QUICK, readLeaseMs: 1_000 } });
  await rig.run(async () => {
    const zero = rig.nexus();
    await zero.start();
    await writeDevice(zero, 0, filled(1));
    await zero.close();
    const yesterday = rig.cluster.disk('r-1').image();
    const link = new Link(rig.cluster);
    const first = rig.nexus({ connector: link });
    await first.start();
    rig.cluster.crash('r-1');
    rig.cluster.disk('r-1').restore(yesterday);
    rig.cluster.start('r-1');
    await rig.until('rebuilt', () => first.status().counters['rebuilds'] === 1);
    await first.removeReplica('r-3' as ReplicaId);
    assert.deepEqual(first.status().record?.voters, ['r-2']);
    assert.equal(first.status().record?.members.length, 2);
    link.cut('r-2');
    const other = new Link(rig.cluster);
    other.cut('r-1');
    const second = rig.nexus({ connector: other });
    await second.start();
    await writeDevice(second, 0, filled(2));
    const outcome = await within(rig, 100, readDevice(first, 0, 4096));
    assert.equal(outcome, 'waits');
    first.abandon();
    await second.close();
  });
});

describe('Nexus and votes', () => {
  test('Two replicas go on with the control plane, and wait for it when it is down', async () => {
    const voter = new MemoryVoter();
    const rig = new Rig({ replicas: ['r-1', 'r-2'], controlPlane: voter, policy: QUICK });
    await rig.run(async () => {
      const nexus = rig.nexus();
      await nexus.start();
      voter.down = true;
      await writeDevice(nexus, 0, filled(1));
      rig.cluster.cut('r-2');
      let done = false;
      const write = writeDevice(nexus, 0, filled(2)).then(() => (done = true));
      await rig.sleep(3_000);
      assert.equal(done, false);
      voter.down = false;
      await write;
      assert.equal(members(nexus), 1);
      rig.cluster.heal('r-2');
      await rig.until('rejoin', () => members(nexus) === 2);
      await nexus.close();
    });
  });

  test('Three replicas lose two one after the other: the vote is handed over, and taken back', async () => {
    const voter = new MemoryVoter();
    const rig = new Rig({ controlPlane: voter, policy: { ...QUICK, handOverVoteMs: 2_000 } });
    await rig.run(async () => {
      const nexus = rig.nexus();
      await nexus.start();
      const voters = (): string => [...(nexus.status().record?.voters ?? [])].sort().join(' ');
      assert.equal(voters(), 'r-1 r-2 r-3');
      rig.cluster.cut('r-3');
      await writeDevice(nexus, 0, filled(1));
      await rig.until('hand-over', () => voters() === `${CONTROL_PLANE} r-1 r-2`);
      assert.equal(nexus.status().record?.formerVoters, null);
      rig.cluster.cut('r-2');
      await writeDevice(nexus, 0, filled(2));
      assert.equal(members(nexus), 1);
      // A restart of the nexus finds its way with what is left.
      nexus.abandon();
      const second = rig.nexus();
      await second.start();
      assert.deepEqual(await readDevice(second, 0, 4096), filled(2));
      rig.cluster.heal('r-2');
      rig.cluster.heal('r-3');
      await rig.until('all back', () => members(second) === 3);
      await rig.until('votes back', () => second.status().record?.voters.length === 3);
      assert.equal([...(second.status().record?.voters ?? [])].sort().join(' '), 'r-1 r-2 r-3');
      await second.close();
    });
  });

  test('A replica that was rolled back is recognised and rebuilt, but votes no more', async () => {
    const rig = new Rig({ policy: QUICK, controlPlane: new MemoryVoter() });
    await rig.run(async () => {
      const first = rig.nexus();
      await first.start();
      await writeDevice(first, 0, filled(1));
      await first.close();
      const yesterday = rig.cluster.disk('r-2').image();
      const second = rig.nexus();
      await second.start();
      await writeDevice(second, 0, filled(2));
      rig.cluster.crash('r-2');
      rig.cluster.disk('r-2').restore(yesterday);
      rig.cluster.start('r-2');
      await rig.until(
        'rebuild',
        () => members(second) === 3 && phases(second) === 'in-sync '.repeat(3).trim(),
      );
      assert.equal(second.status().counters['rollbacks'], 1);
      const voters = (nexus: Nexus): string =>
        [...(nexus.status().record?.voters ?? [])].sort().join(' ');
      assert.equal(voters(second), 'control-plane r-1 r-3');
      rig.cluster.cut('r-3');
      await writeDevice(second, 4096, filled(3));
      second.abandon();
      // The next nexus knows it too.
      rig.cluster.heal('r-3');
      const third = rig.nexus();
      await third.start();
      await rig.until('rejoin', () => members(third) === 3);
      assert.equal(voters(third), 'control-plane r-1 r-3');
      await third.close();
      assert.deepEqual(rig.cluster.disk('r-2').contents(0, 4096), filled(2));
      assert.deepEqual(rig.cluster.disk('r-2').contents(4096, 4096), filled(3));
    });
  });

  test('An opening does not count a rolled-back voter, noticed by its files or by the record', async () => {
    for (const unnoticed of [false, true]) {
      const rig = new Rig({ policy: QUICK });
      await rig.run(async () => {
        const first = rig.nexus();
        await first.start();
        await writeDevice(first, 0, filled(1));
        await first.close();
        const yesterday = rig.cluster.disk('r-2').image();
        const second = rig.nexus();
        await second.start();
        await writeDevice(second, 0, filled(2));
        await second.close();
        rig.cluster.disk('r-2').restore(yesterday, { unnoticed });
        rig.cluster.crash('r-2');
        (rig.cluster as unknown as { start(name: string): void }).start('r-2');
        const third = rig.nexus();
        await third.start();
        assert.deepEqual(await readDevice(third, 0, 4096), filled(2));
        await rig.until('rebuild', () => members(third) === 3);
        await third.close();
        assert.deepEqual(rig.cluster.disk('r-2').contents(0, 4096), filled(2));
      });
    }
  });
});
