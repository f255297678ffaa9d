/** StorageClass and VolumeAttachment. */
import { HoldfastError } from '../errors.ts';
import { parseClassParameters } from '../kinds/class-parameters.ts';
import { PROVISIONER } from '../provisioner.ts';
import { builtIn } from './built-in.ts';
import { AGE, column, NAME, textOr } from './cells.ts';
import {
  choice,
  about,
  flag,
  int32,
  list,
  needed,
  object,
  part,
  STORAGE,
  storageObject as storage,
  text,
  textMap,
  texts,
  time,
  whole,
} from './fields.ts';
import {
  checkChoice,
  forbidden,
  immutable,
  invalid,
  isMap,
  listAt,
  mapAt,
  required,
  textAt,
  tooLong,
} from './field-problems.ts';
import { type GoField, toGo } from './go-diff.ts';
import { qualifiedNameProblems, subdomainProblems } from './name-problems.ts';
import type { FieldProblem, JsonObject, Resource } from './resource.ts';
import { checkTopologies } from './selectors.ts';
import { checkDriverName, volumeSpec } from './volume.ts';

const GROUP = 'storage.k8s.io';

const BINDING_MODES = ['Immediate', 'WaitForFirstConsumer'];

const topologyTerm = object(
  'TopologySelectorTerm',
  'Places with all of these labels.',
  {
    matchLabelExpressions: list(
      object(
        'TopologySelectorLabelRequirement',
        'A label and its values.',
        { key: needed('The label.'), values: texts('Values, one of which must be there.') },
        { required: ['key', 'values'] },
      ),
      'Labels that a place must have.',
    ),
  },
  { 'x-kubernetes-map-type': 'atomic' },
);

const DEFAULT_CLASS = [
  'storageclass.kubernetes.io/is-default-class',
  'storageclass.beta.kubernetes.io/is-default-class',
];

function classNameOf(item: JsonObject): string {
  const metadata = mapAt(item, 'metadata');
  const annotations = mapAt(metadata, 'annotations');
  const isDefault = DEFAULT_CLASS.some((key) => annotations[key] === 'true');
  return `${textAt(metadata, 'name')}${isDefault ? ' (default)' : ''}`;
}

const storageClass = builtIn({
  group: GROUP,
  kind: 'StorageClass',
  plural: 'storageclasses',
  shortNames: ['sc'],
  isNamespaced: false,
  schema: whole(
    `${STORAGE}.StorageClass`,
    'How volumes of this class are made.',
    {
      allowVolumeExpansion: flag('Volumes may grow.'),
      allowedTopologies: list(topologyTerm, 'Where volumes may be.'),
      mountOptions: texts('Options for mounting.'),
      parameters: textMap('What the provisioner needs to know.'),
      provisioner: needed('Who makes the volumes.'),
      reclaimPolicy: choice(
        text('Delete or Retain: what follows the claim.', { default: 'Delete' }),
        'Delete',
        'Recycle',
        'Retain',
      ),
      volumeBindingMode: choice(
        text('When a volume is made.', { default: 'Immediate' }),
        ...BINDING_MODES,
      ),
    },
    { required: ['provisioner'] },
  ),
  columns: [
    column('Name', 'Name of the class.', classNameOf, { format: 'name' }),
    column('Provisioner', 'Who makes the volumes.', (item) => textAt(item, 'provisioner')),
    column('ReclaimPolicy', 'What follows the claim.', (item) =>
      textOr(item, 'reclaimPolicy', 'Delete'),
    ),
    column('VolumeBindingMode', 'When a volume is made.', (item) =>
      textOr(item, 'volumeBindingMode', 'Immediate'),
    ),
    column(
      'AllowVolumeExpansion',
      'Volumes may grow.',
      (item) => item['allowVolumeExpansion'] === true,
    ),
    AGE,
  ],
  check: checkStorageClass,
});

const RECLAIM_POLICIES = ['Delete', 'Retain'];
const PARAMETERS_MAX = 512;
const PARAMETERS_BYTES_MAX = 256 * 1024;

function checkStorageClass(after: JsonObject, before: JsonObject | undefined): FieldProblem[] {
  if (before !== undefined) {
    const fixed = ['parameters', 'provisioner', 'reclaimPolicy', 'volumeBindingMode'];
    return [
      ...fixed.flatMap((field) => immutable(field, after[field], before[field])),
      ...checkChoices(after),
      ...checkTopologies('allowedTopologies', listAt(after, 'allowedTopologies')),
    ];
  }
  const provisioner = textAt(after, 'provisioner');
  const problems =
    provisioner === ''
      ? [required('provisioner')]
      : qualifiedNameProblems(provisioner.toLowerCase()).map((problem) =>
          invalid('provisioner', provisioner.toLowerCase(), problem),
        );
  problems.push(...checkParameters(mapAt(after, 'parameters')));
  if (provisioner === PROVISIONER) problems.push(...checkOwnParameters(after));
  problems.push(...checkTopologies('allowedTopologies', listAt(after, 'allowedTopologies')));
  return [...problems, ...checkChoices(after)];
}

function checkChoices(item: JsonObject): FieldProblem[] {
  const mode = textAt(item, 'volumeBindingMode');
  return [
    ...checkChoice('reclaimPolicy', textAt(item, 'reclaimPolicy'), RECLAIM_POLICIES),
    ...checkChoice('volumeBindingMode', mode, BINDING_MODES),
  ];
}

/** What we would refuse later anyway, said at once: the first parameter that is wrong. */
function checkOwnParameters(item: JsonObject): FieldProblem[] {
  try {
    parseClassParameters(item['parameters'] as Readonly<Record<string, string>> | undefined);
    return [];
  } catch (error) {
    if (!HoldfastError.is(error)) throw error;
    const { path, problem, remedy, value } = error.details;
    return [invalid(String(path), value, `${String(problem)}: ${String(remedy)}`)];
  }
}

function checkParameters(parameters: JsonObject): FieldProblem[] {
  const entries = Object.entries(parameters);
  if (entries.length > PARAMETERS_MAX) return [tooLong('parameters', PARAMETERS_MAX)];
  const problems = entries
    .filter(([key]) => key === '')
    .map(([key]) => invalid('parameters', key, 'field can not be empty.'));
  const bytes = entries.map(([key, value]) => Buffer.byteLength(`${key}${String(value)}`));
  if (bytes.reduce((sum, count) => sum + count, 0) > PARAMETERS_BYTES_MAX) {
    problems.push(tooLong('parameters', PARAMETERS_BYTES_MAX));
  }
  return problems;
}

const volumeError = storage('VolumeError', 'Why it did not work.', {
  errorCode: int32('Code of the error, as gRPC has them.'),
  message: text('For people.'),
  time: time('When it was met.'),
});

const volumeAttachment = builtIn({
  group: GROUP,
  kind: 'VolumeAttachment',
  plural: 'volumeattachments',
  isNamespaced: false,
  hasStatus: true,
  schema: whole(
    `${STORAGE}.VolumeAttachment`,
    'A volume that is to be attached to a node.',
    {
      spec: part(
        storage(
          'VolumeAttachmentSpec',
          'What is to be attached where.',
          {
            attacher: needed('Who attaches: name of a CSI driver.'),
            nodeName: needed('Name of the node.'),
            source: part(
              storage('VolumeAttachmentSource', 'What is to be attached.', {
                inlineVolumeSpec: about(volumeSpec, 'A volume without an object of its own.'),
                persistentVolumeName: text('Name of the PersistentVolume.'),
              }),
              'What is to be attached.',
            ),
          },
          { required: ['attacher', 'source', 'nodeName'] },
        ),
        'What is to be attached where.',
      ),
      status: part(
        storage(
          'VolumeAttachmentStatus',
          'Whether it is attached.',
          {
            attachError: about(volumeError, 'Why attaching did not work.'),
            attached: { ...flag('It is attached.'), default: false },
            attachmentMetadata: textMap('What the driver told about the attachment.'),
            detachError: about(volumeError, 'Why detaching did not work.'),
          },
          { required: ['attached'] },
        ),
        'Whether it is attached.',
      ),
    },
    { required: ['spec'] },
  ),
  columns: [
    NAME,
    column('Attacher', 'Who attaches.', (item) => textAt(item['spec'], 'attacher'), {
      format: 'name',
    }),
    column('PV', 'Name of the volume.', (item) =>
      textAt(mapAt(mapAt(item, 'spec'), 'source'), 'persistentVolumeName'),
    ),
    column('Node', 'Name of the node.', (item) => textAt(item['spec'], 'nodeName')),
    column('Attached', 'It is attached.', (item) => mapAt(item, 'status')['attached'] === true, {
      type: 'boolean',
    }),
    AGE,
  ],
  check: checkAttachment,
});

const GO_ATTACHMENT: readonly GoField[] = [
  ['Attacher', 'attacher', 'text'],
  [
    'Source',
    'source',
    {
      struct: [
        ['PersistentVolumeName', 'persistentVolumeName', 'any'],
        ['InlineVolumeSpec', 'inlineVolumeSpec', 'any'],
      ],
    },
  ],
  ['NodeName', 'nodeName', 'text'],
];
const ONE_SOURCE = 'must specify exactly one of inlineVolumeSpec and persistentVolumeName';

function checkAttachment(after: JsonObject, before: JsonObject | undefined): FieldProblem[] {
  const spec = mapAt(after, 'spec');
  const source = mapAt(spec, 'source');
  const name = source['persistentVolumeName'];
  const problems = checkDriverName('spec.attacher', textAt(spec, 'attacher'));
  if (isMap(source['inlineVolumeSpec'])) {
    if (typeof name === 'string') problems.push(forbidden('spec.source', ONE_SOURCE));
  } else if (typeof name !== 'string') problems.push(required('spec.source', ONE_SOURCE));
  else if (name === '') {
    const detail = 'must specify non empty persistentVolumeName';
    problems.push(required('spec.source.persistentVolumeName', detail));
  }
  if (typeof name === 'string') {
    const found = subdomainProblems(name);
    const field = 'spec.source.persistentVolumeName';
    problems.push(...found.map((problem) => invalid(field, name, problem)));
  }
  const node = textAt(spec, 'nodeName');
  problems.push(...subdomainProblems(node).map((text) => invalid('spec.nodeName', node, text)));
  if (before === undefined) return problems;
  const was = toGo(GO_ATTACHMENT, before['spec']);
  return [...problems, ...immutable('spec', toGo(GO_ATTACHMENT, spec), was)];
}

export const STORAGE_RESOURCES: readonly Resource[] = [storageClass, volumeAttachment];
