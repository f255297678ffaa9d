/** What CSI drivers and the nodes that run them tell about storage. */
import { builtIn } from './built-in.ts';
import { AGE, column, countOf, NAME } from './cells.ts';
import {
  about,
  flag,
  int32,
  int64,
  labelSelector,
  list,
  listBy,
  needed,
  orNull,
  part,
  quantity,
  STORAGE,
  storageObject as storage,
  text,
  texts,
  textSet,
  whole,
} from './fields.ts';
import {
  checkChoice,
  duplicate,
  immutable,
  invalid,
  isMap,
  listAt,
  mapAt,
  required,
  textAt,
} from './field-problems.ts';
import { type GoField, toGo } from './go-diff.ts';
import { qualifiedNameProblems, subdomainProblems } from './name-problems.ts';
import { compareQuantities, withCanonicalQuantities } from './quantity.ts';
import type { FieldProblem, JsonObject, Resource } from './resource.ts';
import { checkLabelSelector } from './selectors.ts';
import { checkDriverName } from './volume.ts';

const GROUP = 'storage.k8s.io';

const csiNodeDriver = storage(
  'CSINodeDriver',
  'One driver on the node.',
  {
    allocatable: storage('VolumeNodeResources', 'What the driver can hold here.', {
      count: int32('Most volumes that can be attached.'),
    }),
    name: needed('Name of the driver.'),
    nodeID: needed('What the driver calls the node.'),
    topologyKeys: orNull(texts('Labels of the node that the driver places by.')),
  },
  { required: ['name', 'nodeID'] },
);

const csiNode = builtIn({
  group: GROUP,
  kind: 'CSINode',
  plural: 'csinodes',
  isNamespaced: false,
  schema: whole(
    `${STORAGE}.CSINode`,
    'The CSI drivers of a node.',
    {
      spec: part(
        storage(
          'CSINodeSpec',
          'The CSI drivers of a node.',
          { drivers: orNull(listBy('name', csiNodeDriver, 'The drivers.')) },
          { required: ['drivers'] },
        ),
        'The CSI drivers of a node.',
      ),
    },
    { required: ['spec'] },
  ),
  columns: [
    NAME,
    column(
      'Drivers',
      'How many drivers there are.',
      (item) => countOf(mapAt(item, 'spec')['drivers']),
      { type: 'integer' },
    ),
    AGE,
  ],
  prepare: prepareCsiNode,
  check: checkCsiNode,
});

function prepareCsiNode(item: JsonObject): JsonObject {
  const spec = mapAt(item, 'spec');
  if (countOf(spec['drivers']) > 0) return item;
  const { drivers: _none, ...rest } = spec;
  return { ...item, spec: rest };
}

const NODE_ID_MAX = 256;

function checkCsiNode(after: JsonObject, before: JsonObject | undefined): FieldProblem[] {
  const problems: FieldProblem[] = [];
  const seen = new Set<string>();
  listAt(after['spec'], 'drivers').forEach((driver, index) => {
    const field = `spec.drivers[${index}]`;
    const name = textAt(driver, 'name');
    problems.push(...checkDriverName(`${field}.name`, name), ...checkDriver(field, driver));
    if (seen.has(name)) problems.push(duplicate(`${field}.name`, name));
    seen.add(name);
    const was = listAt(before?.['spec'], 'drivers').find((one) => textAt(one, 'name') === name);
    if (was !== undefined) problems.push(...checkDriverUpdate(driver, was));
  });
  return problems;
}

function checkDriver(field: string, driver: unknown): FieldProblem[] {
  const id = textAt(driver, 'nodeID');
  const problems: FieldProblem[] = [];
  if (id === '') problems.push(required(`${field}.nodeID`));
  if (id.length > NODE_ID_MAX) {
    problems.push(invalid(`${field}.nodeID`, id, `must be ${NODE_ID_MAX} characters or less`));
  }
  const count = mapAt(driver, 'allocatable')['count'];
  if (typeof count === 'number' && count < 0) {
    const rule = 'must be greater than or equal to 0';
    problems.push(invalid(`${field}.allocatable.count`, count, rule));
  }
  const keys = listAt(driver, 'topologyKeys').map(String);
  keys.forEach((key, index) => {
    if (key === '') problems.push(required(field));
    if (keys.indexOf(key) !== index) problems.push(duplicate(field, key));
    problems.push(...qualifiedNameProblems(key).map((text) => invalid(field, key, text)));
  });
  return problems;
}

const GO_DRIVER: readonly GoField[] = [
  ['Name', 'name', 'text'],
  ['NodeID', 'nodeID', 'text'],
  ['TopologyKeys', 'topologyKeys', 'any'],
];

/** Only the count of volumes may change. */
function checkDriverUpdate(driver: unknown, was: unknown): FieldProblem[] {
  const show = (value: unknown): JsonObject => ({ ...toGo(GO_DRIVER, value), Allocatable: null });
  return immutable('spec.drivers', show(driver), show(was));
}

const tokenRequest = storage(
  'TokenRequest',
  'A token that the driver wants.',
  {
    audience: needed('Who the token is for.'),
    expirationSeconds: int64('How long it is good.'),
  },
  { required: ['audience'] },
);

const DEFAULT_POLICY = 'ReadWriteOnceWithFSType';

const csiDriver = builtIn({
  group: GROUP,
  kind: 'CSIDriver',
  plural: 'csidrivers',
  isNamespaced: false,
  schema: whole(
    `${STORAGE}.CSIDriver`,
    'What a CSI driver of the cluster needs.',
    {
      spec: part(
        storage('CSIDriverSpec', 'What the driver needs.', {
          attachRequired: { ...flag('Volumes must be attached before use.'), default: true },
          fsGroupPolicy: text('ReadWriteOnceWithFSType, File or None: who owns the files.', {
            default: DEFAULT_POLICY,
          }),
          nodeAllocatableUpdatePeriodSeconds: int64('How often the count of volumes is read.'),
          podInfoOnMount: { ...flag('The driver is told about the pod.'), default: false },
          preventPodSchedulingIfMissing: flag('No pods for nodes without the driver.'),
          requiresRepublish: { ...flag('Publishing is called again and again.'), default: false },
          seLinuxMount: { ...flag('The driver takes the SELinux context.'), default: false },
          serviceAccountTokenInSecrets: flag('Tokens are handed over with the secrets.'),
          storageCapacity: { ...flag('Pods go where the driver has space.'), default: false },
          tokenRequests: list(tokenRequest, 'Tokens that the driver wants.'),
          volumeLifecycleModes: textSet('Persistent, Ephemeral.', { default: ['Persistent'] }),
        }),
        'What the driver needs.',
      ),
    },
    { required: ['spec'] },
  ),
  columns: [
    NAME,
    ...[
      ['AttachRequired', 'attachRequired', 'Volumes must be attached before use.'] as const,
      ['PodInfoOnMount', 'podInfoOnMount', 'The driver is told about the pod.'] as const,
      ['StorageCapacity', 'storageCapacity', 'Pods go where the driver has space.'] as const,
    ].map(([name, field, description]) =>
      column(name, description, (item) => mapAt(item, 'spec')[field] === true, {
        type: 'boolean',
      }),
    ),
    column('TokenRequests', 'Tokens that the driver wants.', (item) =>
      mapAt(item, 'spec')['tokenRequests'] === undefined
        ? '<unset>'
        : listAt(item['spec'], 'tokenRequests')
            .map((one) => textAt(one, 'audience'))
            .join(','),
    ),
    column(
      'RequiresRepublish',
      'Publishing is called again and again.',
      (item) => mapAt(item, 'spec')['requiresRepublish'] === true,
      { type: 'boolean' },
    ),
    column(
      'Modes',
      'Persistent, Ephemeral.',
      (item) => listAt(item['spec'], 'volumeLifecycleModes').join(',') || '<none>',
    ),
    AGE,
  ],
  check: checkCsiDriver,
});

const GROUP_POLICIES = ['File', 'None', 'ReadWriteOnceWithFSType'];
const LIFECYCLES = ['Persistent', 'Ephemeral'];

function checkCsiDriver(after: JsonObject, before: JsonObject | undefined): FieldProblem[] {
  const spec = mapAt(after, 'spec');
  const policy = textAt(spec, 'fsGroupPolicy');
  const problems = checkChoice('spec.fsGroupPolicy', policy, GROUP_POLICIES);
  const seen = new Set<string>();
  listAt(spec, 'tokenRequests').forEach((request, index) => {
    const audience = textAt(request, 'audience');
    const field = `spec.tokenRequests[${index}]`;
    if (seen.has(audience)) problems.push(duplicate(`${field}.audience`, audience));
    else problems.push(...checkExpiry(`${field}.expirationSeconds`, request));
    seen.add(audience);
  });
  for (const mode of listAt(spec, 'volumeLifecycleModes').map(String)) {
    problems.push(...checkChoice('spec.volumeLifecycleModes', mode, LIFECYCLES));
  }
  const period = spec['nodeAllocatableUpdatePeriodSeconds'];
  if (typeof period === 'number' && period < 10) {
    const rule = 'must be greater than or equal to 10 seconds';
    problems.push(invalid('spec.nodeAllocatableUpdatePeriodSeconds', period, rule));
  }
  const inSecrets = spec['serviceAccountTokenInSecrets'];
  if (inSecrets !== undefined && seen.size === 0) {
    const rule = 'serviceAccountTokenInSecrets is set but no tokenRequests are specified';
    problems.push(invalid('spec.serviceAccountTokenInSecrets', inSecrets, rule));
  }
  if (before === undefined) return problems;
  const was = mapAt(before, 'spec');
  return [
    ...problems,
    // The name in the message is Kubernetes' own slip.
    ...immutable('spec.attachedRequired', spec['attachRequired'], was['attachRequired']),
    ...immutable(
      'spec.volumeLifecycleModes',
      spec['volumeLifecycleModes'],
      was['volumeLifecycleModes'],
    ),
  ];
}

function checkExpiry(field: string, request: unknown): FieldProblem[] {
  const seconds = isMap(request) ? request['expirationSeconds'] : undefined;
  if (typeof seconds !== 'number') return [];
  if (seconds < 600) {
    return [invalid(field, seconds, 'may not specify a duration less than 10 minutes')];
  }
  if (seconds <= 2 ** 32) return [];
  return [invalid(field, seconds, 'may not specify a duration larger than 2^32 seconds')];
}

const csiStorageCapacity = builtIn({
  group: GROUP,
  kind: 'CSIStorageCapacity',
  listKind: 'CSIStorageCapacityList',
  plural: 'csistoragecapacities',
  isNamespaced: true,
  schema: whole(
    `${STORAGE}.CSIStorageCapacity`,
    'How much space a class has in one part of the cluster.',
    {
      capacity: quantity('Space that is left.'),
      maximumVolumeSize: quantity('The largest volume that can be made.'),
      nodeTopology: about(labelSelector, 'The nodes that this is about.'),
      storageClassName: needed('Name of the StorageClass.'),
    },
    { required: ['storageClassName'] },
  ),
  // Its own printer is registered, but the server answers with the plain table.
  columns: [
    NAME,
    column(
      'Created At',
      'When the object was created.',
      (item) => textAt(item['metadata'], 'creationTimestamp'),
      { type: 'date' },
    ),
  ],
  prepare: (item) => withCanonicalQuantities(item, ['capacity'], ['maximumVolumeSize']),
  check: checkStorageCapacity,
});

function checkStorageCapacity(after: JsonObject, before: JsonObject | undefined): FieldProblem[] {
  if (before !== undefined) {
    return [
      ...immutable('nodeTopology', after['nodeTopology'], before['nodeTopology']),
      ...immutable('storageClassName', after['storageClassName'], before['storageClassName']),
    ];
  }
  const name = textAt(after, 'storageClassName');
  const problems = subdomainProblems(name).map((text) => invalid('storageClassName', name, text));
  problems.push(...checkLabelSelector('nodeTopology', after['nodeTopology']));
  if (after['capacity'] !== undefined && compareQuantities(after['capacity'], '0') < 0) {
    const rule = 'must be greater than or equal to 0';
    problems.push(invalid('capacity', after['capacity'], rule));
  }
  return problems;
}

export const CSI_RESOURCES: readonly Resource[] = [csiNode, csiDriver, csiStorageCapacity];
