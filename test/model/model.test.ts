import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { explore, type Outcome, play, ScheduleRefused, walk } from './checker.ts';
import { hunt, MISTAKES, replaySound } from './mistakes.ts';
import { RegisterHistory } from './register-history.ts';
import { ReplicationModel } from './replication-model.ts';
import { RULES, without } from './rules.ts';
import { hash, hashState, memberAt, replicaAt, stateBytes } from './state.ts';
import { BASIC, SMALL, WALKED, WHOLE } from './worlds.ts';
import { THREE } from './bounds.ts';

const STATES = 1_000_000;
const STEPS = 200_000;

function assertSound({ violation }: Outcome): void {
  assert.equal(violation, null, `${violation?.what}\n${violation?.trace.join('\n')}`);
}

describe('The sound model', () => {
  for (const bounds of BASIC) {
    test(`${bounds.name} has no violation in its first million states`, () => {
      const outcome = explore(new ReplicationModel(bounds), { states: STATES });
      assertSound(outcome);
      assert.ok(outcome.states >= STATES);
    });
  }
  for (const bounds of WHOLE.slice(0, 1)) {
    test(`${bounds.name} has no violation in any state`, () => {
      const outcome = explore(new ReplicationModel(bounds), {});
      assertSound(outcome);
      assert.ok(outcome.isComplete);
    });
  }
  for (const bounds of WALKED) {
    test(`${bounds.name} has no violation in random walks`, () => {
      const limits = { seed: 20, steps: STEPS, lengthMax: 400 };
      assertSound(walk(new ReplicationModel(bounds), limits));
    });
  }
});

describe('Planted mistakes', () => {
  for (const mistake of MISTAKES) {
    const verb = mistake.harmless === undefined ? 'is caught' : 'is not caught, as argued';
    test(`"${mistake.name}" (${RULES[mistake.rule]}) ${verb}`, () => {
      const isHarmless = mistake.harmless !== undefined;
      const { violation } = hunt(mistake, isHarmless ? STEPS : undefined);
      assert.equal(violation === null, isHarmless);
      if (mistake.schedule === undefined) return;
      const { refused, outcome } = replaySound(mistake);
      if (refused === null) assertSound(outcome as Outcome);
    });
  }

  test('Every rule of the model is broken by one of them', () => {
    const broken = new Set<string>(MISTAKES.map(({ rule }) => rule));
    assert.deepEqual(
      Object.keys(RULES).filter((rule) => !broken.has(rule)),
      [],
    );
  });

  test('No more than two are not caught', () => {
    assert.ok(MISTAKES.filter(({ harmless }) => harmless !== undefined).length <= 2);
  });
});

describe('The small models', () => {
  for (const small of SMALL) {
    test(`${small.name} has no violation`, () => {
      assertSound(explore(small.make(), { states: STATES }));
    });
    for (const [rule, make] of small.mistakes) {
      test(`${small.name} without ${rule} is caught`, () => {
        assert.notEqual(explore(make(), { states: STATES }).violation, null);
      });
    }
  }
});

describe('The checker', () => {
  test('Two runs from one seed take the same steps', () => {
    const limits = { seed: 7, steps: STEPS, lengthMax: 300 };
    const first = walk(new ReplicationModel(THREE, without('keepIntents')), limits);
    const second = walk(new ReplicationModel(THREE, without('keepIntents')), limits);
    assert.notEqual(first.violation, null);
    assert.deepEqual(first, second);
  });

  test('A trace played as a schedule gives the same violation', () => {
    const rules = without('highestSeq');
    const found = walk(new ReplicationModel(THREE, rules), {
      seed: 7,
      steps: STEPS,
      lengthMax: 300,
    });
    const schedule = found.violation?.trace.map((step) => step.split(':')[0] as string) ?? [];
    const model = new ReplicationModel(THREE, rules);
    assert.equal(play(model, model.initial(), schedule), found.violation?.what);
  });

  test('A schedule with a step that cannot happen is refused', () => {
    const model = new ReplicationModel(THREE);
    assert.throws(() => play(model, model.initial(), ['serve 1']), ScheduleRefused);
  });

  test('Breadth first finds a shortest trace', () => {
    const { violation } = explore(new ReplicationModel(THREE, without('readWaits')), {});
    assert.deepEqual(
      violation?.trace.map((step) => step.split(' ')[0]),
      ['write', 'take', 'read', 'read'],
    );
  });

  test('The hash is the same for renumbered replicas and differs otherwise', () => {
    const s = new Uint8Array(stateBytes(2));
    for (let i = 0; i < s.length; i++) s[i] = (i * 31 + 7) & 255;
    const hashOf = (state: Uint8Array): string => {
      hashState(new Uint32Array(state.buffer), 3, 2);
      return `${hash.low}.${hash.high}`;
    };
    const swapped = s.slice();
    const swap = (a: number, b: number, length: number): void => {
      swapped.set(s.subarray(a, a + length), b);
      swapped.set(s.subarray(b, b + length), a);
    };
    swap(replicaAt(0), replicaAt(2), replicaAt(1) - replicaAt(0));
    assert.notEqual(hashOf(swapped), hashOf(s));
    for (const n of [0, 1]) swap(memberAt(n, 0), memberAt(n, 2), memberAt(0, 1) - memberAt(0, 0));
    assert.equal(hashOf(swapped), hashOf(s));
  });
});

describe('RegisterHistory', () => {
  const h = new RegisterHistory();

  test('A write in flight may be read or not, but does not go away once read', () => {
    const begun = h.invoke(h.initial, 1);
    assert.ok(h.read(begun, 0) >= 0);
    const seen = h.read(begun, 1);
    assert.ok(seen >= 0);
    assert.ok(h.read(seen, 0) < 0);
  });

  test('An acknowledged write is read, and nothing older', () => {
    const acked = h.ack(h.invoke(h.initial, 1), 1);
    assert.ok(h.read(acked, 0) < 0);
    assert.ok(h.read(acked, 1) >= 0);
  });

  test('A loss gives back the flushed value or a later one, and then it is stable', () => {
    const first = h.ack(h.invoke(h.initial, 1), 1);
    const flushed = h.flushDone(h.flushStart(first, 0), 0);
    const lost = h.lose(h.ack(h.invoke(flushed, 2), 2));
    assert.ok(h.read(lost, 0) < 0);
    assert.ok(h.read(lost, 2) >= 0);
    assert.ok(h.read(h.read(lost, 1), 2) < 0);
  });

  test('A write of a nexus that is over took effect or never does', () => {
    const over = h.open(h.invoke(h.initial, 1));
    assert.ok(h.read(h.read(over, 0), 1) < 0);
    assert.ok(h.ack(h.read(over, 0), 1) < 0);
    assert.ok(h.ack(h.read(over, 1), 1) >= 0);
  });
});
