/**
 * What a request is refused with: a `Status` object, worded as kube-apiserver words it, because
 * clients and people match these texts (apimachinery/pkg/api/errors).
 */
import { HoldfastError } from '#api/mod.ts';
import type { FieldProblem, JsonObject, Resource } from '#api/resources/mod.ts';
import { groupResource } from './names.ts';

export interface StatusCause {
  readonly reason: string;
  readonly message: string;
  readonly field?: string;
}

export interface StatusDetails {
  readonly name?: string;
  readonly group?: string;
  readonly kind?: string;
  readonly uid?: string;
  readonly causes?: readonly StatusCause[];
  readonly retryAfterSeconds?: number;
}

export interface StatusBody {
  readonly kind: 'Status';
  readonly apiVersion: 'v1';
  readonly metadata: JsonObject;
  readonly status: 'Failure' | 'Success';
  readonly message?: string;
  readonly reason?: string;
  readonly details?: StatusDetails;
  readonly code: number;
}

/** Thrown inside the server, answered to the client. */
export class ApiFailure extends Error {
  readonly body: StatusBody;

  constructor(code: number, reason: string, message: string, details: StatusDetails | undefined) {
    super(message);
    this.name = 'ApiFailure';
    const extra = details === undefined ? {} : { details };
    this.body = {
      kind: 'Status',
      apiVersion: 'v1',
      metadata: {},
      status: 'Failure',
      message,
      ...(reason === '' ? {} : { reason }),
      ...extra,
      code,
    };
  }
}

/** `details.kind` is the plural, as clients expect it. */
function detailsOf(resource: Resource, name: string): StatusDetails {
  const { group, plural } = resource;
  return { ...(name === '' ? {} : { name }), ...(group === '' ? {} : { group }), kind: plural };
}

export function notFound(resource: Resource, name: string): ApiFailure {
  const message = `${groupResource(resource)} "${name}" not found`;
  return new ApiFailure(404, 'NotFound', message, detailsOf(resource, name));
}

export function alreadyExists(resource: Resource, name: string, isDeleting = false): ApiFailure {
  const why = isDeleting ? 'object is being deleted: ' : '';
  const message = `${why}${groupResource(resource)} "${name}" already exists`;
  return new ApiFailure(409, 'AlreadyExists', message, detailsOf(resource, name));
}

const MODIFIED =
  'the object has been modified; please apply your changes to the latest version and try again';

export function conflict(resource: Resource, name: string, why: string = MODIFIED): ApiFailure {
  const message = `Operation cannot be fulfilled on ${groupResource(resource)} "${name}": ${why}`;
  return new ApiFailure(409, 'Conflict', message, detailsOf(resource, name));
}

export function applyConflict(message: string, causes: readonly StatusCause[]): ApiFailure {
  return new ApiFailure(409, 'Conflict', message, { causes });
}

export function forbidden(
  resource: Resource,
  name: string,
  why: string,
  causes: readonly StatusCause[] = [],
): ApiFailure {
  const message = `${groupResource(resource)} "${name}" is forbidden: ${why}`;
  const details = detailsOf(resource, name);
  return new ApiFailure(
    403,
    'Forbidden',
    message,
    causes.length === 0 ? details : { ...details, causes },
  );
}

/** `problems` is not empty. */
export function invalid(
  resource: Pick<Resource, 'group' | 'kind'>,
  name: string,
  problems: readonly FieldProblem[],
): ApiFailure {
  const { group, kind } = resource;
  const texts = [...new Set(problems.map(({ field, message }) => `${field}: ${message}`))];
  const list = texts.length === 1 ? texts[0] : `[${texts.join(', ')}]`;
  const qualified = group === '' ? kind : `${kind}.${group}`;
  const causes = problems.map(({ reason, message, field }) => ({ reason, message, field }));
  return new ApiFailure(422, 'Invalid', `${qualified} "${name}" is invalid: ${list}`, {
    ...(name === '' ? {} : { name }),
    ...(group === '' ? {} : { group }),
    ...(kind === '' ? {} : { kind }),
    causes,
  });
}

export function badRequest(message: string): ApiFailure {
  return new ApiFailure(400, 'BadRequest', message, undefined);
}

export function noSuchResource(): ApiFailure {
  return new ApiFailure(404, 'NotFound', 'the server could not find the requested resource', {});
}

export function methodNotAllowed(): ApiFailure {
  const message = 'the server does not allow this method on the requested resource';
  return new ApiFailure(405, 'MethodNotAllowed', message, {});
}

export function unauthorized(): ApiFailure {
  return new ApiFailure(401, 'Unauthorized', 'Unauthorized', undefined);
}

export function notAcceptable(accepted: readonly string[]): ApiFailure {
  const message = `only the following media types are accepted: ${accepted.join(', ')}`;
  return new ApiFailure(406, 'NotAcceptable', message, undefined);
}

export function unsupportedMediaType(accepted: readonly string[]): ApiFailure {
  const types = accepted.join(', ');
  const message =
    'the body of the request was in an unknown format - accepted media types ' +
    `include: ${types}`;
  return new ApiFailure(415, 'UnsupportedMediaType', message, undefined);
}

export function tooLarge(bytesMax: number): ApiFailure {
  const message = `Request entity too large: limit is ${bytesMax}`;
  return new ApiFailure(413, 'RequestEntityTooLarge', message, undefined);
}

export const RETRY_AFTER_SECONDS = 1;

export function tooManyRequests(): ApiFailure {
  const message = 'Too many requests, please try again later.';
  return new ApiFailure(429, 'TooManyRequests', message, {
    retryAfterSeconds: RETRY_AFTER_SECONDS,
  });
}

export function expired(message: string): ApiFailure {
  return new ApiFailure(410, 'Expired', message, undefined);
}

export function versionTooHigh(asked: number, current: number): ApiFailure {
  const cause = { reason: 'ResourceVersionTooLarge', message: 'Too large resource version' };
  return new ApiFailure(
    504,
    'Timeout',
    `Timeout: Too large resource version: ${asked}, current: ${current}`,
    { causes: [cause], retryAfterSeconds: RETRY_AFTER_SECONDS },
  );
}

/** What an operating error of ours (a disk, mostly) looks like to a client. */
export function failureOf(error: unknown): ApiFailure | undefined {
  if (error instanceof ApiFailure) return error;
  if (!HoldfastError.is(error)) return undefined;
  const message = `Internal error occurred: ${error.message} (${error.code})`;
  return new ApiFailure(500, 'InternalError', message, { causes: [{ reason: '', message }] });
}
