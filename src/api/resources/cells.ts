/** What columns of built-in kinds print, as Kubernetes' own printers do (pkg/printers). */
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

/** As kubectl writes ages (apimachinery pkg/util/duration HumanDuration). */
export function formatAge(ms: number): string {
  const seconds = Math.trunc(ms / 1_000);
  if (seconds < -1) return '<invalid>';
  if (seconds < 0) return '0s';
  if (seconds < 120) return `${seconds}s`;
  const minutes = Math.trunc(seconds / 60);
  if (minutes < 10) return two(minutes, 'm', seconds % 60, 's');
  if (minutes < 180) return `${minutes}m`;
  const hours = Math.trunc(minutes / 60);
  if (hours < 8) return two(hours, 'h', minutes % 60, 'm');
  if (hours < 48) return `${hours}h`;
  const days = Math.trunc(hours / 24);
  if (days < 8) return two(days, 'd', hours % 24, 'h');
  if (days < 730) return `${days}d`;
  const years = Math.trunc(days / 365);
  return years < 8 ? two(years, 'y', days % 365, 'd') : `${years}y`;
}

function two(large: number, largeUnit: string, small: number, smallUnit: string): string {
  return small === 0 ? `${large}${largeUnit}` : `${large}${largeUnit}${small}${smallUnit}`;
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
