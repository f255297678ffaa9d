/**
 * JSON of a peer to values, checked field by field: a body from outside is trusted only after this.
 * A reader throws `BodyError`, which ends inside `decodeJson`; unknown fields are ignored, so that
 * a later minor version may add some.
 */
import { decodeText, encodeText } from '#lib/mod.ts';

/** What a body does not fit. */
export class BodyError extends Error {}

export type Reader<T> = (value: unknown) => T;

export function encodeJson(value: unknown): Uint8Array {
  return encodeText(JSON.stringify(value));
}

/** Undefined when the bytes are not such a value. */
export function decodeJson<T>(bytes: Uint8Array, reader: Reader<T>): T | undefined {
  try {
    return reader(JSON.parse(decodeText(bytes)));
  } catch (error) {
    if (error instanceof BodyError || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

export function fail(what: string): never {
  throw new BodyError(what);
}

/** A field of an object; `null` bodies and arrays have none. */
export function field<T>(value: unknown, name: string, reader: Reader<T>): T {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) fail(name);
  return reader((value as Record<string, unknown>)[name]);
}

export function text(lengthMax: number): Reader<string> {
  return (value) =>
    typeof value === 'string' && value.length <= lengthMax ? value : fail('a text');
}

/** A safe integer from 0. */
export const count: Reader<number> = (value) =>
  Number.isSafeInteger(value) && (value as number) >= 0 ? (value as number) : fail('a number');

export const flag: Reader<boolean> = (value) =>
  typeof value === 'boolean' ? value : fail('true or false');

export function oneOf<T extends string>(...words: readonly T[]): Reader<T> {
  return (value) => (words.includes(value as T) ? (value as T) : fail('one of a few words'));
}

export function listOf<T>(reader: Reader<T>, countMax: number): Reader<T[]> {
  return (value) =>
    Array.isArray(value) && value.length <= countMax ? value.map(reader) : fail('a list');
}

export function nullOr<T>(reader: Reader<T>): Reader<T | null> {
  return (value) => (value === null ? null : reader(value));
}

/** For verbs that answer nothing. */
export const nothing: Reader<void> = (value) => (value === null ? undefined : fail('null'));
