import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  CONTROL_PLANE,
  GENERATION_ZERO,
  type MembershipRecord,
  type OpenCondition,
  type VoterId,
} from '#api/mod.ts';
import { chooseSet, type ReplicaAnswer } from './choose-set.ts';

interface RecordOptions extends Partial<Omit<MembershipRecord, 'members' | 'voters'>> {
  readonly members?: readonly string[];
  readonly voters?: readonly string[];
}

/** Members are written `name` or `name@incarnation`; the incarnation is `i` when not given. */
function record(epoch: number, seq: number, options: RecordOptions = {}): MembershipRecord {
  const { members = ['x', 'y', 'z'], voters = ['x', 'y', 'z'], ...rest } = options;
  return {
    epoch,
    seq,
    members: members.map((text) => {
      const [replica, incarnation = 'i'] = text.split('@');
      return { replica, incarnation } as never;
    }),
    voters: voters as readonly VoterId[],
    formerVoters: null,
    closed: false,
    loss: 0,
    floor: { epoch: 0, seq: 0 },
    held: [],
    ...rest,
  };
}

interface AnswerOptions {
  readonly incarnation?: string;
  readonly condition?: OpenCondition;
  readonly promised?: number;
  readonly rebuild?: string;
}

function answer(
  replica: string,
  held: MembershipRecord | null,
  options: AnswerOptions = {},
): ReplicaAnswer {
  const { incarnation = 'i', condition = 'process-crash', rebuild = '' } = options;
  const promised = options.promised ?? held?.epoch ?? 0;
  return {
    replica: replica as never,
    record: held,
    state: {
      identity: {} as never,
      incarnation: incarnation as never,
      condition,
      sizeBytes: 0,
      promised,
      promisedTo: '',
      record: held,
      completed: GENERATION_ZERO,
      snapshots: [],
      rebuild,
      failed: null,
    },
  };
}

function names(choice: ReturnType<typeof chooseSet>): string[] {
  return choice.kind === 'chosen' ? choice.members.map((member) => member.replica as string) : [];
}

describe('chooseSet', () => {
  test('chooseSet takes the highest epoch, then the highest seq (R2)', () => {
    const choice = chooseSet(
      [
        answer('x', record(3, 9, { members: ['x', 'y', 'z'] })),
        answer('y', record(4, 1, { members: ['x', 'y', 'z'] })),
        answer('z', record(4, 2, { members: ['y', 'z'] })),
      ],
      null,
    );
    assert.deepEqual(names(choice), ['y', 'z']);
  });

  test('chooseSet waits for a majority and names who is missing', () => {
    const choice = chooseSet([answer('x', record(1, 1))], null);
    assert.equal(choice.kind, 'no-majority');
    assert.deepEqual(choice.kind === 'no-majority' && choice.missing, ['y', 'z']);
  });

  test('chooseSet keeps complete members only, and says who has promised nothing (R3, R4)', () => {
    const held = record(2, 1);
    const choice = chooseSet(
      [answer('x', held), answer('y', held, { incarnation: 'other' })],
      null,
    );
    assert.deepEqual(names(choice), ['x']);
    assert.deepEqual(choice.kind === 'chosen' && choice.unpromised, ['z']);
    assert.equal(choice.kind === 'chosen' && choice.lost, false);
  });

  test('chooseSet waits for a member that may be complete (R3)', () => {
    const held = record(2, 1);
    const flushedOnly = { incarnation: 'other' };
    const choice = chooseSet(
      [answer('x', held, flushedOnly), answer('y', held, flushedOnly)],
      null,
    );
    assert.equal(choice.kind, 'wait');
    assert.deepEqual(choice.kind === 'wait' && choice.missing, ['z']);
  });

  test('chooseSet takes flushed copies, as a loss, when all have answered (R3)', () => {
    const held = record(2, 1);
    const answers = ['x', 'y', 'z'].map((name) => answer(name, held, { incarnation: 'other' }));
    const choice = chooseSet(answers, null);
    assert.deepEqual(names(choice), ['x', 'y', 'z']);
    assert.equal(choice.kind === 'chosen' && choice.lost, true);
  });

  test('chooseSet accepts any incarnation of a volume that was never opened', () => {
    const founding = record(0, 0, { members: ['x@', 'y@', 'z@'], closed: true });
    const choice = chooseSet([answer('x', founding), answer('y', founding)], null);
    assert.deepEqual(names(choice), ['x', 'y']);
  });

  test('chooseSet counts no voter rolled back, by its files or by the record (R16)', () => {
    const held = record(3, 5, { members: ['x', 'y'], floor: { epoch: 3, seq: 4 } });
    for (const old of [
      answer('y', held, { condition: 'rolled-back' }),
      answer('y', record(3, 2)),
      answer('y', record(2, 1), { promised: 2 }),
      answer('y', null),
    ]) {
      const choice = chooseSet([answer('x', held), old], null);
      assert.equal(choice.kind, 'no-majority');
      assert.deepEqual(choice.kind === 'no-majority' && choice.forgetful, ['y']);
    }
  });

  test('chooseSet tells a new replica from one that is blank and should not be (R16)', () => {
    const now = record(3, 1, { members: ['x', 'y'], voters: ['x', 'y', 'z'] });
    const answers = [answer('x', now), answer('y', now), answer('z', null), answer('n', null)];
    const choice = chooseSet(answers, null);
    assert.deepEqual(choice.kind === 'chosen' && choice.forgetful, ['z']);
  });

  test('chooseSet does not call it rolled back when the record came a moment after its state', () => {
    // It promised epoch 3 to another nexus, and accepted its record, after we asked for its state.
    const held = record(3, 1, { members: ['x', 'y', 'z'] });
    const choice = chooseSet([answer('x', held), answer('y', held, { promised: 2 })], null);
    assert.deepEqual(names(choice), ['x', 'y']);
  });

  test('chooseSet lets a replica without a vote be a member, not a voter', () => {
    const held = record(3, 5);
    const voteless = answer('y', held, { rebuild: 'no-vote' });
    assert.equal(chooseSet([answer('x', held), voteless], null).kind, 'no-majority');
    const choice = chooseSet([answer('x', held), voteless, answer('z', held)], null);
    assert.deepEqual(names(choice), ['x', 'y', 'z']);
  });

  test('chooseSet needs both majorities while voters change (R17)', () => {
    const joint = record(2, 3, {
      members: ['y'],
      voters: ['x', 'y', CONTROL_PLANE],
      formerVoters: ['x', 'y', 'z'] as never,
    });
    // {y, control plane} is a majority of the new voters only.
    assert.equal(chooseSet([answer('y', joint)], { record: joint }).kind, 'no-majority');
    const choice = chooseSet([answer('y', joint), answer('x', record(2, 2))], { record: joint });
    assert.deepEqual(names(choice), ['y']);
  });

  test('chooseSet counts the control plane, but not one that lost its record', () => {
    const voters = ['x', 'y', CONTROL_PLANE];
    const held = record(2, 1, { members: ['x', 'y'], voters });
    assert.deepEqual(names(chooseSet([answer('x', held)], { record: held })), ['x']);
    assert.equal(chooseSet([answer('x', held)], { record: null }).kind, 'no-majority');
    const founding = record(0, 0, { members: ['x@', 'y@'], voters });
    assert.deepEqual(names(chooseSet([answer('x', founding)], { record: null })), ['x']);
  });

  test('chooseSet says so when every member of the set was rolled back', () => {
    const held = record(3, 5, { members: ['x'] });
    const choice = chooseSet(
      [
        answer('x', held, { condition: 'rolled-back' }),
        answer('y', record(3, 4)),
        answer('z', record(3, 4)),
      ],
      null,
    );
    assert.equal(choice.kind, 'nothing-left');
  });

  test('chooseSet does not use a member whose store has failed', () => {
    const held = record(2, 1);
    const broken = answer('x', held);
    const failed = { ...broken, state: { ...broken.state, failed: new Error() as never } };
    assert.deepEqual(names(chooseSet([failed, answer('y', held)], null)), ['y']);
  });
});
