import type { ConditionDraft, StorageNodeStatus } from '#api/kinds/mod.ts';
import { drainCondition } from '../drained.ts';
import type { Plan } from '../reconcile.ts';
import {
  FINALIZER_REPLICAS,
  hasFinalizer,
  isDeleting,
  POLL_NODE_MS,
  POLL_WAITING_MS,
} from '../reconcile.ts';
import type { NodeObservation } from './observe.ts';

export type NodeAction = { readonly type: 'add-finalizer' } | { readonly type: 'remove-finalizer' };

export function planNode(seen: NodeObservation): Plan<NodeAction, StorageNodeStatus> {
  const { node, view, pools } = seen;
  if (isDeleting(node)) {
    if (pools.length === 0) return { actions: [{ type: 'remove-finalizer' }], conditions: [] };
    const names = pools.map((pool) => pool.metadata.name).join(', ');
    const message = `The node has pools: ${names}. Delete them first`;
    return {
      actions: [],
      conditions: [{ type: 'Terminating', status: 'True', reason: 'InUse', message }],
      requeueAfterMs: POLL_WAITING_MS,
    };
  }
  const actions: NodeAction[] = hasFinalizer(node, FINALIZER_REPLICAS)
    ? []
    : [{ type: 'add-finalizer' }];
  const isDrained = node.spec.drain === true;
  const conditions = [
    engineCondition(seen),
    mountCondition(seen),
    ...(isDrained ? [drainCondition(seen.replicas)] : []),
  ];
  const isSilent = view.engine === null || view.agent === null;
  return {
    actions,
    conditions,
    dropConditions: isDrained ? [] : ['Drained'],
    status: {
      ...(view.engine === null ? {} : { enginePid: view.engine.pid, version: view.engine.version }),
      ...(view.agent === null
        ? {}
        : { engineRestarts: view.agent.engineRestarts, missing: view.agent.missing }),
    },
    requeueAfterMs: isSilent ? 1_000 : POLL_NODE_MS,
  };
}

function engineCondition({ view }: NodeObservation): ConditionDraft {
  const error = view.engineError;
  if (error === null) {
    return {
      type: 'Ready',
      status: 'True',
      reason: 'EngineAnswers',
      message: 'The engine answers',
    };
  }
  return {
    type: 'Ready',
    status: 'False',
    reason: error.code === 'wrong-identity' ? 'WrongIdentity' : 'EngineSilent',
    message: `The engine does not answer: ${error.code}: ${error.message}. Its node process restarts it (one that hangs, within a minute); what it holds comes back with it`,
  };
}

function mountCondition({ view }: NodeObservation): ConditionDraft {
  const type = 'MountCapable';
  if (view.agent === null) {
    const code = view.agentError?.code ?? 'refused';
    const message = `The node process does not answer: ${code}. Mounts go on; nothing new is mounted`;
    return { type, status: 'Unknown', reason: 'NodeSilent', message };
  }
  if (view.agent.missing.length === 0) {
    return { type, status: 'True', reason: 'Capable', message: 'Volumes can be mounted here' };
  }
  const message = `Missing: ${view.agent.missing.join(', ')}. \`holdfast doctor\` says how to get it; volumes are served over NBD`;
  return { type, status: 'False', reason: 'CapabilityMissing', message };
}
