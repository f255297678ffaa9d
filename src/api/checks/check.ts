/**
 * Checks of values that another process sent, field by field: what passes is what the type says.
 * Strict: an unknown field is refused, since it may mean something that we would silently not do.
 * Written without a schema library, because engines and nodes would carry it in their memory.
 */
import { HoldfastError } from '../errors.ts';
import { isId } from '../ids.ts';

/** Gives the value back as what it is; throws `invalid-argument` with field, value and remedy. */
export type Check<T> = (value: unknown, field: string) => T;

function refuse(field: string, value: unknown, remedy: string): never {
  throw new HoldfastError('invalid-argument', 'Argument of a call does not fit', {
    details: { field: field === '' ? '(params)' : field, value: show(value), remedy },
  });
}

/** Never of the whole value: it may be megabytes, or nested so deep that text overflows. */
function show(value: unknown): string {
  if (value === undefined) return 'absent';
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (typeof value === 'object' && value !== null) return 'an object';
  return String(value as string | number | boolean | null).slice(0, 80);
}

export function text(lengthMax: number): Check<string> {
  return (value, field) =>
    typeof value === 'string' && value.length <= lengthMax && !value.includes('\0')
      ? value
      : refuse(field, value, `Use a text of at most ${lengthMax} characters, without NUL`);
}

export function id<Id extends string>(): Check<Id> {
  return (value, field) =>
    isId(value)
      ? (value as Id)
      : refuse(field, value, 'Use 1 to 63 lower-case letters, digits and inner hyphens');
}

/** Absolute and without `..`: what it names can be read off it. */
export const path: Check<string> = (value, field) =>
  typeof value === 'string' &&
  value.length <= 1024 &&
  value.startsWith('/') &&
  !value.includes('\0') &&
  !value.split('/').includes('..')
    ? value
    : refuse(field, value, 'Use an absolute path of at most 1024 characters, without .. and NUL');

/** An integer from 0 to 2^53 - 1. */
export const count: Check<number> = (value, field) =>
  Number.isSafeInteger(value) && (value as number) >= 0
    ? (value as number)
    : refuse(field, value, 'Use an integer from 0 to 2^53 - 1');

export const flag: Check<boolean> = (value, field) =>
  typeof value === 'boolean' ? value : refuse(field, value, 'Use true or false');

export function oneOf<Word extends string>(...words: readonly Word[]): Check<Word> {
  return (value, field) =>
    words.includes(value as Word)
      ? (value as Word)
      : refuse(field, value, `Use one of: ${words.join(', ')}`);
}

export function listOf<T>(check: Check<T>, lengthMax: number): Check<readonly T[]> {
  return (value, field) =>
    Array.isArray(value) && value.length <= lengthMax
      ? value.map((item, index) => check(item, `${field}[${index}]`))
      : refuse(field, value, `Use a list of at most ${lengthMax}`);
}

export function nullOr<T>(check: Check<T>): Check<T | null> {
  return (value, field) => (value === null ? null : check(value, field));
}

export function optional<T>(check: Check<T>): Check<T | undefined> {
  return (value, field) => (value === undefined ? undefined : check(value, field));
}

/** Checked by whoever takes it: an object of the API. */
export const anything: Check<unknown> = (value) => value;

export const anyMap: Check<Readonly<Record<string, unknown>>> = (value, field) =>
  isMap(value) ? value : refuse(field, value, 'Use an object');

function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** An object with exactly these fields. */
export function shape<T extends object>(
  fields: {
    readonly [Name in keyof T]-?: Check<T[Name]>;
  },
): Check<T> {
  const names = Object.keys(fields);
  const checks = fields as Readonly<Record<string, Check<unknown>>>;
  return (value, field) => {
    const prefix = field === '' ? '' : `${field}.`;
    if (!isMap(value)) return refuse(field, value, `Use an object of: ${names.join(', ')}`);
    for (const name of Object.keys(value)) {
      if (Object.hasOwn(checks, name)) continue;
      const known = names.length === 0 ? '' : `, or use one of: ${names.join(', ')}`;
      refuse(`${prefix}${name.slice(0, 80)}`, value[name], `Remove the field${known}`);
    }
    const result: Record<string, unknown> = {};
    for (const name of names) {
      const given = Object.hasOwn(value, name) ? value[name] : undefined;
      const checked = checks[name]?.(given, `${prefix}${name}`);
      if (checked !== undefined) result[name] = checked;
    }
    return result as T;
  };
}
