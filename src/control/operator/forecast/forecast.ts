/**
 * What would happen: the operator's own decisions, made on a copy of the objects in which the
 * question is answered yes. Pure; nothing is changed.
 */
import type { AnyObject, Volume } from '#api/kinds/mod.ts';
import {
  formatBytes,
  formatDuration,
  parseQuantity,
  readVolumeSize,
  titleOfSnapshot,
} from '#api/kinds/mod.ts';
import type { Forecast, ForecastStep, ForecastVerb } from '#api/mod.ts';
import { HoldfastError } from '#api/mod.ts';
import { isPublished } from '../attachment/published.ts';
import { poolCandidates } from '../pool-candidates.ts';
import { LABEL_CLONE } from '../reconcile.ts';
import type { ClusterFacts } from './facts.ts';
import { claimOf, dataBytesOf, inSyncOf, poolsOn, replicasIn, sizeOf } from './facts.ts';
import type { Departure, Moves } from './moves.ts';
import { forecastLeftovers, forecastMoves, forecastSpares } from './moves.ts';

export interface Question {
  readonly verb: ForecastVerb;
  /** What it is about; of a claim, its volume. */
  readonly subject: AnyObject;
  /** As people call it. */
  readonly name: string;
  /** For expand. */
  readonly size?: string | undefined;
  /** The volume stays when its claim goes. */
  readonly isRetained?: boolean | undefined;
}

export function forecast(facts: ClusterFacts, question: Question): Forecast {
  const { verb, subject } = question;
  const answer = ANSWERS[verb][subject.kind];
  if (answer === undefined) {
    const kinds = Object.keys(ANSWERS[verb]).join(', ');
    throw new HoldfastError('invalid-argument', 'Nothing of the kind can be planned', {
      details: { field: 'kind', value: `${verb} ${subject.kind}`, remedy: `Use one of: ${kinds}` },
    });
  }
  return answer(facts, question);
}

type Answer = (facts: ClusterFacts, question: Question) => Forecast;

const ANSWERS: Readonly<Record<ForecastVerb, Readonly<Record<string, Answer>>>> = {
  drain: { StorageNode: drain, DiskPool: drain },
  cordon: { StorageNode: cordon, DiskPool: cordon },
  replace: { StorageNode: replace, DiskPool: replace, Replica: replaceReplica },
  delete: {
    Volume: deleteVolume,
    DiskPool: deletePlace,
    StorageNode: deletePlace,
    Replica: deleteReplica,
  },
  expand: { Volume: expand },
};

function answerOf(
  { verb, subject, name }: Question,
  moves: Pick<Moves, 'steps' | 'blockers'>,
  remains: readonly string[] = [],
): Forecast {
  const { steps, blockers } = moves;
  const bytesMoved = steps.reduce((sum, step) => sum + step.bytesMoved, 0);
  const times = steps.map((step) => step.seconds);
  const seconds = times.includes(null) ? null : times.reduce<number>((sum, s) => sum + (s ?? 0), 0);
  const volumes = `${steps.length} volume${steps.length === 1 ? '' : 's'} changed`;
  const bytes = bytesMoved === 0 ? 'nothing is copied' : `${formatBytes(bytesMoved)} are copied`;
  const time = bytesMoved === 0 || seconds === null ? '' : ` in about ${timeOf(seconds)}`;
  const end = blockers.length === 0 ? '' : `; it does not come to its end: ${blockers[0]}`;
  return {
    subject: `${subject.kind} ${name}`,
    summary: `${verb} ${name}: ${volumes}, ${bytes}${time}${end}`,
    steps,
    bytesMoved,
    seconds,
    blockers,
    remains,
  };
}

function timeOf(seconds: number): string {
  return formatDuration(Math.max(seconds, 1) * 1_000);
}

// --- places --------------------------------------------------------------------------------------

/** The pools that are meant, and the facts with them out of use. */
function close(facts: ClusterFacts, subject: AnyObject): [ReadonlySet<string>, ClusterFacts] {
  const name = subject.metadata.name;
  const pools =
    subject.kind === 'StorageNode'
      ? poolsOn(facts, name).map((pool) => pool.metadata.name)
      : [name];
  const closed = new Set(pools);
  const changed = facts.pools.map((pool) =>
    closed.has(pool.metadata.name)
      ? { ...pool, spec: { ...pool.spec, unschedulable: true } }
      : pool,
  );
  return [closed, { ...facts, pools: changed }];
}

function leavesFrom(pools: ReadonlySet<string>, isLoss: boolean): Departure {
  return { leaves: (entry) => pools.has(entry.poolName), isLoss };
}

function drain(facts: ClusterFacts, question: Question): Forecast {
  const { subject } = question;
  const [pools, closed] = close(facts, subject);
  const moves = forecastMoves(closed, leavesFrom(pools, false));
  const leftovers = forecastLeftovers(facts, pools, moves.steps);
  const steps = [...moves.steps, ...leftovers];
  const remains = [
    ...servedOn(facts, subject),
    ...spares(facts, moves.after),
    'It stays cordoned until it is uncordoned',
  ];
  return answerOf(question, { ...moves, steps }, remains);
}

/** Draining moves copies. Whoever uses a volume there goes on using it. */
function servedOn(facts: ClusterFacts, { kind, metadata }: AnyObject): string[] {
  if (kind !== 'StorageNode') return [];
  return facts.volumes
    .filter(({ spec }) => spec.attachment?.nodeName === metadata.name)
    .map(
      (volume) => `${labelOf(volume)} is used on ${metadata.name}: it goes on, unmount it there`,
    );
}

function spares(before: ClusterFacts, after: ClusterFacts): string[] {
  const volumes = forecastSpares(before, after);
  if (volumes.length === 0) return [];
  return [`No place would be left for a lost replica of ${volumes.join(', ')}`];
}

function cordon(facts: ClusterFacts, question: Question): Forecast {
  const [pools, closed] = close(facts, question.subject);
  const stay = replicasIn(facts, pools).length;
  const remains = [`${stay} replicas stay where they are; nothing new is placed there`];
  const moves = { steps: [], blockers: [] };
  return answerOf(question, moves, [...remains, ...spares(facts, closed)]);
}

function replace(facts: ClusterFacts, question: Question): Forecast {
  const [pools, closed] = close(facts, question.subject);
  const moves = forecastMoves(closed, leavesFrom(pools, true));
  return answerOf(question, moves, spares(facts, moves.after));
}

function deletePlace(facts: ClusterFacts, question: Question): Forecast {
  const { subject, name } = question;
  const [pools] = close(facts, subject);
  const held = replicasIn(facts, pools);
  const blockers =
    held.length === 0
      ? []
      : [`${name} holds ${held.length} replicas: drain it first (holdfast drain)`];
  return answerOf(question, { steps: [], blockers });
}

// --- replicas ------------------------------------------------------------------------------------

function replaceReplica(facts: ClusterFacts, question: Question): Forecast {
  const { name } = question.subject.metadata;
  const leaves: Departure['leaves'] = (entry) => entry.replicaName === name;
  return answerOf(question, forecastMoves(facts, { leaves, isLoss: true }));
}

/** It goes first, and its successor is made where there is room then. */
function deleteReplica(facts: ClusterFacts, question: Question): Forecast {
  const { subject } = question;
  if (subject.kind !== 'Replica') return replaceReplica(facts, question);
  const volume = facts.volumes.find((each) => each.metadata.name === subject.spec.volumeName);
  const others = (volume === undefined ? null : inSyncOf(facts, volume)) ?? [];
  const isServed = others.length > 0;
  if (isServed && others.every((other) => other === subject.metadata.name)) {
    const blocker = `${subject.metadata.name} is kept: no other replica is in sync`;
    return answerOf(question, { steps: [], blockers: [blocker] });
  }
  return replaceReplica(facts, question);
}

// --- volumes -------------------------------------------------------------------------------------

function deleteVolume(facts: ClusterFacts, question: Question): Forecast {
  const { subject } = question;
  if (subject.kind !== 'Volume') return answerOf(question, { steps: [], blockers: [] });
  if (question.isRetained === true) {
    const kept = `${subject.metadata.name} and its data stay (reclaimPolicy Retain)`;
    return answerOf(question, { steps: [], blockers: [] }, [kept]);
  }
  const { name } = subject.metadata;
  const attachment = subject.spec.attachment ?? null;
  const snapshots = facts.snapshots
    .filter((each) => each.spec.volumeName === name)
    .filter((each) => each.metadata.labels?.[LABEL_CLONE] === undefined);
  const titleOf = ({ metadata: { name: own } }: (typeof snapshots)[number]): string =>
    titleOfSnapshot(own, facts.contents) ?? own;
  const blockers = [
    ...(isPublished(attachment)
      ? [`${labelOf(subject)} is used on ${attachment.nodeName}: unmount it first`]
      : []),
    ...(snapshots.length === 0 ? [] : [`It has snapshots: ${snapshots.map(titleOf).join(', ')}`]),
  ];
  const count = subject.spec.placement?.length ?? 0;
  const freed = formatBytes(dataBytesOf(facts, subject) * count);
  const what = `all ${count} replicas are deleted, ${freed} come free, and nothing brings them back`;
  return answerOf(question, { steps: [stepFor(subject, what)], blockers });
}

function expand(facts: ClusterFacts, question: Question): Forecast {
  const { subject, size = '' } = question;
  if (subject.kind !== 'Volume') return answerOf(question, { steps: [], blockers: [] });
  const result = readVolumeSize(size);
  if (!result.ok) {
    throw new HoldfastError('invalid-argument', 'Size cannot be used', {
      details: { field: 'size', value: size, remedy: result.remedy },
    });
  }
  const wanted = parseQuantity('size', size);
  const current = sizeOf(subject);
  if (wanted <= current) {
    const blockers =
      wanted === current ? [] : [`It has ${formatBytes(current)}: volumes only grow`];
    return answerOf(question, { steps: [], blockers });
  }
  const pools = poolCandidates(facts);
  const remains = (subject.spec.placement ?? []).flatMap(({ poolName }) => {
    const pool = pools.find((each) => each.pool === poolName);
    if (pool === undefined) return [];
    const promised = pool.promisedBytes + wanted - current;
    const limit = (pool.totalBytes * pool.overProvisioningPercent) / 100;
    if (promised <= limit) return [];
    return [`${poolName} promises ${formatBytes(promised)} then, and ${formatBytes(limit)} may be`];
  });
  const what = `grows from ${formatBytes(current)} to ${formatBytes(wanted)} on every replica`;
  return answerOf(question, { steps: [stepFor(subject, what)], blockers: [] }, remains);
}

function stepFor(volume: Volume, what: string): ForecastStep {
  const { name } = volume.metadata;
  return { volume: name, claim: claimOf(volume), what, bytesMoved: 0, seconds: 0, risk: '' };
}

function labelOf(volume: Volume): string {
  const claim = claimOf(volume);
  return claim === '' ? volume.metadata.name : claim;
}
