/**
 * Gives a joiner the snapshots that the volume has and it lacks, and takes away those it has too
 * many.
 *
 * Snapshots do not change, so this needs no order with the foreground, as long as it is done before
 * the joiner gets its first write: each missing snapshot is begun under its head, oldest first,
 * filled, and sealed. A snapshot has the size that the head has when it is begun, so the joiner
 * grows in between, as the volume did. Only when none is missing does it begin to receive, in the
 * same instant.
 */
import {
  compareGenerations,
  type Generation,
  hasCode,
  HoldfastError,
  type SnapshotInfo,
} from '#api/mod.ts';
import type { MemberSession } from '../member-session.ts';
import type { MemberSlot } from '../member-slot.ts';
import type { NexusCore } from '../nexus-core.ts';
import { findCopySet } from './copy-set.ts';
import type { RebuildProgress } from './progress.ts';
import { copyFromSomebody, type SegmentSource, type SegmentSources } from './segment-copy.ts';

export interface SnapshotInstallOptions extends SegmentSources {
  readonly core: NexusCore;
  readonly slot: MemberSlot;
  readonly session: MemberSession;
  readonly progress: RebuildProgress;
  readonly from: Generation;
  readonly ask: <T>(outcome: Promise<T>) => Promise<T>;
  readonly receive: () => readonly number[];
}

export async function installSnapshots(
  options: SnapshotInstallOptions,
): Promise<readonly number[]> {
  const { slot, session, source, ask, checkpoint } = options;
  for (;;) {
    checkpoint();
    const origin = source();
    const wanted = (await ask(origin.session.member.refresh())).snapshots;
    const { snapshots: present, sizeBytes } = await ask(session.member.refresh());
    checkpoint();
    const next = nextStep(wanted, present);
    const wantedBytes = next.kind === 'begin' ? next.snapshot.sizeBytes : options.core.sizeBytes;
    if ((next.kind === 'begin' || next.kind === 'level') && sizeBytes < wantedBytes) {
      await ask(session.member.grow(wantedBytes));
      continue;
    }
    if (next.kind === 'begin' && sizeBytes > wantedBytes) {
      slot.fullRebuild = true;
      throw new HoldfastError('conflict', 'Replica is larger than a snapshot that it lacks');
    }
    if (next.kind === 'level') {
      // A snapshot taken since `wanted` was read would be missing: look once more, without a pause.
      if (options.core.snapshotBarrier === null) return options.receive();
      await options.core.snapshotBarrier;
      continue;
    }
    if (next.kind === 'mismatch') {
      slot.fullRebuild = true;
      throw new HoldfastError('conflict', 'Snapshots of the replica cannot be made to match');
    }
    if (next.kind === 'delete') {
      await settleOwn(options);
      try {
        await ask(session.member.deleteSnapshot(next.snapshot.id));
      } catch (error) {
        // A bad block of a frozen layer is never written again: only a rebuild from nothing helps.
        if (hasCode(error, 'checksum-mismatch')) slot.fullRebuild = true;
        throw error;
      }
    } else await install(options, origin, next.snapshot, next.kind === 'begin');
  }
}

/**
 * Layers are not merged while blocks are in doubt. The joiner takes its own as they lie: they stay
 * in the copy set, by their intents, and are compared with the source later.
 */
async function settleOwn({ session, ask }: SnapshotInstallOptions): Promise<void> {
  for (const segment of await ask(session.member.intents())) {
    const { kinds, contentCrcs, stamp } = await ask(session.member.inspect(null, segment));
    await ask(session.member.settle(segment, kinds, contentCrcs, stamp));
  }
}

type Step =
  | { readonly kind: 'level' }
  | { readonly kind: 'mismatch' }
  | { readonly kind: 'delete' | 'begin' | 'resume'; readonly snapshot: SnapshotInfo };

/** Pure: the next thing to do, so that an interrupted install goes on where it was. */
export function nextStep(wanted: readonly SnapshotInfo[], present: readonly SnapshotInfo[]): Step {
  // The same name with another generation was made by a creation that failed.
  const surplus = present.find(
    (each) =>
      !wanted.some(
        (other) =>
          other.id === each.id && compareGenerations(other.generation, each.generation) === 0,
      ),
  );
  if (surplus !== undefined) return { kind: 'delete', snapshot: surplus };
  for (const [index, snapshot] of wanted.entries()) {
    const mine = present[index];
    if (mine === undefined) return { kind: 'begin', snapshot };
    if (mine.id !== snapshot.id) return { kind: 'mismatch' };
    if (!mine.sealed) return { kind: 'resume', snapshot };
  }
  return { kind: 'level' };
}

async function install(
  options: SnapshotInstallOptions,
  origin: SegmentSource,
  snapshot: SnapshotInfo,
  fresh: boolean,
): Promise<void> {
  const { core, session, progress, from, ask, checkpoint } = options;
  const joiner = session.member;
  if (fresh) await ask(joiner.beginSnapshotInstall(snapshot.id, snapshot.generation));
  const source = origin.session.member;
  // Stamps are the head's and never fall: they cover what the snapshot changed as well.
  const segments = Math.ceil(snapshot.sizeBytes / core.options.segmentBytes);
  const set = await findCopySet(segments, {
    stampedAtSource: (first, limit) => ask(source.stampedSince(from, first, limit)),
    stampedAtJoiner: (first, limit) => ask(joiner.stampedSince(from, first, limit)),
    intentsOfJoiner: () => ask(joiner.intents()),
    inFlight: [],
  });
  progress.segmentsTotal = set.count();
  progress.segmentsDone = 0;
  const copy = {
    joiner: session,
    layer: snapshot.id,
    segmentBytes: core.options.segmentBytes,
    deadlineMs: core.policy.memberDeadlineMs,
    clock: core.clock,
    progress,
  };
  for (let segment = set.nextSet(0); segment < set.length; segment = set.nextSet(segment + 1)) {
    checkpoint();
    await copyFromSomebody(copy, options, origin, segment);
    progress.segmentsDone++;
  }
  await ask(joiner.flush());
  await ask(joiner.sealSnapshot(snapshot.id));
}
