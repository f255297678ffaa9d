import { Attendance } from './attendance.ts';
import { FlushRounds } from './flush-rounds.ts';
import { Membership } from './membership.ts';
import { Opening } from './opening.ts';
import { ReadPath } from './read-path.ts';
import { RebuildJob } from './rebuild/rebuild-job.ts';
import { Reconcile } from './reconcile.ts';
import { Snapshots } from './snapshots.ts';
import { WritePath } from './write-path.ts';

/** The classes that carry the rules: a test gives a broken one to show that it would be caught. */
export interface NexusClasses {
  readonly Membership: typeof Membership;
  readonly Opening: typeof Opening;
  readonly Reconcile: typeof Reconcile;
  readonly WritePath: typeof WritePath;
  readonly ReadPath: typeof ReadPath;
  readonly FlushRounds: typeof FlushRounds;
  readonly RebuildJob: typeof RebuildJob;
  readonly Attendance: typeof Attendance;
  readonly Snapshots: typeof Snapshots;
}

export const SOUND_CLASSES: NexusClasses = {
  Membership,
  Opening,
  Reconcile,
  WritePath,
  ReadPath,
  FlushRounds,
  RebuildJob,
  Attendance,
  Snapshots,
};
