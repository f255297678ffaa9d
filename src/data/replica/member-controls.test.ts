/** Negative controls: each planted mistake must fail the conformance case that is about it. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { HoldfastError, type MembershipRecord, type VoterState } from '#api/mod.ts';
import type { ReplicaRequest } from '#data/block/mod.ts';
import type { Member } from '#data/member/mod.ts';
import { MEMBER_CASES, type MemberWorld } from '#data/member/member.testkit.ts';
import type { LocalMember } from './local-member.ts';
import {
  openLocalWorld,
  openSimWorld,
  type ReplicaSite,
  type WorldOptions,
} from './member-world.testkit.ts';
import { Replica } from './replica.ts';

/** Everything of the member, but for what `changes` gives. */
function changed(member: Member, changes: Partial<Member>): Member {
  return new Proxy(member, {
    get(target, name) {
      if (Object.hasOwn(changes, name)) return changes[name as keyof Member];
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

/** The outcome of each request as `change` turns it. */
function changedDone(
  member: Member,
  change: (request: ReplicaRequest, error: HoldfastError | null) => HoldfastError | null,
): Member {
  return changed(member, {
    submit(request) {
      const { done } = request;
      request.done = (error) => {
        request.done = done;
        done(change(request, error));
      };
      member.submit(request);
    },
  });
}

class ImpatientReplica extends Replica {
  protected override drain(_session: LocalMember): Promise<void> {
    return Promise.resolve();
  }
}

interface Planted {
  readonly mistake: string;
  readonly caughtBy: string;
  readonly options: WorldOptions;
}

const granted = (site: ReplicaSite): VoterState => {
  const { promised, record } = site.store.state();
  return { granted: true, promised, record };
};

const PLANTED: readonly Planted[] = [
  {
    mistake: 'a promise that does not wait for what is in flight',
    caughtBy: 'R1: a promise waits for what the older session has in the store',
    options: { create: (options) => new ImpatientReplica(options) },
  },
  {
    mistake: 'a promise that forgets closed sessions',
    caughtBy: 'R1: a session that was closed is waited for as well',
    options: { create: (options) => new ImpatientReplica(options) },
  },
  {
    mistake: 'the same epoch for another nexus',
    caughtBy: 'R1: a promise is kept, and not given below or twice',
    options: {
      wrap: (member, site) =>
        changed(member, {
          async promise(epoch, nexus) {
            const answer = await member.promise(epoch, nexus);
            return epoch === answer.promised ? granted(site) : answer;
          },
        }),
    },
  },
  {
    mistake: 'a promise in memory only',
    caughtBy: 'R1: a promise outlives the process of the replica',
    options: {
      create(options) {
        const { store } = options;
        const state = store.state.bind(store);
        let promised = 0;
        let promisedTo = '';
        store.setPromised = (epoch, nexus) => {
          promised = epoch;
          promisedTo = nexus;
          return Promise.resolve();
        };
        store.state = () => ({ ...state(), promised, promisedTo });
        return new Replica(options);
      },
    },
  },
  {
    mistake: 'a flush that does not wait for earlier writes',
    caughtBy: 'R8: a flush waits for earlier writes of its session',
    options: { wrap: (member, site) => changed(member, { flush: () => site.store.flush() }) },
  },
  {
    mistake: 'a flush that syncs nothing',
    caughtBy: 'R8: a flush waits for earlier writes of its session',
    options: { wrap: (member) => changed(member, { flush: () => Promise.resolve() }) },
  },
  {
    mistake: 'a lower seq accepted late',
    caughtBy: 'R10: a record is accepted from the bound session when (epoch, seq) rises',
    options: {
      wrap: (member, site) =>
        changed(member, {
          async commit(record: MembershipRecord) {
            const answer = await member.commit(record);
            const { promised } = site.store.state();
            return record.epoch === promised && record.seq === 1 ? granted(site) : answer;
          },
        }),
    },
  },
  {
    mistake: 'no fencing of old epochs',
    caughtBy: 'R1: a higher epoch ends the session of the lower one',
    options: {
      wrap: (member, site) => changed(member, { submit: (request) => site.store.submit(request) }),
    },
  },
  {
    mistake: 'an older session goes on beside the newer one',
    caughtBy: 'R1: a newer session of the same nexus ends the older one',
    options: {
      wrap: (member, site) => changed(member, { submit: (request) => site.store.submit(request) }),
    },
  },
  {
    mistake: 'reads of a replica that was rolled back',
    caughtBy: 'R16: a replica that was rolled back reads nothing before it is reset',
    options: {
      wrap: (member, site) => changed(member, { submit: (request) => site.store.submit(request) }),
    },
  },
  {
    mistake: 'a confirm that never says no',
    caughtBy: 'R4: confirm says whether an epoch is still the highest',
    options: { wrap: (member) => changed(member, { confirm: () => Promise.resolve(true) }) },
  },
  {
    mistake: 'errors without their details',
    caughtBy: 'a corrupt block is an error that says where, never data',
    options: {
      wrap: (member) =>
        changedDone(member, (_request, error) =>
          error === null ? null : new HoldfastError(error.code, error.message),
        ),
    },
  },
  {
    mistake: 'corrupt data given out',
    caughtBy: 'a corrupt block is an error that says where, never data',
    options: { wrap: (member) => changedDone(member, () => null) },
  },
  {
    mistake: 'answers that go to another request',
    caughtBy: '64 requests at once all come back, with their own data',
    options: {
      wrap: (member) =>
        changedDone(member, (request, error) => {
          if (request.verb === 'read') request.data[0] = (request.data[0] ?? 0) ^ 1;
          return error;
        }),
    },
  },
  {
    mistake: 'a loss that is told after our own close',
    caughtBy: 'after close everything fails with aborted, and nobody is told of a loss',
    options: {
      wrap: (member) => {
        let listener: (error: HoldfastError) => void = () => {};
        return changed(member, {
          onLost: (given) => {
            listener = given;
          },
          close: () => {
            member.close();
            listener(new HoldfastError('disconnected', 'Gone'));
          },
        });
      },
    },
  },
  {
    mistake: 'a failed sync that is tried again',
    caughtBy: 'W3: when a sync has failed every session fails, for good',
    options: {
      wrap: (member, site) =>
        changed(member, {
          flush: async () => {
            await site.store.flush().catch(() => {});
          },
        }),
    },
  },
  {
    mistake: 'stamps that are not stored',
    caughtBy: 'intents, stamps and settlements are told and kept',
    options: { wrap: (member) => changed(member, { stampedSince: () => Promise.resolve([]) }) },
  },
];

async function fails(world: MemberWorld, caseName: string): Promise<boolean> {
  const found = MEMBER_CASES.find((memberCase) => memberCase.name === caseName);
  assert.ok(found, caseName);
  try {
    await world.run(found.body(world));
    return false;
  } catch {
    return true;
  } finally {
    await world.close();
  }
}

describe('conformance of Member catches', () => {
  for (const { mistake, caughtBy, options } of PLANTED) {
    test(mistake, async () => {
      assert.equal(await fails(await openLocalWorld(), caughtBy), false, 'passes without it');
      assert.equal(await fails(await openLocalWorld(options), caughtBy), true);
      // The wrapped ones are the same over a connection; the replica's own mistakes must show too.
      if (options.create === undefined) return;
      assert.equal(await fails(await openSimWorld(options), caughtBy), true, 'over a connection');
    });
  }
});
