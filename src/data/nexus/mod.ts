/**
 * Nexus: the controller of one attached volume (design.md §6-7). It fans writes out to the members,
 * reads from one of them, decides the in-sync set with a majority of voters, and levels members
 * that come back. It knows members only: never a store, a socket or a file.
 *
 *     frontend ─▶ AlignDevice ─▶ Nexus ─┬▶ Member (same thread) ─▶ store
 *                                       ├▶ Member (peer protocol) ─▶ another node
 *                                       └▶ Member (peer protocol) ─▶ another node
 *
 * Invariants (design.md §10; the rules by number are protocol.md's)
 * - *Remove before ack*, *Honest flush*, *Lost means failed*, *Current or silent*, *One writer*.
 * - Overlapping requests have one order, the same on every member (rule 7).
 * - Nothing is read from a member whose removal is under way (rule 10), nor beside a write in
 *   flight.
 */
import type { ClusterId, ReplicaId, VolumeId } from '#api/mod.ts';
import type { Clock, Log, Rng } from '#host/mod.ts';
import type { MemberConnector, Voter } from '#data/member/mod.ts';

export interface NexusPolicy {
  /** Quorum lost: I/O waits, or fails with `quorum-lost` after `quorumErrorMs`. */
  readonly onQuorumLoss: 'suspend' | 'error';
  readonly quorumErrorMs: number;
  /** A member that leaves a request unanswered for this long is removed (W16). */
  readonly memberDeadlineMs: number;
  /** Read lease, monotonic clock; and the drift that is allowed between two clocks (0.05 = 5 %). */
  readonly readLeaseMs: number;
  readonly clockDrift: number;
  /** A dirty volume begins a new generation and completes the old one at least this often. */
  readonly generationMs: number;
  /** A replica that is gone for this long hands its vote to the control plane (rule 17). */
  readonly handOverVoteMs: number;
  /** seq rises at least this often while serving (rule 16). */
  readonly floorMs: number;
  /** First and longest pause between attempts to reach an absent member. */
  readonly reconnectMs: number;
  readonly reconnectMaxMs: number;
  /** Segments copied at once by a rebuild, and the foreground latency above which it pauses. */
  readonly rebuildConcurrency: number;
  readonly rebuildMaxForegroundMs: number;
}

export const DEFAULT_NEXUS_POLICY: NexusPolicy = {
  onQuorumLoss: 'suspend',
  quorumErrorMs: 30_000,
  memberDeadlineMs: 5_000,
  readLeaseMs: 5_000,
  clockDrift: 0.05,
  generationMs: 5_000,
  handOverVoteMs: 60_000,
  floorMs: 3_600_000,
  reconnectMs: 100,
  reconnectMaxMs: 2_000,
  rebuildConcurrency: 2,
  rebuildMaxForegroundMs: 50,
};

export interface NexusOptions {
  readonly cluster: ClusterId;
  readonly volume: VolumeId;
  /** Unique for this opening: node, process and a random part. Promises are given to it. */
  readonly nexusId: string;
  readonly sizeBytes: number;
  readonly segmentBytes: number;
  /**
   * The replicas that the volume should have; the record on the replicas says which are in sync.
   */
  readonly replicas: readonly ReplicaId[];
  /** Read from first when in sync. */
  readonly localReplica: ReplicaId | null;
  readonly connector: MemberConnector;
  /**
   * The control plane's vote, where there is one (even number of replicas, or handed-over votes).
   */
  readonly controlPlane: Voter | null;
  readonly policy: NexusPolicy;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Log;
}

export { Nexus } from './nexus.ts';
export type { NexusClasses } from './nexus-classes.ts';
export { ClientSession } from './client-session.ts';
export type { ScrubOptions, ScrubOutcome } from './scrub-repair.ts';
