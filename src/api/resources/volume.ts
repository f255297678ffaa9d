/** PersistentVolume: a volume that a claim can have. */
import { builtIn } from './built-in.ts';
import { AGE, column, formatModes, NAME, phaseOf, textOr } from './cells.ts';
import { checkAccessModes, checkClassName, checkVolumeMode, VOLUME_MODES } from './claim.ts';
import {
  choice,
  about,
  flag,
  list,
  needed,
  object,
  objectReference,
  part,
  quantities,
  secretReference,
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
  isSame,
  listAt,
  mapAt,
  notSupported,
  required,
  textAt,
  tooLong,
} from './field-problems.ts';
import { FOREIGN_GO_NAMES, FOREIGN_SOURCES } from './foreign-volumes.ts';
import { type GoField, diffOf, sortKeys, toGo } from './go-diff.ts';
import { subdomainProblems } from './name-problems.ts';
import { compareQuantities, withCanonicalQuantities } from './quantity.ts';
import type { FieldProblem, JsonObject, Resource, Schema } from './resource.ts';
import { checkNodeAffinity } from './selectors.ts';

const secret = (what: string): Schema => about(secretReference, `Secret for ${what}.`);

const csiSource = object(
  'CSIPersistentVolumeSource',
  'A volume of a CSI driver.',
  {
    controllerExpandSecretRef: secret('growing the volume'),
    controllerPublishSecretRef: secret('attaching the volume'),
    driver: needed('Name of the driver.'),
    fsType: text('Filesystem: ext4, xfs.'),
    nodeExpandSecretRef: secret('growing the volume on its node'),
    nodePublishSecretRef: secret('mounting the volume'),
    nodeStageSecretRef: secret('staging the volume'),
    readOnly: flag('Nobody writes.'),
    volumeAttributes: textMap('What the driver needs to know.'),
    volumeHandle: needed('What the driver calls the volume.'),
  },
  { required: ['driver', 'volumeHandle'] },
);

const RECLAIM_POLICIES = ['Delete', 'Recycle', 'Retain'];

const HOST_PATH_TYPES = [
  '',
  'BlockDevice',
  'CharDevice',
  'Directory',
  'DirectoryOrCreate',
  'File',
  'FileOrCreate',
  'Socket',
];

const hostPathSource = object(
  'HostPathVolumeSource',
  'A file or directory of the node.',
  {
    path: needed('Path on the node.'),
    type: choice(
      { ...text('What must be there, such as DirectoryOrCreate.'), default: '' },
      ...HOST_PATH_TYPES,
    ),
  },
  { required: ['path'] },
);

const localSource = object(
  'LocalVolumeSource',
  'A disk or directory of one node.',
  { fsType: text('Filesystem: ext4, xfs.'), path: needed('Path on the node.') },
  { required: ['path'] },
);

const nfsSource = object(
  'NFSVolumeSource',
  'An export of an NFS server.',
  {
    path: needed('Path that the server exports.'),
    readOnly: flag('Nobody writes.'),
    server: needed('Name or address of the server.'),
  },
  { required: ['server', 'path'] },
);

/** In the order in which they are checked. */
const SOURCES = (
  'hostPath gcePersistentDisk awsElasticBlockStore glusterfs flocker nfs rbd quobyte cephfs ' +
  'iscsi cinder fc flexVolume azureFile vsphereVolume photonPersistentDisk portworxVolume ' +
  'azureDisk scaleIO local storageos csi'
).split(' ');

const selectorRequirement = object(
  'NodeSelectorRequirement',
  'A label or field and what it may be.',
  {
    key: needed('The label or field.'),
    operator: choice(
      needed('How they are compared.'),
      'DoesNotExist',
      'Exists',
      'Gt',
      'In',
      'Lt',
      'NotIn',
    ),
    values: texts('Values for the operator.'),
  },
  { required: ['key', 'operator'] },
);

const selectorTerm = object(
  'NodeSelectorTerm',
  'Nodes for which all requirements hold.',
  {
    matchExpressions: list(selectorRequirement, 'Requirements on labels.'),
    matchFields: list(selectorRequirement, 'Requirements on fields.'),
  },
  { 'x-kubernetes-map-type': 'atomic' },
);

const nodeAffinity = object('VolumeNodeAffinity', 'Nodes from which the volume can be reached.', {
  required: object(
    'NodeSelector',
    'Nodes that fit one of the terms.',
    { nodeSelectorTerms: list(selectorTerm, 'Terms, one of which must fit.') },
    { required: ['nodeSelectorTerms'], 'x-kubernetes-map-type': 'atomic' },
  ),
});

export const volumeSpec = object('PersistentVolumeSpec', 'The volume.', {
  accessModes: texts('How the volume can be used.'),
  capacity: quantities('How large the volume is.'),
  claimRef: about(objectReference, 'The claim that has the volume.', {
    'x-kubernetes-map-type': 'granular',
  }),
  csi: csiSource,
  hostPath: hostPathSource,
  local: localSource,
  nfs: nfsSource,
  ...FOREIGN_SOURCES,
  mountOptions: texts('Options for mounting.'),
  nodeAffinity,
  persistentVolumeReclaimPolicy: choice(
    text('What follows the claim.', { default: 'Retain' }),
    ...RECLAIM_POLICIES,
  ),
  storageClassName: text('Name of the StorageClass.'),
  volumeAttributesClassName: text('Name of the VolumeAttributesClass.'),
  volumeMode: choice(text('Filesystem or Block.', { default: 'Filesystem' }), ...VOLUME_MODES),
});

const volumeStatus = object('PersistentVolumeStatus', 'Where the volume is in its life.', {
  lastPhaseTransitionTime: time('When the phase last changed.'),
  message: text('For people.'),
  phase: choice(
    text('Where the volume is in its life.', { default: 'Pending' }),
    'Available',
    'Bound',
    'Failed',
    'Pending',
    'Released',
  ),
  reason: text('For programs.'),
});

function claimOf(item: JsonObject): string {
  const claim = mapAt(item, 'spec')['claimRef'];
  return isMap(claim) ? `${textAt(claim, 'namespace')}/${textAt(claim, 'name')}` : '';
}

function specText(field: string, fallback = '') {
  return (item: JsonObject): string => textOr(item['spec'], field, fallback);
}

const volume = builtIn({
  group: '',
  kind: 'PersistentVolume',
  plural: 'persistentvolumes',
  shortNames: ['pv'],
  isNamespaced: false,
  hasStatus: true,
  schema: whole('PersistentVolume', 'A volume that a claim can have.', {
    spec: part(volumeSpec, 'The volume.'),
    status: part(volumeStatus, 'Where the volume is in its life.'),
  }),
  columns: [
    NAME,
    column('Capacity', 'How large the volume is.', (item) =>
      textOr(mapAt(item, 'spec')['capacity'], 'storage', '0'),
    ),
    column('Access Modes', 'How the volume can be used.', (item) =>
      formatModes(mapAt(item, 'spec')['accessModes']),
    ),
    column('Reclaim Policy', 'What follows the claim.', specText('persistentVolumeReclaimPolicy')),
    column('Status', 'Where the volume is in its life.', phaseOf),
    column('Claim', 'The claim that has the volume.', claimOf),
    column('StorageClass', 'Name of the StorageClass.', specText('storageClassName')),
    column(
      'VolumeAttributesClass',
      'Name of the VolumeAttributesClass.',
      specText('volumeAttributesClassName', '<unset>'),
    ),
    column('Reason', 'Why the volume is in this phase.', (item) =>
      textAt(item['status'], 'reason'),
    ),
    AGE,
    column('VolumeMode', 'Filesystem or Block.', specText('volumeMode', '<unset>'), {
      priority: 1,
    }),
  ],
  prepare: (item) => withCanonicalQuantities(item, ['spec', 'capacity']),
  check: checkVolume,
});

function checkVolume(after: JsonObject, before: JsonObject | undefined): FieldProblem[] {
  const problems = checkVolumeSpec(mapAt(after, 'spec'));
  return before === undefined ? problems : [...problems, ...checkVolumeUpdate(after, before)];
}

function checkVolumeSpec(spec: JsonObject): FieldProblem[] {
  const modes = listAt(spec, 'accessModes');
  const problems: FieldProblem[] = modes.length === 0 ? [required('spec.accessModes')] : [];
  problems.push(...checkAccessModes(modes), ...checkCapacity(spec));
  if (isMap(spec['nodeAffinity'])) {
    problems.push(...checkNodeAffinity('spec.nodeAffinity', spec['nodeAffinity']));
  }
  const policy = textAt(spec, 'persistentVolumeReclaimPolicy');
  if (policy !== '' && !RECLAIM_POLICIES.includes(policy)) {
    problems.push(notSupported('spec.persistentVolumeReclaimPolicy', policy, RECLAIM_POLICIES));
  }
  problems.push(...checkSources(spec));
  const path = textAt(spec['hostPath'], 'path').replace(/\/+$/, '');
  if (isMap(spec['hostPath']) && path === '' && policy === 'Recycle') {
    const rule = "may not be 'recycle' for a hostPath mount of '/'";
    problems.push(forbidden('spec.persistentVolumeReclaimPolicy', rule));
  }
  problems.push(...checkClassName('spec.storageClassName', textAt(spec, 'storageClassName')));
  return [...problems, ...checkVolumeMode(spec), ...checkAttributesClass(spec)];
}

function checkAttributesClass(spec: JsonObject): FieldProblem[] {
  const name = spec['volumeAttributesClassName'];
  if (typeof name !== 'string') return [];
  const field = 'spec.volumeAttributesClassName';
  const problems =
    name === '' ? [required(field, 'an empty string is disallowed')] : checkClassName(field, name);
  if (isMap(spec['csi'])) return problems;
  const detail = 'has to be specified when using volumeAttributesClassName';
  return [...problems, required('spec.csi', detail)];
}

function checkCapacity(spec: JsonObject): FieldProblem[] {
  const capacity = mapAt(spec, 'capacity');
  const names = Object.keys(capacity);
  const problems: FieldProblem[] = [];
  if (names.length === 0) problems.push(required('spec.capacity'));
  if (names.length !== 1 || names[0] !== 'storage') {
    const shown = spec['capacity'] === undefined ? null : sortKeys(capacity);
    problems.push(notSupported('spec.capacity', shown, ['storage']));
  }
  for (const [name, size] of Object.entries(capacity)) {
    if (compareQuantities(size, '0') > 0) continue;
    problems.push(invalid(`spec.capacity[${name}]`, size, 'must be greater than zero'));
  }
  return problems;
}

function checkSources(spec: JsonObject): FieldProblem[] {
  const given = SOURCES.filter((name) => isMap(spec[name]));
  if (given.length === 0) return [required('spec', 'must specify a volume type')];
  const problems = given
    .slice(1)
    .map((name) => forbidden(`spec.${name}`, 'may not specify more than 1 volume type'));
  const [name = ''] = given;
  const source = mapAt(spec, name);
  if (name === 'csi') return [...checkCsi(source), ...problems];
  if (name !== 'local' && name !== 'hostPath' && name !== 'nfs') return problems;
  if (name === 'local' && !isMap(mapAt(spec, 'nodeAffinity')['required'])) {
    problems.push(required('spec.nodeAffinity', 'Local volume requires node affinity'));
  }
  const path = textAt(source, 'path');
  if (name === 'nfs') return [...checkNfs(source, path), ...problems];
  if (path === '') problems.push(required(`spec.${name}.path`));
  else if (path.split('/').includes('..')) {
    problems.push(invalid(`spec.${name}.path`, path, "must not contain '..'"));
  }
  if (name === 'hostPath') {
    const type = textAt(source, 'type');
    problems.push(...checkChoice('spec.hostPath.type', type, HOST_PATH_TYPES));
  }
  return problems;
}

function checkNfs(source: JsonObject, path: string): FieldProblem[] {
  const problems: FieldProblem[] = [];
  if (textAt(source, 'server') === '') problems.push(required('spec.nfs.server'));
  if (path === '') problems.push(required('spec.nfs.path'));
  if (!path.startsWith('/')) {
    problems.push(invalid('spec.nfs.path', path, 'must be an absolute path'));
  }
  return problems;
}

/** Used for volumes, attachments and nodes. */
export function checkDriverName(field: string, name: string): FieldProblem[] {
  if (name === '') return [required(field)];
  const problems = name.length > 63 ? [tooLong(field, 63)] : [];
  const found = subdomainProblems(name.toLowerCase());
  return [...problems, ...found.map((problem) => invalid(field, name, problem))];
}

function checkCsi(source: JsonObject): FieldProblem[] {
  const problems = checkDriverName('spec.csi.driver', textAt(source, 'driver'));
  if (textAt(source, 'volumeHandle') === '') problems.push(required('spec.csi.volumeHandle'));
  return problems;
}

const GO_SECRET: readonly GoField[] = [
  ['Name', 'name', 'text'],
  ['Namespace', 'namespace', 'text'],
];
const GO_KNOWN: Readonly<Record<string, readonly GoField[]>> = {
  csi: [
    ['Driver', 'driver', 'text'],
    ['VolumeHandle', 'volumeHandle', 'text'],
    ['ReadOnly', 'readOnly', 'flag'],
    ['FSType', 'fsType', 'text'],
    ['VolumeAttributes', 'volumeAttributes', 'any'],
    ['ControllerPublishSecretRef', 'controllerPublishSecretRef', { pointer: GO_SECRET }],
    ['NodeStageSecretRef', 'nodeStageSecretRef', { pointer: GO_SECRET }],
    ['NodePublishSecretRef', 'nodePublishSecretRef', { pointer: GO_SECRET }],
    ['ControllerExpandSecretRef', 'controllerExpandSecretRef', { pointer: GO_SECRET }],
    ['NodeExpandSecretRef', 'nodeExpandSecretRef', { pointer: GO_SECRET }],
  ],
  hostPath: [
    ['Path', 'path', 'text'],
    ['Type', 'type', 'any'],
  ],
  local: [
    ['Path', 'path', 'text'],
    ['FSType', 'fsType', 'any'],
  ],
  nfs: [
    ['Server', 'server', 'text'],
    ['Path', 'path', 'text'],
    ['ReadOnly', 'readOnly', 'flag'],
  ],
};
const GO_NAMES: Readonly<Record<string, string>> = {
  csi: 'CSI',
  hostPath: 'HostPath',
  local: 'Local',
  nfs: 'NFS',
  ...FOREIGN_GO_NAMES,
};
/** The order in which Go has them. */
const GO_SOURCES: readonly GoField[] = (
  'gcePersistentDisk awsElasticBlockStore hostPath glusterfs nfs rbd quobyte iscsi flexVolume ' +
  'cinder cephfs fc flocker azureFile vsphereVolume azureDisk photonPersistentDisk ' +
  'portworxVolume scaleIO local storageos csi'
)
  .split(' ')
  .map((name) => {
    const known = GO_KNOWN[name];
    return [GO_NAMES[name] ?? name, name, known === undefined ? 'any' : { pointer: known }];
  });
const GO_REQUIREMENT: readonly GoField[] = [
  ['Key', 'key', 'text'],
  ['Operator', 'operator', 'text'],
  ['Values', 'values', 'any'],
];
const GO_TERM: readonly GoField[] = [
  ['MatchExpressions', 'matchExpressions', { list: GO_REQUIREMENT }],
  ['MatchFields', 'matchFields', { list: GO_REQUIREMENT }],
];
const GO_AFFINITY: readonly GoField[] = [
  [
    'Required',
    'required',
    { pointer: [['NodeSelectorTerms', 'nodeSelectorTerms', { list: GO_TERM }]] },
  ],
];
const AFFINITY_RULE = 'field is immutable, except for updating from beta label to GA';
const SOURCE_RULE = 'spec.persistentvolumesource is immutable after creation';

function checkVolumeUpdate(after: JsonObject, before: JsonObject): FieldProblem[] {
  const problems: FieldProblem[] = [];
  const was = mapAt(before, 'spec');
  const now = mapAt(after, 'spec');
  const sourcesWere = sourcesOf(was);
  const sources = withoutNewExpandSecret(sourcesWere, sourcesOf(now));
  if (!isSame(sources, sourcesWere)) {
    const diff = diffOf(toGo(GO_SOURCES, sourcesWere), toGo(GO_SOURCES, sources));
    problems.push(forbidden('spec.persistentvolumesource', `${SOURCE_RULE}\n${diff}`));
  }
  problems.push(...immutable('volumeMode', now['volumeMode'], was['volumeMode']));
  const affinity = now['nodeAffinity'];
  if (was['nodeAffinity'] !== undefined && !isSame(affinity, was['nodeAffinity'])) {
    const shown = affinity === undefined ? null : toGo(GO_AFFINITY, affinity);
    problems.push(invalid('nodeAffinity', shown, AFFINITY_RULE));
  }
  const field = 'volumeAttributesClassName';
  if (was[field] !== undefined && now[field] === undefined) {
    const rule = 'update from non-nil value to nil is forbidden';
    problems.push(forbidden(`spec.${field}`, rule));
  }
  return problems;
}

function sourcesOf(spec: JsonObject): JsonObject {
  return Object.fromEntries(SOURCES.filter((name) => isMap(spec[name])).map((n) => [n, spec[n]]));
}

/** A volume that has no secret for growing may get one. */
function withoutNewExpandSecret(was: JsonObject, now: JsonObject): JsonObject {
  const field = 'controllerExpandSecretRef';
  if (!isMap(was['csi']) || was['csi'][field] !== undefined || !isMap(now['csi'])) return now;
  const { [field]: _added, ...csi } = now['csi'];
  return { ...now, csi };
}

export const VOLUME_RESOURCES: readonly Resource[] = [volume];
