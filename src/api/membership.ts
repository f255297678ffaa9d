/**
 * The words of the replication protocol (design.md §6, protocol.md "State") as plain values.
 * Epochs and sequence numbers are integers below 2^53, checked once where they are decoded.
 */
import type { Incarnation, ReplicaId, VoterId } from './ids.ts';

/** Which flush round a write belongs to: ordered by epoch, then n. */
export interface Generation {
  readonly epoch: number;
  readonly n: number;
}

export const GENERATION_ZERO: Generation = { epoch: 0, n: 0 };

/** Negative, zero or positive as `a` is before, equal to or after `b`. */
export function compareGenerations(a: Generation, b: Generation): number {
  return a.epoch - b.epoch || a.n - b.n;
}

/** Where in the history of records a record stands: ordered by epoch, then seq. */
export interface RecordPosition {
  readonly epoch: number;
  readonly seq: number;
}

export function comparePositions(a: RecordPosition, b: RecordPosition): number {
  return a.epoch - b.epoch || a.seq - b.seq;
}

export interface RecordMember {
  readonly replica: ReplicaId;
  readonly incarnation: Incarnation;
}

/** The highest position that one voter is known to hold. */
export interface VoterFloor extends RecordPosition {
  readonly voter: VoterId;
}

/** The membership record: who must acknowledge, who votes, and how the last writer left. */
export interface MembershipRecord extends RecordPosition {
  /** The in-sync set, each with the incarnation it had when it was recorded. */
  readonly members: readonly RecordMember[];
  /** The voters of this record. */
  readonly voters: readonly VoterId[];
  /** The voters of the record before a change of voters: both majorities must accept (rule 17). */
  readonly formerVoters: readonly VoterId[] | null;
  /** True after an orderly close: nothing to reconcile (rule 15). */
  readonly closed: boolean;
  /** Epoch of the last opening that found no complete member (rule 3); 0 when never. */
  readonly loss: number;
  /** The highest position that every in-sync member is known to hold (rule 16). */
  readonly floor: RecordPosition;
  /** The same for each voter, in sync or not, and for the control plane (rule 16). */
  readonly held: readonly VoterFloor[];
}

/** What a voter answers to a promise or a commit. */
export interface VoterState {
  /** True when the request was granted, durably. */
  readonly granted: boolean;
  readonly promised: number;
  readonly record: MembershipRecord | null;
}
