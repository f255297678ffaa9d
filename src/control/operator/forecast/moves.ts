/** Drain, replace, cordon: what it means for every volume that has a replica there. Pure. */
import type { ReplicaPlacement, Volume } from '#api/kinds/mod.ts';
import type { ForecastStep } from '#api/mod.ts';
import { formatRefusal } from '#control/sched/mod.ts';
import { placeMore, poolCandidates } from '../pool-candidates.ts';
import type { ClusterFacts } from './facts.ts';
import {
  claimOf,
  dataBytesOf,
  inSyncOf,
  replicasIn,
  restOfRebuilds,
  secondsFor,
  withPlacement,
} from './facts.ts';

export interface Moves {
  readonly steps: readonly ForecastStep[];
  readonly blockers: readonly string[];
  /** The objects with every volume in its new places. */
  readonly after: ClusterFacts;
}

export interface Departure {
  /** Whether a placement entry has to go. */
  readonly leaves: (entry: ReplicaPlacement) => boolean;
  /** It is gone, or goes, before another one is there. */
  readonly isLoss: boolean;
}

/** Volume by volume, each with those before it in their new places. */
export function forecastMoves(facts: ClusterFacts, departure: Departure): Moves {
  const steps: ForecastStep[] = [];
  const blockers: string[] = [];
  let later = facts;
  for (const volume of [...facts.volumes].sort(byName)) {
    const placement = volume.spec.placement ?? [];
    const going = placement.filter(departure.leaves);
    if (going.length === 0) continue;
    const keepers = placement.filter((entry) => !going.includes(entry));
    const lacking = volume.spec.replicas - keepers.length;
    if (lacking <= 0) {
      steps.push(underWay(facts, volume, going));
      continue;
    }
    const avoid = going.map((entry) => entry.poolName);
    const result = placeMore(poolCandidates(later), volume, keepers, avoid);
    if (!result.ok) {
      const names = going.map((entry) => `${entry.replicaName} in ${entry.poolName}`).join(', ');
      blockers.push(`${label(volume)}: ${names} cannot be replaced: ${formatRefusal(result)}`);
      continue;
    }
    const added = result.picks.map((pick, index) => ({
      replicaName: `${volume.metadata.name}-forecast-${index}`,
      poolName: pick.pool,
      nodeName: pick.node,
      founder: false,
    }));
    later = withPlacement(later, volume, [...keepers, ...added]);
    const bytesMoved = dataBytesOf(facts, volume) * lacking;
    const from = going.map((entry) => `${entry.replicaName} in ${entry.poolName}`).join(', ');
    const to = added.map((entry) => entry.poolName).join(', ');
    steps.push({
      volume: volume.metadata.name,
      claim: claimOf(volume),
      what: departure.isLoss
        ? `${from} is replaced by another one in ${to}`
        : `${from} moves to ${to}${result.note === '' ? '' : ` (${result.note})`}`,
      bytesMoved,
      seconds: secondsFor(bytesMoved),
      risk: riskOf(facts, volume, going, departure.isLoss),
    });
  }
  return { steps, blockers, after: later };
}

function byName(a: Volume, b: Volume): number {
  return a.metadata.name < b.metadata.name ? -1 : 1;
}

function label(volume: Volume): string {
  const claim = claimOf(volume);
  return claim === '' ? volume.metadata.name : `${volume.metadata.name} (${claim})`;
}

/** The others are placed already: they are being levelled, or the last of it is being deleted. */
function underWay(
  facts: ClusterFacts,
  volume: Volume,
  going: readonly ReplicaPlacement[],
): ForecastStep {
  const rest = restOfRebuilds(facts, volume);
  const names = going.map((entry) => entry.replicaName).join(', ');
  return {
    volume: volume.metadata.name,
    claim: claimOf(volume),
    what: `${names} goes when its successor is in sync`,
    bytesMoved: rest?.bytes ?? 0,
    seconds: rest === null ? 0 : rest.seconds,
    risk: riskOf(facts, volume, [], false),
  };
}

function riskOf(
  facts: ClusterFacts,
  volume: Volume,
  going: readonly ReplicaPlacement[],
  isLoss: boolean,
): string {
  const wanted = volume.spec.replicas;
  const inSync = inSyncOf(facts, volume);
  const leavers = isLoss ? going.map((entry) => entry.replicaName) : [];
  const current = inSync ?? (volume.spec.placement ?? []).map((entry) => entry.replicaName);
  const left = current.filter((name) => !leavers.includes(name)).length;
  if (left >= wanted) return '';
  if (left === 0) return 'no copy is left: its data is lost if this one does not come back';
  return `${left} of ${wanted} copies until it is done`;
}

/** Replicas there that are being deleted: nothing is copied for them any more. */
export function forecastLeftovers(
  facts: ClusterFacts,
  pools: ReadonlySet<string>,
  steps: readonly ForecastStep[],
): ForecastStep[] {
  const known = new Set(steps.map((step) => step.volume));
  return replicasIn(facts, pools)
    .filter((replica) => replica.metadata.deletionTimestamp !== undefined)
    .filter((replica) => !known.has(replica.spec.volumeName))
    .map((replica) => {
      const volume = facts.volumes.find((each) => each.metadata.name === replica.spec.volumeName);
      const why = replica.status?.conditions?.find(({ type }) => type === 'Terminating')?.message;
      return {
        volume: replica.spec.volumeName,
        claim: volume === undefined ? '' : claimOf(volume),
        what: `${replica.metadata.name} is being deleted${why === undefined ? '' : `: ${why}`}`,
        bytesMoved: 0,
        seconds: null,
        risk: '',
      };
    });
}

/** Volumes that could replace any lost replica before, and could not afterwards. */
export function forecastSpares(before: ClusterFacts, after: ClusterFacts): string[] {
  return after.volumes
    .filter((volume) => {
      const same = before.volumes.find((each) => each.metadata.name === volume.metadata.name);
      return same !== undefined && hasSpare(before, same) && !hasSpare(after, volume);
    })
    .map(label);
}

/** Whether each of its replicas could be replaced in another pool. */
function hasSpare(facts: ClusterFacts, volume: Volume): boolean {
  const placement = volume.spec.placement ?? [];
  return placement.every((entry) => {
    const keepers = placement.filter((other) => other !== entry);
    const pools = facts.pools.filter((pool) => pool.metadata.name !== entry.poolName);
    return placeMore(poolCandidates({ ...facts, pools }), volume, keepers, []).ok;
  });
}
