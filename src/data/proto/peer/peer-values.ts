/**
 * The values of the peer protocol as JSON bodies: readers, and plain forms where a value has none.
 */
import {
  CONTROL_PLANE,
  ERROR_CODES,
  type ErrorCode,
  type Generation,
  HoldfastError,
  isId,
  type LayerRef,
  type MembershipRecord,
  type RecordPosition,
  type ReplicaId,
  type ReplicaIdentity,
  type ReplicaState,
  type ReplicaUsage,
  type ScrubReport,
  type SnapshotId,
  type SnapshotInfo,
  type VoterFloor,
  type VoterId,
  type VoterState,
} from '#api/mod.ts';
import { count, fail, field, flag, listOf, nullOr, oneOf, type Reader, text } from './json-body.ts';

/** Far above what a volume has; bounds what a peer can make us keep. */
const MEMBERS_MAX = 64;
const SNAPSHOTS_MAX = 4096;
const MISMATCHES_MAX = 4096;
const WORDS_MAX = 64;
/** Free text of a rebuild (Member.setRebuild), in UTF-16 units. */
export const REBUILD_TEXT_MAX = 32 * 1024;

function id<Id extends string>(value: unknown): Id {
  return isId(value) ? (value as Id) : fail('an id');
}

export const readSnapshotId: Reader<SnapshotId> = (value) => id<SnapshotId>(value);
export const readLayerRef: Reader<LayerRef> = nullOr(readSnapshotId);

export const readGeneration: Reader<Generation> = (value) => ({
  epoch: field(value, 'epoch', count),
  n: field(value, 'n', count),
});

const readPosition: Reader<RecordPosition> = (value) => ({
  epoch: field(value, 'epoch', count),
  seq: field(value, 'seq', count),
});

const readVoterId: Reader<VoterId> = (value) =>
  value === CONTROL_PLANE ? CONTROL_PLANE : id<ReplicaId>(value);

/** Empty in the founding record only: whatever the replica says. */
const readIncarnation: Reader<RecordIncarnation> = (value) =>
  value === '' ? (value as RecordIncarnation) : id<RecordIncarnation>(value);

/** One that is named twice would count twice; without any nothing is ever decided (R17). */
const readVoters: Reader<VoterId[]> = (value) => {
  const voters = listOf(readVoterId, MEMBERS_MAX)(value);
  if (voters.length === 0 || new Set(voters).size < voters.length) fail('voters');
  return voters;
};

const readHeld: Reader<VoterFloor> = (value) => ({
  voter: field(value, 'voter', readVoterId),
  ...readPosition(value),
});

/** Records of before it was known have none. */
const readHeldOf: Reader<VoterFloor[]> = (value) =>
  (value as { held?: unknown }).held === undefined
    ? []
    : field(value, 'held', listOf(readHeld, MEMBERS_MAX));

export const readRecord: Reader<MembershipRecord> = (value) => ({
  ...readPosition(value),
  members: field(
    value,
    'members',
    listOf(
      (member) => ({
        replica: field(member, 'replica', id<ReplicaId>),
        incarnation: field(member, 'incarnation', readIncarnation),
      }),
      MEMBERS_MAX,
    ),
  ),
  voters: field(value, 'voters', readVoters),
  formerVoters: field(value, 'formerVoters', nullOr(readVoters)),
  closed: field(value, 'closed', flag),
  loss: field(value, 'loss', count),
  floor: field(value, 'floor', readPosition),
  held: readHeldOf(value),
});
type RecordIncarnation = ReplicaState['incarnation'];

export const readVoterState: Reader<VoterState> = (value) => ({
  granted: field(value, 'granted', flag),
  promised: field(value, 'promised', count),
  record: field(value, 'record', nullOr(readRecord)),
});

const readIdentity: Reader<ReplicaIdentity> = (value) => ({
  cluster: field(value, 'cluster', id<ReplicaIdentity['cluster']>),
  volume: field(value, 'volume', id<ReplicaIdentity['volume']>),
  replica: field(value, 'replica', id<ReplicaId>),
  pool: field(value, 'pool', id<ReplicaIdentity['pool']>),
  shard: field(value, 'shard', count),
  segmentBytes: field(value, 'segmentBytes', count),
  claim: field(value, 'claim', text(512)),
});

const readSnapshot: Reader<SnapshotInfo> = (value) => ({
  id: field(value, 'id', readSnapshotId),
  generation: field(value, 'generation', readGeneration),
  sizeBytes: field(value, 'sizeBytes', count),
  sealed: field(value, 'sealed', flag),
  allocatedBytes: field(value, 'allocatedBytes', count),
});

export const readReplicaState: Reader<ReplicaState> = (value) => ({
  identity: field(value, 'identity', readIdentity),
  incarnation: field(value, 'incarnation', id<RecordIncarnation>),
  condition: field(
    value,
    'condition',
    oneOf('clean', 'process-crash', 'cache-lost', 'rolled-back'),
  ),
  sizeBytes: field(value, 'sizeBytes', count),
  promised: field(value, 'promised', count),
  promisedTo: field(value, 'promisedTo', text(256)),
  record: field(value, 'record', nullOr(readRecord)),
  completed: field(value, 'completed', readGeneration),
  snapshots: field(value, 'snapshots', listOf(readSnapshot, SNAPSHOTS_MAX)),
  rebuild: field(value, 'rebuild', text(REBUILD_TEXT_MAX)),
  failed: field(value, 'failed', nullOr(readError)),
});

/** The plain form: an error inside has no JSON of its own. */
export function plainReplicaState(state: ReplicaState): unknown {
  return { ...state, failed: state.failed === null ? null : plainError(state.failed) };
}

export const readUsage: Reader<ReplicaUsage> = (value) => ({
  headBytes: field(value, 'headBytes', count),
  snapshotBytes: field(value, 'snapshotBytes', count),
  metadataBytes: field(value, 'metadataBytes', count),
});

export const readScrubReport: Reader<ScrubReport> = (value) => ({
  checkedBlocks: field(value, 'checkedBlocks', count),
  mismatches: field(
    value,
    'mismatches',
    listOf(
      (mismatch) => ({
        layer: field(mismatch, 'layer', readLayerRef),
        block: field(mismatch, 'block', count),
      }),
      MISMATCHES_MAX,
    ),
  ),
  done: field(value, 'done', flag),
});

/** A report that fits a frame: what is beyond the limit is found by the next scrub. */
export function plainScrubReport(report: ScrubReport): unknown {
  return { ...report, mismatches: report.mismatches.slice(0, MISMATCHES_MAX) };
}

// --- errors
// -------------------------------------------------------------------------------------------

/** Code, effect and details cross the wire; the cause and the stack stay where they were. */
export function plainError(error: HoldfastError): unknown {
  const details: Record<string, string | number | boolean> = {};
  for (const [name, value] of Object.entries(error.details).slice(0, WORDS_MAX)) {
    details[name.slice(0, 64)] = typeof value === 'string' ? value.slice(0, 200) : value;
  }
  return {
    code: error.code,
    message: error.message.slice(0, 200),
    effect: error.effect,
    details,
  };
}

const readDetail: Reader<string | number | boolean> = (value) =>
  typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
    ? value
    : fail('a detail');

/** A code of a newer version becomes `io-error` with the code in `details.peerCode`. */
export function readError(value: unknown): HoldfastError {
  const code = field(value, 'code', text(64));
  const known = ERROR_CODES.includes(code as ErrorCode);
  const given = field(value, 'details', (details) => details);
  if (typeof given !== 'object' || given === null) fail('details');
  const details: Record<string, string | number | boolean> = known ? {} : { peerCode: code };
  for (const [name, detail] of Object.entries(given).slice(0, WORDS_MAX)) {
    // Defined, not assigned: `__proto__` is a name like any other here.
    Object.defineProperty(details, name.slice(0, 64), {
      value: readDetail(detail),
      enumerable: true,
    });
  }
  return new HoldfastError(
    known ? (code as ErrorCode) : 'io-error',
    field(value, 'message', text(200)),
    {
      effect: field(value, 'effect', oneOf('none', 'applied', 'unknown')),
      details,
    },
  );
}

// --- hello
// ----------------------------------------------------------------------------------------------

/** First frame of the nexus's side: whom it means to speak to. */
export interface Hello {
  readonly protocolMin: number;
  readonly protocolMax: number;
  readonly cluster: string;
  readonly volume: string;
  readonly replica: string;
  /** Who connects, for logs only: node and nexus. Never an authority. */
  readonly client: string;
  readonly capabilities: readonly string[];
  /** Reserved for a node's credential beside mTLS: `none` with an empty token in version 1. */
  readonly auth: { readonly scheme: string; readonly token: string };
}

export const readHello: Reader<Hello> = (value) => ({
  protocolMin: field(value, 'protocolMin', count),
  protocolMax: field(value, 'protocolMax', count),
  cluster: field(value, 'cluster', id),
  volume: field(value, 'volume', id),
  replica: field(value, 'replica', id),
  client: field(value, 'client', text(256)),
  capabilities: field(value, 'capabilities', listOf(text(64), WORDS_MAX)),
  auth: field(value, 'auth', (auth) => ({
    scheme: field(auth, 'scheme', text(64)),
    token: field(auth, 'token', text(2048)),
  })),
});

/** The answer: who the replica is, by its own store. */
export interface Welcome {
  readonly protocol: number;
  readonly capabilities: readonly string[];
  /** Number of the session at this replica. */
  readonly session: number;
  readonly state: ReplicaState;
}

export const readWelcome: Reader<Welcome> = (value) => ({
  protocol: field(value, 'protocol', count),
  capabilities: field(value, 'capabilities', listOf(text(64), WORDS_MAX)),
  session: field(value, 'session', count),
  state: field(value, 'state', readReplicaState),
});
