/**
 * Planted mistakes: each is the sound model with one rule left out, and must be caught. Most are
 * found by random walks; those that need many exact steps have a schedule, after which the
 * search goes on by itself. The sound model under the same schedule either refuses a step of it
 * or finds nothing.
 */
import { type Bounds, THREE, TWO } from './bounds.ts';
import { explore, type Outcome, ScheduleRefused, walk } from './checker.ts';
import { ReplicationModel } from './replication-model.ts';
import { type RuleName, SOUND, without } from './rules.ts';

export interface Mistake {
  /** In the words of protocol.md. */
  readonly name: string;
  readonly rule: RuleName;
  readonly bounds: Bounds;
  readonly schedule?: readonly string[];
  /** Why it is not caught, if it is not. */
  readonly harmless?: string;
}

const MORE: Bounds = { ...THREE, name: 'three-more-writes', writes: 6, flushes: 3 };
const OVERTAKING: Bounds = { ...MORE, name: 'three-overtaking', overtaking: true };
const SNAPSHOTS: Bounds = { ...OVERTAKING, name: 'three-snapshots', snapshots: 2 };
const ROLLBACK: Bounds = { ...THREE, name: 'three-rollback', rollbacks: 1 };
const HAND_OVER: Bounds = { ...THREE, name: 'three-hand-over', handOver: true, seqMax: 6 };
const RESTORED: Bounds = { ...TWO, name: 'two-restored', controlPlaneRestores: true };
/** No faults but those that the schedules under test need. */
const CALM: Bounds = { ...THREE, name: 'three-calm', crashes: 0, powerLosses: 0, closes: false };

/** What goes beyond the two basic worlds: each must be free of violations too. */
export const EXTENSIONS: readonly Bounds[] = [OVERTAKING, SNAPSHOTS, ROLLBACK, HAND_OVER, RESTORED];

/** Steps of nexus n from the promises of two replicas until it serves from some of them. */
function open(n: number, voters: readonly number[], members: readonly number[]): string[] {
  return [
    ...voters.map((v) => `promise ${n} ${v} 0`),
    `decide ${n}`,
    ...voters.map((v) => `commit ${n} 1 ${v}`),
    `reconcile ${n}`,
    ...members.flatMap((r) => [`level ${n} ${r}`, `sync-levelled ${n} ${r}`]),
    `serve ${n}`,
  ];
}

function writeTo(n: number, members: readonly number[]): string[] {
  return [`write ${n} 0`, ...members.map((r) => `take ${n} ${r}`), `ack-write ${n}`];
}

export const MISTAKES: readonly Mistake[] = [
  {
    name: 'acknowledge before the removal is committed',
    rule: 'removeBeforeAck',
    bounds: THREE,
  },
  { name: 'commit by a minority', rule: 'majority', bounds: MORE },
  { name: 'no commit at opening', rule: 'commitOpening', bounds: TWO },
  { name: 'highest epoch but not seq', rule: 'highestSeq', bounds: THREE },
  { name: 'a lower seq accepted late', rule: 'seqRises', bounds: THREE },
  { name: 'ignore incarnations', rule: 'incarnation', bounds: THREE },
  {
    name: 'flushed-only members kept beside complete ones',
    rule: 'completeOnly',
    bounds: THREE,
  },
  { name: 'resume after a loss', rule: 'recordLoss', bounds: THREE },
  {
    name: 'no lease wait',
    rule: 'leaseWait',
    bounds: THREE,
    schedule: [...open(1, [0, 1], [0, 1]), ...writeTo(1, [0, 1])],
  },
  { name: 'read from a joiner', rule: 'readInSync', bounds: THREE },
  { name: 'read beside an in-flight write', rule: 'readWaits', bounds: THREE },
  { name: 'no fencing of old epochs', rule: 'fence', bounds: THREE },
  { name: 'no reconcile', rule: 'reconcile', bounds: THREE },
  { name: 'reconcile not synced', rule: 'syncReconcile', bounds: THREE },
  { name: 'no restamp', rule: 'restamp', bounds: THREE },
  { name: 'generation raised at the end of a flush', rule: 'raiseAtStart', bounds: MORE },
  { name: 'complete with writes in flight', rule: 'completeIdle', bounds: OVERTAKING },
  { name: 'complete told to a joiner', rule: 'completeInSync', bounds: MORE },
  { name: 'stamps not copied', rule: 'copyStamps', bounds: THREE },
  {
    name: 'copy set without what the source stamped later',
    rule: 'copySourceStamp',
    bounds: THREE,
  },
  {
    name: 'copy set without what the joiner stamped later',
    rule: 'copyOwnStamp',
    bounds: MORE,
    harmless:
      'a segment stamped later than the completed generation always has its intent mark (R14), ' +
      'so this part of the copy set is contained in the intents; that containment is itself an ' +
      'invariant checked in every state',
  },
  { name: 'copy set without the intents', rule: 'copyIntents', bounds: THREE },
  { name: 'copy set without what is in flight', rule: 'copyInFlight', bounds: MORE },
  { name: 'count only after the commit', rule: 'countWhenCopied', bounds: THREE },
  { name: 'propose before the joiner has drained', rule: 'drain', bounds: MORE },
  {
    name: 'no flush before the addition',
    rule: 'flushJoiner',
    bounds: THREE,
    schedule: [
      'remove 0 2',
      'commit 0 2 0',
      'commit 0 2 1',
      ...writeTo(0, [0, 1]),
      'flush 0',
      'take 0 0',
      'take 0 1',
      'ack-flush 0',
      'join 0 2',
      'copy 0 2',
      'take 0 2',
      'count 0 2',
      'add 0 2',
      'commit 0 3 0',
      'commit 0 3 1',
      'lose-power 0 1',
      'lose-power 1 1',
      'lose-power 2 0',
      ...open(1, [0, 1, 2], [0, 1, 2]).map((step) => (step === 'reconcile 1' ? `${step} 2` : step)),
    ],
  },
  { name: 'an unready joiner in a removal record', rule: 'readyOnly', bounds: THREE },
  { name: 'intents dropped at flush', rule: 'keepIntents', bounds: TWO },
  { name: 'flush acknowledged by one member', rule: 'flushAll', bounds: MORE },

  // Not in the list of protocol.md.
  {
    name: 'a new session does not end the older one',
    rule: 'endSession',
    bounds: CALM,
    schedule: [
      'write 0 0',
      'take 0 0',
      'take 0 1',
      'remove 0 2',
      'commit 0 2 0',
      'commit 0 2 1',
      'ack-write 0',
      'join 0 2',
      'copy 0 2',
      'take 0 2',
      'count 0 2',
      'take 0 2',
      'add 0 2',
      'commit 0 3 0',
      'commit 0 3 1',
      'write 0 0',
      'take 0 0',
      'take 0 1',
      'take 0 2',
      'ack-write 0',
    ],
  },
  {
    name: 'declare a loss without waiting for a missing member',
    rule: 'waitForMissing',
    bounds: THREE,
    schedule: ['lose-power 0', 'lose-power 1', 'promise 1 0 0', 'promise 1 1 0'],
  },
  {
    name: 'read on from a member whose removal is under way',
    rule: 'stopReading',
    bounds: THREE,
    schedule: ['remove 0 2', 'commit 0 2 0', ...open(1, [0, 1], [0, 1]), ...writeTo(1, [0, 1])],
  },
  {
    name: 'a flush answer that overtook writes counts',
    rule: 'flushHadWrites',
    bounds: { ...THREE, overtaking: true },
    schedule: [
      'remove 0 2',
      'commit 0 2 0',
      'commit 0 2 1',
      'join 0 2 0',
      ...writeTo(0, [0, 1]),
      'flush 0',
      'count 0 2',
      'take 0 0',
      'take 0 1',
    ],
  },
  { name: 'copies not ordered against writes', rule: 'copyOrdered', bounds: MORE },
  { name: 'an intent found at start cleared unstamped', rule: 'stampUnknown', bounds: THREE },
  {
    name: 'the clean mark leaves with the record, not before the first write',
    rule: 'cleanMark',
    bounds: THREE,
  },
  { name: 'a store rolled back is not seen', rule: 'rollbackSeen', bounds: ROLLBACK },
  { name: 'a store rolled back keeps its vote', rule: 'rollbackVote', bounds: ROLLBACK },
  {
    name: 'a change of voters committed by the new ones only',
    rule: 'twoMajorities',
    bounds: { ...CALM, handOver: true, seqMax: 6 },
    schedule: [
      'move-vote 0 2 3',
      'remove 0 1',
      'remove 0 2',
      'commit 0 4 0',
      'commit 0 4 3',
      ...writeTo(0, [0]),
      ...open(1, [1, 2], [1, 2]),
    ],
  },
  {
    name: 'an opening believes a change of voters that is not committed',
    rule: 'openBoth',
    bounds: { ...CALM, handOver: true, seqMax: 6 },
    schedule: [
      'remove 0 2',
      'commit 0 2 1',
      'commit 0 2 2',
      'move-vote 0 2 3',
      'commit 0 3 3',
      ...open(1, [0, 2], [0]),
      ...writeTo(1, [0]),
      'promise 2 1 0',
      'promise 2 3 0',
      'decide 2',
      'commit 2 1 1',
      'commit 2 1 2',
      'commit 2 1 3',
      'reconcile 2',
      'level 2 1',
      'sync-levelled 2 1',
      'serve 2',
    ],
  },
  {
    name: 'a second change of voters before the first is committed',
    rule: 'oneChange',
    bounds: { ...CALM, handOver: true, seqMax: 6 },
    schedule: [
      'move-vote 0 2 3',
      'move-vote 0 1 2',
      'remove 0 1',
      'remove 0 2',
      'commit 0 5 0',
      'commit 0 5 3',
      ...writeTo(0, [0]),
      ...open(1, [1, 2], [1, 2]),
    ],
  },
  {
    name: 'a restored control plane keeps its vote',
    rule: 'controlPlaneRestored',
    bounds: RESTORED,
  },
  {
    name: 'a snapshot does not wait for writes in flight',
    rule: 'barrierDrains',
    bounds: SNAPSHOTS,
  },
  {
    name: 'a joiner takes the snapshot while it copies',
    rule: 'barrierCounting',
    bounds: SNAPSHOTS,
  },
  { name: 'a snapshot acknowledged by one member', rule: 'barrierAll', bounds: SNAPSHOTS },
];

const SEED = 7;
const WALK_STEPS_MAX = 2_000_000;
const SEARCH_STATES_MAX = 60_000;

/** Looks for a violation of the model that makes the mistake. */
export function hunt(mistake: Mistake, stepsMax = WALK_STEPS_MAX): Outcome {
  const model = new ReplicationModel(mistake.bounds, without(mistake.rule));
  if (mistake.schedule !== undefined) {
    return explore(model, { states: SEARCH_STATES_MAX }, mistake.schedule);
  }
  return walk(model, { seed: SEED, steps: stepsMax, lengthMax: 300 });
}

/** What the sound model does under the schedule of the mistake: the step it refuses, or nothing. */
export function replaySound(mistake: Mistake): { refused: string | null; outcome: Outcome | null } {
  const model = new ReplicationModel(mistake.bounds, SOUND);
  try {
    const outcome = explore(model, { states: SEARCH_STATES_MAX / 4 }, mistake.schedule);
    return { refused: null, outcome };
  } catch (error) {
    if (error instanceof ScheduleRefused) return { refused: error.step, outcome: null };
    throw error;
  }
}
