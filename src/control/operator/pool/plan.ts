import type { DiskPoolStatus } from '#api/kinds/mod.ts';
import { formatBytes } from '#api/kinds/mod.ts';
import type { Plan } from '../reconcile.ts';
import {
  ANNOTATION_INITIALISED,
  FINALIZER_REPLICAS,
  hasAnnotation,
  hasFinalizer,
  isDeleting,
  POLL_STEADY_MS,
} from '../reconcile.ts';
import { silence } from './observe.ts';
import type { PoolObservation } from './observe.ts';

export type PoolAction =
  | { readonly type: 'add-finalizer' }
  | { readonly type: 'remove-finalizer' }
  /**
   * `create` only until the pool was made once: a directory that is missing later is a fault, not a
   * new pool.
   */
  | { readonly type: 'ensure'; readonly directory: string; readonly create: boolean }
  | { readonly type: 'mark-initialised' };

const FREE_STEP_BYTES = 16 * 1024 * 1024;

export function planPool(seen: PoolObservation): Plan<PoolAction, DiskPoolStatus> {
  const { pool, node, report } = seen;
  if (isDeleting(pool)) return planDeletion(seen);
  const actions: PoolAction[] = [];
  if (!hasFinalizer(pool, FINALIZER_REPLICAS)) actions.push({ type: 'add-finalizer' });
  if (node.engine === null) {
    const message = `Node ${node.node}: ${silence(node)}`;
    return {
      actions,
      conditions: [{ type: 'Ready', status: 'False', reason: 'EngineSilent', message }],
      requeueAfterMs: 1_000,
    };
  }
  const isInitialised = hasAnnotation(pool, ANNOTATION_INITIALISED);
  if (report === undefined || report.error !== '') {
    actions.push({ type: 'ensure', directory: pool.spec.directory, create: !isInitialised });
  }
  if (!isInitialised) actions.push({ type: 'mark-initialised' });
  if (report === undefined || report.error !== '') {
    const message = 'The pool was opened just now and is being looked at';
    return {
      actions,
      conditions: [{ type: 'Ready', status: 'Unknown', reason: 'Opening', message }],
      requeueAfterMs: 100,
    };
  }
  return {
    actions,
    conditions: [
      {
        type: 'Ready',
        status: 'True',
        reason: 'Open',
        message: `Open in ${report.directory}`,
      },
      spaceCondition(report.freeBytes),
    ],
    status: {
      capacityBytes: report.totalBytes,
      freeBytes: report.freeBytes - (report.freeBytes % FREE_STEP_BYTES),
      filesystem: report.filesystem,
      deviceName: report.deviceName,
      deviceSerial: report.deviceSerial,
      replicas: report.replicas.length,
    },
    requeueAfterMs: POLL_STEADY_MS,
  };
}

function spaceCondition(freeBytes: number) {
  const isLow = freeBytes < 256 * 1024 * 1024;
  return {
    type: 'SpaceAvailable',
    status: isLow ? 'False' : 'True',
    reason: isLow ? 'NearlyFull' : 'Enough',
    message: isLow
      ? `Only ${formatBytes(freeBytes)} free: free some space, or add a pool`
      : 'At least 256 MiB free',
  } as const;
}

function planDeletion(seen: PoolObservation): Plan<PoolAction, DiskPoolStatus> {
  if (seen.replicas.length === 0) {
    return { actions: [{ type: 'remove-finalizer' }], conditions: [] };
  }
  const names = seen.replicas.map((replica) => replica.metadata.name).join(', ');
  const message = `The pool holds replicas: ${names}. Delete or move them first`;
  return {
    actions: [],
    conditions: [{ type: 'Terminating', status: 'True', reason: 'InUse', message }],
    requeueAfterMs: POLL_STEADY_MS,
  };
}
