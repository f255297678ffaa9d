/** What a server refuses with (a `Status` object), in our codes. */
import { HoldfastError, type ErrorDetails } from '#api/mod.ts';
import { showValue, valueAt, type KindName } from '#api/kinds/mod.ts';
import { decodeText } from '#lib/mod.ts';

interface Status {
  readonly message?: string;
  readonly reason?: string;
  readonly details?: {
    readonly causes?: readonly { readonly field?: string; readonly message?: string }[];
  };
}

export interface ApiSubject {
  readonly kind: KindName;
  /** `namespace/name`, or what there is of it. */
  readonly name: string;
}

/** `body` is whatever came with the status code, `sent` the object or patch that was refused. */
export function failureFrom(
  code: number,
  body: Uint8Array,
  subject: ApiSubject,
  sent?: unknown,
): HoldfastError {
  const status = parseStatus(body);
  const { reason = '', message = `HTTP ${code}` } = status;
  const named: ErrorDetails = { kind: subject.kind, name: subject.name };
  const say = (remedy: string): { readonly details: ErrorDetails } => ({
    details: { ...named, reason: message, remedy },
  });
  switch (code) {
    case 401:
      return new HoldfastError('wrong-identity', 'Token is not known', say('Use the kubeconfig'));
    case 404:
      return new HoldfastError('not-found', 'Object does not exist', { details: named });
    case 409:
      if (reason === 'AlreadyExists') return alreadyExists(named);
      return new HoldfastError(
        'conflict',
        'Object changed since it was read',
        say('Read it again, then repeat the change'),
      );
    case 410:
      return new HoldfastError('conflict', 'History is gone', say('List again'));
    case 429:
    case 503:
    case 504:
      return new HoldfastError('refused', 'Server takes no more now', say('Try again later'));
    case 400:
    case 403:
    case 405:
    case 413:
    case 422:
      return invalid(status, named, message, sent);
    default:
      return new HoldfastError('io-error', 'Server failed', {
        effect: 'unknown',
        ...say('Read its log'),
      });
  }
}

function parseStatus(body: Uint8Array): Status {
  try {
    return JSON.parse(decodeText(body)) as Status;
  } catch {
    return {};
  }
}

function alreadyExists(named: ErrorDetails): HoldfastError {
  const remedy = 'Choose another name, or change the existing one';
  return new HoldfastError('already-exists', 'Object already exists', {
    details: { ...named, remedy },
  });
}

/** How apimachinery begins a field error: the value itself is known from what was sent. */
const SHOWN_VALUE = /^(?:Invalid|Unsupported|Duplicate) value: (?:"(?:[^"\\]|\\.)*"|[^:]*): /;

function invalid(
  status: Status,
  named: ErrorDetails,
  message: string,
  sent: unknown,
): HoldfastError {
  const { field = '', message: cause = message } = status.details?.causes?.[0] ?? {};
  return new HoldfastError('invalid-object', 'Object was refused', {
    details: {
      ...named,
      path: field === '' ? '(root)' : field,
      value: showValue(valueSent(sent, stepsOf(field))),
      problem: cause.replace(SHOWN_VALUE, ''),
      remedy: remedyFor(cause),
    },
  });
}

/** What can be done about what a server says of a field. */
function remedyFor(cause: string): string {
  if (/less than status\.capacity|only grow|can not be less/.test(cause)) {
    return 'Volumes only grow: ask for at least what it has, or copy to a new claim of less';
  }
  if (/immutable|cannot be changed|not be changed|may not change|updates to/.test(cause)) {
    return 'It is fixed once it is given: make another object with the value that is wanted';
  }
  return 'Correct the field that is named';
}

/** Of an object or a merge patch, or of the operation of a JSON patch that is nearest above it. */
function valueSent(sent: unknown, steps: readonly string[]): unknown {
  if (!Array.isArray(sent)) return valueAt(sent, [...steps]);
  for (let depth = steps.length; depth > 0; depth -= 1) {
    const path = `/${steps.slice(0, depth).join('/')}`;
    const found = sent.find((each) => (each as { path?: unknown } | null)?.path === path);
    if (found !== undefined) return valueAt(found, ['value', ...steps.slice(depth)]);
  }
  return undefined;
}

/** `spec.accessModes[0]` as steps. */
function stepsOf(field: string): string[] {
  return field.split(/[.[\]]+/).filter((part) => part !== '');
}
