/** plan, drain, cordon, uncordon, status: what would happen, and taking places out of use. */
import {
  FORECAST_VERBS,
  HoldfastError,
  type ClusterHealth,
  type Forecast,
  type ForecastStep,
} from '#api/mod.ts';
import type { KindName } from '#api/kinds/mod.ts';
import { formatBytes, formatDuration, parseKindName } from '#api/kinds/mod.ts';
import type { ClusterOption } from './cluster-client.ts';
import { withCluster } from './cluster-client.ts';
import type { CliContext } from './context.ts';
import { EXIT_NOT_WELL, EXIT_OK } from './exit-codes.ts';
import { parseSeconds } from './parse-seconds.ts';
import { printReport } from './print-objects.ts';
import { findName } from './read-objects.ts';

export interface MaintenanceOptions extends ClusterOption {
  readonly output?: string | undefined;
  readonly namespace?: string | undefined;
  readonly timeout?: string | undefined;
  readonly wait?: boolean | undefined;
}

const DRAIN_TIMEOUT_S = 600;
const LOOK_EVERY_MS = 1_000;
/** So long a drain that moves nothing is watched before it is called stuck. */
const STUCK_AFTER_MS = 10_000;

// --- plan ----------------------------------------------------------------------------------------

export async function runPlan(
  context: CliContext,
  verbText: string,
  kindText: string,
  nameText: string,
  sizeText: string | undefined,
  options: MaintenanceOptions,
): Promise<number> {
  const verb = FORECAST_VERBS.find((each) => each === verbText);
  if (verb === undefined) {
    throw new HoldfastError('invalid-argument', 'There is no such plan', {
      details: {
        field: 'verb',
        value: verbText,
        remedy: `Use one of: ${FORECAST_VERBS.join(', ')}`,
      },
    });
  }
  if ((verb === 'expand') !== (sizeText !== undefined)) {
    throw new HoldfastError('invalid-argument', 'Only expand takes a size, and needs it', {
      details: {
        field: 'size',
        value: sizeText ?? '',
        remedy: 'holdfast plan expand pvc NAME 20Gi',
      },
    });
  }
  const kind = parseKindName(kindText);
  return withCluster(context, options, async (cluster) => {
    const name = await findName(cluster, kind, nameText, options.namespace);
    const size = sizeText === undefined ? {} : { size: sizeText };
    const forecast = await cluster.call('cluster.plan', { verb, kind, ...name, ...size });
    printReport(context, options.output, forecast, () => formatForecast(forecast));
    return forecast.blockers.length === 0 ? EXIT_OK : EXIT_NOT_WELL;
  });
}

function formatForecast(forecast: Forecast): string[] {
  return [
    forecast.summary,
    ...forecast.steps.map((step) => `  ${formatStep(step)}`),
    ...forecast.blockers.map((blocker) => `  cannot: ${blocker}`),
    ...forecast.remains.map((line) => `  afterwards: ${line}`),
    'Nothing was changed.',
  ];
}

export function formatStep({
  volume,
  claim,
  what,
  bytesMoved,
  seconds,
  risk,
}: ForecastStep): string {
  const name = claim === '' ? volume : `${claim} (${volume})`;
  const time = seconds === null ? '' : `, about ${formatDuration(Math.max(seconds, 1) * 1_000)}`;
  const moved = bytesMoved === 0 ? '' : `; ${formatBytes(bytesMoved)} are copied${time}`;
  return `${name}: ${what}${moved}${risk === '' ? '' : `; at risk: ${risk}`}`;
}

// --- cordon, drain -------------------------------------------------------------------------------

const PLACES: ReadonlySet<KindName> = new Set(['StorageNode', 'DiskPool']);

function parsePlace(kindText: string): 'StorageNode' | 'DiskPool' {
  const kind = parseKindName(kindText);
  if (PLACES.has(kind)) return kind as 'StorageNode' | 'DiskPool';
  throw new HoldfastError('invalid-argument', 'Only nodes and pools can be taken out of use', {
    details: { field: 'kind', value: kindText, remedy: 'Use node or pool' },
  });
}

export async function runCordon(
  context: CliContext,
  kindText: string,
  name: string,
  isCordoned: boolean,
  options: MaintenanceOptions,
): Promise<number> {
  const kind = parsePlace(kindText);
  return withCluster(context, options, async (cluster) => {
    const spec = isCordoned ? { unschedulable: true } : { unschedulable: null, drain: null };
    await cluster.api.patch(kind, { name }, { spec });
    const what = isCordoned
      ? 'is cordoned: what is there stays, nothing new is placed'
      : 'is used again';
    context.out(`${kind} ${name} ${what}`);
    return EXIT_OK;
  });
}

/**
 * Ends when no replica is left there, when nothing more can be moved, or when the time is over:
 * then it names each volume that is left, with why and how long it takes.
 */
export async function runDrain(
  context: CliContext,
  kindText: string,
  name: string,
  options: MaintenanceOptions,
): Promise<number> {
  const kind = parsePlace(kindText);
  const timeoutMs = parseSeconds('--timeout', options.timeout, DRAIN_TIMEOUT_S);
  return withCluster(context, options, async (cluster) => {
    await cluster.api.patch(kind, { name }, { spec: { unschedulable: true, drain: true } });
    if (options.wait === false) {
      context.out(
        `${kind} ${name} is being drained; holdfast plan drain ${kindText} ${name} tells`,
      );
      return EXIT_OK;
    }
    const { clock } = context.host;
    const startMs = clock.monotonicMs();
    let movedAtMs = startMs;
    let before = '';
    for (;;) {
      const forecast = await cluster.call('cluster.plan', { verb: 'drain', kind, name });
      const { steps, blockers } = forecast;
      if (steps.length === 0 && blockers.length === 0) {
        context.out(`${kind} ${name} holds no replica any more`);
        return EXIT_OK;
      }
      const nowMs = clock.monotonicMs();
      const now = JSON.stringify([steps, blockers]);
      if (now !== before) {
        movedAtMs = nowMs;
        const copied = steps.filter((step) => step.bytesMoved > 0).length;
        context.err(
          `${steps.length + blockers.length} volumes left, ${copied} of them being copied`,
        );
      }
      before = now;
      const isStuck =
        nowMs - movedAtMs >= STUCK_AFTER_MS && steps.every((step) => step.seconds === null);
      if (isStuck || nowMs - startMs >= timeoutMs) {
        for (const line of leftOf(forecast)) context.out(line);
        context.out(`It goes on by itself. holdfast uncordon ${kindText} ${name} takes it back`);
        return EXIT_NOT_WELL;
      }
      await clock.sleep(LOOK_EVERY_MS);
    }
  });
}

function leftOf({ steps, blockers, subject }: Forecast): string[] {
  const left = steps.map((step) => {
    const eta =
      step.seconds === null
        ? 'nobody knows when'
        : `done in about ${formatDuration(Math.max(step.seconds, 1) * 1_000)}`;
    return `  ${formatStep({ ...step, bytesMoved: 0 })}; ${eta}`;
  });
  return [`${subject} is not empty yet:`, ...left, ...blockers.map((blocker) => `  ${blocker}`)];
}

// --- status --------------------------------------------------------------------------------------

/** One screen. The exit code says whether anything is at risk. */
export async function runStatus(context: CliContext, options: MaintenanceOptions): Promise<number> {
  return withCluster(context, options, async (cluster) => {
    const health = await cluster.call('cluster.health', {});
    printReport(context, options.output, health, () => formatHealth(health));
    return health.atRisk.length + health.troubles.length === 0 ? EXIT_OK : EXIT_NOT_WELL;
  });
}

const LINES_MAX = 15;

function formatHealth({ nodes, pools, volumes, atRisk, troubles }: ClusterHealth): string[] {
  const risks = atRisk.map(({ volume, claim, inSync, wanted, why, next }) => {
    const name = claim === '' ? volume : `${claim} (${volume})`;
    return `  ${name}: ${inSync} of ${wanted} copies. ${why}\n    ${next}`;
  });
  const free = `${formatBytes(pools.freeBytes)} of ${formatBytes(pools.capacityBytes)} free`;
  return [
    `nodes ${nodes.ready} of ${nodes.total} ready`,
    `pools ${pools.ready} of ${pools.total} ready, ${free}`,
    `volumes ${volumes.total}, ${volumes.served} served now`,
    ...(risks.length === 0 ? ['at risk: nothing'] : [`at risk: ${risks.length} volumes`]),
    ...shorten(risks),
    ...(troubles.length === 0 ? [] : ['also:', ...shorten(troubles.map((line) => `  ${line}`))]),
  ];
}

function shorten(lines: readonly string[]): string[] {
  if (lines.length <= LINES_MAX) return [...lines];
  return [...lines.slice(0, LINES_MAX), `  and ${lines.length - LINES_MAX} more (-o json)`];
}
