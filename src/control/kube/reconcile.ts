/**
 * What all reconcilers share: a plan is values; carrying it out records every external action in
 * the status before it is tried, and ends with conditions, so that no object is stuck without a
 * reason.
 */
import type {
  AnyObject,
  CommonStatus,
  ConditionDraft,
  KindName,
  ObjectOf,
} from '#api/kinds/mod.ts';
import { findCondition, formatTime, setCondition } from '#api/kinds/mod.ts';
import { HoldfastError, type ErrorCode } from '#api/mod.ts';
import type { Clock } from '#host/mod.ts';
import { isDeepStrictEqual } from 'node:util';
import { changeStatus } from './change-status.ts';
import type { KubeClient, ObjectKey } from './client.ts';
import type { EventRecorder } from './event-recorder.ts';
import type { ReconcileResult } from './work-queue.ts';

export interface ReconcileContext {
  readonly client: KubeClient;
  readonly events: EventRecorder;
  readonly clock: Clock;
  /** On the way, not in trouble: an Event of these is no warning. */
  readonly movingReasons: ReadonlySet<string>;
}

/** Names an action for the status and for `explain`: what, on what. */
export interface ActionLabel {
  readonly action: string;
  readonly target: string;
}

export interface Plan<Action, Status extends CommonStatus> {
  readonly actions: readonly Action[];
  readonly conditions: readonly ConditionDraft[];
  /** Condition types that do not apply any more. */
  readonly dropConditions?: readonly string[];
  /** Observed values to be kept in the status. */
  readonly status?: Partial<Status>;
  readonly requeueAfterMs?: number | undefined;
}

export interface Execution<Action> {
  /** False where another reconciler of the same kind has them: then its note is left alone. */
  readonly hasExternalActions?: boolean;
  /** As it was read for the plan: when nothing is to be done and said, it is not read again. */
  readonly observed?: AnyObject;
  /** Null for what happens inside the API only. */
  readonly label: (action: Action) => ActionLabel | null;
  /** Which condition says so when the action fails. */
  readonly failureCondition: (action: Action) => string;
  /** Its reason and message, where the error's own words would say less. */
  readonly describeFailure?: (
    action: Action,
    error: HoldfastError,
  ) => Pick<ConditionDraft, 'reason' | 'message'> | undefined;
  readonly perform: (action: Action) => Promise<void>;
}

export async function carryOut<Kind extends KindName, Action, Status extends CommonStatus>(
  context: ReconcileContext,
  kind: Kind,
  key: ObjectKey,
  plan: Plan<Action, Status>,
  execution: Execution<Action>,
): Promise<ReconcileResult> {
  for (const action of plan.actions) {
    const label = execution.label(action);
    if (label !== null) {
      await recordPending(context, kind, key, label, execution.failureCondition(action));
    }
    try {
      await execution.perform(action);
    } catch (error) {
      if (!HoldfastError.is(error) || error.code === 'conflict') throw error;
      await recordFailure(context, kind, key, plan, failureOf(execution, action, label, error));
      throw error;
    }
  }
  const change = {
    conditions: plan.conditions,
    drop: plan.dropConditions ?? [],
    values: {
      ...plan.status,
      ...(execution.hasExternalActions === false ? {} : { pendingAction: null }),
    } as Partial<CommonStatus>,
  };
  const { observed } = execution;
  const isAsSaid =
    plan.actions.length === 0 && observed !== undefined && !isStatusNews(context, observed, change);
  if (!isAsSaid) await writeStatus(context, kind, key, change);
  return { requeueAfterMs: plan.requeueAfterMs };
}

async function recordPending<Kind extends KindName>(
  context: ReconcileContext,
  kind: Kind,
  key: ObjectKey,
  label: ActionLabel,
  type: string,
): Promise<void> {
  await changeAnyStatus(context, kind, key, (status, { metadata }) => {
    const before = status.pendingAction;
    if (before?.action === label.action && before.target === label.target) return status;
    const startTime = formatTime(context.clock.wallMs());
    const conditions = withTrying(status.conditions, label, type, metadata.generation, startTime);
    return { ...status, conditions, pendingAction: { ...label, startTime } };
  });
}

/** Of what was never told about: it can take long, and must not look as if nobody cared. */
function withTrying(
  conditions: CommonStatus['conditions'],
  { action, target }: ActionLabel,
  type: string,
  generation: number | undefined,
  now: string,
): CommonStatus['conditions'] {
  if (findCondition(conditions, type) !== undefined) return conditions;
  const draft: ConditionDraft = {
    type,
    status: type === 'Terminating' ? 'True' : 'Unknown',
    reason: 'Trying',
    message: `Being tried: ${action} ${target}`,
  };
  return setCondition(conditions ?? [], draft, generation, now);
}

function failureOf<Action>(
  execution: Execution<Action>,
  action: Action,
  label: ActionLabel | null,
  error: HoldfastError,
): ConditionDraft {
  const doing = label === null ? '' : `${label.action} ${label.target}: `;
  const type = execution.failureCondition(action);
  const said = execution.describeFailure?.(action, error) ?? {
    reason: reasonOf(error.code),
    message: `${doing}${describeError(error)}`,
  };
  return { type, status: 'False', ...said };
}

/** What was observed is written all the same; only what failed is told in place of the hope. */
async function recordFailure<Kind extends KindName, Action, Status extends CommonStatus>(
  context: ReconcileContext,
  kind: Kind,
  key: ObjectKey,
  plan: Plan<Action, Status>,
  failure: ConditionDraft,
): Promise<void> {
  const others = plan.conditions.filter((draft) => draft.type !== failure.type);
  await writeStatus(context, kind, key, {
    conditions: [...others, failure],
    drop: (plan.dropConditions ?? []).filter((type) => type !== failure.type),
    values: { ...plan.status } as Partial<CommonStatus>,
  });
}

interface StatusChange {
  readonly conditions: readonly ConditionDraft[];
  readonly drop: readonly string[];
  readonly values: Partial<CommonStatus>;
}

/** Writes conditions and values if they differ, and an Event for each condition that changed. */
export async function writeStatus<Kind extends KindName>(
  context: ReconcileContext,
  kind: Kind,
  key: ObjectKey,
  change: StatusChange,
): Promise<void> {
  let changed: ConditionDraft[] = [];
  const object = await changeAnyStatus(context, kind, key, (status, current) => {
    changed = change.conditions.filter((draft) => isNews(status.conditions ?? [], draft));
    return statusAfter(context, current, status, change);
  });
  if (object === undefined) return;
  for (const draft of changed) {
    const note = `${draft.type} is ${draft.status}: ${draft.message}`;
    const isUnexpected = draft.status === 'False' && !context.movingReasons.has(draft.reason);
    if (isUnexpected) context.events.warning(object, draft.reason, note);
    else context.events.normal(object, draft.reason, note);
  }
}

function isStatusNews(context: ReconcileContext, object: AnyObject, change: StatusChange): boolean {
  const status = ((object as { status?: unknown }).status ?? {}) as CommonStatus;
  return statusAfter(context, object, status, change) !== status;
}

/** The same value when nothing changes. */
function statusAfter(
  { clock }: ReconcileContext,
  object: AnyObject,
  status: CommonStatus,
  change: StatusChange,
): CommonStatus {
  const { generation } = object.metadata;
  const now = formatTime(clock.wallMs());
  let conditions: CommonStatus['conditions'] = status.conditions ?? [];
  for (const draft of change.conditions) {
    conditions = setCondition(conditions ?? [], draft, generation, now);
  }
  if (conditions?.some((entry) => change.drop.includes(entry.type))) {
    conditions = conditions.filter((entry) => !change.drop.includes(entry.type));
  }
  const after = { ...status, ...change.values, conditions, observedGeneration: generation };
  return isDeepStrictEqual(withoutNulls(after), withoutNulls(status)) ? status : after;
}

function isNews(before: CommonStatus['conditions'], draft: ConditionDraft): boolean {
  const found = findCondition(before, draft.type);
  return found?.status !== draft.status || found.reason !== draft.reason;
}

function withoutNulls(status: object): object {
  return Object.fromEntries(
    Object.entries(status).filter(([, value]) => value !== null && value !== undefined),
  );
}

/** Nothing when the object has gone meanwhile. */
async function changeAnyStatus<Kind extends KindName>(
  context: ReconcileContext,
  kind: Kind,
  key: ObjectKey,
  change: (status: CommonStatus, object: AnyObject) => CommonStatus,
): Promise<AnyObject | undefined> {
  try {
    return await changeStatus(context.client, kind, key, ((
      status: CommonStatus,
      object: AnyObject,
    ) => change(status, object)) as never);
  } catch (error) {
    if (HoldfastError.is(error) && error.code === 'not-found') return undefined;
    throw error;
  }
}

/** The object, or undefined when it is gone: nothing to reconcile then. */
export async function findObject<Kind extends KindName>(
  context: Pick<ReconcileContext, 'client'>,
  kind: Kind,
  key: ObjectKey,
): Promise<ObjectOf<Kind> | undefined> {
  try {
    return await context.client.get(kind, key);
  } catch (error) {
    if (HoldfastError.is(error) && error.code === 'not-found') return undefined;
    throw error;
  }
}

/** `no-space` becomes `NoSpace`: the CamelCase that conditions want. */
export function reasonOf(code: ErrorCode): string {
  return code.replaceAll(/(^|-)([a-z])/g, (_match, _dash, letter: string) => letter.toUpperCase());
}

/** One line: what, the details, what to do. */
export function describeError(error: HoldfastError): string {
  const { remedy, ...rest } = error.details;
  const details = Object.entries(rest).map(([name, value]) => `${name} ${flatten(value)}`);
  const facts = details.length === 0 ? '' : ` (${details.join(', ')})`;
  return `${error.message}${facts}${remedy === undefined ? '' : `. ${String(remedy)}`}`;
}

export function hasFinalizer(object: AnyObject, finalizer: string): boolean {
  return (object.metadata.finalizers ?? []).includes(finalizer);
}

export function isDeleting(object: {
  readonly metadata: { readonly deletionTimestamp?: string | undefined };
}): boolean {
  return object.metadata.deletionTimestamp !== undefined;
}

/** Programs answer in lines; a condition is one. */
function flatten(value: string | number | boolean): string {
  return String(value).replaceAll(/\s*\n\s*/g, '; ');
}
