/**
 * Payloads of the metadata files (docs/format/store.md §3). Decoders trust nothing: every id is
 * checked before a path is made from it, and whatever does not fit is `store-corrupt`.
 */
import {
  type ClusterId,
  CONTROL_PLANE,
  HoldfastError,
  type Incarnation,
  isId,
  type MembershipRecord,
  type PoolId,
  type RecordPosition,
  type ReplicaId,
  type ReplicaIdentity,
  type SnapshotId,
  type VolumeId,
  type VoterFloor,
  type VoterId,
} from '#api/mod.ts';
import { BLOCK_BYTES } from '#data/block/mod.ts';
import { corrupt, decodeEnvelope, encodeEnvelope, type EnvelopeKind, isHex8 } from './format.ts';

export interface PoolHeader {
  readonly cluster: ClusterId;
  readonly pool: PoolId;
}

/** What recognises a file that was replaced by a copy (protocol.md rule 16 a). */
export interface FileId {
  readonly inode: string;
  readonly birthNs: string;
}

export type LayerState = 'head' | 'sealed' | 'unsealed' | 'merging';

export interface LayerRecord {
  readonly layer: string;
  readonly home: ReplicaId;
  readonly volume: VolumeId;
  readonly sizeBytes: number;
  readonly state: LayerState;
  readonly snapshot: SnapshotId | null;
  readonly epoch: number;
  readonly n: number;
  readonly data: FileId;
  readonly map: FileId;
}

export interface ReplicaHeader {
  readonly identity: ReplicaIdentity;
  readonly sizeBytes: number;
  readonly incarnation: Incarnation;
  readonly clean: boolean;
  readonly doubt: boolean;
  readonly healing: boolean;
  readonly logTorn: boolean;
  readonly rolledBack: boolean;
  readonly cacheIdentity: string;
  readonly baseEpoch: number;
  readonly baseN: number;
  readonly baseSegments: number;
  readonly stamps: string;
  readonly self: FileId;
  readonly mapLog: FileId;
  readonly stampsFile: FileId;
  /** Bottom first, head last. */
  readonly layers: readonly LayerRecord[];
}

export interface VoterHeader {
  readonly replica: ReplicaId;
  readonly promised: number;
  readonly promisedTo: string;
  readonly record: MembershipRecord | null;
  readonly rebuild: string;
}

/** A type, not an interface: it is handed to the encoder as a plain object. */
export interface LogHeader {
  readonly salt: string;
  readonly restart: number;
  readonly completedEpoch: number;
  readonly completedN: number;
}

// --- encoders: the order of members is fixed, so equal values are equal bytes
// -----------------------

export function encodePoolHeader(header: PoolHeader): Uint8Array {
  return encodeEnvelope('POOL', { cluster: header.cluster, pool: header.pool });
}

export function encodeReplicaHeader(header: ReplicaHeader): Uint8Array {
  const { identity, ...rest } = header;
  return encodeEnvelope('REPL', {
    cluster: identity.cluster,
    volume: identity.volume,
    replica: identity.replica,
    pool: identity.pool,
    shard: identity.shard,
    segmentBytes: identity.segmentBytes,
    claim: identity.claim,
    ...rest,
  });
}

export function encodeVoterHeader(header: VoterHeader): Uint8Array {
  return encodeEnvelope('VOTE', header);
}

// --- decoders
// ----------------------------------------------------------------------------------------

/** Reads members of one object; the first that does not fit throws. */
class Members {
  readonly #path: string;
  readonly #object: Readonly<Record<string, unknown>>;

  constructor(path: string, value: unknown) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw corrupt(path, 'an object is expected');
    }
    this.#path = path;
    this.#object = value as Record<string, unknown>;
  }

  raw(name: string): unknown {
    return this.#object[name];
  }

  bad(name: string): HoldfastError {
    return corrupt(this.#path, `member ${name} does not fit`);
  }

  text(name: string): string {
    const value = this.#object[name];
    if (typeof value !== 'string') throw this.bad(name);
    return value;
  }

  id<Id extends string>(name: string): Id {
    const value = this.#object[name];
    if (!isId(value)) throw this.bad(name);
    return value as string as Id;
  }

  /** Empty in the founding record only: whatever the replica says. */
  incarnation(): Incarnation {
    return this.#object['incarnation'] === '' ? ('' as Incarnation) : this.id('incarnation');
  }

  hex8(name: string): string {
    const value = this.#object[name];
    if (!isHex8(value)) throw this.bad(name);
    return value;
  }

  count(name: string): number {
    const value = this.#object[name];
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) {
      throw this.bad(name);
    }
    return value;
  }

  flag(name: string): boolean {
    const value = this.#object[name];
    if (typeof value !== 'boolean') throw this.bad(name);
    return value;
  }

  members(name: string): Members {
    return new Members(this.#path, this.#object[name]);
  }

  list<T>(name: string, decode: (item: Members) => T): T[] {
    const value = this.#object[name];
    if (!Array.isArray(value)) throw this.bad(name);
    return value.map((item) => decode(new Members(this.#path, item)));
  }

  fileId(name: string): FileId {
    const item = this.members(name);
    return { inode: item.text('inode'), birthNs: item.text('birthNs') };
  }
}

export function decodePoolHeader(path: string, bytes: Uint8Array): PoolHeader {
  const members = new Members(path, decodeEnvelope(path, 'POOL', bytes, true));
  return { cluster: members.id<ClusterId>('cluster'), pool: members.id<PoolId>('pool') };
}

export function decodeReplicaHeader(path: string, bytes: Uint8Array): ReplicaHeader {
  const members = new Members(path, decodeEnvelope(path, 'REPL', bytes, true));
  const header: ReplicaHeader = {
    identity: {
      cluster: members.id<ClusterId>('cluster'),
      volume: members.id<VolumeId>('volume'),
      replica: members.id<ReplicaId>('replica'),
      pool: members.id<PoolId>('pool'),
      shard: members.count('shard'),
      segmentBytes: members.count('segmentBytes'),
      claim: members.text('claim'),
    },
    sizeBytes: members.count('sizeBytes'),
    incarnation: members.id<Incarnation>('incarnation'),
    clean: members.flag('clean'),
    doubt: members.flag('doubt'),
    healing: members.flag('healing'),
    logTorn: members.flag('logTorn'),
    rolledBack: members.flag('rolledBack'),
    cacheIdentity: members.text('cacheIdentity'),
    baseEpoch: members.count('baseEpoch'),
    baseN: members.count('baseN'),
    baseSegments: members.count('baseSegments'),
    stamps: members.hex8('stamps'),
    self: members.fileId('self'),
    mapLog: members.fileId('mapLog'),
    stampsFile: members.fileId('stampsFile'),
    layers: members.list('layers', decodeLayer),
  };
  if (!isSize(header.sizeBytes)) throw members.bad('sizeBytes');
  if (!isSegmentSize(header.identity.segmentBytes)) throw members.bad('segmentBytes');
  const heads = header.layers.filter((layer) => layer.state === 'head').length;
  if (heads !== 1 || header.layers.at(-1)?.state !== 'head') throw members.bad('layers');
  return header;
}

function decodeLayer(members: Members): LayerRecord {
  const state = members.text('state');
  if (state !== 'head' && state !== 'sealed' && state !== 'unsealed' && state !== 'merging') {
    throw members.bad('state');
  }
  const sizeBytes = members.count('sizeBytes');
  if (!isSize(sizeBytes)) throw members.bad('sizeBytes');
  return {
    layer: members.hex8('layer'),
    home: members.id<ReplicaId>('home'),
    volume: members.id<VolumeId>('volume'),
    sizeBytes,
    state,
    snapshot: members.raw('snapshot') === null ? null : members.id<SnapshotId>('snapshot'),
    epoch: members.count('epoch'),
    n: members.count('n'),
    data: members.fileId('data'),
    map: members.fileId('map'),
  };
}

export function decodeVoterHeader(path: string, bytes: Uint8Array): VoterHeader {
  const members = new Members(path, decodeEnvelope(path, 'VOTE', bytes, true));
  return {
    replica: members.id<ReplicaId>('replica'),
    promised: members.count('promised'),
    promisedTo: members.text('promisedTo'),
    record: members.raw('record') === null ? null : decodeMembership(members.members('record')),
    rebuild: members.text('rebuild'),
  };
}

function decodeMembership(members: Members): MembershipRecord {
  const former = members.raw('formerVoters');
  return {
    epoch: members.count('epoch'),
    seq: members.count('seq'),
    members: members.list('members', (item) => ({
      replica: item.id<ReplicaId>('replica'),
      incarnation: item.incarnation(),
    })),
    voters: decodeVoters(members, 'voters'),
    formerVoters: former === null ? null : decodeVoters(members, 'formerVoters'),
    closed: members.flag('closed'),
    loss: members.count('loss'),
    floor: decodePosition(members.members('floor')),
    // Records of before it was known have none.
    held: members.raw('held') === undefined ? [] : members.list('held', decodeHeld),
  };
}

function decodePosition(members: Members): RecordPosition {
  return { epoch: members.count('epoch'), seq: members.count('seq') };
}

function decodeHeld(item: Members): VoterFloor {
  return { voter: decodeVoter(item, 'voter', item.raw('voter')), ...decodePosition(item) };
}

function decodeVoter(members: Members, name: string, value: unknown): VoterId {
  if (value !== CONTROL_PLANE && !isId(value)) throw members.bad(name);
  return value as VoterId;
}

function decodeVoters(members: Members, name: string): VoterId[] {
  const value = members.raw(name);
  if (!Array.isArray(value)) throw members.bad(name);
  const voters = value.map((voter: unknown) => decodeVoter(members, name, voter));
  // One that is named twice would count twice; without any nothing is ever decided (R17).
  if (voters.length === 0 || new Set(voters).size < voters.length) throw members.bad(name);
  return voters;
}

/** Undefined when this slot is damaged: there is another. A newer format still throws. */
export function decodeLogHeader(
  path: string,
  kind: EnvelopeKind,
  bytes: Uint8Array,
): LogHeader | undefined {
  try {
    const members = new Members(path, decodeEnvelope(path, kind, bytes, false));
    return {
      salt: members.hex8('salt'),
      restart: members.count('restart'),
      completedEpoch: members.count('completedEpoch'),
      completedN: members.count('completedN'),
    };
  } catch (error) {
    if (HoldfastError.is(error) && error.code === 'store-corrupt') return undefined;
    throw error;
  }
}

/** Checks the header page of a paged file against the id that its name gave. */
export function checkPagedHeader(
  path: string,
  kind: 'LMAP' | 'STMP',
  id: string,
  bytes: Uint8Array,
): void {
  const members = new Members(path, decodeEnvelope(path, kind, bytes, false));
  if (members.hex8(kind === 'LMAP' ? 'layer' : 'stamps') !== id) {
    throw corrupt(path, 'id of another file');
  }
}

export function isSize(bytes: number): boolean {
  return Number.isSafeInteger(bytes) && bytes > 0 && bytes % BLOCK_BYTES === 0;
}

export function isSegmentSize(bytes: number): boolean {
  return bytes >= 64 * 1024 && bytes <= 1024 * 1024 * 1024 && Number.isInteger(Math.log2(bytes));
}

export function sameFile(a: FileId, b: FileId): boolean {
  return a.inode === b.inode && a.birthNs === b.birthNs;
}
