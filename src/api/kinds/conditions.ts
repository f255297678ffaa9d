/**
 * Conditions as the Kubernetes API conventions have them: a map by type, reason always, no phase.
 */

export interface Condition {
  readonly type: string;
  readonly status: 'True' | 'False' | 'Unknown';
  /** CamelCase, few different values. */
  readonly reason: string;
  readonly message: string;
  readonly observedGeneration?: number | undefined;
  readonly lastTransitionTime: string;
}

/** What a reconciler decides; the time of the transition is kept by `setCondition`. */
export type ConditionDraft = Pick<Condition, 'type' | 'status' | 'reason' | 'message'>;

export function findCondition(
  conditions: readonly Condition[] | undefined,
  type: string,
): Condition | undefined {
  return conditions?.find((condition) => condition.type === type);
}

export function isConditionTrue(
  conditions: readonly Condition[] | undefined,
  type: string,
): boolean {
  return findCondition(conditions, type)?.status === 'True';
}

/** The list with this condition in place; the very same list when nothing changed. */
export function setCondition(
  conditions: readonly Condition[],
  draft: ConditionDraft,
  generation: number | undefined,
  now: string,
): readonly Condition[] {
  const before = findCondition(conditions, draft.type);
  if (
    before !== undefined &&
    before.status === draft.status &&
    before.reason === draft.reason &&
    before.message === draft.message &&
    before.observedGeneration === generation
  ) {
    return conditions;
  }
  const after: Condition = {
    type: draft.type,
    status: draft.status,
    reason: draft.reason,
    message: draft.message,
    ...(generation === undefined ? {} : { observedGeneration: generation }),
    lastTransitionTime: before?.status === draft.status ? before.lastTransitionTime : now,
  };
  if (before === undefined) return [...conditions, after];
  return conditions.map((condition) => (condition === before ? after : condition));
}
