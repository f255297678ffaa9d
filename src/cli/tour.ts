/**
 * `npm start -- --tour`: shows, unattended and on a cluster of its own, what Holdfast is for; then
 * cleans up and says so.
 *
 * Invariants
 * - Exit code 0 means: every byte was verified, and nothing is left of the tour.
 * - Ctrl-C at any time ends in the same clean-up.
 */
import { HoldfastError } from '#api/mod.ts';
import { formatHex } from '#lib/mod.ts';
import { layOut } from './cluster-directory.ts';
import type { CliContext } from './context.ts';
import { examine, type Finding } from './doctor.ts';
import { EXIT_CODES, EXIT_OK } from './exit-codes.ts';
import { BlockSubject } from './tour/block-subject.ts';
import { FileSubject } from './tour/file-subject.ts';
import { Guide } from './tour/guide.ts';
import { Story } from './tour/story.ts';
import type { Subject } from './tour/subject.ts';

const NODES = 3;
const LETTING_GO_MS_MAX = 30_000;
const LEFTOVER_MS_MAX = 15_000;
/** The tour mounts ext4 alone. */
const NOT_NEEDED_TO_MOUNT = new Set(['mkfs.xfs']);

export async function runTour(context: CliContext, args: readonly string[]): Promise<number> {
  if (args.length > 0) {
    throw new HoldfastError('invalid-argument', 'The tour takes no arguments', {
      details: { field: 'argument', value: args[0] ?? '', remedy: 'Use npm start -- --tour' },
    });
  }
  const name = `holdfast-tour-${formatHex(context.host.rng.bytes(4))}`;
  const path = `${context.machine.tempDirectory}/${name}`;
  const findings = await examine(context, path);
  refuseWhatCannotWork(findings);
  const stop = new AbortController();
  const guide = new Guide(context, path, stop.signal);
  const missing = findings.filter((one) => !one.isWell && !NOT_NEEDED_TO_MOUNT.has(one.name));
  const subject: Subject = missing.length === 0 ? new FileSubject(guide) : new BlockSubject(guide);
  introduce(guide, missing);
  const outcome = await settle(runStory(context, guide, new Story(guide, subject), stop));
  await cleanUp(context, path, guide, outcome.error);
  if (outcome.error !== undefined) throw outcome.error as Error;
  if (outcome.value !== true) {
    context.out('\nStopped before its end.');
    return EXIT_CODES.aborted;
  }
  context.out(`\nThe tour took ${guide.elapsedSeconds()} s. Next: npm start, and README.md`);
  return EXIT_OK;
}

interface Outcome<T> {
  readonly value?: T;
  readonly error?: Error;
}

async function settle<T>(promise: Promise<T>): Promise<Outcome<T>> {
  try {
    return { value: await promise };
  } catch (error) {
    return { error: error as Error };
  }
}

/** False when a signal came before the end of the story. */
async function runStory(
  context: CliContext,
  guide: Guide,
  story: Story,
  stop: AbortController,
): Promise<boolean> {
  let telling: Promise<number> | undefined;
  let isTold = false;
  await context.up({
    path: guide.clusterPath,
    nodes: NODES,
    detach: false,
    onReady: () => {
      telling = story.tell().then(() => {
        isTold = true;
        guide.step('Clean up', 'Volumes are detached, the cluster stops, its directory goes.');
        return EXIT_OK;
      });
      return telling;
    },
    onStopping: async () => {
      stop.abort(new HoldfastError('aborted', 'The tour was stopped'));
      // What the story met is reported by `up`, or is the effect of stopping.
      const ending = Promise.allSettled([telling, story.letGo()]);
      const { promise: tooLong, resolve } = Promise.withResolvers<void>();
      const timer = context.host.clock.after(LETTING_GO_MS_MAX, resolve);
      await Promise.race([ending, tooLong]);
      timer.cancel();
    },
  });
  return isTold;
}

function refuseWhatCannotWork(findings: readonly Finding[]): void {
  const lacking = findings.find((finding) => finding.isNeeded && !finding.isWell);
  if (lacking === undefined) return;
  throw new HoldfastError('capability-missing', 'The tour cannot run on this machine', {
    details: { missing: `${lacking.name}: ${lacking.fact}`, remedy: lacking.remedy },
  });
}

function introduce(guide: Guide, missing: readonly Finding[]): void {
  const { context, clusterPath } = guide;
  context.out(`Holdfast tour: ${NODES} nodes on this machine, in ${clusterPath}`);
  guide.say(
    'Everything after a $ you can type yourself, with the cluster of `npm start`. Ctrl-C cleans up.',
  );
  if (missing.length === 0) {
    guide.say('This machine can mount: the volume is an ext4 filesystem with files on it.');
    return;
  }
  guide.say(
    'This machine or user cannot mount volumes, so the tour writes blocks over NBD; everything else is the same. For files on a mounted volume it needs:',
  );
  for (const { name, fact, remedy } of missing) context.out(`      ${name}: ${fact}; ${remedy}`);
}

/** Removes nothing while something is mounted: what is below may be data. */
async function cleanUp(
  context: CliContext,
  path: string,
  guide: Guide,
  storyError: Error | undefined,
): Promise<void> {
  const { clock, disk } = context.host;
  const { runDir } = layOut(path);
  const deadlineMs = clock.monotonicMs() + LEFTOVER_MS_MAX;
  let left = await findLeft(context, path, runDir);
  while (left.length > 0 && clock.monotonicMs() < deadlineMs) {
    await clock.sleep(100);
    left = await findLeft(context, path, runDir);
  }
  if (left.length === 0) {
    await context.machine.removeTree(path);
    if ((await disk.stat(path)) !== undefined) left.push(`directory ${path}`);
    if ((await disk.stat(runDir)) !== undefined) left.push(`directory ${runDir}`);
  }
  if (left.length > 0) {
    throw new HoldfastError('in-use', 'The tour left something behind', {
      details: { left: left.join('\n'), remedy: `Once it is gone, remove ${path}` },
      cause: storyError,
    });
  }
  guide.result('nothing is left: no process, mount, loop device, socket or directory');
}

async function findLeft(context: CliContext, path: string, runDir: string): Promise<string[]> {
  const found = await context.machine.findLeftovers(path);
  return runDir.startsWith(path)
    ? found
    : [...found, ...(await context.machine.findLeftovers(runDir))];
}
