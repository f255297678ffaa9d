/** Objects as the rows of a table, which is how kubectl prints them. */
import { parseTime } from '#api/kinds/mod.ts';
import type { JsonObject, PrinterColumn, Resource } from '#api/resources/mod.ts';
import { metaOf } from './catalog.ts';
import { badRequest } from './failure.ts';
import { readJsonPath } from './json-path.ts';

export interface TableOptions {
  /** `meta.k8s.io/v1`. */
  readonly version: string;
  readonly includeObject: 'None' | 'Metadata' | 'Object';
  /** Only the first table of a watch has them. */
  readonly hasHeaders: boolean;
  readonly nowMs: number;
}

const NAME_TEXT =
  'Name must be unique within a namespace. Is required when creating resources, ' +
  'although some resources may allow a client to request the generation of an ' +
  'appropriate name automatically. Name is primarily intended for creation ' +
  'idempotence and configuration definition. Cannot be updated. More info: ' +
  'https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names';

const NAME_COLUMN: PrinterColumn = {
  name: 'Name',
  type: 'string',
  format: 'name',
  description: NAME_TEXT,
  priority: 0,
  cell: (object) => metaOf(object).name ?? '',
};

function columnsOf(resource: Resource): readonly PrinterColumn[] {
  const { columns } = resource;
  const hasName = columns.some((column) => column.name === 'Name');
  return hasName ? columns : [NAME_COLUMN, ...columns];
}

export function parseIncludeObject(query: URLSearchParams): TableOptions['includeObject'] {
  const text = query.get('includeObject') ?? '';
  if (text === '') return 'Metadata';
  if (text === 'None' || text === 'Metadata' || text === 'Object') return text;
  throw badRequest(`unrecognized includeObject value: ${JSON.stringify(text)}`);
}

export function tableOf(
  resource: Resource,
  objects: readonly JsonObject[],
  metadata: JsonObject,
  options: TableOptions,
): JsonObject {
  const columns = columnsOf(resource);
  const headers = columns.map(({ name, type, format, description, priority }) => ({
    name,
    type,
    format: format ?? '',
    description,
    priority,
  }));
  return {
    kind: 'Table',
    apiVersion: options.version,
    metadata,
    columnDefinitions: options.hasHeaders ? headers : null,
    rows: objects.map((object) => ({
      cells: columns.map((column) => cellOf(column, object, options.nowMs)),
      ...rowObject(object, options),
    })),
  };
}

function rowObject(object: JsonObject, options: TableOptions): JsonObject {
  if (options.includeObject === 'None') return {};
  if (options.includeObject === 'Object') return { object };
  return { object: partialOf(object, options.version) };
}

export function partialOf(object: JsonObject, version: string): JsonObject {
  return { kind: 'PartialObjectMetadata', apiVersion: version, metadata: object['metadata'] };
}

type Cell = string | number | boolean | null;

function cellOf(column: PrinterColumn, object: JsonObject, nowMs: number): Cell {
  if (column.cell !== undefined) return column.cell(object, nowMs);
  const values = readJsonPath(object, column.jsonPath ?? '');
  if (values.length === 0) return null;
  const [value] = values;
  switch (column.type) {
    case 'integer':
    case 'number':
      return typeof value === 'number' ? value : null;
    case 'boolean':
      return typeof value === 'boolean' ? value : null;
    case 'date':
      return ageText(value, nowMs);
    default:
      return values.map((one) => (typeof one === 'string' ? one : JSON.stringify(one))).join(',');
  }
}

function ageText(value: unknown, nowMs: number): string {
  if (typeof value !== 'string') return '<unknown>';
  const atMs = parseTime(value);
  return Number.isNaN(atMs) ? '<invalid>' : shortDuration(nowMs - atMs);
}

/** As `duration.HumanDuration` of apimachinery. */
export function shortDuration(ms: number): string {
  const seconds = Math.trunc(ms / 1_000);
  if (seconds < -1) return '<invalid>';
  if (seconds < 0) return '0s';
  if (seconds < 120) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 10) return withRest(`${minutes}m`, seconds % 60, 's');
  if (minutes < 180) return `${minutes}m`;
  const hours = Math.floor(minutes / 60);
  if (hours < 8) return withRest(`${hours}h`, minutes % 60, 'm');
  if (hours < 48) return `${hours}h`;
  const days = Math.floor(hours / 24);
  if (hours < 192) return withRest(`${days}d`, hours % 24, 'h');
  if (days < 730) return `${days}d`;
  const years = Math.floor(days / 365);
  if (years < 8) return withRest(`${years}y`, days % 365, 'd');
  return `${years}y`;
}

function withRest(text: string, rest: number, unit: string): string {
  return rest === 0 ? text : `${text}${rest}${unit}`;
}
