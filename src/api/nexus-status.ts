/**
 * What a nexus says of itself: values that `explain`, `where` and the objects' status are made of.
 */
import type { ErrorCode } from './errors.ts';
import type { ReplicaId, SnapshotId } from './ids.ts';
import type { Generation, MembershipRecord } from './membership.ts';

export type MemberPhase =
  /** No session: being looked for. */
  | 'absent'
  /** Connected, receives foreground writes, is being levelled. */
  | 'joining'
  | 'in-sync'
  /** No longer read; its removal is not committed yet. */
  | 'leaving';

export interface MemberStatus {
  readonly replica: ReplicaId;
  readonly phase: MemberPhase;
  /** Since when it is in this phase: milliseconds since 1970. */
  readonly sinceMs: number;
  /** Why it is not in sync, in words that `explain` prints; empty when it is. */
  readonly reason: string;
  readonly errorCode: string;
  readonly rebuild: {
    readonly kind: 'delta' | 'full';
    readonly segmentsTotal: number;
    readonly segmentsDone: number;
    readonly copiedBytes: number;
    readonly comparedBytes: number;
    /** Wall estimate of what is left; null when unknown. */
    readonly etaMs: number | null;
  } | null;
  readonly latencyMs: { readonly p50: number; readonly p99: number };
  readonly repairedBlocks: number;
}

export type NexusPhase =
  | 'opening'
  | 'reconciling'
  | 'serving'
  | 'suspended'
  | 'closing'
  | 'closed'
  | 'failed';

export interface NexusStatus {
  readonly phase: NexusPhase;
  /** Why it is not serving, and for whom it waits; empty when serving. */
  readonly reason: string;
  readonly waitingFor: readonly ReplicaId[];
  readonly epoch: number;
  readonly generation: Generation;
  readonly completed: Generation;
  readonly record: MembershipRecord | null;
  readonly members: readonly MemberStatus[];
  readonly sizeBytes: number;
  readonly snapshots: readonly SnapshotId[];
  /** Blocks of which no member has a good copy, as reads and the last scrub found. */
  readonly damagedBlocks: number;
  /** Longest time that an I/O waited for a removal or a majority, since open. */
  readonly longestStallMs: number;
  readonly counters: Readonly<Record<string, number>>;
  /** Why it failed; plain, for it crosses threads, where errors lose their class. */
  readonly error: { readonly code: ErrorCode; readonly message: string } | null;
}

/** One line of the trace of one request, for `explain` and the life of a write in ARCHITECTURE. */
export interface TraceEvent {
  readonly atMs: number;
  /** The folder of the part that speaks. */
  readonly place: string;
  readonly step: string;
  readonly fields: Readonly<Record<string, string | number>>;
}
