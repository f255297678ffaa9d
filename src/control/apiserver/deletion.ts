/** What deleting does to an object: finalizers, timestamps, or its end. */
import type { JsonObject, Resource } from '#api/resources/mod.ts';
import { keyOfObject, metaOf, withMeta } from './catalog.ts';
import { type ApiFailure, badRequest, conflict, forbidden } from './failure.ts';
import type { StoreTransaction } from './object-store.ts';
import { checkDryRun, flagOf, invalidOptions, numberOf } from './request.ts';

export type Propagation = 'Background' | 'Foreground' | 'Orphan';

export const ORPHAN_FINALIZER = 'orphan';
export const FOREGROUND_FINALIZER = 'foregroundDeletion';

export interface DeleteOptions {
  readonly isDryRun: boolean;
  /** Absent: the finalizers that are there decide. */
  readonly propagation: Propagation | undefined;
  readonly uid: string | undefined;
  readonly resourceVersion: string | undefined;
}

/** From the body, and from the query where the body is silent. */
export function parseDeleteOptions(body: unknown, query: URLSearchParams): DeleteOptions {
  if (body !== undefined && (typeof body !== 'object' || body === null || Array.isArray(body))) {
    throw badRequest('the body is no DeleteOptions object');
  }
  const options = (body ?? {}) as JsonObject;
  const kind = options['kind'];
  if (kind !== undefined && kind !== 'DeleteOptions') {
    throw badRequest(`the body is a ${JSON.stringify(kind)}, not a DeleteOptions object`);
  }
  const preconditions = (options['preconditions'] ?? {}) as Record<string, string | undefined>;
  const dryRun = [...((options['dryRun'] ?? []) as string[]), ...query.getAll('dryRun')];
  checkDryRun(dryRun, 'DeleteOptions');
  const grace = options['gracePeriodSeconds'] ?? numberOf(query, 'gracePeriodSeconds');
  if (typeof grace === 'number' && grace < 0) {
    throw badRequest('gracePeriodSeconds must not be negative');
  }
  return {
    isDryRun: dryRun.length > 0,
    propagation: propagationOf(options, query),
    uid: preconditions['uid'],
    resourceVersion: preconditions['resourceVersion'],
  };
}

function propagationOf(options: JsonObject, query: URLSearchParams): Propagation | undefined {
  const orphans = options['orphanDependents'] ?? flagOf(query, 'orphanDependents');
  const policy = options['propagationPolicy'] ?? query.get('propagationPolicy') ?? undefined;
  if (orphans !== undefined && policy !== undefined) {
    const message =
      `Invalid value: ${JSON.stringify(policy)}: orphanDependents and ` +
      'deletionPropagation cannot be both set';
    throw invalidOptions('DeleteOptions', 'FieldValueInvalid', 'propagationPolicy', message);
  }
  if (orphans !== undefined) return orphans === true ? 'Orphan' : 'Background';
  if (policy === undefined) return undefined;
  if (policy === 'Background' || policy === 'Foreground' || policy === 'Orphan') return policy;
  const message =
    `Unsupported value: ${JSON.stringify(policy)}: supported values: "Background", ` +
    '"Foreground", "Orphan", "nil"';
  throw invalidOptions('DeleteOptions', 'FieldValueNotSupported', 'propagationPolicy', message);
}

/** These hold what every cluster needs. */
const KEPT_NAMESPACES: ReadonlySet<string> = new Set(['default', 'kube-system', 'kube-public']);

export interface Deleted {
  readonly object: JsonObject;
  readonly isGone: boolean;
}

export function deleteObject(
  transaction: StoreTransaction,
  resource: Resource,
  before: JsonObject,
  options: DeleteOptions,
  now: string,
): Deleted {
  checkPreconditions(resource, before, options);
  const meta = metaOf(before);
  const isNamespace = resource.group === '' && resource.kind === 'Namespace';
  if (isNamespace && KEPT_NAMESPACES.has(meta.name ?? '')) {
    throw forbidden(resource, meta.name ?? '', 'this namespace may not be deleted');
  }
  const finalizers = finalizersFor(meta.finalizers ?? [], options.propagation);
  if (finalizers.length === 0 && !holdsContent(resource, before)) {
    if (options.isDryRun) return { object: before, isGone: true };
    return { object: transaction.delete(keyOfObject(resource, before)), isGone: true };
  }
  const isMarked = meta.deletionTimestamp !== undefined;
  const isSame = isMarked && String(finalizers) === String(meta.finalizers ?? []);
  if (isSame || options.isDryRun) return { object: before, isGone: false };
  const { generation } = meta;
  const marked = withMeta(before, {
    finalizers: finalizers.length === 0 ? undefined : finalizers,
    ...(isMarked ? {} : { deletionTimestamp: now, deletionGracePeriodSeconds: 0 }),
    ...(isMarked || generation === undefined ? {} : { generation: generation + 1 }),
  });
  const after = isNamespace ? terminating(marked) : marked;
  return { object: transaction.put(keyOfObject(resource, after), after), isGone: false };
}

/** A namespace goes when it is empty: the one who empties it takes this away. */
export function holdsContent(resource: Resource, object: JsonObject): boolean {
  if (resource.group !== '' || resource.kind !== 'Namespace') return false;
  const spec = (object['spec'] ?? {}) as { readonly finalizers?: readonly string[] };
  return (spec.finalizers ?? []).length > 0;
}

function terminating(namespace: JsonObject): JsonObject {
  if ('deletionGracePeriodSeconds' in metaOf(namespace)) {
    const { deletionGracePeriodSeconds: _none, ...metadata } = metaOf(namespace);
    return terminating({ ...namespace, metadata });
  }
  return { ...namespace, status: { ...(namespace['status'] as JsonObject), phase: 'Terminating' } };
}

function checkPreconditions(
  resource: Resource,
  object: JsonObject,
  { uid, resourceVersion }: DeleteOptions,
): void {
  const meta = metaOf(object);
  const name = meta.name ?? '';
  if (uid !== undefined && uid !== meta.uid) {
    const why =
      `the UID in the precondition (${uid}) does not match the UID in record (${meta.uid}). ` +
      'The object might have been deleted and then recreated';
    throw preconditionFailed(resource, name, why);
  }
  if (resourceVersion !== undefined && resourceVersion !== meta.resourceVersion) {
    const why =
      `the ResourceVersion in the precondition (${resourceVersion}) does not match the ` +
      `ResourceVersion in record (${meta.resourceVersion}). The object might have been modified`;
    throw preconditionFailed(resource, name, why);
  }
}

/** It is told of the kind, not of the resource, as nowhere else. */
function preconditionFailed(resource: Resource, name: string, why: string): ApiFailure {
  return conflict({ ...resource, plural: resource.kind }, name, why);
}

function finalizersFor(had: readonly string[], policy: Propagation | undefined): readonly string[] {
  if (policy === undefined) return had;
  const others = had.filter((one) => one !== ORPHAN_FINALIZER && one !== FOREGROUND_FINALIZER);
  if (policy === 'Orphan') return [...others, ORPHAN_FINALIZER];
  if (policy === 'Foreground') return [...others, FOREGROUND_FINALIZER];
  return others;
}
