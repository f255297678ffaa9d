import type { z } from 'zod';
import { HoldfastError } from '../errors.ts';

/** The one form of "this object does not fit": path, value, remedy. */
export function invalidObject(
  path: string,
  value: unknown,
  problem: string,
  remedy: string,
): HoldfastError {
  return new HoldfastError('invalid-object', 'Object does not fit its schema', {
    details: { path: path === '' ? '(root)' : path, value: showValue(value), problem, remedy },
  });
}

/** Short enough for a line. */
export function showValue(value: unknown): string {
  const text = typeof value === 'string' ? value : toText(value);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

/** Of what came from outside: it may be nested without end, or in itself. */
function toText(value: unknown): string {
  try {
    return JSON.stringify(value) ?? 'absent';
  } catch {
    return Array.isArray(value) ? `a list of ${value.length}` : 'an object';
  }
}

const DEPTH_MAX = 32;

/** Before a schema looks: what a schema cannot say, or would pass over in silence. */
export function refuseStructure(value: unknown, path: readonly string[] = []): void {
  if (typeof value !== 'object' || value === null) return;
  if (path.length > DEPTH_MAX) {
    const shown = formatPath(path.slice(0, 4));
    throw invalidObject(
      shown,
      value,
      'Object is nested too deep',
      `Use at most ${DEPTH_MAX} levels`,
    );
  }
  for (const key of Object.keys(value)) {
    const inner = [...path, key];
    if (key === '__proto__') {
      throw invalidObject(formatPath(inner), '', 'Field name is not allowed', 'Remove the field');
    }
    refuseStructure((value as Record<string, unknown>)[key], inner);
  }
}

/** The first problem that zod found, in our words. */
export function describeIssue(schema: z.ZodType, input: unknown, error: z.ZodError): HoldfastError {
  const issue = pickIssue(error.issues);
  const path = issue.path.map(String);
  if (issue.code === 'unrecognized_keys') {
    const key = issue.keys[0] ?? '';
    const known = knownKeys(schema, path);
    return invalidObject(
      formatPath([...path, key]),
      valueAt(input, [...path, key]),
      'Field is unknown',
      known.length === 0 ? 'Remove it' : `Remove it, or use one of: ${known.join(', ')}`,
    );
  }
  const remedy =
    issue.code === 'custom' && typeof issue.params?.['remedy'] === 'string'
      ? issue.params['remedy']
      : remedyFor(issue);
  return invalidObject(formatPath(path), valueAt(input, path), issue.message, remedy);
}

type Issue = z.core.$ZodIssue;

/** A union reports one list per branch: the branch that got furthest says most. */
function pickIssue(issues: readonly Issue[]): Issue {
  const issue = issues[0] as Issue;
  if (issue.code !== 'invalid_union' || issue.errors.length === 0) return issue;
  const best = [...issue.errors].sort((a, b) => a.length - b.length)[0];
  const inner = best?.[0];
  if (inner === undefined) return issue;
  return { ...inner, path: [...issue.path, ...inner.path] } as Issue;
}

function remedyFor(issue: Issue): string {
  switch (issue.code) {
    case 'invalid_type':
      return `Use a value of type ${issue.expected}`;
    case 'invalid_value':
      return `Use one of: ${issue.values.map(String).join(', ')}`;
    case 'too_small':
      return `Use at least ${issue.minimum}`;
    case 'too_big':
      return `Use at most ${issue.maximum}${issue.origin === 'string' ? ' characters' : ''}`;
    default:
      // Our own patterns say what must be.
      return issue.message.startsWith(MUST_BE)
        ? `Use ${issue.message.slice(MUST_BE.length)}`
        : 'Correct the value';
  }
}

const MUST_BE = 'must be ';

function formatPath(path: readonly string[]): string {
  let text = '';
  for (const part of path) {
    if (/^\d+$/.test(part)) text += `[${part}]`;
    else if (/^[A-Za-z0-9_-]+$/.test(part)) text += text === '' ? part : `.${part}`;
    else text += `["${part}"]`;
  }
  return text;
}

/** As far as the path leads. */
export function valueAt(input: unknown, path: readonly string[]): unknown {
  let value = input;
  for (const part of path) {
    if (typeof value !== 'object' || value === null) return undefined;
    value = (value as Record<string, unknown>)[part];
  }
  return value;
}

/** Field names of the object schema at a path; empty where it takes any. */
function knownKeys(schema: z.ZodType, path: readonly string[]): string[] {
  let at: unknown = schema;
  for (const part of ['', ...path]) {
    if (part !== '') at = step(at, part);
    at = unwrap(at);
    if (at === undefined) return [];
  }
  const shape = defOf(at)?.['shape'];
  return typeof shape === 'object' && shape !== null ? Object.keys(shape) : [];
}

function defOf(schema: unknown): Record<string, unknown> | undefined {
  return (schema as { def?: Record<string, unknown> } | undefined)?.def;
}

function unwrap(schema: unknown): unknown {
  let at = schema;
  for (let def = defOf(at); def?.['innerType'] !== undefined; def = defOf(at))
    at = def['innerType'];
  return at;
}

function step(schema: unknown, part: string): unknown {
  const def = defOf(schema);
  const shape = def?.['shape'] as Record<string, unknown> | undefined;
  if (shape !== undefined) return shape[part];
  return def?.['element'] ?? def?.['valueType'];
}
