import type { ConditionDraft, Replica } from '#api/kinds/mod.ts';
import { isDeleting } from './reconcile.ts';

/** How far the draining of a node or pool is, for those who only see objects. */
export function drainCondition(replicas: readonly Replica[]): ConditionDraft {
  if (replicas.length === 0) {
    return { type: 'Drained', status: 'True', reason: 'Empty', message: 'No replica is left here' };
  }
  const names = replicas.map((replica) => {
    const going = isDeleting(replica) ? ', being deleted' : '';
    return `${replica.metadata.name} of ${replica.spec.volumeName}${going}`;
  });
  const message = `${replicas.length} replicas are left: ${names.join('; ')}. Each goes when another one is in sync elsewhere; the condition Redundant of its volume says how that stands`;
  return { type: 'Drained', status: 'False', reason: 'Draining', message };
}
