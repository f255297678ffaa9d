/** One trouble of the table, and what is demanded of it in a running cluster. */
import { setTimeout as pause } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import type { KindName } from '#api/kinds/mod.ts';
import type { ExplainLink } from '#api/mod.ts';
import type { Subject, TroubleWorld } from './trouble-world.testkit.ts';

export interface Trouble {
  /** What a user sees, in the words of docs/operating/troubleshooting.md. */
  readonly symptom: string;
  /** What a user would ask about; found when it is planted, where it has no name of ours. */
  readonly subject: Subject | ((world: TroubleWorld) => Promise<Subject>);
  /** The kind of the link that is at fault, as `explain` calls it. */
  readonly link: string;
  /** In the first line, in a condition and in an Event. */
  readonly cause: RegExp;
  /** Of what `explain` says that a person can do, or in the cause itself. */
  readonly remedy: RegExp;
  /** What becomes of the subject when the trouble is over. */
  readonly end: 'well' | 'gone';
  readonly withinMs?: number;
  /** Before other troubles of its group begin. */
  readonly prepare?: (world: TroubleWorld) => Promise<void>;
  readonly plant: (world: TroubleWorld) => Promise<void>;
  readonly heal: (world: TroubleWorld) => Promise<void>;
}

/** Troubles that stand at the same time, and what is the matter with all of them. */
export interface TroubleGroup {
  readonly name: string;
  readonly begin?: (world: TroubleWorld) => Promise<void>;
  readonly end?: (world: TroubleWorld) => Promise<void>;
  readonly troubles: readonly Trouble[];
}

const SAID_MS = 20_000;
const HEALED_MS = 90_000;
const LOOK_MS = 250;
/** At once: two cores. */
const WORKERS = 6;

/** Resolves to what went wrong (nothing, if all is as it must), and how long each took. */
export async function runGroup(
  world: TroubleWorld,
  { begin, end, troubles }: TroubleGroup,
): Promise<{ readonly failures: readonly string[]; readonly times: readonly string[] }> {
  const failures: string[] = [];
  const times: string[] = [];
  const planted: Trouble[] = [];
  const attempt = async (trouble: Trouble, act: () => Promise<void>): Promise<void> => {
    try {
      await act();
    } catch (error) {
      failures.push(`${trouble.symptom}: ${(error as Error).message}`);
    }
  };
  await eachOf(troubles, (trouble) =>
    attempt(trouble, async () => {
      await trouble.prepare?.(world);
      planted.push(trouble);
    }),
  );
  const subjects = new Map<Trouble, Subject>();
  await begin?.(world);
  await eachOf(planted, (trouble) =>
    attempt(trouble, async () => {
      await trouble.plant(world);
      const startMs = performance.now();
      const subject = await subjectOf(world, trouble);
      subjects.set(trouble, subject);
      await demandNamed(world, subject, trouble);
      times.push(`${((performance.now() - startMs) / 1_000).toFixed(1)} s ${trouble.symptom}`);
    }),
  );
  await end?.(world);
  await eachOf(planted, (trouble) =>
    attempt(trouble, async () => {
      await trouble.heal(world);
      const subject = subjects.get(trouble);
      if (subject !== undefined) await demandHealed(world, subject, trouble);
    }),
  );
  return { failures, times };
}

async function subjectOf(world: TroubleWorld, { subject }: Trouble): Promise<Subject> {
  return typeof subject === 'function' ? subject(world) : subject;
}

async function eachOf<T>(items: readonly T[], act: (item: T) => Promise<void>): Promise<void> {
  const left = [...items];
  const work = async (): Promise<void> => {
    for (let item = left.shift(); item !== undefined; item = left.shift()) await act(item);
  };
  await Promise.all(Array.from({ length: WORKERS }, work));
}

/** Rejects unless the first line is the cause in time, in the same words everywhere. */
export async function demandNamed(
  world: TroubleWorld,
  subject: Subject,
  trouble: Pick<Trouble, 'link' | 'cause' | 'remedy' | 'withinMs'>,
): Promise<void> {
  const { link, cause, remedy, withinMs = SAID_MS } = trouble;
  let summary = '';
  let found: ExplainLink | null = null;
  let advice: readonly string[] = [];
  const isNamed = async (): Promise<boolean> => {
    const said = await world.explain(subject);
    ({ summary, firstFailing: found, remedies: advice } = said);
    return found?.kind === link && cause.test(summary);
  };
  await world.until('named', isNamed, withinMs).catch((error: Error) => {
    throw new Error(`${error.message}: wanted ${link} ${String(cause)}, said: ${summary}`);
  });
  await untilSame(() => missingFaces(world, cause));
  const line = await world.firstLine(subject);
  if (!cause.test(line)) throw new Error(`the command line says: ${line}`);
  const all = [summary, ...advice].join('\n');
  if (!remedy.test(all)) throw new Error(`no remedy ${String(remedy)}: ${all}`);
}

/** Events are written a moment after the condition. */
async function untilSame(look: () => Promise<readonly string[]>): Promise<void> {
  let missing: readonly string[] = [];
  for (let tries = 0; tries < 20; tries += 1) {
    missing = await look();
    if (isDeepStrictEqual(missing, [])) return;
    await pause(LOOK_MS);
  }
  throw new Error(`not in the same words: ${missing.join(', ')}`);
}

const SPEAKING: readonly KindName[] = [
  'PersistentVolumeClaim',
  'PersistentVolume',
  'Mount',
  'VolumeAttachment',
  'Volume',
  'Replica',
  'Snapshot',
  'DiskPool',
  'StorageNode',
];

/** Where the words are not: among the conditions of all objects, and among the Events. */
async function missingFaces(world: TroubleWorld, cause: RegExp): Promise<readonly string[]> {
  const missing: string[] = [];
  const said: string[] = [];
  for (const kind of SPEAKING) {
    const { items } = await world.client.list(kind);
    for (const object of items) collectMessages((object as { status?: unknown }).status, said);
  }
  if (!said.some((text) => cause.test(text))) missing.push('no condition says it');
  const { items } = await world.client.list('Event');
  if (!items.some(({ note }) => cause.test(note ?? ''))) missing.push('no Event says it');
  return missing;
}

function collectMessages(value: unknown, into: string[]): void {
  if (typeof value !== 'object' || value === null) return;
  for (const [field, entry] of Object.entries(value)) {
    if (field === 'message' && typeof entry === 'string') into.push(entry);
    else collectMessages(entry, into);
  }
}

async function demandHealed(
  world: TroubleWorld,
  subject: Subject,
  { end }: Trouble,
): Promise<void> {
  if (end === 'gone') {
    await world.until('gone', () => world.isGone(subject), HEALED_MS);
    return;
  }
  let summary = '';
  const isWell = async (): Promise<boolean> => {
    const said = await world.explain(subject);
    ({ summary } = said);
    return said.firstFailing === null;
  };
  await world.until('well again', isWell, HEALED_MS).catch((error: Error) => {
    throw new Error(`${error.message}: ${summary}`);
  });
}
