/**
 * Planted mistakes in writing, flushing, reading and rebuilding; those in records and votes are in
 * nexus-votes.test.ts.
 */
import { describe } from 'node:test';
import { flushDevice, readDevice, writeDevice } from '#data/block/mod.ts';
import { FlushRounds } from './flush-rounds.ts';
import type { MemberSlot } from './member-slot.ts';
import { filled, KIB, Link, Rig } from './nexus.testkit.ts';
import { Opening } from './opening.ts';
import { ReadPath, type ReadPathOptions } from './read-path.ts';
import { RebuildJob } from './rebuild/rebuild-job.ts';
import { Reconcile, type ReconcileReport } from './reconcile.ts';
import { planted, QUICK, within } from './schedule.testkit.ts';
import { WritePath, type WritePathOptions } from './write-path.ts';
import type { MemberRoster } from './member-roster.ts';

describe('Planted mistakes', () => {
  class EarlyAck extends WritePath {
    readonly #roster: MemberRoster;
    constructor(options: WritePathOptions) {
      super(options);
      this.#roster = options.roster;
    }
    override owed(): number {
      return this.#roster.receiving;
    }
  }

  planted(
    'an acknowledgement before the removal is committed',
    async (classes) => {
      const rig = new Rig({ policy: QUICK, classes });
      return rig.run(async () => {
        const link = new Link(rig.cluster);
        const first = rig.nexus({ connector: link });
        await first.start();
        await writeDevice(first, 0, filled(1));
        link.cut('r-2', 'r-3');
        const acknowledged = await within(rig, 1_000, writeDevice(first, 0, filled(2)));
        // The majority is on the other side and goes on without r-1.
        const other = new Link(rig.cluster);
        other.cut('r-1');
        const second = rig.nexus({ connector: other });
        await second.start();
        const found = (await readDevice(second, 0, 4096))[0];
        first.abandon();
        await second.close();
        return acknowledged === undefined && found !== 2 ? 'acknowledged write is gone' : null;
      });
    },
    { WritePath: EarlyAck },
  );

  class ReadsLeaving extends ReadPath {
    readonly #roster: MemberRoster;
    constructor(options: ReadPathOptions) {
      super(options);
      this.#roster = options.roster;
    }
    override candidates(): number {
      const leaving = this.#roster.inPhase('leaving');
      return leaving.reduce((bits, slot) => bits | slot.bit, this.#roster.readable);
    }
  }

  planted(
    'a read from a member whose removal is under way',
    async (classes) => {
      // The first nexus hears nothing of what its voters did.
      let mute = false;
      let opened = false;
      const rig = new Rig({
        policy: QUICK,
        classes,
        wrap: (member) => {
          const mine = !opened;
          const commit = member.commit.bind(member);
          member.commit = async (record) => {
            const answer = await commit(record);
            if (mine && mute) await new Promise<never>(() => undefined);
            return answer;
          };
          // Nor does it hear that its sessions ended.
          const listen = member.onLost.bind(member);
          member.onLost = (listener) => {
            listen((error) => {
              if (!(mine && mute)) listener(error);
            });
          };
          return member;
        },
      });
      return rig.run(async () => {
        const link = new Link(rig.cluster);
        const first = rig.nexus({ connector: link });
        await first.start();
        await writeDevice(first, 0, filled(1));
        opened = true;
        mute = true;
        // r-1 refuses a write, so it is to go; the removal reaches r-2 and r-3, their answers are
        // lost.
        rig.cluster.store('r-1').failNext('write', 'no-space');
        void writeDevice(first, 64 * KIB, filled(9)).catch(() => undefined);
        await rig.until('removal sent', () => first.status().members[0]?.phase === 'leaving', 500);
        await rig.sleep(5);
        const { record } = rig.cluster.store('r-2').state();
        const committed = record?.members.length === 2;
        const other = new Link(rig.cluster);
        other.cut('r-1');
        const second = rig.nexus({ connector: other });
        const opening = second.start();
        await rig.until('second nexus', () => second.status().phase === 'serving', 30_000);
        await opening;
        await writeDevice(second, 0, filled(2));
        const outcome = await within(rig, 50, readDevice(first, 0, 4096));
        first.abandon();
        await second.close();
        const stale = outcome instanceof Uint8Array && outcome[0] === 1;
        return stale ? `stale read, removal seen by r-2: ${committed}` : null;
      });
    },
    { ReadPath: ReadsLeaving },
  );

  class NoReconcile extends Reconcile {
    override run(): Promise<ReconcileReport> {
      return Promise.resolve({ segments: 0, rewrittenBlocks: 0, doubtfulBlocks: 0 });
    }
  }

  planted(
    'an opening without reconcile',
    async (classes) => {
      const rig = new Rig({ policy: QUICK, classes });
      return rig.run(async () => {
        const first = rig.nexus();
        await first.start();
        await writeDevice(first, 0, filled(1));
        await flushDevice(first);
        // It reaches r-1, and the nexus dies.
        rig.cluster.store('r-2').hold();
        rig.cluster.store('r-3').hold();
        void writeDevice(first, 0, filled(2)).catch(() => undefined);
        await rig.sleep(20);
        first.abandon();
        for (const name of ['r-2', 'r-3']) {
          rig.cluster.crash(name);
          rig.cluster.start(name);
        }
        const second = rig.nexus();
        await second.start();
        const before = (await readDevice(second, 0, 4096))[0];
        rig.cluster.crash('r-1');
        const after = (await readDevice(second, 0, 4096))[0];
        second.abandon();
        return before === after ? null : `read ${before}, then ${after}`;
      });
    },
    { Reconcile: NoReconcile },
  );

  class NoLeaseWait extends Opening {
    override leaseWaitMs(): number {
      return 0;
    }
  }

  planted(
    'an opening that does not wait for the lease',
    async (classes) => {
      const rig = new Rig({ policy: QUICK, classes });
      return rig.run(async () => {
        const link = new Link(rig.cluster);
        const first = rig.nexus({ connector: link });
        await first.start();
        await writeDevice(first, 0, filled(1));
        // The new nexus does not reach r-1, from which the old one reads; and that one nobody else.
        link.cut('r-2', 'r-3');
        const other = new Link(rig.cluster);
        other.cut('r-1');
        const second = rig.nexus({ connector: other });
        await second.start();
        await writeDevice(second, 0, filled(2));
        const outcome = await within(rig, 50, readDevice(first, 0, 4096));
        first.abandon();
        await second.close();
        return outcome instanceof Uint8Array && outcome[0] === 1 ? 'stale read' : null;
      });
    },
    { Opening: NoLeaseWait },
  );

  class ForgetsJoiner extends WritePath {
    readonly #roster: MemberRoster;
    constructor(options: WritePathOptions) {
      super(options);
      this.#roster = options.roster;
    }
    override owed(): number {
      const joining = this.#roster.inPhase('joining');
      return joining.reduce((bits, slot) => bits & ~slot.bit, this.#roster.owed);
    }
  }

  planted(
    'a joiner that is proposed before it has drained',
    async (classes) => {
      let delayed = false;
      const rig: Rig = new Rig({
        policy: QUICK,
        classes,
        wrap: (member) => {
          const submit = member.submit.bind(member);
          member.submit = (request) => {
            // One write lies in the joiner's socket for a while.
            const late =
              request.verb === 'write' && request.offsetBytes === 0 && request.data[0] === 3;
            if (member.replica !== 'r-3' || !late || delayed) return submit(request);
            delayed = true;
            const { done } = request;
            const copy = { ...request, data: request.data.slice(), done };
            rig.host.clock.after(60, () => submit(copy));
          };
          return member;
        },
      });
      return rig.run(async () => {
        const nexus = rig.nexus();
        await nexus.start();
        rig.cluster.cut('r-3');
        // More than one segment, so that the joiner is busy for a moment after it begins to
        // receive.
        await writeDevice(nexus, 512 * KIB, filled(1, 512 * KIB));
        await rig.sleep(20);
        rig.cluster.heal('r-3');
        await rig.until('joiner', () => nexus.status().members[2]?.phase === 'joining');
        const write = writeDevice(nexus, 0, filled(3));
        await rig.until('joined', () => nexus.status().members[2]?.phase === 'in-sync', 5_000);
        await write;
        const held = rig.cluster.disk('r-3').contents(0, 4096)[0];
        nexus.abandon();
        return held === 3 ? null : 'member in sync lacks an acknowledged write';
      });
    },
    { WritePath: ForgetsJoiner },
  );

  class NoJoinFlush extends RebuildJob {
    protected override sync(): Promise<void> {
      return Promise.resolve();
    }
  }

  planted(
    'an addition without a flush before it',
    async (classes) => {
      const rig = new Rig({ policy: QUICK, classes });
      return rig.run(async () => {
        const nexus = rig.nexus();
        await nexus.start();
        rig.cluster.cut('r-3');
        await writeDevice(nexus, 0, filled(5));
        await flushDevice(nexus);
        rig.cluster.heal('r-3');
        await rig.until('joined', () => nexus.status().members[2]?.phase === 'in-sync', 5_000);
        nexus.abandon();
        rig.cluster.powerLoss('r-3', { below: () => 0 });
        return rig.cluster.disk('r-3').contents(0, 4096)[0] === 5 ? null : 'flushed write is gone';
      });
    },
    { RebuildJob: NoJoinFlush },
  );

  class TellsJoiner extends FlushRounds {
    #slots: readonly MemberSlot[] = [];
    constructor(options: ConstructorParameters<typeof FlushRounds>[0]) {
      super(options);
      this.#slots = options.roster.slots;
    }
    override told(): readonly MemberSlot[] {
      return this.#slots.filter((slot) => slot.session !== null);
    }
  }

  planted(
    'a generation told to a joiner',
    async (classes) => {
      const rig = new Rig({
        policy: { ...QUICK, rebuildConcurrency: 1 },
        classes,
        latencyMs: 3,
      });
      return rig.run(async () => {
        const nexus = rig.nexus();
        await nexus.start();
        rig.cluster.cut('r-3');
        await writeDevice(nexus, 0, filled(1, 1024 * KIB));
        await flushDevice(nexus);
        rig.cluster.heal('r-3');
        await rig.until(
          'joiner',
          () => (nexus.status().members[2]?.rebuild?.segmentsDone ?? 0) > 2,
        );
        // Rounds pass while it is half filled; then its process dies.
        await writeDevice(nexus, 2048 * KIB, filled(7));
        await flushDevice(nexus);
        await writeDevice(nexus, 2048 * KIB, filled(8));
        await flushDevice(nexus);
        rig.cluster.crash('r-3');
        rig.cluster.start('r-3');
        await rig.until('joined', () => nexus.status().members[2]?.phase === 'in-sync');
        await nexus.close();
        const wanted = rig.cluster.disk('r-1').contents(0, 1024 * KIB);
        const held = rig.cluster.disk('r-3').contents(0, 1024 * KIB);
        return Buffer.compare(wanted, held) === 0 ? null : 'joiner differs';
      });
    },
    { FlushRounds: TellsJoiner },
  );

  class FlushOfOne extends FlushRounds {
    override owed(): number {
      const bits = super.owed();
      return bits & -bits;
    }
  }

  planted(
    'a flush that one member has done',
    async (classes) => {
      let slow = false;
      const rig: Rig = new Rig({
        policy: QUICK,
        classes,
        wrap: (member) => {
          const flush = member.flush.bind(member);
          member.flush = async () => {
            if (slow && member.replica === 'r-2') await rig.sleep(50);
            await flush();
          };
          return member;
        },
      });
      return rig.run(async () => {
        const nexus = rig.nexus();
        await nexus.start();
        await writeDevice(nexus, 0, filled(5));
        slow = true;
        await flushDevice(nexus);
        rig.cluster.powerLoss('r-2', { below: () => 0 });
        const held = rig.cluster.disk('r-2').contents(0, 4096)[0];
        nexus.abandon();
        return held === 5 ? null : 'flushed write is gone from a member in sync';
      });
    },
    { FlushRounds: FlushOfOne },
  );

  class TakesLateAnswers extends FlushRounds {
    protected override isCurrent(): boolean {
      return true;
    }
  }

  planted(
    'a flush that counts an answer to an older round of an older session',
    async (classes) => {
      let asked = 0;
      let late: () => void = () => undefined;
      const rig: Rig = new Rig({
        policy: { ...QUICK, memberDeadlineMs: 5_000, generationMs: 100_000 },
        classes,
        wrap: (member) => {
          if (member.replica !== 'r-3') return member;
          const flush = member.flush.bind(member);
          member.flush = async () => {
            asked++;
            // The first answer is on its way for long; the join flush passes; the third hangs.
            if (asked === 1) await new Promise<void>((resolve) => (late = resolve));
            else if (asked === 2) await flush();
            else await new Promise<never>(() => undefined);
          };
          return member;
        },
      });
      return rig.run(async () => {
        const nexus = rig.nexus();
        await nexus.start();
        await writeDevice(nexus, 0, filled(1));
        asked = 0;
        const first = flushDevice(nexus);
        await rig.sleep(20);
        rig.cluster.cut('r-3');
        await first;
        rig.cluster.heal('r-3');
        await rig.until('joined', () => nexus.status().members[2]?.phase === 'in-sync');
        await writeDevice(nexus, 0, filled(2));
        const second = within(rig, 100, flushDevice(nexus));
        await rig.sleep(20);
        late();
        const outcome = await second;
        nexus.abandon();
        return outcome === 'waits' ? null : 'flushed, and a member in sync has not synced';
      });
    },
    { FlushRounds: TakesLateAnswers },
  );

  class ForgivesLoss extends Opening {
    override lossFor(): number {
      return 0;
    }
  }

  planted(
    'a session that resumes after a loss',
    async (classes) => {
      const rig = new Rig({ policy: QUICK, classes });
      return rig.run(async () => {
        const nexus = rig.nexus();
        await nexus.start();
        const session = nexus.session();
        await writeDevice(session, 0, filled(1));
        await flushDevice(session);
        await writeDevice(session, 0, filled(2));
        for (const name of rig.names) {
          rig.cluster.powerLoss(name, { below: () => 0 });
          rig.cluster.start(name);
        }
        const outcome = await within(rig, 20_000, readDevice(session, 0, 4096));
        nexus.abandon();
        if (outcome === 'lost-writes') return null;
        return outcome instanceof Uint8Array && outcome[0] === 1 ? 'session resumed' : null;
      });
    },
    { Opening: ForgivesLoss },
  );
});
