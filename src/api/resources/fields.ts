/**
 * The few forms that the fields of Kubernetes' own kinds have, so that a kind reads as a list of
 * its fields. Named types become components of the OpenAPI documents, under Kubernetes' names.
 */
import type { Schema } from './resource.ts';

const CORE = 'io.k8s.api.core.v1';
export const STORAGE = 'io.k8s.api.storage.v1';
export const META = 'io.k8s.apimachinery.pkg.apis.meta.v1';

type Fields = Readonly<Record<string, Schema>>;

interface NamedType {
  readonly name: string;
  /** As it was described first, apart from where it is used. */
  readonly type: Schema;
}

/** By the very object that describes a field: a schema has no place for a name. */
const namedTypes = new WeakMap<Schema, NamedType>();
const choices = new WeakMap<Schema, readonly string[]>();

/** The component that this schema is in an OpenAPI document; undefined where it stands inline. */
export function namedTypeOf(schema: Schema): NamedType | undefined {
  return namedTypes.get(schema);
}

/** What Kubernetes documents as the values of a field; its own rules check them. */
export function choicesOf(schema: Schema): readonly string[] | undefined {
  return choices.get(schema);
}

export function choice(schema: Schema, ...values: readonly string[]): Schema {
  choices.set(schema, values);
  return schema;
}

function named(name: string, schema: Schema): Schema {
  const whole = name.includes('.') ? name : `${CORE}.${name}`;
  namedTypes.set(schema, { name: whole, type: schema });
  return schema;
}

/** The same type in another place. */
export function about(schema: Schema, description: string, more: Schema = {}): Schema {
  const copy = { ...schema, description, ...more };
  const type = namedTypes.get(schema);
  if (type !== undefined) namedTypes.set(copy, type);
  return copy;
}

export function text(description: string, more: Schema = {}): Schema {
  return { type: 'string', description, ...more };
}

/** Go writes it even when it is empty. */
export function needed(description: string): Schema {
  return { type: 'string', description, default: '' };
}

export function flag(description: string): Schema {
  return { type: 'boolean', description };
}

/** Go writes null where nothing is given. */
export function orNull(schema: Schema): Schema {
  return { ...schema, nullable: true, default: null };
}

export function int32(description: string): Schema {
  return { type: 'integer', format: 'int32', description };
}

export function int64(description: string): Schema {
  return { type: 'integer', format: 'int64', description };
}

export function time(description: string): Schema {
  return { type: 'string', format: 'date-time', description };
}

export function quantity(description: string): Schema {
  return named('io.k8s.apimachinery.pkg.api.resource.Quantity', {
    'x-kubernetes-int-or-string': true,
    description,
  });
}

export function quantities(description: string): Schema {
  const item = quantity('A number with a suffix, such as 1Gi.');
  return { type: 'object', description, additionalProperties: item };
}

export function texts(description: string): Schema {
  return list({ type: 'string' }, description);
}

export function textMap(description: string, more: Schema = {}): Schema {
  const additionalProperties: Schema = { type: 'string', ...more };
  return { type: 'object', description, additionalProperties };
}

export function list(items: Schema, description: string): Schema {
  return { type: 'array', description, items, 'x-kubernetes-list-type': 'atomic' };
}

export function textSet(description: string, more: Schema = {}): Schema {
  const items: Schema = { type: 'string' };
  return { type: 'array', description, items, 'x-kubernetes-list-type': 'set', ...more };
}

/** A list whose items are known by one of their fields. */
export function listBy(key: string, items: Schema, description: string): Schema {
  return {
    type: 'array',
    description,
    items,
    'x-kubernetes-list-type': 'map',
    'x-kubernetes-list-map-keys': [key],
    'x-kubernetes-patch-strategy': 'merge',
    'x-kubernetes-patch-merge-key': key,
  };
}

export function object(
  name: string,
  description: string,
  properties: Fields,
  more: Schema = {},
): Schema {
  return named(name, { type: 'object', description, properties, ...more });
}

/** A type of the group storage.k8s.io. */
export function storageObject(
  name: string,
  description: string,
  properties: Fields,
  more: Schema = {},
): Schema {
  return object(`${STORAGE}.${name}`, description, properties, more);
}

/** An object that Go writes even when it is empty. */
export function part(schema: Schema, description: string): Schema {
  return about(schema, description, { default: {} });
}

const ownerReference = object(
  `${META}.OwnerReference`,
  'One object that this object belongs to.',
  {
    apiVersion: needed('API version of the owner.'),
    blockOwnerDeletion: flag('The owner goes in the foreground only after this object.'),
    controller: flag('The owner manages this object.'),
    kind: needed('Kind of the owner.'),
    name: needed('Name of the owner.'),
    uid: needed('UID of the owner.'),
  },
  { required: ['apiVersion', 'kind', 'name', 'uid'], 'x-kubernetes-map-type': 'atomic' },
);

const managedFieldsEntry = object(`${META}.ManagedFieldsEntry`, 'What one manager has set.', {
  apiVersion: text('Version of the fields.'),
  fieldsType: text('Form of the fields: FieldsV1.'),
  fieldsV1: object(
    `${META}.FieldsV1`,
    'The set of fields.',
    {},
    { 'x-kubernetes-preserve-unknown-fields': true },
  ),
  manager: text('Who set the fields.'),
  operation: text('Apply or Update.'),
  subresource: text('Through which subresource.'),
  time: time('When the set last changed.'),
});

export const objectMeta = object(`${META}.ObjectMeta`, 'What every object has.', {
  annotations: textMap('Text that tools keep with the object; nothing is selected by it.'),
  creationTimestamp: { ...time('When the object was created. Set by the server.'), nullable: true },
  deletionGracePeriodSeconds: int64('Time to end orderly. Set by the server.'),
  deletionTimestamp: time('When deletion was asked for. Set by the server.'),
  finalizers: textSet('What must be done before the object goes.', {
    'x-kubernetes-patch-strategy': 'merge',
  }),
  generateName: text('Beginning of a name that the server completes.'),
  generation: int64('Counts changes of the desired state. Set by the server.'),
  labels: textMap('Pairs by which objects are selected.'),
  managedFields: list(managedFieldsEntry, 'Who set which field. Kept by the server.'),
  name: text('Unique among the objects of its kind in its namespace.'),
  namespace: text('The namespace that the object is in.'),
  ownerReferences: listBy('uid', ownerReference, 'Objects that this object belongs to.'),
  resourceVersion: text('The version of the object, for comparison only. Set by the server.'),
  selfLink: text('Not used any more.'),
  uid: text('Unique over time. Set by the server.'),
});

const CONVENTIONS =
  'https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md';

/** What every kind begins with, described as kube-apiserver describes it of every definition. */
export const apiVersionField = text(
  'APIVersion defines the versioned schema of this representation of an object. Servers should ' +
    'convert recognized schemas to the latest internal value, and may reject unrecognized ' +
    `values. More info: ${CONVENTIONS}#resources`,
);
export const kindField = text(
  'Kind is a string value representing the REST resource this object represents. Servers may ' +
    'infer this from the endpoint the client submits requests to. Cannot be updated. In ' +
    `CamelCase. More info: ${CONVENTIONS}#types-kinds`,
);
export const METADATA_TEXT = `Standard object's metadata. More info: ${CONVENTIONS}#metadata`;

/** A whole object: its own fields beside the three that every kind has. */
export function whole(
  name: string,
  description: string,
  properties: Fields,
  more: Schema = {},
): Schema {
  return object(
    name,
    description,
    {
      apiVersion: apiVersionField,
      kind: kindField,
      metadata: part(objectMeta, METADATA_TEXT),
      ...properties,
    },
    more,
  );
}

const selectorRequirement = object(
  `${META}.LabelSelectorRequirement`,
  'A label and what it may be.',
  {
    key: needed('The label.'),
    operator: needed('In, NotIn, Exists or DoesNotExist.'),
    values: texts('Values for In and NotIn.'),
  },
  { required: ['key', 'operator'] },
);

export const labelSelector = object(
  `${META}.LabelSelector`,
  'Objects with all of these labels.',
  {
    matchExpressions: list(selectorRequirement, 'Requirements, all of which must hold.'),
    matchLabels: textMap('Labels that must have these values.'),
  },
  { 'x-kubernetes-map-type': 'atomic' },
);

export const objectReference = object(
  'ObjectReference',
  'One object.',
  {
    apiVersion: text('API version of the object.'),
    fieldPath: text('A part of the object.'),
    kind: text('Kind of the object.'),
    name: text('Name of the object.'),
    namespace: text('Namespace of the object.'),
    resourceVersion: text('Version of the object.'),
    uid: text('UID of the object.'),
  },
  { 'x-kubernetes-map-type': 'atomic' },
);

export const secretReference = object(
  'SecretReference',
  'One secret.',
  { name: text('Name of the secret.'), namespace: text('Namespace of the secret.') },
  { 'x-kubernetes-map-type': 'atomic' },
);
