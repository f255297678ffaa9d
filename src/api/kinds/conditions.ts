/**
 * Conditions as the Kubernetes API conventions have them: a map by type, reason always, no phase.
 */
import { z } from 'zod';
import type { Frozen } from './object-meta.ts';

const condition = z.strictObject({
  type: z.string().max(316).describe('What this is about.'),
  status: z.enum(['True', 'False', 'Unknown']).describe('Whether it is so.'),
  reason: z.string().min(1).max(1024).describe('Why, in CamelCase: one of few different values.'),
  message: z.string().max(32_768).describe('Why, for people.'),
  observedGeneration: z.int().optional().describe('The generation that this was said of.'),
  lastTransitionTime: z.iso.datetime().describe('When the status last changed.'),
});

export const conditions = z.array(condition).meta({
  description: 'What is so about the object, each with its reason.',
  'x-kubernetes-list-type': 'map',
  'x-kubernetes-list-map-keys': ['type'],
});

export type Condition = Frozen<z.infer<typeof condition>>;

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
