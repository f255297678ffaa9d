/**
 * The checks of every call between our processes: a server of calls runs them before its handler,
 * so that a handler has what its type says. `invalid-argument` names field, value and remedy.
 */
import type { ControllerMethods, ObjectName } from '../controller-rpc.ts';
import type {
  AttachSpec,
  EngineMethods,
  NodeMethods,
  ParamsOf,
  ReplicaPlace,
  VoteMethods,
} from '../engine-rpc.ts';
import type {
  ClusterId,
  Incarnation,
  NodeId,
  PoolId,
  ReplicaId,
  SnapshotId,
  VolumeId,
  VoterId,
} from '../ids.ts';
import { FORECAST_VERBS } from '../forecast.ts';
import type { MembershipRecord, RecordMember, RecordPosition, VoterFloor } from '../membership.ts';
import type { ReplicaIdentity } from '../replica-values.ts';
import {
  type Check,
  count,
  flag,
  id,
  listOf,
  nullOr,
  oneOf,
  optional,
  path,
  shape,
  text,
} from './check.ts';

export type { Check } from './check.ts';
export { id, listOf, path, shape, text } from './check.ts';

/** One check for each method of a table of calls. */
export type Checks<Table> = {
  readonly [Name in keyof Table]: Check<ParamsOf<Table, Name>>;
};

const REPLICAS_MAX = 16;
/** More than a frame of 8 MiB can hold of what has a name. */

const volume = id<VolumeId>();
const replica = id<ReplicaId>();
const pool = id<PoolId>();
const snapshot = id<SnapshotId>();
const claim = text(320);
const nothing = shape<Record<string, never>>({});

const identity = shape<ReplicaIdentity>({
  cluster: id<ClusterId>(),
  volume,
  replica,
  pool,
  shard: count,
  segmentBytes: count,
  claim,
});
const place = shape<ReplicaPlace>({ replica, node: id<NodeId>(), pool, engine: text(256) });
const places = listOf(place, REPLICAS_MAX);
const attachSpec = shape<AttachSpec>({
  cluster: id<ClusterId>(),
  volume,
  claim,
  sizeBytes: count,
  segmentBytes: count,
  replicas: places,
  isolation: oneOf('thread', 'shared'),
  onQuorumLoss: oneOf('suspend', 'error'),
  frontends: listOf(oneOf('nbd', 'fuse'), 2),
  readOnly: flag,
  snapshot: nullOr(snapshot),
});
const position = { epoch: count, seq: count };
const voters = listOf(id<VoterId>(), REPLICAS_MAX + 1);
const record = shape<MembershipRecord>({
  ...position,
  members: listOf(
    shape<RecordMember>({ replica, incarnation: text(512) as Check<Incarnation> }),
    REPLICAS_MAX,
  ),
  voters,
  formerVoters: nullOr(voters),
  closed: flag,
  loss: count,
  floor: shape<RecordPosition>(position),
  // Of voters, and of those before them while they change.
  held: listOf(shape<VoterFloor>({ voter: id<VoterId>(), ...position }), 2 * REPLICAS_MAX + 2),
});

export const ENGINE_CHECKS: Checks<EngineMethods> = {
  'engine.describe': nothing,
  'engine.describeVolume': shape({ volume }),
  'engine.ping': nothing,
  'pool.ensure': shape({ pool, directory: path, create: flag }),
  'pool.space': shape({ pool }),
  'replica.create': shape({
    pool,
    identity,
    sizeBytes: count,
    founders: nullOr(listOf(replica, REPLICAS_MAX)),
    cloneOf: nullOr(shape({ replica, snapshot })),
  }),
  'replica.delete': shape({ replica }),
  'replica.describe': shape({ replica }),
  'replica.scrub': shape({ replica, budgetBlocks: count }),
  'volume.attach': attachSpec,
  'volume.detach': shape({ volume }),
  'volume.describe': shape({ volume }),
  'volume.setReplicas': shape({ volume, replicas: places }),
  'volume.createSnapshot': shape({ volume, snapshot }),
  'volume.deleteSnapshot': shape({ volume, snapshot }),
  'volume.grow': shape({ volume, sizeBytes: count }),
  'volume.rebuild': shape({ volume, replica, full: flag }),
  'volume.scrub': shape({ volume }),
  'volume.isBlank': shape({ volume }),
  'volume.trace': shape({ volume, timeoutMs: count }),
  'engine.stop': nothing,
};

export const NODE_CHECKS: Checks<NodeMethods> = {
  'node.describe': nothing,
  'node.space': nothing,
  'node.quiesce': nothing,
};

export const VOTE_CHECKS: Checks<VoteMethods> = {
  'vote.promise': shape({ volume, epoch: count, nexus: text(256) }),
  'vote.commit': shape({ volume, record }),
  'vote.confirm': shape({ volume, epoch: count }),
};

/** The kind is known to the handler, which lists the kinds there are. */
const kind = text(80) as Check<ObjectName['kind']>;
const name = text(1024);
const namespace = optional(text(63));

export const CONTROLLER_CHECKS: Checks<ControllerMethods> = {
  'cluster.describe': nothing,
  'cluster.where': shape({ kind: text(80), name, namespace }),
  'cluster.explain': shape({ kind, name, namespace }),
  'cluster.plan': shape({
    verb: oneOf(...FORECAST_VERBS),
    kind,
    name,
    namespace,
    size: optional(text(40)),
  }),
  'cluster.health': nothing,
  'cluster.space': shape({ kind, name, namespace }),
  'cluster.quiesce': shape({ timeoutMs: count }),
  'volume.scrub': shape({ volume: text(63) }),
  'volume.rebuild': shape({ volume: text(63), replica: text(63), full: flag }),
  'volume.trace': shape({ volume: text(63), timeoutMs: count }),
};
