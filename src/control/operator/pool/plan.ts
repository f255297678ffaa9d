import type { ConditionDraft, DiskPoolStatus, PoolOrphan } from '#api/kinds/mod.ts';
import { formatBytes, parseQuantity } from '#api/kinds/mod.ts';
import type { PoolReport } from '#api/mod.ts';
import { drainCondition } from '../drained.ts';
import type { Plan } from '../reconcile.ts';
import {
  ANNOTATION_INITIALISED,
  FINALIZER_REPLICAS,
  hasAnnotation,
  hasFinalizer,
  isDeleting,
  POLL_STEADY_MS,
  POLL_WAITING_MS,
} from '../reconcile.ts';
import { fullnessOf } from './fullness.ts';
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
  | { readonly type: 'mark-initialised' }
  | { readonly type: 'delete-orphan'; readonly replica: string };

const FREE_STEP_BYTES = 16 * 1024 * 1024;

export function planPool(seen: PoolObservation): Plan<PoolAction, DiskPoolStatus> {
  const { pool, node, report } = seen;
  if (isDeleting(pool)) return planDeletion(seen);
  const actions: PoolAction[] = [];
  if (!hasFinalizer(pool, FINALIZER_REPLICAS)) actions.push({ type: 'add-finalizer' });
  if (node.engine === null) {
    const said = seen.isNodeUnknown
      ? { reason: 'NodeUnknown', message: `There is no node ${node.node}` }
      : { reason: 'EngineSilent', message: `Node ${node.node}: ${silence(node)}` };
    return {
      actions,
      conditions: [{ type: 'Ready', status: 'False', ...said }],
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
  const { orphans, removals } = seen.orphans;
  actions.push(...removals.map((replica) => ({ type: 'delete-orphan', replica }) as const));
  return {
    actions,
    dropConditions: [
      ...(orphans.length === 0 ? ['Orphaned'] : []),
      ...(pool.spec.drain === true ? [] : ['Drained']),
    ],
    conditions: [
      ...(orphans.length === 0 ? [] : [orphanCondition(orphans)]),
      ...(pool.spec.drain === true ? [drainCondition(seen.replicas)] : []),
      {
        type: 'Ready',
        status: 'True',
        reason: 'Open',
        message: `Open in ${report.directory}`,
      },
      spaceCondition(report),
    ],
    status: {
      capacityBytes: report.totalBytes,
      freeBytes: report.freeBytes - (report.freeBytes % FREE_STEP_BYTES),
      filesystem: report.filesystem,
      deviceName: report.deviceName,
      deviceSerial: report.deviceSerial,
      replicas: report.replicas.length,
      promisedBytes: seen.replicas.reduce(
        (sum, { spec }) => sum + parseQuantity('spec.size', spec.size),
        0,
      ),
      orphans,
    },
    requeueAfterMs: removals.length > 0 ? 1_000 : POLL_STEADY_MS,
  };
}

function orphanCondition(orphans: readonly PoolOrphan[]): ConditionDraft {
  const names = orphans.map((orphan) => `${orphan.replicaName} of ${orphan.volumeName}`).join(', ');
  const message = `Replicas that no object wants: ${names} (holdfast explain pool says why each is kept)`;
  return { type: 'Orphaned', status: 'True', reason: 'OrphansFound', message };
}

function spaceCondition(report: PoolReport): ConditionDraft {
  const free = formatBytes(report.freeBytes);
  const type = 'SpaceAvailable';
  switch (fullnessOf(report)) {
    case 'full': {
      const message =
        `${free} of ${formatBytes(report.totalBytes)} are free. Writes that need new blocks fail ` +
        'with ENOSPC until there is room; what is there can be read and overwritten';
      return { type, status: 'False', reason: 'Full', message };
    }
    case 'low': {
      const message = `Only ${free} free: free some space, or add a pool`;
      return { type, status: 'False', reason: 'NearlyFull', message };
    }
    case 'enough':
      return { type, status: 'True', reason: 'Enough', message: 'At least 256 MiB free' };
  }
}

function planDeletion(seen: PoolObservation): Plan<PoolAction, DiskPoolStatus> {
  const isForgotten =
    seen.isNodeGone &&
    seen.node.engine === null &&
    seen.replicas.every((replica) => isDeleting(replica));
  if (seen.replicas.length === 0 || isForgotten) {
    return { actions: [{ type: 'remove-finalizer' }], conditions: [] };
  }
  const names = seen.replicas.map((replica) => replica.metadata.name).join(', ');
  const message = `The pool holds replicas: ${names}. Delete or move them first`;
  return {
    actions: [],
    conditions: [{ type: 'Terminating', status: 'True', reason: 'InUse', message }],
    requeueAfterMs: POLL_WAITING_MS,
  };
}
