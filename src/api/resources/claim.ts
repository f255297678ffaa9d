/** PersistentVolumeClaim: what a user asks for. */
import { builtIn } from './built-in.ts';
import { AGE, column, formatModes, NAME, phaseOf, textOr } from './cells.ts';
import {
  choice,
  labelSelector,
  listBy,
  needed,
  object,
  orNull,
  part,
  quantities,
  about,
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
  notSupported,
  required,
  textAt,
} from './field-problems.ts';
import { type GoField, diffOf, toGo } from './go-diff.ts';
import { subdomainProblems } from './name-problems.ts';
import { compareQuantities, withCanonicalQuantities } from './quantity.ts';
import type { FieldProblem, JsonObject, Resource } from './resource.ts';
import { checkLabelSelector } from './selectors.ts';

export const ACCESS_MODES = [
  'ReadOnlyMany',
  'ReadWriteMany',
  'ReadWriteOnce',
  'ReadWriteOncePod',
] as const;
export const VOLUME_MODES = ['Block', 'Filesystem'] as const;

const SOURCE_FIELDS = {
  apiGroup: orNull(text('API group of the object; absent for the core group.')),
  kind: needed('Kind of the object.'),
  name: needed('Name of the object.'),
};

const claimSpec = object('PersistentVolumeClaimSpec', 'What is asked for.', {
  accessModes: texts('How the volume is to be used: ReadWriteOnce, ReadWriteOncePod and others.'),
  dataSource: object(
    'TypedLocalObjectReference',
    'What the volume begins as: a snapshot or a claim in the same namespace.',
    SOURCE_FIELDS,
    { required: ['kind', 'name'], 'x-kubernetes-map-type': 'atomic' },
  ),
  dataSourceRef: object(
    'TypedObjectReference',
    'What the volume begins as; the same as dataSource where both can say it.',
    { ...SOURCE_FIELDS, namespace: text('Namespace of the object.') },
    { required: ['kind', 'name'] },
  ),
  resources: part(
    object('VolumeResourceRequirements', 'How large the volume is to be.', {
      limits: quantities('No larger than this.'),
      requests: quantities('At least this.'),
    }),
    'How large the volume is to be.',
  ),
  selector: about(labelSelector, 'Only volumes with these labels.'),
  storageClassName: text('Name of the StorageClass.'),
  volumeAttributesClassName: text('Name of the VolumeAttributesClass.'),
  volumeMode: choice(text('Filesystem or Block.', { default: 'Filesystem' }), ...VOLUME_MODES),
  volumeName: text('Name of the volume that the claim has.'),
});

const claimCondition = object(
  'PersistentVolumeClaimCondition',
  'What is so about the claim.',
  {
    lastProbeTime: time('When it was last looked at.'),
    lastTransitionTime: time('When the status last changed.'),
    message: text('For people.'),
    reason: text('For programs.'),
    status: needed('True, False or Unknown.'),
    type: needed('What this is about.'),
  },
  { required: ['type', 'status'] },
);

const claimStatus = object('PersistentVolumeClaimStatus', 'What was given.', {
  accessModes: texts('How the volume can be used.'),
  allocatedResourceStatuses: {
    ...textMap('Where the growth of each resource is.'),
    'x-kubernetes-map-type': 'granular',
  },
  allocatedResources: quantities('What growth is under way to.'),
  capacity: quantities('How large the volume is.'),
  conditions: listBy('type', claimCondition, 'What is so about the claim.'),
  currentVolumeAttributesClassName: text('The VolumeAttributesClass that is in use.'),
  modifyVolumeStatus: object(
    'ModifyVolumeStatus',
    'Where the change to another VolumeAttributesClass is.',
    {
      status: choice(needed('How far it is.'), 'InProgress', 'Infeasible', 'Pending'),
      targetVolumeAttributesClassName: text('The class that is to be used.'),
    },
    { required: ['status'] },
  ),
  phase: choice(
    text('Where the claim is in its life.', { default: 'Pending' }),
    'Bound',
    'Lost',
    'Pending',
  ),
});

function requested(item: JsonObject | undefined): unknown {
  return mapAt(mapAt(item?.['spec'], 'resources'), 'requests')['storage'];
}

/** Capacity and access modes are shown once there is a volume. */
function whenBound(cell: (status: JsonObject) => string) {
  return (item: JsonObject): string =>
    textAt(item['spec'], 'volumeName') === '' ? '' : cell(mapAt(item, 'status'));
}

const claim = builtIn({
  group: '',
  kind: 'PersistentVolumeClaim',
  plural: 'persistentvolumeclaims',
  shortNames: ['pvc'],
  isNamespaced: true,
  hasStatus: true,
  schema: whole('PersistentVolumeClaim', 'A claim to a volume.', {
    spec: part(claimSpec, 'What is asked for.'),
    status: part(claimStatus, 'What was given.'),
  }),
  columns: [
    NAME,
    column('Status', 'Where the claim is in its life.', phaseOf),
    column('Volume', 'Name of the volume.', (item) => textAt(item['spec'], 'volumeName')),
    column(
      'Capacity',
      'How large the volume is.',
      whenBound((status) => textOr(status['capacity'], 'storage', '0')),
    ),
    column(
      'Access Modes',
      'How the volume can be used.',
      whenBound((status) => formatModes(status['accessModes'])),
    ),
    column('StorageClass', 'Name of the StorageClass.', (item) =>
      textAt(item['spec'], 'storageClassName'),
    ),
    column('VolumeAttributesClass', 'Name of the VolumeAttributesClass.', (item) =>
      textOr(item['spec'], 'volumeAttributesClassName', '<unset>'),
    ),
    AGE,
    column(
      'VolumeMode',
      'Filesystem or Block.',
      (item) => textOr(item['spec'], 'volumeMode', '<unset>'),
      { priority: 1 },
    ),
  ],
  prepare: prepareClaim,
  check: checkClaim,
});

function prepareClaim(item: JsonObject): JsonObject {
  const rewritten = withCanonicalQuantities(
    item,
    ['spec', 'resources', 'requests'],
    ['spec', 'resources', 'limits'],
    ['status', 'capacity'],
    ['status', 'allocatedResources'],
  );
  const spec = mapAt(rewritten, 'spec');
  const source = spec['dataSource'];
  const reference = spec['dataSourceRef'];
  if (isMap(source) && !isMap(reference)) {
    return { ...rewritten, spec: { ...spec, dataSourceRef: source } };
  }
  if (!isMap(source) && isMap(reference) && textAt(reference, 'namespace') === '') {
    const { namespace: _namespace, ...local } = reference;
    return { ...rewritten, spec: { ...spec, dataSource: local } };
  }
  return rewritten;
}

function checkClaim(after: JsonObject, before: JsonObject | undefined): FieldProblem[] {
  const problems = checkClaimSpec(after);
  return before === undefined ? problems : [...problems, ...checkClaimUpdate(after, before)];
}

/** For claims and volumes. */
export function checkAccessModes(modes: readonly unknown[]): FieldProblem[] {
  const isKnown = (mode: unknown): boolean => ACCESS_MODES.some((known) => known === mode);
  const problems = modes
    .filter((mode) => !isKnown(mode))
    .map((mode) => notSupported('spec.accessModes', mode, ACCESS_MODES));
  const others = modes.filter((mode) => isKnown(mode) && mode !== 'ReadWriteOncePod');
  if (modes.includes('ReadWriteOncePod') && others.length > 0) {
    const rule = 'may not use ReadWriteOncePod with other access modes';
    problems.push(forbidden('spec.accessModes', rule));
  }
  return problems;
}

export function checkVolumeMode(spec: unknown): FieldProblem[] {
  const mode = textAt(spec, 'volumeMode');
  if (mode === '' || VOLUME_MODES.some((known) => known === mode)) return [];
  return [notSupported('spec.volumeMode', mode, VOLUME_MODES)];
}

export function checkClassName(field: string, name: string): FieldProblem[] {
  if (name === '') return [];
  return subdomainProblems(name).map((problem) => invalid(field, name, problem));
}

function checkClaimSpec(item: JsonObject): FieldProblem[] {
  const spec = mapAt(item, 'spec');
  const modes = listAt(spec, 'accessModes');
  const problems: FieldProblem[] = [];
  if (modes.length === 0) {
    problems.push(required('spec.accessModes', 'at least 1 access mode is required'));
  }
  problems.push(...checkAccessModes(modes));
  const size = requested(item);
  if (size === undefined) problems.push(required('spec.resources[storage]'));
  else if (compareQuantities(size, '0') <= 0) {
    problems.push(invalid('spec.resources[storage]', size, 'must be greater than zero'));
  }
  for (const field of ['storageClassName', 'volumeAttributesClassName']) {
    problems.push(...checkClassName(`spec.${field}`, textAt(spec, field)));
  }
  problems.push(...checkLabelSelector('spec.selector', spec['selector']));
  problems.push(...checkVolumeMode(spec), ...checkSources(spec));
  return problems;
}

function checkSources(spec: JsonObject): FieldProblem[] {
  const { dataSource: source, dataSourceRef: reference } = spec;
  const problems: FieldProblem[] = [];
  for (const field of ['dataSource', 'dataSourceRef']) {
    if (isMap(spec[field])) problems.push(...checkSource(`spec.${field}`, spec[field]));
  }
  if (!isMap(source) || !isMap(reference)) return problems;
  if (textAt(reference, 'namespace') !== '') {
    const rule = 'may not be specified when dataSourceRef.namespace is specified';
    return [...problems, invalid('spec', {}, rule)];
  }
  const same = ['apiGroup', 'kind', 'name'].every(
    (field) => textAt(source, field) === textAt(reference, field),
  );
  return same ? problems : [...problems, invalid('spec', {}, 'must match dataSourceRef')];
}

function checkSource(field: string, source: JsonObject): FieldProblem[] {
  const problems: FieldProblem[] = [];
  const kind = textAt(source, 'kind');
  const group = textAt(source, 'apiGroup');
  if (textAt(source, 'name') === '') problems.push(required(`${field}.name`));
  if (kind === '') problems.push(required(`${field}.kind`));
  if (group === '' && kind !== 'PersistentVolumeClaim') {
    const rule = "must be 'PersistentVolumeClaim' when referencing the default apiGroup";
    problems.push(invalid(field, kind, rule));
  }
  if (group !== '') {
    const found = subdomainProblems(group);
    problems.push(...found.map((problem) => invalid(`${field}.apiGroup`, group, problem)));
  }
  return problems;
}

const GO_SOURCE: readonly GoField[] = [
  ['APIGroup', 'apiGroup', 'any'],
  ['Kind', 'kind', 'text'],
  ['Name', 'name', 'text'],
];
const GO_SPEC: readonly GoField[] = [
  ['AccessModes', 'accessModes', 'any'],
  ['Selector', 'selector', 'any'],
  [
    'Resources',
    'resources',
    {
      struct: [
        ['Limits', 'limits', 'any'],
        ['Requests', 'requests', 'any'],
      ],
    },
  ],
  ['VolumeName', 'volumeName', 'text'],
  ['StorageClassName', 'storageClassName', 'any'],
  ['VolumeMode', 'volumeMode', 'any'],
  ['DataSource', 'dataSource', { pointer: GO_SOURCE }],
  [
    'DataSourceRef',
    'dataSourceRef',
    { pointer: [...GO_SOURCE, ['Namespace', 'namespace', 'any']] },
  ],
  ['VolumeAttributesClassName', 'volumeAttributesClassName', 'any'],
];
const SPEC_RULE =
  'spec is immutable after creation except resources.requests and volumeAttributesClassName ' +
  'for bound claims';

function checkClaimUpdate(after: JsonObject, before: JsonObject): FieldProblem[] {
  const problems: FieldProblem[] = [];
  const was = mapAt(before, 'spec');
  const now = mapAt(after, 'spec');
  const allowed = allowedSpec(after, was, now);
  if (!isSame(allowed, was)) {
    // What may be set once is no difference.
    const shown = { ...was };
    for (const field of ['volumeName', 'storageClassName']) {
      if (textAt(was, field) === '') shown[field] = now[field];
    }
    const diff = diffOf(toGo(GO_SPEC, shown), toGo(GO_SPEC, { ...allowed, ...onceSet(was, now) }));
    problems.push(forbidden('spec', `${SPEC_RULE}\n${diff}`));
  }
  const size = requested(after);
  const given = mapAt(mapAt(before, 'status'), 'capacity')['storage'];
  if (compareQuantities(size, requested(before)) < 0 && compareQuantities(size, given) <= 0) {
    const rule = 'field can not be less than status.capacity';
    problems.push(forbidden('spec.resources.requests.storage', rule));
  }
  problems.push(...immutable('volumeMode', now['volumeMode'], was['volumeMode']));
  return [...problems, ...checkAttributesClass(before, now)];
}

function onceSet(was: JsonObject, now: JsonObject): JsonObject {
  const fields = ['volumeName', 'storageClassName'].filter((field) => textAt(was, field) === '');
  return Object.fromEntries(fields.map((field) => [field, now[field]]));
}

/** The new spec with everything that may change put back to what it was. */
function allowedSpec(after: JsonObject, was: JsonObject, now: JsonObject): JsonObject {
  const spec: Record<string, unknown> = { ...now };
  const keep = (field: string): void => {
    if (was[field] === undefined) delete spec[field];
    else spec[field] = was[field];
  };
  if (textAt(was, 'volumeName') === '') keep('volumeName');
  if (was['storageClassName'] === undefined) keep('storageClassName');
  if (textAt(after['status'], 'phase') !== 'Bound') return spec;
  keep('volumeAttributesClassName');
  const size = mapAt(mapAt(was, 'resources'), 'requests')['storage'];
  const resources = mapAt(now, 'resources');
  const requests = { ...mapAt(resources, 'requests'), storage: size };
  return { ...spec, resources: { ...resources, requests } };
}

function checkAttributesClass(before: JsonObject, now: JsonObject): FieldProblem[] {
  const field = 'volumeAttributesClassName';
  if (textAt(before['status'], 'currentVolumeAttributesClassName') === '') return [];
  if (textAt(now, field) !== '') return [];
  const to = now[field] === undefined ? 'nil' : 'empty string';
  const when = 'status.currentVolumeAttributesClassName is not nil';
  return [forbidden(`spec.${field}`, `update to ${to} is forbidden when ${when}`)];
}

export const CLAIM_RESOURCES: readonly Resource[] = [claim];
