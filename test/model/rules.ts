/**
 * The rules of replication that the model can break one at a time. The names are those of
 * docs/design/0001-membership.md and of the code that implements them.
 */
export const RULES = {
  fence: 'R1 fence older epochs',
  endSession: 'R1 new session ends the older',
  majority: 'R2 majority of voters',
  highestSeq: 'R2 highest epoch and seq',
  incarnation: 'R2 complete means same incarnation',
  completeOnly: 'R3 complete ones only',
  waitForMissing: 'R3 wait for missing members',
  recordLoss: 'R3 record the loss',
  leaseWait: 'R4 lease before opening record',
  commitOpening: 'R5 commit at every opening',
  reconcile: 'R6 reconcile before I/O',
  syncReconcile: 'R6 reconcile is synced',
  restamp: 'R6 restamp intent segments',
  readWaits: 'R7 read waits for write in flight',
  readInSync: 'R7 read from in-sync members only',
  raiseAtStart: 'R8 generation rises when a flush starts',
  flushAll: 'R8 flush on every counting member',
  flushHadWrites: 'R8 flush answer had every write',
  completeIdle: 'R9 complete with nothing in flight',
  completeInSync: 'R9 complete told to in-sync members only',
  stopReading: 'R10 stop reading before removal',
  removeBeforeAck: 'R10 remove before ack',
  seqRises: 'R10 record rises',
  readyOnly: 'R11 no unready joiner in a record',
  copySourceStamp: 'R13 copy what the source stamped later',
  copyOwnStamp: 'R13 copy what the joiner stamped later',
  copyIntents: 'R13 copy the intents of the joiner',
  copyInFlight: 'R13 copy what is in flight',
  copyOrdered: 'R13 copies are ordered as writes',
  copyStamps: 'R13 copies carry the stamp of the source',
  countWhenCopied: 'R13 count when copied',
  drain: 'R13 drain before proposing',
  flushJoiner: 'R13 flush before proposing',
  keepIntents: 'R14 intent leaves when complete',
  stampUnknown: 'R14 intent found at start stays until stamped',
  cleanMark: 'R15 clean mark leaves before the first write',
  rollbackSeen: 'R16 a store rolled back is rebuilt',
  rollbackVote: 'R16 a store rolled back has no vote',
  twoMajorities: 'R17 both majorities change the voters',
  openBoth: 'R17 an opening needs both majorities',
  oneChange: 'R17 one voter change at a time',
  controlPlaneRestored: 'R17 a restored control plane has no vote',
  barrierDrains: 'R18 snapshot barrier drains writes',
  barrierCounting: 'R18 a joiner takes the snapshot when it counts',
  barrierAll: 'R18 snapshot on every counting member',
} as const;

export type RuleName = keyof typeof RULES;
export type Rules = Readonly<Record<RuleName, boolean>>;

export const SOUND: Rules = allRules();

export function without(...names: RuleName[]): Rules {
  const rules: Record<RuleName, boolean> = { ...SOUND };
  for (const name of names) rules[name] = false;
  return rules;
}

function allRules(): Rules {
  const names = Object.keys(RULES) as RuleName[];
  return Object.fromEntries(names.map((name) => [name, true])) as Record<RuleName, boolean>;
}
