/** A pool directory or a replica directory, checked as a whole. */
import { HoldfastError } from '#api/mod.ts';
import type { Disk } from '#host/mod.ts';
import { dirname } from 'node:path/posix';
import { compareViews, type ViewComparison } from './compare-views.ts';
import { type Finding, Findings } from './findings.ts';
import {
  findOrphans,
  findPoolOf,
  readPoolHeader,
  surveyOthers,
  surveyReplicas,
} from './pool-survey.ts';
import { type PoolHeader, type ReplicaImage, readReplica } from './replica-image.ts';
import { checkReplica, type ReplicaReport } from './replica-report.ts';
import { viewsOf } from './replica-view.ts';
import { lockStore, type StoreLock } from './store-lock.ts';

export interface CheckOptions {
  readonly disk: Disk;
  readonly directory: string;
  /** Metadata only. */
  readonly quick: boolean;
  readonly digest: boolean;
  /** Also what another process has open. */
  readonly live: boolean;
}

export interface PoolReport {
  readonly directory: string;
  readonly lock: StoreLock['state'];
  /** Null when its header cannot be read. */
  readonly pool: PoolHeader | null;
  readonly findings: readonly Finding[];
}

export interface StoreReport {
  /** Null when only a replica was asked for. */
  readonly pool: PoolReport | null;
  readonly replicas: readonly ReplicaReport[];
}

export interface ComparisonReport {
  readonly left: string;
  readonly right: string;
  readonly equal: boolean;
  readonly views: readonly ViewComparison[];
  readonly leftFindings: readonly Finding[];
  readonly rightFindings: readonly Finding[];
}

/** Throws `not-found` when the directory is neither a pool nor a replica. */
export async function checkStore(options: CheckOptions): Promise<StoreReport> {
  const { disk, directory } = options;
  const kind = await kindOf(disk, directory);
  if (kind === 'pool') return checkPool(options);
  const poolDirectory = await findPoolOf(disk, directory);
  const findings = new Findings();
  const header = poolDirectory && (await readPoolHeader(disk, poolDirectory, findings));
  const report = await checkOne(options, directory, header || undefined);
  const all = { ...report, findings: [...findings.list, ...report.findings] };
  return {
    pool: null,
    replicas: [findings.has('corruption') ? { ...all, verdict: 'corrupt' } : all],
  };
}

/**
 * Throws `store-locked` when one is open elsewhere, `store-corrupt` when one cannot be made out.
 */
export async function compareReplicas(
  options: Pick<CheckOptions, 'disk' | 'live'>,
  left: string,
  right: string,
): Promise<ComparisonReport> {
  const [a, b] = [new Findings(), new Findings()];
  return withReplica(options, left, a, (one) =>
    withReplica(options, right, b, async (other) => {
      if (one.header.volume !== other.header.volume) {
        const details = { left: one.header.volume, right: other.header.volume };
        a.note(left, 'They are replicas of different volumes', details);
      }
      const views = await compareViews(viewsOf(one), viewsOf(other));
      return {
        left,
        right,
        equal: views.every((view) => view.equal),
        views,
        leftFindings: a.list,
        rightFindings: b.list,
      };
    }),
  );
}

async function withReplica<T>(
  { disk, live }: Pick<CheckOptions, 'disk' | 'live'>,
  directory: string,
  findings: Findings,
  use: (image: ReplicaImage) => Promise<T>,
): Promise<T> {
  if ((await kindOf(disk, directory)) !== 'replica') {
    throw new HoldfastError('invalid-argument', 'Only replicas can be compared', {
      details: { directory, remedy: 'Name a directory POOL/replicas/REPLICA' },
    });
  }
  const lock = await lockStore(disk, `${directory}/replica.lock`);
  let image: ReplicaImage | undefined;
  try {
    if (lock.state === 'taken' && !live) {
      throw new HoldfastError('store-locked', 'Another process has the replica open', {
        details: { directory, remedy: 'Stop it first, or compare all the same with --live' },
      });
    }
    image = await readReplica({ disk, directory, pool: undefined, findings });
    if (image?.layers === undefined) {
      throw new HoldfastError('store-corrupt', 'The replica cannot be made out', {
        details: { directory, finding: findings.list[0]?.message ?? '' },
      });
    }
    return await use(image);
  } finally {
    await image?.close();
    await lock.release();
  }
}

async function kindOf(disk: Disk, directory: string): Promise<'pool' | 'replica'> {
  for (const name of ['holdfast-pool', 'replicas']) {
    if ((await disk.stat(`${directory}/${name}`)) !== undefined) return 'pool';
  }
  for (const name of ['replica', 'voter', 'map-log']) {
    if ((await disk.stat(`${directory}/${name}`)) !== undefined) return 'replica';
  }
  throw new HoldfastError('not-found', 'The directory holds neither a pool nor a replica', {
    details: { directory, remedy: 'Name a pool, or a directory POOL/replicas/REPLICA' },
  });
}

async function checkPool(options: CheckOptions): Promise<StoreReport> {
  const { disk, directory } = options;
  const lock = await lockStore(disk, `${directory}/holdfast-pool.lock`);
  try {
    const findings = new Findings();
    const header = await readPoolHeader(disk, directory, findings);
    const survey = await surveyReplicas(disk, `${directory}/replicas`);
    await surveyOthers(disk, `${directory}/replicas`, survey, findings);
    const replicas: ReplicaReport[] = [];
    for (const name of survey.replicas) {
      replicas.push(await checkOne(options, `${directory}/replicas/${name}`, header));
    }
    const pool = { directory, lock: lock.state, pool: header ?? null, findings: findings.list };
    return { pool, replicas };
  } finally {
    await lock.release();
  }
}

async function checkOne(
  options: CheckOptions,
  directory: string,
  pool: PoolHeader | undefined,
): Promise<ReplicaReport> {
  const { disk } = options;
  const lock = await lockStore(disk, `${directory}/replica.lock`);
  try {
    const report = await checkReplica({ ...options, directory, pool, lock: lock.state });
    const orphans = new Findings();
    const survey = await surveyReplicas(disk, dirname(directory));
    await findOrphans(disk, directory, survey, orphans);
    return { ...report, findings: [...report.findings, ...orphans.list] };
  } finally {
    await lock.release();
  }
}
