/** A request as the server reads it, and the options that its query carries. */
import type { Resource } from '#api/resources/mod.ts';
import type { ApiAnswer, ApiCall as ApiRequest } from '#control/kube/mod.ts';
import { badRequest, invalid } from './failure.ts';
import type { AnswerForm } from './negotiate.ts';

export type { ApiAnswer as ApiResponse, ApiRequest };

/** A request for a resource: what it addresses, and how the answer shall look. */
export interface ResourceRequest {
  readonly request: ApiRequest;
  readonly resource: Resource;
  /** Empty for all namespaces and for cluster-scoped resources. */
  readonly namespace: string;
  /** Empty for the collection. */
  readonly name: string;
  /** Empty, or `status`. */
  readonly subresource: string;
  readonly form: AnswerForm;
  /** Sent as Warning headers. */
  readonly warnings: string[];
}

/** As there: twice what an object may have. */
export const BODY_BYTES_MAX = 3 * 1024 * 1024;

export function numberOf(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name);
  if (text === null || text === '') return undefined;
  if (!/^-?\d{1,15}$/.test(text)) {
    throw badRequest(`strconv.ParseInt: parsing ${JSON.stringify(text)}: invalid syntax`);
  }
  return Number(text);
}

export function flagOf(query: URLSearchParams, name: string): boolean | undefined {
  const text = query.get(name);
  if (text === null) return undefined;
  return text !== 'false' && text !== '0';
}

export type FieldValidation = 'Ignore' | 'Warn' | 'Strict';

/** What create, update and patch have in common. */
export interface WriteOptions {
  readonly isDryRun: boolean;
  readonly fieldManager: string;
  readonly fieldValidation: FieldValidation;
}

const MANAGER_CHARS_MAX = 128;

export function writeOptionsOf(request: ApiRequest, optionsKind: string): WriteOptions {
  const { query, headers } = request;
  const dryRun = query.getAll('dryRun').filter((value) => value !== '');
  checkDryRun(dryRun, optionsKind);
  const validation = query.get('fieldValidation') ?? '';
  if (!['', 'Ignore', 'Warn', 'Strict'].includes(validation)) {
    const message =
      `Unsupported value: ${JSON.stringify(validation)}: supported values: "Ignore", ` +
      '"Strict", "Warn"';
    throw invalidOptions(optionsKind, 'FieldValueNotSupported', 'fieldValidation', message);
  }
  const named = query.get('fieldManager') ?? '';
  if (named.length > MANAGER_CHARS_MAX) {
    const message = `Too long: may not be more than ${MANAGER_CHARS_MAX} bytes`;
    throw invalidOptions(optionsKind, 'FieldValueTooLong', 'fieldManager', message);
  }
  // What a client that names no manager is known by: its program, up to the version.
  const program = (headers['user-agent'] ?? '').split('/')[0] ?? '';
  return {
    isDryRun: dryRun.length > 0,
    fieldManager: named !== '' ? named : program.slice(0, MANAGER_CHARS_MAX) || 'unknown',
    fieldValidation: (validation === '' ? 'Warn' : validation) as FieldValidation,
  };
}

export function checkDryRun(dryRun: readonly string[], optionsKind: string): void {
  const bad = dryRun.find((value) => value !== 'All');
  if (bad === undefined) return;
  const message = `Unsupported value: ${JSON.stringify(bad)}: supported values: "All"`;
  throw invalidOptions(optionsKind, 'FieldValueNotSupported', 'dryRun', message);
}

export function invalidOptions(
  kind: string,
  reason:
    | 'FieldValueNotSupported'
    | 'FieldValueTooLong'
    | 'FieldValueRequired'
    | 'FieldValueForbidden'
    | 'FieldValueInvalid',
  field: string,
  message: string,
) {
  return invalid({ group: 'meta.k8s.io', kind }, '', [{ reason, field, message }]);
}
