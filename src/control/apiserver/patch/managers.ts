/** metadata.managedFields: who owns which fields, decoded and encoded. */
import { FieldSet } from './field-set.ts';
import { isMap, type JsonMap } from './json.ts';
import type { FieldsV1 } from './path-element.ts';

export interface ManagerEntry {
  readonly manager: string;
  readonly operation: 'Apply' | 'Update';
  readonly apiVersion: string;
  /** RFC 3339, seconds. */
  readonly time?: string | undefined;
  readonly subresource: string;
  readonly fields: FieldSet;
}

/** By `keyOf`: an applier has one entry, an updater one for each version. */
export type Managers = Map<string, ManagerEntry>;

export interface ManagedFieldsEntry {
  readonly manager?: string;
  readonly operation?: string;
  readonly apiVersion?: string;
  readonly time?: string;
  readonly fieldsType?: string;
  readonly fieldsV1?: FieldsV1;
  readonly subresource?: string;
}

/** Also the order in which conflicts are listed. */
export function keyOf(
  entry: Pick<ManagerEntry, 'manager' | 'operation' | 'apiVersion' | 'subresource'>,
): string {
  const { manager, operation, apiVersion, subresource } = entry;
  return JSON.stringify({
    ...(manager === '' ? {} : { manager }),
    operation,
    ...(operation === 'Apply' ? {} : { apiVersion }),
    ...(subresource === '' ? {} : { subresource }),
  });
}

/** Undefined when malformed: then the field says nothing. */
export function decodeManagers(managedFields: unknown): Managers | undefined {
  const managers: Managers = new Map();
  if (managedFields === undefined || managedFields === null) return managers;
  if (!Array.isArray(managedFields)) return undefined;
  for (const encoded of managedFields) {
    const entry = isMap(encoded) ? decodeEntry(encoded) : undefined;
    if (entry === undefined) return undefined;
    managers.set(keyOf(entry), entry);
  }
  return managers;
}

function decodeEntry(encoded: JsonMap): ManagerEntry | undefined {
  const { operation, apiVersion, fieldsType, time } = encoded;
  if (operation !== 'Apply' && operation !== 'Update') return undefined;
  if (typeof apiVersion !== 'string' || apiVersion === '') return undefined;
  if (fieldsType !== 'FieldsV1') return undefined;
  let fields: FieldSet;
  try {
    fields = FieldSet.decode(encoded['fieldsV1'] ?? {});
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
  return {
    manager: textOf(encoded['manager']),
    operation,
    apiVersion,
    time: typeof time === 'string' ? time : undefined,
    subresource: textOf(encoded['subresource']),
    fields,
  };
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

/** `[]` and `[{}]` are how a client says: forget who owns what. */
export function isReset(managedFields: unknown): boolean {
  if (!Array.isArray(managedFields)) return false;
  if (managedFields.length === 0) return true;
  const [only] = managedFields as readonly unknown[];
  return managedFields.length === 1 && isMap(only) && Object.keys(only).length === 0;
}

export function encodeManagers(managers: Managers): readonly ManagedFieldsEntry[] {
  return [...managers.values()].toSorted(compareEntries).map(encodeEntry);
}

function encodeEntry(entry: ManagerEntry): ManagedFieldsEntry {
  const { manager, operation, apiVersion, time, subresource, fields } = entry;
  return {
    ...(manager === '' ? {} : { manager }),
    operation,
    apiVersion,
    ...(time === undefined ? {} : { time }),
    fieldsType: 'FieldsV1',
    fieldsV1: fields.encode(),
    ...(subresource === '' ? {} : { subresource }),
  };
}

function compareEntries(left: ManagerEntry, right: ManagerEntry): number {
  return (
    compareText(left.operation, right.operation) ||
    compareTimes(left.time, right.time) ||
    compareText(left.manager, right.manager) ||
    compareText(left.apiVersion, right.apiVersion) ||
    compareText(left.subresource, right.subresource)
  );
}

/** RFC 3339 of one width sorts as text; no time is the oldest. */
export function compareTimes(left: string | undefined, right: string | undefined): number {
  return compareText(left ?? '', right ?? '');
}

export function compareText(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0;
}
