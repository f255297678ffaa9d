/** The replica's side of the cold verbs: each name of the protocol's table on a Member. */
import type { Member } from '#data/member/mod.ts';
import { COLD_VERBS, type ColdBodies, type ColdName } from '#data/proto/peer/mod.ts';

type Services = {
  readonly [Name in ColdName]: (
    member: Member,
    args: ColdBodies[Name][0],
  ) => Promise<ColdBodies[Name][1]>;
};

async function nothing(outcome: Promise<void>): Promise<null> {
  await outcome;
  return null;
}

const SERVICES: Services = {
  promise: (member, args) => member.promise(args.epoch, args.nexus),
  commit: (member, record) => member.commit(record),
  confirm: (member, args) => member.confirm(args.epoch),
  refresh: (member) => member.refresh(),
  intents: (member) => member.intents(),
  stampedSince: (member, args) =>
    member.stampedSince(args.generation, args.fromSegment, args.limit),
  inspect: (member, args) => member.inspect(args.layer, args.segment),
  settle: (member, args) =>
    nothing(member.settle(args.segment, args.kinds, args.contentCrcs, args.stamp)),
  clearIntents: (member, args) => nothing(member.clearIntents(args.all)),
  reset: (member, args) => nothing(member.reset(args.sizeBytes)),
  setRebuild: (member, args) => nothing(member.setRebuild(args.text)),
  createSnapshot: (member, args) => nothing(member.createSnapshot(args.id, args.generation)),
  deleteSnapshot: (member, args) => nothing(member.deleteSnapshot(args.id)),
  beginSnapshotInstall: (member, args) =>
    nothing(member.beginSnapshotInstall(args.id, args.generation)),
  sealSnapshot: (member, args) => nothing(member.sealSnapshot(args.id)),
  grow: (member, args) => nothing(member.grow(args.sizeBytes)),
  scrub: (member, args) => member.scrub(args.budgetBlocks),
  usage: (member) => member.usage(),
  extents: (member, args) => member.extents(args.offsetBytes, args.lengthBytes),
};

/** The answer's body; undefined when the arguments are not what the verb takes. */
export function serveCold<Name extends ColdName>(
  name: Name,
  member: Member,
  payload: Uint8Array,
): Promise<Uint8Array> | undefined {
  const args = COLD_VERBS[name].args.decode(payload);
  if (args === undefined) return undefined;
  return SERVICES[name](member, args).then((answer) => COLD_VERBS[name].answer.encode(answer));
}
