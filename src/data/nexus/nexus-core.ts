/**
 * NexusCore: the parts of one nexus and what they share. It decides nothing; it exists so that
 * parts find each other without knowing the Nexus.
 */
import type { HoldfastError, RecordPosition, VoterId } from '#api/mod.ts';
import type { Clock, Log, Rng } from '#host/mod.ts';
import { RangeLock } from '#lib/mod.ts';
import type { Attendance } from './attendance.ts';
import type { BlockRepair } from './block-repair.ts';
import { Counters } from './counters.ts';
import type { FlushRounds } from './flush-rounds.ts';
import { GenerationClock } from './generation-clock.ts';
import { MemberRoster } from './member-roster.ts';
import type { Membership } from './membership.ts';
import type { NexusOptions, NexusPolicy } from './mod.ts';
import type { ReadLease } from './read-lease.ts';
import type { ReadPath } from './read-path.ts';
import type { RebuildQueue } from './rebuild/rebuild-queue.ts';
import type { VoteHandover } from './vote-handover.ts';
import type { WritePath } from './write-path.ts';

export interface NexusParts {
  readonly membership: Membership;
  readonly lease: ReadLease;
  readonly writes: WritePath;
  readonly reads: ReadPath;
  readonly flushes: FlushRounds;
  readonly attendance: Attendance;
  readonly rebuilds: RebuildQueue;
  readonly repair: BlockRepair;
  readonly votes: VoteHandover;
}

export class NexusCore {
  readonly options: NexusOptions;
  readonly policy: NexusPolicy;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Log;
  readonly roster: MemberRoster;
  readonly lock = new RangeLock();
  readonly generations = new GenerationClock();
  readonly counters = new Counters();
  /**
   * Rises with every opening and at the end: what was begun in an older era does nothing any more.
   */
  era = 0;
  /** Requests run, members may join. */
  serving = false;
  /** Set while a snapshot is being taken: joiners wait before they begin to receive. */
  snapshotBarrier: Promise<void> | null = null;
  /** Position of the record that the opening built on. */
  found: RecordPosition = { epoch: 0, seq: 0 };
  sizeBytes: number;
  #parts: NexusParts | null = null;

  /** No member is left: the volume has to be opened again. */
  onNobodyLeft: (error: HoldfastError) => void = () => undefined;
  /** A voter stays with a higher epoch that nobody uses: only a new opening wins it back. */
  onStuckVoter: (error: HoldfastError) => void = () => undefined;
  onFenced: (voter: VoterId, promised: number) => void = () => undefined;

  constructor(options: NexusOptions) {
    this.options = options;
    this.policy = options.policy;
    this.clock = options.clock;
    this.rng = options.rng;
    this.log = options.log;
    this.roster = new MemberRoster(options.replicas, options.localReplica, options.clock);
    this.sizeBytes = options.sizeBytes;
  }

  assemble(parts: NexusParts): void {
    this.#parts = parts;
  }

  get parts(): NexusParts {
    return this.#parts as NexusParts;
  }

  /** A phase or a record changed: the sets are computed anew, and who waited for that goes on. */
  refresh(): void {
    const { membership, attendance, writes, flushes, reads } = this.parts;
    attendance.followRecord();
    this.roster.update(membership);
    writes.recheck();
    flushes.recheck();
    reads.recheck();
  }

  segmentsTotal(): number {
    return Math.ceil(this.sizeBytes / this.options.segmentBytes);
  }

  /** Bytes of a segment, the last one being perhaps shorter. */
  segmentRange(segment: number): { readonly offsetBytes: number; readonly lengthBytes: number } {
    const { segmentBytes } = this.options;
    const offsetBytes = segment * segmentBytes;
    return { offsetBytes, lengthBytes: Math.min(segmentBytes, this.sizeBytes - offsetBytes) };
  }
}
