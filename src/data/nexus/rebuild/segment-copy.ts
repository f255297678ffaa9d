/**
 * Makes one segment of a joiner equal to the source's, sending only blocks that differ (rule 13).
 * For the head the caller holds the segment's range: no write of the foreground is in flight on
 * either.
 */
import { HoldfastError, type LayerRef, type SegmentInspection } from '#api/mod.ts';
import { BLOCK_BYTES } from '#data/block/mod.ts';
import type { Clock } from '#host/mod.ts';
import { blockRuns } from '../block-runs.ts';
import { same } from '../choose-copy.ts';
import { withDeadline } from '../deadline.ts';
import { clearMember, readMember, writeMember } from '../member-io.ts';
import type { MemberSession } from '../member-session.ts';
import type { MemberSlot } from '../member-slot.ts';
import type { RebuildProgress } from './progress.ts';

export interface SegmentSource {
  readonly slot: MemberSlot;
  readonly session: MemberSession;
}

/** The source failed, not the joiner: another one may do. */
export class SourceTrouble extends Error {
  readonly source: SegmentSource;
  readonly error: HoldfastError;

  constructor(source: SegmentSource, error: HoldfastError) {
    super('Source of a rebuild failed');
    this.source = source;
    this.error = error;
  }
}

export interface SegmentCopyOptions {
  readonly joiner: MemberSession;
  readonly layer: LayerRef;
  readonly segmentBytes: number;
  readonly deadlineMs: number;
  readonly clock: Clock;
  readonly progress: RebuildProgress;
}

/** Who can be copied from, and who is told when one of them fails. */
export interface SegmentSources {
  readonly source: (refused?: ReadonlySet<MemberSlot>) => SegmentSource;
  /** A source failed: its session is over, or only this copy of it is bad. */
  readonly onSourceTrouble: (trouble: SourceTrouble) => void;
  /** Throws when the rebuild is over. */
  readonly checkpoint: () => void;
}

/** Copies the segment from `first`, or from the next one that can; throws when nobody is left. */
export async function copyFromSomebody(
  options: SegmentCopyOptions,
  sources: SegmentSources,
  first: SegmentSource,
  segment: number,
): Promise<void> {
  const refused = new Set<MemberSlot>();
  for (let source = first; ; source = sources.source(refused)) {
    try {
      await copySegment(options, source, segment);
      return;
    } catch (error) {
      if (!(error instanceof SourceTrouble)) throw error;
      sources.checkpoint();
      sources.onSourceTrouble(error);
      refused.add(source.slot);
    }
  }
}

async function copySegment(
  options: SegmentCopyOptions,
  source: SegmentSource,
  segment: number,
): Promise<void> {
  const { joiner, layer, clock, deadlineMs, progress } = options;
  const fromSource = async <T>(outcome: Promise<T>): Promise<T> => {
    try {
      return await withDeadline(clock, deadlineMs, outcome);
    } catch (error) {
      if (!HoldfastError.is(error)) throw error;
      throw new SourceTrouble(source, error);
    }
  };
  const toJoiner = <T>(outcome: Promise<T>): Promise<T> => withDeadline(clock, deadlineMs, outcome);

  const inspectJoiner = toJoiner(joiner.member.inspect(layer, segment));
  // Both fail apart: the other one must not be left without a listener.
  inspectJoiner.catch(() => undefined);
  const wanted = await fromSource(source.session.member.inspect(layer, segment));
  const present = await inspectJoiner;
  progress.countCompared(wanted.kinds.length * BLOCK_BYTES);
  for (const run of differingRuns(wanted, present, layer)) {
    const offsetBytes = segment * options.segmentBytes + run.block * BLOCK_BYTES;
    const lengthBytes = run.count * BLOCK_BYTES;
    if (wanted.kinds[run.block] === 0) {
      const cleared = clearMember(
        joiner.member,
        'trim',
        layer,
        offsetBytes,
        lengthBytes,
        wanted.stamp,
      );
      await toJoiner(cleared);
      continue;
    }
    const data = await fromSource(
      readMember(source.session.member, layer, offsetBytes, lengthBytes),
    );
    await toJoiner(writeMember(joiner.member, layer, offsetBytes, data, wanted.stamp));
    progress.countCopied(lengthBytes);
  }
  if (layer === null) {
    // The source's stamp also where nothing differed, and proof that both hold the same now.
    const { kinds, contentCrcs, stamp } = wanted;
    await toJoiner(joiner.member.settle(segment, kinds, contentCrcs, stamp));
  }
}

function differingRuns(
  wanted: SegmentInspection,
  present: SegmentInspection,
  layer: LayerRef,
): ReturnType<typeof blockRuns> {
  return blockRuns(wanted.kinds.length, (block) => {
    // A snapshot cannot be settled: what nothing confirms there is written anew, though it is
    // equal.
    const known = layer === null || present.verified[block] === 1;
    return known && same(wanted, present, block) ? null : (wanted.kinds[block] as number);
  });
}
