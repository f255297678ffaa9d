/**
 * Planted bugs: the simulator is worth something only if it finds what is known to be wrong. Each
 * bug leaves out one rule; the seeds are run until one of them catches it.
 */
import { ok } from 'node:assert/strict';
import { test } from 'node:test';
import type { Member } from '#data/member/mod.ts';
import {
  AcknowledgesEarly,
  CopiesNothing,
  FlushesOne,
  FlushesUnasked,
  ForgivesLoss,
  ReadsJoiner,
  ReconcilesNothing,
} from '#data/nexus/planted.testkit.ts';
import type { ReplicaStore } from '#data/store/mod.ts';
import { runSeed } from './run-seed.ts';
import type { PlantedParts } from './sim-cluster.ts';

const FAULTY_MS = 14_000;
const SEEDS_MAX = 8;

/** The same object but for some of its members. */
function overlay<T extends object>(target: T, changes: Partial<T>): T {
  return new Proxy(target, {
    get: (object, key) => {
      const source: object = key in changes ? changes : object;
      const value: unknown = Reflect.get(source, key, source);
      return typeof value === 'function' ? value.bind(source) : value;
    },
  });
}

/** A store that says yes to a flush and syncs nothing. */
function flushesNothing(store: ReplicaStore): ReplicaStore {
  return overlay(store, { flush: async () => {} });
}

/** A store that does not know what was written when. */
function forgetsStamps(store: ReplicaStore): ReplicaStore {
  return overlay(store, { stampedSince: async () => [] });
}

/** A store that never admits that it lost its cache. */
function keepsIncarnation(store: ReplicaStore): ReplicaStore {
  const state = (): ReturnType<ReplicaStore['state']> => ({
    ...store.state(),
    incarnation: 'i-0000000000000000' as ReturnType<ReplicaStore['state']>['incarnation'],
  });
  return overlay(store, { state });
}

/** A member that says yes to one write in a hundred and forgets it. */
function losesWrites(member: Member): Member {
  let writes = 0;
  const submit: Member['submit'] = (request) => {
    if (request.verb === 'write') writes += 1;
    if (request.verb === 'write' && writes % 100 === 0) request.done(null);
    else member.submit(request);
  };
  return overlay(member, { submit });
}

/** `from`: a seed that is known to catch it, or one shortly before: the run is short then. */
function planted(name: string, parts: PlantedParts, from = 1): void {
  test(`The simulator catches ${name}`, async (context) => {
    let caught: string | null = null;
    for (let seed = from; seed < from + SEEDS_MAX && caught === null; seed += 1) {
      const { problem } = await runSeed(seed, { faultyMs: FAULTY_MS, parts, log: () => {} });
      if (problem !== null) caught = `seed ${seed}: ${problem.slice(0, 200)}`;
    }
    ok(caught !== null, `${SEEDS_MAX} seeds from ${from} saw nothing wrong`);
    context.diagnostic(caught);
  });
}

planted('reads from a joiner', { nexusClasses: { ReadPath: ReadsJoiner } }, 5);
planted('a join that copies nothing', { nexusClasses: { RebuildJob: CopiesNothing } });
planted('an opening without reconcile', { nexusClasses: { Reconcile: ReconcilesNothing } });
planted(
  'an acknowledgement before the removal',
  { nexusClasses: { WritePath: AcknowledgesEarly } },
  5,
);
planted('a flush that nobody has done', { nexusClasses: { FlushRounds: FlushesUnasked } });
planted('a flush that one member has done', { nexusClasses: { FlushRounds: FlushesOne } });
planted('a session that outlives a loss', { nexusClasses: { Opening: ForgivesLoss } }, 4);
planted('a store that does not sync', { wrapStore: flushesNothing });
planted('a store that forgets stamps', { wrapStore: forgetsStamps });
planted('a store that hides a loss of power', { wrapStore: keepsIncarnation });
planted('a member that loses writes', { wrapMember: losesWrites });
