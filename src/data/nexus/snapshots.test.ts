/** The snapshot barrier: schedules with planted mistakes for R18. */
import { describe } from 'node:test';
import type { SnapshotId } from '#api/mod.ts';
import { writeDevice } from '#data/block/mod.ts';
import type { NexusClasses } from './nexus-classes.ts';
import { filled, KIB, MIB, Rig } from './nexus.testkit.ts';
import { planted, QUICK } from './schedule.testkit.ts';
import { Snapshots } from './snapshots.ts';

const SNAPSHOT = 's-1' as SnapshotId;

/** Which replica holds something else in the snapshot than r-1 does, if any. */
function differing(rig: Rig, lengthBytes: number): string | null {
  const [first, ...others] = rig.names;
  const wanted = rig.cluster.disk(first as string).contents(0, lengthBytes, SNAPSHOT);
  for (const name of others) {
    const { snapshots } = rig.cluster.store(name).state();
    if (!snapshots.some(({ id, sealed }) => id === SNAPSHOT && sealed)) return `${name} lacks it`;
    const held = rig.cluster.disk(name).contents(0, lengthBytes, SNAPSHOT);
    if (Buffer.compare(wanted, held) !== 0) return `${name} differs`;
  }
  return null;
}

describe('Snapshots (R18)', () => {
  class FreezesJoiner extends Snapshots {
    protected override dropJoiners(): void {
      return undefined;
    }
  }

  async function duringRebuild(
    classes: Partial<NexusClasses>,
    when: (done: number, total: number) => boolean,
  ): Promise<string | null> {
    const rig = new Rig({
      policy: { ...QUICK, rebuildConcurrency: 1 },
      latencyMs: 2,
      classes,
    });
    return rig.run(async () => {
      const nexus = rig.nexus();
      await nexus.start();
      rig.cluster.crash('r-3');
      await writeDevice(nexus, 0, filled(1, MIB));
      rig.cluster.start('r-3');
      await rig.until('moment', () => {
        const rebuild = nexus.status().members[2]?.rebuild;
        return (
          rebuild !== null &&
          rebuild !== undefined &&
          when(rebuild.segmentsDone, rebuild.segmentsTotal)
        );
      });
      await nexus.createSnapshot(SNAPSHOT);
      await writeDevice(nexus, 0, filled(2, 32 * KIB));
      await rig.until('rejoin', () => nexus.status().record?.members.length === 3);
      const found = differing(rig, MIB);
      nexus.abandon();
      return found;
    });
  }

  planted(
    'a joiner that freezes what it has copied so far',
    (classes) => duringRebuild(classes, (done) => done > 2),
    { Snapshots: FreezesJoiner },
  );

  class NoDrain extends Snapshots {
    protected override drain(): Promise<() => void> {
      return Promise.resolve(() => undefined);
    }
  }

  planted(
    'a barrier that does not wait for writes in flight',
    async (classes) => {
      let slow = false;
      const rig: Rig = new Rig({
        policy: QUICK,
        classes,
        wrap: (member) => {
          const submit = member.submit.bind(member);
          member.submit = (request) => {
            if (!slow || member.replica !== 'r-2' || request.verb !== 'write') {
              return submit(request);
            }
            rig.host.clock.after(50, () => submit(request));
          };
          return member;
        },
      });
      return rig.run(async () => {
        const nexus = rig.nexus();
        await nexus.start();
        await writeDevice(nexus, 0, filled(1));
        slow = true;
        const write = writeDevice(nexus, 0, filled(2));
        await rig.sleep(5);
        await nexus.createSnapshot(SNAPSHOT);
        await write;
        const found = differing(rig, 4 * KIB);
        nexus.abandon();
        return found;
      });
    },
    { Snapshots: NoDrain },
  );

  class OneMember extends Snapshots {
    override onAll(...[deadlineMs, step]: Parameters<Snapshots['onAll']>): Promise<void> {
      return super.onAll(deadlineMs, async (session) => {
        if (session.member.replica === 'r-1') await step(session);
      });
    }
  }

  planted(
    'a snapshot that one member has',
    async (classes) => {
      const rig = new Rig({ policy: QUICK, classes });
      return rig.run(async () => {
        const nexus = rig.nexus();
        await nexus.start();
        await writeDevice(nexus, 0, filled(1));
        await nexus.createSnapshot(SNAPSHOT);
        nexus.abandon();
        rig.cluster.crash('r-1');
        const second = rig.nexus();
        await second.start();
        const there = second.status().snapshots.includes(SNAPSHOT);
        second.abandon();
        return there ? null : 'a snapshot that was acknowledged is gone';
      });
    },
    { Snapshots: OneMember },
  );

  class NoRecord extends Snapshots {
    protected override settle(): Promise<void> {
      return Promise.resolve();
    }
  }

  planted(
    'a snapshot acknowledged before the removal of who lacks it',
    async (classes) => {
      let mute = false;
      const rig: Rig = new Rig({
        policy: { ...QUICK, memberDeadlineMs: 1_000 },
        classes,
        wrap: (member) => {
          // The addition of r-3 is proposed, and no answer comes; its removal reaches nobody.
          const commit = member.commit.bind(member);
          member.commit = async (record) => {
            if (!mute) return commit(record);
            if (record.members.length === 3) await commit(record);
            return new Promise<never>(() => undefined);
          };
          return member;
        },
      });
      return rig.run(async () => {
        const nexus = rig.nexus();
        await nexus.start();
        rig.cluster.cut('r-3');
        await writeDevice(nexus, 0, filled(1));
        mute = true;
        rig.cluster.heal('r-3');
        const held = (): number => rig.cluster.store('r-3').state().record?.seq ?? 0;
        const before = held();
        await rig.until('proposal', () => held() > before);
        let acknowledged = false;
        void nexus.createSnapshot(SNAPSHOT).then(
          () => (acknowledged = true),
          () => undefined,
        );
        await rig.sleep(200);
        nexus.abandon();
        rig.cluster.crash('r-1');
        mute = false;
        const second = rig.nexus();
        await second.start();
        const there = second.status().snapshots.includes(SNAPSHOT);
        second.abandon();
        return !acknowledged || there ? null : 'a snapshot that was acknowledged is gone';
      });
    },
    { Snapshots: NoRecord },
  );
});
