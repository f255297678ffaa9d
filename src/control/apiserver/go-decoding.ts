/**
 * What Go's JSON decoder says of a value that does not fit the struct of a built-in kind
 * (encoding/json, resource.Quantity, base64). Types that Go names and our schemas do not are said
 * by what they are made of.
 */
import { namedTypeOf, parseQuantity } from '#api/resources/mod.ts';
import type { JsonObject, Resource, Schema } from '#api/resources/mod.ts';

interface Place {
  readonly struct: string;
  /** Fields only: neither keys of maps nor indexes of lists. */
  readonly path: string;
}

/** The first thing that does not fit; undefined when all does. */
export function findMisfit(resource: Resource, object: JsonObject): string | undefined {
  return misfitOf(resource.schema, object, { struct: resource.kind, path: '' });
}

function misfitOf(schema: Schema, value: unknown, place: Place): string | undefined {
  if (value === null || value === undefined) return undefined;
  if (isQuantity(schema)) return misfitOfQuantity(value);
  const found = kindOf(value);
  const { type, properties, additionalProperties, items } = schema;
  if (schema['x-kubernetes-int-or-string'] === true || type === undefined) return undefined;
  const isWhole = type === 'integer' && !Number.isInteger(value);
  if (KINDS[type] !== found || isWhole) {
    const what = isWhole && found === 'number' ? `number ${JSON.stringify(value)}` : found;
    const { struct, path } = place;
    const field = path === '' ? 'value' : `struct field ${struct}.${path}`;
    return `json: cannot unmarshal ${what} into Go ${field} of type ${goTypeOf(schema)}`;
  }
  if (schema.format === 'byte') return misfitOfBytes(value as string);
  const field = place.path.split('.').at(-1) ?? '';
  if (MICRO_TIMES.has(field)) return misfitOfMicroTime(value as string);
  if (items !== undefined) return first(value as unknown[], (one) => misfitOf(items, one, place));
  if (type !== 'object') return undefined;
  return first(Object.entries(value), ([name, inner]) => {
    const field = properties?.[name];
    if (field !== undefined) return misfitOf(field, inner, inside(schema, place, name));
    if (additionalProperties === undefined) return undefined;
    return misfitOf(additionalProperties, inner, place);
  });
}

const KINDS = {
  array: 'array',
  boolean: 'bool',
  integer: 'number',
  number: 'number',
  object: 'object',
  string: 'string',
} as const;

function kindOf(value: unknown): string {
  if (Array.isArray(value)) return 'array';
  return typeof value === 'boolean' ? 'bool' : typeof value;
}

function inside(schema: Schema, place: Place, name: string): Place {
  const path = place.path === '' ? name : `${place.path}.${name}`;
  return { struct: nameOf(schema) ?? place.struct, path };
}

/** `PersistentVolumeClaimSpec` of `io.k8s.api.core.v1.PersistentVolumeClaimSpec`. */
function nameOf(schema: Schema): string | undefined {
  return namedTypeOf(schema)?.name.split('.').at(-1);
}

function goTypeOf(schema: Schema): string {
  const name = namedTypeOf(schema)?.name.split('.').slice(-2).join('.');
  if (name !== undefined) return name;
  switch (schema.type) {
    case 'array':
      return `[]${goTypeOf(schema.items ?? {})}`;
    case 'object':
      return `map[string]${goTypeOf(schema.additionalProperties ?? {})}`;
    case 'boolean':
      return 'bool';
    case 'integer':
      return schema.format ?? 'int';
    case 'number':
      return 'float64';
    default:
      return 'string';
  }
}

function isQuantity(schema: Schema): boolean {
  return nameOf(schema) === 'Quantity';
}

function misfitOfQuantity(value: unknown): string | undefined {
  const quantity = parseQuantity(typeof value === 'string' ? value : JSON.stringify(value));
  return typeof quantity === 'string' ? quantity : undefined;
}

/** Fields of the type MicroTime, which has six digits after the second and no other number. */
const MICRO_TIMES = new Set(['acquireTime', 'eventTime', 'lastObservedTime', 'renewTime']);
const MICRO_TIME = '2006-01-02T15:04:05.000000Z07:00';

function misfitOfMicroTime(text: string): string | undefined {
  const [, fraction, zone] = /:\d\d(\.\d*)?(Z|[+-]\d\d:\d\d)$/.exec(text) ?? [];
  if (zone === undefined || fraction?.length === 7) return undefined;
  const rest = `${fraction ?? ''}${zone}`;
  return `parsing time "${text}" as "${MICRO_TIME}": cannot parse "${rest}" as ".000000"`;
}

function misfitOfBytes(text: string): string | undefined {
  const bytes = text.replaceAll(/[\r\n]/g, '');
  const good = /^[A-Za-z0-9+/]*={0,2}/.exec(bytes)?.[0] ?? '';
  if (good.length === bytes.length && bytes.length % 4 === 0) return undefined;
  return `illegal base64 data at input byte ${good.length}`;
}

function first<T>(
  values: readonly T[],
  look: (value: T) => string | undefined,
): string | undefined {
  for (const value of values) {
    const found = look(value);
    if (found !== undefined) return found;
  }
  return undefined;
}
