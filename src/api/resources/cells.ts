/** What columns of built-in kinds print, as Kubernetes' own printers do (pkg/printers). */
import { formatAge } from '../units.ts';
import { parseTime } from '../wall-time.ts';
import { isMap, mapAt, textAt } from './field-problems.ts';
import type { JsonObject, PrinterColumn } from './resource.ts';

type Cell = NonNullable<PrinterColumn['cell']>;

export function column(
  name: string,
  description: string,
  cell: Cell,
  more: Partial<PrinterColumn> = {},
): PrinterColumn {
  return { name, type: 'string', description, priority: 0, cell, ...more };
}

export const NAME: PrinterColumn = column(
  'Name',
  'Unique among the objects of its kind in its namespace.',
  (object) => textAt(object['metadata'], 'name'),
  { format: 'name' },
);

export const AGE: PrinterColumn = column(
  'Age',
  'Time since the object was created.',
  (object, nowMs) => ageOf(mapAt(object, 'metadata')['creationTimestamp'], nowMs),
);

/** `<unknown>` for a time that is not there. */
export function ageOf(time: unknown, nowMs: number): string {
  if (typeof time !== 'string' || time === '') return '<unknown>';
  // Times of events have microseconds.
  const timeMs = parseTime(time.replace(/(\.\d{3})\d+Z$/, '$1Z'));
  return Number.isNaN(timeMs) ? '<unknown>' : formatAge(nowMs - timeMs);
}

const MODES: readonly (readonly [string, string])[] = [
  ['ReadWriteOnce', 'RWO'],
  ['ReadOnlyMany', 'ROX'],
  ['ReadWriteMany', 'RWX'],
  ['ReadWriteOncePod', 'RWOP'],
];

export function formatModes(modes: unknown): string {
  if (!Array.isArray(modes)) return '';
  return MODES.filter(([mode]) => modes.includes(mode))
    .map(([, short]) => short)
    .join(',');
}

/** The phase, or that the object is going. */
export function phaseOf(object: JsonObject): string {
  const isGoing = textAt(object['metadata'], 'deletionTimestamp') !== '';
  return isGoing ? 'Terminating' : textAt(object['status'], 'phase');
}

export function textOr(value: unknown, key: string, fallback: string): string {
  return textAt(value, key) === '' ? fallback : textAt(value, key);
}

export function countOf(value: unknown): number {
  if (Array.isArray(value)) return value.length;
  return isMap(value) ? Object.keys(value).length : 0;
}
