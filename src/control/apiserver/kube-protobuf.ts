/**
 * What kubectl sends and asks for in protobuf although our API is JSON: bodies of `kubectl create
 * namespace|configmap|secret`, whose typed client knows no other form, and the second version of
 * OpenAPI, which it wants before it looks at a List.
 *
 * An object on the wire is "k8s\0" and a runtime.Unknown (apimachinery, runtime/generated.proto):
 * its type, and the bytes of the message of that kind (api/core/v1/generated.proto).
 */
import { formatTime } from '#api/kinds/mod.ts';
import type { JsonObject } from '#api/resources/mod.ts';

export const KUBE_PROTOBUF = 'application/vnd.kubernetes.protobuf';
export const OPENAPI_V2_PROTOBUF = 'application/com.github.proto-openapi.spec.v2.v1.0+protobuf';

/**
 * A document of OpenAPI 2.0 without definitions (gnostic's OpenAPIv2.proto): kubectl leaves the
 * validation of kinds that it does not find there to the server.
 */
export const EMPTY_OPENAPI_V2: Uint8Array = Buffer.concat([
  field(1, Buffer.from('2.0')),
  field(2, Buffer.concat([field(1, Buffer.from('Holdfast')), field(2, Buffer.from('v1'))])),
  field(8, Buffer.alloc(0)),
]);

type Shape = Readonly<Record<number, readonly [name: string, type: FieldType]>>;
type FieldType = 'string' | 'bytes' | 'bool' | 'int' | 'time' | 'strings' | MapType | Message;
interface MapType {
  readonly values: 'string' | 'bytes';
}
interface Message {
  readonly shape: Shape;
  readonly repeated?: true;
}

const OWNER: Shape = {
  1: ['kind', 'string'],
  3: ['name', 'string'],
  4: ['uid', 'string'],
  5: ['apiVersion', 'string'],
  6: ['controller', 'bool'],
  7: ['blockOwnerDeletion', 'bool'],
};

const METADATA: Shape = {
  1: ['name', 'string'],
  2: ['generateName', 'string'],
  3: ['namespace', 'string'],
  5: ['uid', 'string'],
  6: ['resourceVersion', 'string'],
  7: ['generation', 'int'],
  8: ['creationTimestamp', 'time'],
  9: ['deletionTimestamp', 'time'],
  10: ['deletionGracePeriodSeconds', 'int'],
  11: ['labels', { values: 'string' }],
  12: ['annotations', { values: 'string' }],
  13: ['ownerReferences', { shape: OWNER, repeated: true }],
  14: ['finalizers', 'strings'],
};

const KINDS: Readonly<Record<string, Shape>> = {
  Namespace: {
    1: ['metadata', { shape: METADATA }],
    2: ['spec', { shape: { 1: ['finalizers', 'strings'] } }],
  },
  ConfigMap: {
    1: ['metadata', { shape: METADATA }],
    2: ['data', { values: 'string' }],
    3: ['binaryData', { values: 'bytes' }],
    4: ['immutable', 'bool'],
  },
  Secret: {
    1: ['metadata', { shape: METADATA }],
    2: ['data', { values: 'bytes' }],
    3: ['type', 'string'],
    4: ['stringData', { values: 'string' }],
    5: ['immutable', 'bool'],
  },
};

const UNKNOWN: Shape = {
  1: ['typeMeta', { shape: { 1: ['apiVersion', 'string'], 2: ['kind', 'string'] } }],
  2: ['raw', 'bytes'],
};

const MAGIC = Buffer.from('k8s\0');

/** Undefined when it is not such an object, or of a kind that only comes as JSON. */
export function decodeKubeProtobuf(body: Uint8Array): JsonObject | undefined {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  if (!bytes.subarray(0, MAGIC.length).equals(MAGIC)) return undefined;
  try {
    const unknown = decode(bytes.subarray(MAGIC.length), UNKNOWN);
    const type = (unknown['typeMeta'] ?? {}) as { apiVersion?: string; kind?: string };
    const { apiVersion, kind = '' } = type;
    const shape = apiVersion === 'v1' && Object.hasOwn(KINDS, kind) ? KINDS[kind] : undefined;
    if (shape === undefined || apiVersion === undefined) return undefined;
    const raw = Buffer.from(textOf(unknown['raw']), 'base64');
    return { apiVersion, kind, ...decode(raw, shape) };
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

/** Fields that are empty are left out, as Go's `omitempty` does. Throws RangeError. */
function decode(bytes: Buffer, shape: Shape): Record<string, unknown> {
  const object: Record<string, unknown> = {};
  const reader = new Reader(bytes);
  while (!reader.isAtEnd) {
    const tag = reader.varint();
    const number = tag >>> 3;
    const wire = tag & 7;
    const value = wire === 0 ? reader.varint() : wire === 2 ? reader.chunk() : undefined;
    if (value === undefined) throw new RangeError(`Wire type ${wire} is not used here`);
    const known = shape[number];
    if (known !== undefined) put(object, known[0], known[1], value);
  }
  return object;
}

function put(
  object: Record<string, unknown>,
  name: string,
  type: FieldType,
  value: number | Buffer,
): void {
  if (typeof value === 'number') {
    if (type === 'bool') object[name] = value !== 0;
    else if (type === 'int' && value !== 0) object[name] = value;
  } else if (type === 'string') {
    if (value.length > 0) object[name] = value.toString();
  } else if (type === 'bytes') {
    if (value.length > 0) object[name] = value.toString('base64');
  } else if (type === 'strings') {
    object[name] = [...((object[name] as string[] | undefined) ?? []), value.toString()];
  } else if (type === 'time') {
    const { seconds } = decode(value, { 1: ['seconds', 'int'] }) as { seconds?: number };
    if (seconds !== undefined) object[name] = formatSeconds(seconds);
  } else if (typeof type === 'object' && 'values' in type) {
    const entry = decode(value, { 1: ['key', 'string'], 2: ['value', type.values] });
    const map = (object[name] as Record<string, unknown> | undefined) ?? {};
    object[name] = { ...map, [textOf(entry['key'])]: entry['value'] ?? '' };
  } else if (typeof type === 'object') {
    const message = decode(value, type.shape);
    if (type.repeated) object[name] = [...((object[name] as unknown[] | undefined) ?? []), message];
    else if (Object.keys(message).length > 0) object[name] = message;
  }
}

class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  /** Up to 2^53 - 1; negative numbers do not occur in these messages. */
  varint(): number {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined || scale > 2 ** 49) throw new RangeError('The number is cut off');
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  }

  chunk(): Buffer {
    const length = this.varint();
    const end = this.#at + length;
    if (end > this.#bytes.length) throw new RangeError('The message is cut off');
    const chunk = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return chunk;
  }
}

/** As Kubernetes writes times: whole seconds. */
function formatSeconds(seconds: number): string {
  return formatTime(seconds * 1000).replace(/\.\d+Z$/, 'Z');
}

/** One length-delimited field of less than 128 bytes. */
function field(number: number, value: Buffer): Buffer {
  return Buffer.concat([Buffer.from([(number << 3) | 2, value.length]), value]);
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
