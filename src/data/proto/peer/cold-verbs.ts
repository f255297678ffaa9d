/**
 * The cold verbs: number, arguments and answer of each, one table for both ends. JSON where a body
 * is small and read by people, binary where it is a list of numbers.
 */
import type {
  Generation,
  LayerRef,
  MembershipRecord,
  ReplicaState,
  ReplicaUsage,
  ScrubReport,
  SegmentInspection,
  SnapshotId,
  StampedSegment,
  VoterState,
} from '#api/mod.ts';
import { FRAME } from './frame-types.ts';
import {
  count,
  decodeJson,
  encodeJson,
  field,
  flag,
  listOf,
  nothing,
  oneOf,
  type Reader,
  text,
} from './json-body.ts';
import {
  plainReplicaState,
  plainScrubReport,
  readGeneration,
  readLayerRef,
  readRecord,
  readReplicaState,
  readScrubReport,
  readSnapshotId,
  readUsage,
  readVoterState,
  REBUILD_TEXT_MAX,
} from './peer-values.ts';
import {
  decodeInspection,
  decodeIntents,
  decodeSettlement,
  decodeStamped,
  encodeInspection,
  encodeIntents,
  encodeSettlement,
  encodeStamped,
  type Settlement,
} from './segment-body.ts';

export interface BodyCodec<T> {
  encode(value: T): Uint8Array;
  /** Undefined when the bytes are not such a value. */
  decode(bytes: Uint8Array): T | undefined;
}

function json<T>(reader: Reader<T>, plain: (value: T) => unknown = (value) => value): BodyCodec<T> {
  return {
    encode: (value) => encodeJson(plain(value)),
    decode: (bytes) => decodeJson(bytes, reader),
  };
}

/** `null` stands for nothing, in either direction. */
const none: BodyCodec<null> = {
  encode: () => encodeJson(null),
  decode: (bytes) =>
    decodeJson(bytes, (value) => [nothing(value)]) === undefined ? undefined : null,
};

export interface ColdVerb<A, R> {
  readonly type: number;
  readonly args: BodyCodec<A>;
  readonly answer: BodyCodec<R>;
}

/** A range as the block layer names it; the same shape as BlockExtent of data/block. */
export interface PeerExtent {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  readonly kind: 'data' | 'zero' | 'hole';
}

/** Arguments and answers by verb. */
export interface ColdBodies {
  promise: [{ epoch: number; nexus: string }, VoterState];
  commit: [MembershipRecord, VoterState];
  confirm: [{ epoch: number }, boolean];
  refresh: [null, ReplicaState];
  intents: [null, number[]];
  stampedSince: [{ generation: Generation; fromSegment: number; limit: number }, StampedSegment[]];
  inspect: [{ layer: LayerRef; segment: number }, SegmentInspection];
  settle: [Settlement, null];
  clearIntents: [{ all: boolean }, null];
  reset: [{ sizeBytes: number }, null];
  setRebuild: [{ text: string }, null];
  createSnapshot: [{ id: SnapshotId; generation: Generation }, null];
  deleteSnapshot: [{ id: SnapshotId }, null];
  beginSnapshotInstall: [{ id: SnapshotId; generation: Generation }, null];
  sealSnapshot: [{ id: SnapshotId }, null];
  grow: [{ sizeBytes: number }, null];
  scrub: [{ budgetBlocks: number }, ScrubReport];
  usage: [null, ReplicaUsage];
  extents: [{ offsetBytes: number; lengthBytes: number }, PeerExtent[]];
}

export type ColdName = keyof ColdBodies;

/** Extents of one answer: far more than a range of the front end's block status asks for. */
const EXTENTS_MAX = 65_536;

const snapshotArgs = json((value) => ({
  id: field(value, 'id', readSnapshotId),
  generation: field(value, 'generation', readGeneration),
}));
const idArgs = json((value) => ({ id: field(value, 'id', readSnapshotId) }));
const sizeArgs = json((value) => ({ sizeBytes: field(value, 'sizeBytes', count) }));
const readExtent: Reader<PeerExtent> = (value) => ({
  offsetBytes: field(value, 'offsetBytes', count),
  lengthBytes: field(value, 'lengthBytes', count),
  kind: field(value, 'kind', oneOf('data', 'zero', 'hole')),
});

export const COLD_VERBS: {
  readonly [Name in ColdName]: ColdVerb<ColdBodies[Name][0], ColdBodies[Name][1]>;
} = {
  promise: {
    type: FRAME.promise,
    args: json((value) => ({
      epoch: field(value, 'epoch', count),
      nexus: field(value, 'nexus', text(256)),
    })),
    answer: json(readVoterState),
  },
  commit: { type: FRAME.commit, args: json(readRecord), answer: json(readVoterState) },
  confirm: {
    type: FRAME.confirm,
    args: json((value) => ({ epoch: field(value, 'epoch', count) })),
    answer: json(flag),
  },
  refresh: { type: FRAME.refresh, args: none, answer: json(readReplicaState, plainReplicaState) },
  intents: {
    type: FRAME.intents,
    args: none,
    answer: { encode: encodeIntents, decode: decodeIntents },
  },
  stampedSince: {
    type: FRAME.stampedSince,
    args: json((value) => ({
      generation: field(value, 'generation', readGeneration),
      fromSegment: field(value, 'fromSegment', count),
      limit: field(value, 'limit', count),
    })),
    answer: { encode: encodeStamped, decode: decodeStamped },
  },
  inspect: {
    type: FRAME.inspect,
    args: json((value) => ({
      layer: field(value, 'layer', readLayerRef),
      segment: field(value, 'segment', count),
    })),
    answer: { encode: encodeInspection, decode: decodeInspection },
  },
  settle: {
    type: FRAME.settle,
    args: { encode: encodeSettlement, decode: decodeSettlement },
    answer: none,
  },
  clearIntents: {
    type: FRAME.clearIntents,
    args: json((value) => ({ all: field(value, 'all', flag) })),
    answer: none,
  },
  reset: { type: FRAME.reset, args: sizeArgs, answer: none },
  setRebuild: {
    type: FRAME.setRebuild,
    args: json((value) => ({ text: field(value, 'text', text(REBUILD_TEXT_MAX)) })),
    answer: none,
  },
  createSnapshot: { type: FRAME.createSnapshot, args: snapshotArgs, answer: none },
  deleteSnapshot: { type: FRAME.deleteSnapshot, args: idArgs, answer: none },
  beginSnapshotInstall: { type: FRAME.beginSnapshotInstall, args: snapshotArgs, answer: none },
  sealSnapshot: { type: FRAME.sealSnapshot, args: idArgs, answer: none },
  grow: { type: FRAME.grow, args: sizeArgs, answer: none },
  scrub: {
    type: FRAME.scrub,
    args: json((value) => ({ budgetBlocks: field(value, 'budgetBlocks', count) })),
    answer: json(readScrubReport, plainScrubReport),
  },
  usage: { type: FRAME.usage, args: none, answer: json(readUsage) },
  extents: {
    type: FRAME.extents,
    args: json((value) => ({
      offsetBytes: field(value, 'offsetBytes', count),
      lengthBytes: field(value, 'lengthBytes', count),
    })),
    answer: json(listOf(readExtent, EXTENTS_MAX)),
  },
};

/** By frame type; undefined when it is not a cold verb. */
export function findColdVerb(type: number): ColdName | undefined {
  return NAMES_BY_TYPE.get(type);
}

const NAMES_BY_TYPE = new Map<number, ColdName>(
  (Object.keys(COLD_VERBS) as ColdName[]).map((name) => [COLD_VERBS[name].type, name]),
);
