/** Namespace, Secret, ConfigMap: kinds of the core group that hold names and texts. */
import { builtIn } from './built-in.ts';
import { AGE, column, countOf, NAME, textOr } from './cells.ts';
import {
  choice,
  flag,
  listBy,
  needed,
  object,
  part,
  text,
  textMap,
  texts,
  time,
  whole,
} from './fields.ts';
import {
  forbidden,
  immutable,
  invalid,
  isMap,
  isSame,
  listAt,
  mapAt,
  required,
  textAt,
  tooLong,
} from './field-problems.ts';
import { mapKeyProblems, qualifiedNameProblems } from './name-problems.ts';
import type { FieldProblem, JsonObject, Resource } from './resource.ts';

/** Of all values of a Secret or ConfigMap together. */
const DATA_BYTES_MAX = 1024 * 1024;

const namespaceCondition = object(
  'NamespaceCondition',
  'What is so about the namespace.',
  {
    lastTransitionTime: time('When the status last changed.'),
    message: text('For people.'),
    reason: text('For programs.'),
    status: needed('True, False or Unknown.'),
    type: needed('What this is about.'),
  },
  { required: ['type', 'status'] },
);

const namespace = builtIn({
  group: '',
  kind: 'Namespace',
  plural: 'namespaces',
  shortNames: ['ns'],
  isNamespaced: false,
  hasStatus: true,
  schema: whole('Namespace', 'A scope for names.', {
    spec: part(
      object('NamespaceSpec', 'What the namespace waits for.', {
        finalizers: texts('Must be empty before the namespace goes.'),
      }),
      'What the namespace waits for.',
    ),
    status: part(
      object('NamespaceStatus', 'Where the namespace is in its life.', {
        conditions: listBy('type', namespaceCondition, 'What is so about the namespace.'),
        phase: choice(
          text('Active or Terminating.', { default: 'Active' }),
          'Active',
          'Terminating',
        ),
      }),
      'Where the namespace is in its life.',
    ),
  }),
  columns: [
    NAME,
    column('Status', 'Where the namespace is in its life.', (item) =>
      textAt(item['status'], 'phase'),
    ),
    AGE,
  ],
  prepare: prepareNamespace,
  check: checkNamespace,
});

/** Every namespace can be selected by its name. */
function prepareNamespace(item: JsonObject): JsonObject {
  const metadata = mapAt(item, 'metadata');
  const name = textAt(metadata, 'name');
  const spec = mapAt(item, 'spec');
  // The list of a namespace that is going has been emptied on purpose.
  const isGoing = metadata['deletionTimestamp'] !== undefined;
  const given = listAt(spec, 'finalizers');
  const finalizers = given.includes('kubernetes') ? given : [...given, 'kubernetes'];
  const filled = isGoing ? item : { ...item, spec: { ...spec, finalizers } };
  if (name === '') return filled;
  const labels = { ...mapAt(metadata, 'labels'), 'kubernetes.io/metadata.name': name };
  return { ...filled, metadata: { ...metadata, labels } };
}

function checkNamespace(after: JsonObject): FieldProblem[] {
  const problems: FieldProblem[] = [];
  for (const finalizer of listAt(after['spec'], 'finalizers')) {
    const name = String(finalizer);
    const found = qualifiedNameProblems(name);
    if (!name.includes('/') && name !== 'kubernetes') {
      found.push('name is neither a standard finalizer name nor is it fully qualified');
    }
    problems.push(...found.map((problem) => invalid('spec.finalizers', name, problem)));
  }
  return problems;
}

const configMap = builtIn({
  group: '',
  kind: 'ConfigMap',
  plural: 'configmaps',
  shortNames: ['cm'],
  isNamespaced: true,
  schema: whole('ConfigMap', 'Settings for programs.', {
    binaryData: textMap('Bytes by name, as base64.', { format: 'byte' }),
    data: textMap('Texts by name.'),
    immutable: flag('Nothing but metadata may change any more.'),
  }),
  columns: [
    NAME,
    column(
      'Data',
      'How many values there are.',
      (item) => countOf(item['data']) + countOf(item['binaryData']),
    ),
    AGE,
  ],
  check: checkConfigMap,
});

function checkConfigMap(after: JsonObject, before: JsonObject | undefined): FieldProblem[] {
  const problems = checkFrozen(after, before, ['data', 'binaryData']);
  const binary = mapAt(after, 'binaryData');
  let bytes = 0;
  for (const [key, value] of Object.entries(mapAt(after, 'data'))) {
    problems.push(...checkKey('data', key));
    if (Object.hasOwn(binary, key)) {
      problems.push(invalid(`data[${key}]`, key, 'duplicate of key present in binaryData'));
    }
    bytes += byteCount(String(value));
  }
  for (const [key, value] of Object.entries(binary)) {
    problems.push(...checkKey('binaryData', key));
    bytes += decodedBytes(value);
  }
  if (bytes > DATA_BYTES_MAX) problems.push(tooLong('[]', DATA_BYTES_MAX));
  return problems;
}

const secret = builtIn({
  group: '',
  kind: 'Secret',
  plural: 'secrets',
  isNamespaced: true,
  schema: whole('Secret', 'Values that few may read.', {
    data: textMap('Bytes by name, as base64.', { format: 'byte' }),
    immutable: flag('Nothing but metadata may change any more.'),
    stringData: textMap('Texts by name: written only, and moved into data.'),
    type: text('What the values are for.'),
  }),
  columns: [
    NAME,
    column('Type', 'What the values are for.', (item) => textAt(item, 'type')),
    column('Data', 'How many values there are.', (item) => countOf(item['data'])),
    AGE,
  ],
  prepare: prepareSecret,
  check: checkSecret,
});

function prepareSecret(item: JsonObject): JsonObject {
  const { stringData, ...rest } = item;
  const typed = { ...rest, type: textOr(item, 'type', 'Opaque') };
  if (!isMap(stringData)) return typed;
  const moved = Object.entries(stringData).map(([key, value]) => [
    key,
    typeof value === 'string' ? Buffer.from(value).toString('base64') : value,
  ]);
  return { ...typed, data: { ...mapAt(item, 'data'), ...Object.fromEntries(moved) } };
}

/** Kinds of secrets, and the values that each must have. */
const SECRET_KEYS: Readonly<Record<string, readonly string[]>> = {
  'kubernetes.io/dockercfg': ['.dockercfg'],
  'kubernetes.io/dockerconfigjson': ['.dockerconfigjson'],
  'kubernetes.io/ssh-auth': ['ssh-privatekey'],
  'kubernetes.io/tls': ['tls.crt', 'tls.key'],
};
const SERVICE_ACCOUNT_NAME = 'kubernetes.io/service-account.name';

function checkSecret(after: JsonObject, before: JsonObject | undefined): FieldProblem[] {
  const problems =
    before === undefined
      ? []
      : [
          ...immutable('type', textAt(after, 'type'), textAt(before, 'type')),
          ...checkFrozen(after, before, ['data']),
        ];
  const data = mapAt(after, 'data');
  let bytes = 0;
  for (const [key, value] of Object.entries(data)) {
    problems.push(...checkKey('data', key));
    bytes += decodedBytes(value);
  }
  if (bytes > DATA_BYTES_MAX) problems.push(tooLong('data', DATA_BYTES_MAX));
  return [...problems, ...checkSecretType(after, data)];
}

function checkSecretType(after: JsonObject, data: JsonObject): FieldProblem[] {
  const type = textAt(after, 'type');
  if (type === 'kubernetes.io/service-account-token') {
    const annotations = mapAt(mapAt(after, 'metadata'), 'annotations');
    if (textAt(annotations, SERVICE_ACCOUNT_NAME) !== '') return [];
    return [required(`metadata.annotations[${SERVICE_ACCOUNT_NAME}]`)];
  }
  if (type === 'kubernetes.io/basic-auth') {
    if (Object.hasOwn(data, 'username') || Object.hasOwn(data, 'password')) return [];
    return [required('data[username]'), required('data[password]')];
  }
  const keys = SECRET_KEYS[type] ?? [];
  return keys.filter((key) => !Object.hasOwn(data, key)).map((key) => required(`data[${key}]`));
}

/** A map that its owner has closed. */
function checkFrozen(
  after: JsonObject,
  before: JsonObject | undefined,
  fields: readonly string[],
): FieldProblem[] {
  if (before?.['immutable'] !== true) return [];
  const changed = fields.filter((field) => !isSame(after[field], before[field]));
  if (after['immutable'] !== true) changed.unshift('immutable');
  return changed.map((field) => forbidden(field, 'field is immutable when `immutable` is set'));
}

function checkKey(field: string, key: string): FieldProblem[] {
  return mapKeyProblems(key).map((problem) => invalid(`${field}[${key}]`, key, problem));
}

function byteCount(value: string): number {
  return Buffer.byteLength(value);
}

function decodedBytes(value: unknown): number {
  return typeof value === 'string' ? Buffer.from(value, 'base64').byteLength : 0;
}

export const CORE_RESOURCES: readonly Resource[] = [namespace, configMap, secret];
