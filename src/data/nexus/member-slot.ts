/**
 * MemberSlot: what the nexus knows of one replica, over all its sessions. Others change it through
 * the MemberRoster; the hot path only adds to `latency` and `confirmedMs`.
 *
 *     absent ──connect, promise──▶ absent (votes) ──receives writes──▶ joining ──committed──▶
 *     in-sync
 *       ▲                                                                                      │
 *       └────── removal committed ◀── leaving ◀── session lost, deadline, error ◀──────────────┘
 */
import type {
  HoldfastError,
  MemberPhase,
  MemberStatus,
  RecordPosition,
  ReplicaId,
} from '#api/mod.ts';
import type { Clock } from '#host/mod.ts';
import { Ewma, LatencyHistogram } from '#lib/mod.ts';
import type { MemberSession } from './member-session.ts';
import type { RebuildProgress } from './rebuild/progress.ts';

/** Weight of a new latency sample when members are compared with each other. */
const LATENCY_WEIGHT = 1 / 32;

export class MemberSlot {
  readonly replica: ReplicaId;
  readonly index: number;
  /** 1 << index: sets of members are numbers on the hot path. */
  readonly bit: number;
  readonly local: boolean;

  phase: MemberPhase = 'absent';
  session: MemberSession | null = null;
  reason = 'not connected yet';
  errorCode = '';
  /** Why it was in sync for the last time; empty while it is, and before it was. */
  leftFor = '';
  /** Wall clock: shown only. */
  sinceMs: number;
  /**
   * Since when it is neither in sync nor joining; null otherwise. For the hand-over of its vote.
   */
  absentSinceMs: number | null = null;

  readonly latency = new LatencyHistogram();
  readonly recentMs = new Ewma(LATENCY_WEIGHT);
  /**
   * Sending time of the latest request of this epoch that it answered: what a read lease counts
   * from.
   */
  confirmedMs = Number.NEGATIVE_INFINITY;
  /** How long, lately, requests waited for nobody but this member. */
  blameMs = 0;
  /** The highest record that it is known to hold (R16 floor). */
  held: RecordPosition = { epoch: 0, seq: 0 };
  repairedBlocks = 0;
  mediaErrors = 0;
  rebuild: RebuildProgress | null = null;
  /** Next rebuild starts from nothing, whatever the stamps say. */
  fullRebuild = false;
  /**
   * It forgot a promise: data may be rebuilt on it, but it gets no vote under this name any more.
   */
  voteless = false;
  /** Rebuilds in a row that failed: the next one waits longer. */
  failedJoins = 0;
  notBeforeMs = 0;
  /** Planned removal: never joins again. */
  retired = false;

  readonly #clock: Pick<Clock, 'wallMs'>;

  constructor(replica: ReplicaId, index: number, local: boolean, clock: Pick<Clock, 'wallMs'>) {
    this.#clock = clock;
    this.sinceMs = clock.wallMs();
    this.replica = replica;
    this.index = index;
    this.bit = 1 << index;
    this.local = local;
  }

  become(phase: MemberPhase, nowMs: number, reason = '', errorCode = ''): void {
    if (this.phase !== phase) this.sinceMs = this.#clock.wallMs();
    this.phase = phase;
    this.reason = reason;
    this.errorCode = errorCode;
    if (phase === 'in-sync') this.leftFor = '';
    if (phase === 'in-sync' || phase === 'joining') this.absentSinceMs = null;
    else this.absentSinceMs ??= nowMs;
  }

  /** What it waits for now, and what began it. */
  #why(): string {
    const { reason, leftFor } = this;
    return leftFor === '' || reason.includes(leftFor) ? reason : `${reason}, left: ${leftFor}`;
  }

  explain(reason: string, error: HoldfastError): void {
    this.reason = reason;
    this.errorCode = error.code;
  }

  status(): MemberStatus {
    return {
      replica: this.replica,
      phase: this.phase,
      sinceMs: this.sinceMs,
      reason: this.phase === 'in-sync' ? '' : this.#why(),
      errorCode: this.phase === 'in-sync' ? '' : this.errorCode,
      rebuild: this.rebuild === null ? null : this.rebuild.status(),
      latencyMs: { p50: this.latency.quantileMs(0.5), p99: this.latency.quantileMs(0.99) },
      repairedBlocks: this.repairedBlocks,
    };
  }
}
