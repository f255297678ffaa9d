import {
  hasCode,
  type PoolId,
  type ReplicaId,
  type ReplicaIdentity,
  type SnapshotId,
  type VolumeId,
} from '#api/mod.ts';
import type { ReconcileResult } from '#control/kube/mod.ts';
import { setFinalizer } from '#control/kube/mod.ts';
import { ANNOTATION_INITIALISED, carryOut, FINALIZER_DATA } from '../reconcile.ts';
import type { OperatorContext } from '../reconcile.ts';
import { observeReplica } from './observe.ts';
import type { ReplicaObservation } from './observe.ts';
import { planReplica } from './plan.ts';
import type { ReplicaAction } from './plan.ts';

export async function reconcileReplica(
  context: OperatorContext,
  name: string,
): Promise<ReconcileResult> {
  const seen = await observeReplica(context, name);
  if (seen === undefined) return {};
  const key = { name };
  return carryOut(context, 'Replica', key, planReplica(seen), {
    observed: seen.replica,
    label: (action) => {
      if (action.type === 'create')
        return { action: 'create replica in', target: seen.replica.spec.poolName };
      if (action.type === 'delete-data')
        return { action: 'delete replica from', target: seen.replica.spec.poolName };
      return null;
    },
    failureCondition: (action) => (action.type === 'delete-data' ? 'Terminating' : 'Ready'),
    async perform(action: ReplicaAction) {
      switch (action.type) {
        case 'add-finalizer':
        case 'remove-finalizer':
          return setFinalizer(
            context.client,
            'Replica',
            key,
            FINALIZER_DATA,
            action.type === 'add-finalizer',
          );
        case 'mark-initialised':
          await context.client.patch('Replica', key, {
            metadata: { annotations: { [ANNOTATION_INITIALISED]: 'true' } },
          });
          return;
        case 'create':
          return createReplica(context, seen, action);
        case 'delete-data':
          return deleteReplica(context, seen);
      }
    },
  });
}

async function createReplica(
  context: OperatorContext,
  seen: ReplicaObservation,
  action: ReplicaAction & { readonly type: 'create' },
): Promise<void> {
  const { metadata, spec } = seen.replica;
  const claimRef = seen.volume?.spec.claimRef;
  const identity: ReplicaIdentity = {
    cluster: context.cluster,
    volume: spec.volumeName as VolumeId,
    replica: metadata.name as ReplicaId,
    pool: spec.poolName as PoolId,
    shard: 0,
    segmentBytes: action.segmentBytes,
    claim: claimRef === undefined ? '' : `${claimRef.namespace}/${claimRef.name}`,
  };
  const { engine } = context.observer.access(spec.nodeName);
  await engine.call(
    'replica.create',
    {
      pool: identity.pool,
      identity,
      sizeBytes: action.sizeBytes,
      founders: action.founders as readonly ReplicaId[] | null,
      cloneOf:
        action.cloneOf === null
          ? null
          : {
              replica: action.cloneOf.replica as ReplicaId,
              snapshot: action.cloneOf.snapshot as SnapshotId,
            },
    },
    { timeoutMs: 60_000 },
  );
}

async function deleteReplica(context: OperatorContext, seen: ReplicaObservation): Promise<void> {
  const { metadata, spec } = seen.replica;
  const { engine } = context.observer.access(spec.nodeName);
  try {
    const replica = metadata.name as ReplicaId;
    await engine.call('replica.delete', { replica }, { timeoutMs: 60_000 });
  } catch (error) {
    if (!hasCode(error, 'not-found')) throw error;
  }
}
