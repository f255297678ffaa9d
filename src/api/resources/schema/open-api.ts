/**
 * OpenAPI v3 documents as kube-apiserver serves them below /openapi/v3: what `kubectl explain`
 * shows and from which kubectl learns that the server checks fields and can do dry runs.
 */
import { apiVersionField, choicesOf, kindField, META, namedTypeOf } from '../fields.ts';
import type { JsonObject, Resource, Schema } from '../resource.ts';

/** One document for each group version: `api/v1`, `apis/storage.k8s.io/v1`. */
export function toOpenApi(resources: readonly Resource[]): Readonly<Record<string, JsonObject>> {
  const groups = new Map<string, Resource[]>();
  for (const resource of resources) {
    const path = pathOf(resource);
    groups.set(path, [...(groups.get(path) ?? []), resource]);
  }
  const documents = [...groups].map(([path, members]) => [path, documentOf(path, members)]);
  return Object.fromEntries(documents) as Readonly<Record<string, JsonObject>>;
}

function pathOf({ group, version }: Resource): string {
  return group === '' ? `api/${version}` : `apis/${group}/${version}`;
}

function documentOf(path: string, resources: readonly Resource[]): JsonObject {
  const components = new Components();
  const paths: Record<string, unknown> = {};
  for (const resource of resources) Object.assign(paths, pathsOf(path, resource, components));
  return {
    openapi: '3.0.0',
    info: { title: 'Kubernetes', version: 'unversioned' },
    paths,
    components: { schemas: components.sorted() },
  };
}

/** Named types of one document, each written once. */
class Components {
  readonly #schemas = new Map<string, JsonObject>();

  add(name: string, make: () => JsonObject): JsonObject {
    if (!this.#schemas.has(name)) {
      this.#schemas.set(name, {});
      this.#schemas.set(name, make());
    }
    return { $ref: `#/components/schemas/${name}` };
  }

  sorted(): JsonObject {
    const names = [...this.#schemas.keys()].toSorted();
    return Object.fromEntries(names.map((name) => [name, this.#schemas.get(name)]));
  }
}

/** `dev.holdfast.v1alpha1.Volume`, `io.k8s.api.core.v1.Secret`. */
function componentName(resource: Resource): string {
  const { group, kind, schema, version } = resource;
  return (
    namedTypeOf(schema)?.name ?? `${group.split('.').toReversed().join('.')}.${version}.${kind}`
  );
}

function convert(schema: Schema, components: Components): JsonObject {
  const named = namedTypeOf(schema);
  if (named === undefined) return inline(schema, components);
  const { name, type } = named;
  const reference = components.add(name, () => typeOf(name, type, components));
  const { default: value, description } = schema;
  // The description of the type is shown too.
  const isOwn = description !== undefined && description !== type.description;
  const mapType = schema['x-kubernetes-map-type'];
  return {
    ...(mapType === type['x-kubernetes-map-type'] ? {} : { 'x-kubernetes-map-type': mapType }),
    ...(isOwn ? { description } : {}),
    ...(value === undefined ? {} : { default: value }),
    allOf: [reference],
  };
}

function typeOf(name: string, schema: Schema, components: Components): JsonObject {
  if (name.endsWith('.Quantity')) return { oneOf: [{ type: 'string' }, { type: 'number' }] };
  const { default: _default, ...type } = schema;
  return inline(type, components);
}

function inline(schema: Schema, components: Components): JsonObject {
  const { additionalProperties, items, properties, ...rest } = schema;
  const fields = Object.entries(properties ?? {}).toSorted(([a], [b]) => (a < b ? -1 : 1));
  const choices = choicesOf(schema);
  return {
    ...rest,
    ...(choices === undefined ? {} : { enum: choices }),
    ...(rest['x-kubernetes-int-or-string'] === true
      ? { anyOf: [{ type: 'integer' }, { type: 'string' }] }
      : {}),
    ...(items === undefined ? {} : { items: convert(items, components) }),
    ...(additionalProperties === undefined
      ? {}
      : { additionalProperties: convert(additionalProperties, components) }),
    ...(properties === undefined
      ? {}
      : {
          properties: Object.fromEntries(
            fields.map(([field, inner]) => [field, convert(inner, components)]),
          ),
        }),
  };
}

interface Verb {
  readonly method: 'get' | 'post' | 'put' | 'patch' | 'delete';
  readonly action: string;
  readonly returns: 'object' | 'list' | 'status';
}

const COLLECTION: readonly Verb[] = [
  { method: 'get', action: 'list', returns: 'list' },
  { method: 'post', action: 'post', returns: 'object' },
  { method: 'delete', action: 'deletecollection', returns: 'status' },
];
const ITEM: readonly Verb[] = [
  { method: 'get', action: 'get', returns: 'object' },
  { method: 'put', action: 'put', returns: 'object' },
  { method: 'patch', action: 'patch', returns: 'object' },
  { method: 'delete', action: 'delete', returns: 'status' },
];
const SUBRESOURCE = ITEM.slice(0, 3);

const LIST_QUERY = [
  'allowWatchBookmarks',
  'continue',
  'fieldSelector',
  'labelSelector',
  'limit',
  'resourceVersion',
  'resourceVersionMatch',
  'sendInitialEvents',
  'timeoutSeconds',
  'watch',
];
const WRITE_QUERY = ['dryRun', 'fieldManager', 'fieldValidation'];
const QUERY: Readonly<Record<string, readonly string[]>> = {
  list: LIST_QUERY,
  post: WRITE_QUERY,
  put: WRITE_QUERY,
  patch: [...WRITE_QUERY, 'force'],
  delete: ['dryRun', 'gracePeriodSeconds', 'orphanDependents', 'propagationPolicy'],
  deletecollection: ['dryRun', 'propagationPolicy', ...LIST_QUERY],
};

function pathsOf(base: string, resource: Resource, components: Components): JsonObject {
  const { isNamespaced, plural } = resource;
  const schemas = schemasOf(resource, components);
  const scope = isNamespaced ? ['namespace'] : [];
  const root = isNamespaced ? `/${base}/namespaces/{namespace}` : `/${base}`;
  const item = [...scope, 'name'];
  const paths: Record<string, unknown> = {
    [`${root}/${plural}`]: pathOfVerbs(COLLECTION, scope, resource, schemas),
    [`${root}/${plural}/{name}`]: pathOfVerbs(ITEM, item, resource, schemas),
  };
  if (resource.hasStatus) {
    const status = pathOfVerbs(SUBRESOURCE, item, resource, schemas);
    paths[`${root}/${plural}/{name}/status`] = status;
  }
  if (isNamespaced) {
    paths[`/${base}/${plural}`] = pathOfVerbs(COLLECTION.slice(0, 1), [], resource, schemas);
  }
  return paths;
}

type Schemas = Readonly<Record<Verb['returns'], JsonObject>>;

function gvk({ group, kind, version }: Resource, own = kind): JsonObject {
  return { group, kind: own, version };
}

function schemasOf(resource: Resource, components: Components): Schemas {
  const name = componentName(resource);
  const object = components.add(name, () => ({
    ...typeOf(name, resource.schema, components),
    'x-kubernetes-group-version-kind': [gvk(resource)],
  }));
  const list = components.add(`${name}List`, () => ({
    description: `A list of ${resource.kind}.`,
    type: 'object',
    required: ['items'],
    properties: {
      apiVersion: apiVersionField,
      items: { type: 'array', description: 'The objects.', items: object },
      kind: kindField,
      metadata: components.add(`${META}.ListMeta`, listMeta),
    },
    'x-kubernetes-group-version-kind': [gvk(resource, resource.listKind)],
  }));
  return { object, list, status: components.add(`${META}.Status`, () => status(components)) };
}

function listMeta(): JsonObject {
  return {
    description: 'What every list has.',
    type: 'object',
    properties: {
      continue: { type: 'string', description: 'Where the next part of the list begins.' },
      remainingItemCount: { type: 'integer', format: 'int64', description: 'How many follow.' },
      resourceVersion: { type: 'string', description: 'The version that the list shows.' },
      selfLink: { type: 'string', description: 'Not used any more.' },
    },
  };
}

function status(components: Components): JsonObject {
  const texts = ['apiVersion', 'kind', 'message', 'reason', 'status'];
  return {
    description: 'The outcome of a request.',
    type: 'object',
    properties: {
      ...Object.fromEntries(texts.map((field) => [field, { type: 'string' }])),
      code: { type: 'integer', format: 'int32' },
      details: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
      metadata: components.add(`${META}.ListMeta`, listMeta),
    },
  };
}

function pathOfVerbs(
  verbs: readonly Verb[],
  inPath: readonly string[],
  resource: Resource,
  schemas: Schemas,
): JsonObject {
  return {
    ...Object.fromEntries(verbs.map((verb) => [verb.method, operation(verb, resource, schemas)])),
    parameters: inPath.map((name) => ({
      name,
      in: 'path',
      required: true,
      schema: { type: 'string', uniqueItems: true },
    })),
  };
}

const PATCHES = ['json-patch+json', 'merge-patch+json', 'apply-patch+yaml'];

function operation(verb: Verb, resource: Resource, schemas: Schemas): JsonObject {
  const { action, method, returns } = verb;
  const body = (schema: JsonObject, types: readonly string[]): JsonObject => ({
    content: Object.fromEntries(types.map((type) => [`application/${type}`, { schema }])),
  });
  const patches = resource.isCustom ? PATCHES : [...PATCHES, 'strategic-merge-patch+json'];
  const requests: Readonly<Record<string, JsonObject>> = {
    post: body(schemas.object, ['json', 'yaml']),
    put: body(schemas.object, ['json', 'yaml']),
    patch: body({ type: 'object' }, patches),
  };
  const request = requests[method];
  return {
    ...(request === undefined ? {} : { requestBody: { ...request, required: true } }),
    parameters: (QUERY[action] ?? []).map((name) => ({
      name,
      in: 'query',
      schema: { type: 'string', uniqueItems: true },
    })),
    responses: { 200: { description: 'OK', ...body(schemas[returns], ['json']) } },
    'x-kubernetes-action': action,
    'x-kubernetes-group-version-kind': gvk(resource),
  };
}
