/** Node: a machine of the cluster. */
import { builtIn } from './built-in.ts';
import { AGE, column, NAME, textOr } from './cells.ts';
import {
  choice,
  about,
  flag,
  int32,
  int64,
  list,
  listBy,
  needed,
  object,
  part,
  quantities,
  text,
  texts,
  textSet,
  time,
  whole,
} from './fields.ts';
import {
  duplicate,
  forbidden,
  invalid,
  isMap,
  isSame,
  listAt,
  mapAt,
  notSupported,
  required,
  textAt,
} from './field-problems.ts';
import { type GoField, toGo } from './go-diff.ts';
import { qualifiedNameProblems } from './name-problems.ts';
import { withCanonicalQuantities } from './quantity.ts';
import type { FieldProblem, JsonObject, Resource } from './resource.ts';

const taint = object(
  'Taint',
  'Keeps pods away that do not tolerate it.',
  {
    effect: choice(needed('Whom it keeps away.'), 'NoExecute', 'NoSchedule', 'PreferNoSchedule'),
    key: needed('Name of the taint.'),
    timeAdded: time('When the taint was added.'),
    value: text('Value of the taint.'),
  },
  { required: ['key', 'effect'] },
);

const configSource = object('NodeConfigSource', 'Where a kubelet once took its settings from.', {
  configMap: object(
    'ConfigMapNodeConfigSource',
    'A ConfigMap with settings of a kubelet.',
    {
      kubeletConfigKey: needed('The key with the settings.'),
      name: needed('Name of the ConfigMap.'),
      namespace: needed('Namespace of the ConfigMap.'),
      resourceVersion: text('Version of the ConfigMap.'),
      uid: text('UID of the ConfigMap.'),
    },
    { required: ['namespace', 'name', 'kubeletConfigKey'] },
  ),
});

const nodeSpec = object('NodeSpec', 'How the node is meant to be.', {
  configSource: about(configSource, 'Not used any more.'),
  externalID: text('Not used any more.'),
  podCIDR: text('Range of addresses of its pods.'),
  podCIDRs: textSet('Ranges of addresses of its pods, one of each family.', {
    'x-kubernetes-patch-strategy': 'merge',
  }),
  providerID: text('What the provider of the machine calls it.'),
  taints: list(taint, 'What keeps pods away.'),
  unschedulable: flag('Cordoned: no new pods come here.'),
});

const nodeAddress = object(
  'NodeAddress',
  'One address.',
  { address: needed('The address.'), type: needed('Hostname, InternalIP, ExternalIP.') },
  { required: ['type', 'address'] },
);

const nodeCondition = object(
  'NodeCondition',
  'What is so about the node.',
  {
    lastHeartbeatTime: time('When it was last heard.'),
    lastTransitionTime: time('When the status last changed.'),
    message: text('For people.'),
    reason: text('For programs.'),
    status: needed('True, False or Unknown.'),
    type: needed('What this is about.'),
  },
  { required: ['type', 'status'] },
);

const SYSTEM_FIELDS = {
  machineID: needed('Id of the machine.'),
  systemUUID: needed('UUID of the system.'),
  bootID: needed('Id of this boot.'),
  kernelVersion: needed('Version of the kernel.'),
  osImage: needed('Name of the operating system.'),
  containerRuntimeVersion: needed('Version of the container runtime.'),
  kubeletVersion: needed('Version of the kubelet.'),
  kubeProxyVersion: needed('Not used any more.'),
  operatingSystem: needed('Operating system.'),
  architecture: needed('Architecture of the processor.'),
};

const systemInfo = object(
  'NodeSystemInfo',
  'What the machine is.',
  {
    ...SYSTEM_FIELDS,
    swap: object('NodeSwapStatus', 'Swap of the node.', { capacity: int64('Bytes of swap.') }),
  },
  { required: Object.keys(SYSTEM_FIELDS) },
);

const daemonEndpoint = object(
  'DaemonEndpoint',
  'Where a daemon listens.',
  { Port: { ...int32('The port.'), default: 0 } },
  { required: ['Port'] },
);

const nodeStatus = object('NodeStatus', 'How the node is.', {
  addresses: listBy('type', nodeAddress, 'Addresses of the node.'),
  allocatable: quantities('What pods can have.'),
  capacity: quantities('What the machine has.'),
  conditions: listBy('type', nodeCondition, 'What is so about the node.'),
  config: object('NodeConfigStatus', 'Settings of the kubelet.', {
    active: about(configSource, 'Settings in use.'),
    assigned: about(configSource, 'Settings to be used.'),
    error: text('What is wrong with the settings.'),
    lastKnownGood: about(configSource, 'Settings that worked.'),
  }),
  daemonEndpoints: part(
    object('NodeDaemonEndpoints', 'Where daemons of the node listen.', {
      kubeletEndpoint: part(daemonEndpoint, 'Where the kubelet listens.'),
    }),
    'Where daemons of the node listen.',
  ),
  declaredFeatures: texts('Features that the node says it has.'),
  features: object('NodeFeatures', 'Features of the container runtime.', {
    supplementalGroupsPolicy: flag('Knows policies for supplemental groups.'),
  }),
  images: list(
    object('ContainerImage', 'One image.', {
      names: texts('Names of the image.'),
      sizeBytes: int64('Size of the image.'),
    }),
    'Images on the node.',
  ),
  nodeInfo: part(systemInfo, 'What the machine is.'),
  phase: choice(text('Not used any more.'), 'Pending', 'Running', 'Terminated'),
  runtimeHandlers: list(
    object('NodeRuntimeHandler', 'One handler of the container runtime.', {
      features: object('NodeRuntimeHandlerFeatures', 'What the handler can do.', {
        recursiveReadOnlyMounts: flag('Mounts that are read-only all the way down.'),
        userNamespaces: flag('User namespaces.'),
      }),
      name: { ...text('Name of the handler; empty for the usual one.'), default: '' },
    }),
    'Handlers of the container runtime.',
  ),
  volumesAttached: list(
    object(
      'AttachedVolume',
      'One volume.',
      { devicePath: needed('Its device.'), name: needed('Name of the volume.') },
      { required: ['name', 'devicePath'] },
    ),
    'Volumes that are attached.',
  ),
  volumesInUse: texts('Volumes that are mounted.'),
});

const NO_ADDRESS = '<none>';
const ROLE = 'node-role.kubernetes.io/';

function addressOf(type: string) {
  return (item: JsonObject): string => {
    const addresses = listAt(item['status'], 'addresses');
    return (
      textAt(
        addresses.find((one) => textAt(one, 'type') === type),
        'address',
      ) || NO_ADDRESS
    );
  };
}

function stateOf(item: JsonObject): string {
  const conditions = listAt(item['status'], 'conditions');
  const ready = conditions.find((one) => textAt(one, 'type') === 'Ready');
  const isReady = textAt(ready, 'status') === 'True';
  const state = ready === undefined ? 'Unknown' : isReady ? 'Ready' : 'NotReady';
  return mapAt(item, 'spec')['unschedulable'] === true ? `${state},SchedulingDisabled` : state;
}

function rolesOf(item: JsonObject): string {
  const roles = new Set<string>();
  for (const [label, value] of Object.entries(mapAt(mapAt(item, 'metadata'), 'labels'))) {
    if (label.startsWith(ROLE) && label !== ROLE) roles.add(label.slice(ROLE.length));
    else if (label === 'kubernetes.io/role' && value !== '') roles.add(String(value));
  }
  return [...roles].toSorted().join(',') || '<none>';
}

function info(field: string) {
  return (item: JsonObject): string =>
    textOr(mapAt(mapAt(item, 'status'), 'nodeInfo'), field, '<unknown>');
}

function kernelOf(item: JsonObject): string {
  const architecture = textAt(mapAt(mapAt(item, 'status'), 'nodeInfo'), 'architecture');
  const kernel = info('kernelVersion')(item);
  return architecture === '' ? kernel : `${kernel} (${architecture})`;
}

const WIDE = { priority: 1 };

const node = builtIn({
  group: '',
  kind: 'Node',
  plural: 'nodes',
  shortNames: ['no'],
  isNamespaced: false,
  hasStatus: true,
  schema: whole('Node', 'A machine of the cluster.', {
    spec: part(nodeSpec, 'How the node is meant to be.'),
    status: part(nodeStatus, 'How the node is.'),
  }),
  columns: [
    NAME,
    column('Status', 'Whether the node is ready.', stateOf),
    column('Roles', 'What the node is for.', rolesOf),
    AGE,
    column('Version', 'Version of the kubelet.', (item) =>
      textAt(mapAt(mapAt(item, 'status'), 'nodeInfo'), 'kubeletVersion'),
    ),
    column('Internal-IP', 'Address inside the cluster.', addressOf('InternalIP'), WIDE),
    column('External-IP', 'Address outside the cluster.', addressOf('ExternalIP'), WIDE),
    column('OS-Image', 'Name of the operating system.', info('osImage'), WIDE),
    column('Kernel-Version', 'Version of the kernel.', kernelOf, WIDE),
    column(
      'Container-Runtime',
      'Version of the container runtime.',
      info('containerRuntimeVersion'),
      WIDE,
    ),
  ],
  prepare: prepareNode,
  check: checkNode,
});

function prepareNode(item: JsonObject): JsonObject {
  const rewritten = withCanonicalQuantities(
    item,
    ['status', 'capacity'],
    ['status', 'allocatable'],
  );
  const status = mapAt(rewritten, 'status');
  const { capacity, allocatable } = status;
  if (capacity === undefined || allocatable !== undefined) return rewritten;
  return { ...rewritten, status: { ...status, allocatable: capacity } };
}

function checkNode(after: JsonObject, before: JsonObject | undefined): FieldProblem[] {
  const problems = before === undefined ? [] : checkNodeUpdate(after, before);
  const seen = new Set<string>();
  listAt(after['spec'], 'taints').forEach((item, index) => {
    const field = `metadata.taints[${index}]`;
    problems.push(...checkTaint(field, item));
    const key = JSON.stringify([textAt(item, 'key'), textAt(item, 'effect')]);
    if (seen.has(key)) {
      problems.push(duplicate(field, toGo(GO_TAINT, item), TAINT_RULE));
    }
    seen.add(key);
  });
  return problems;
}

const GO_TAINT: readonly GoField[] = [
  ['Key', 'key', 'text'],
  ['Value', 'value', 'text'],
  ['Effect', 'effect', 'text'],
  ['TimeAdded', 'timeAdded', 'any'],
];
const TAINT_RULE = 'taints must be unique by key and effect pair';
const EFFECTS = ['NoSchedule', 'PreferNoSchedule', 'NoExecute'];

function checkTaint(field: string, item: unknown): FieldProblem[] {
  const key = textAt(item, 'key');
  const effect = textAt(item, 'effect');
  const problems = qualifiedNameProblems(key).map((text) => invalid(`${field}.key`, key, text));
  if (effect === '') problems.push(required(`${field}.effect`));
  else if (!EFFECTS.includes(effect)) {
    problems.push(notSupported(`${field}.effect`, effect, EFFECTS));
  }
  return problems;
}

function checkNodeUpdate(after: JsonObject, before: JsonObject): FieldProblem[] {
  const problems: FieldProblem[] = [];
  const was = mapAt(before, 'spec');
  const now = mapAt(after, 'spec');
  const rule = (field: string) => `node updates may not change ${field} except from "" to valid`;
  if (isMap(was) && listAt(was, 'podCIDRs').length > 0) {
    const isKept = isSame(was['podCIDRs'], now['podCIDRs']);
    if (!isKept) problems.push(forbidden('spec.podCIDRs', rule('podCIDR')));
  }
  const provider = textAt(was, 'providerID');
  if (provider !== '' && provider !== textAt(now, 'providerID')) {
    problems.push(forbidden('spec.providerID', rule('providerID')));
  }
  if (textAt(was, 'externalID') !== textAt(now, 'externalID')) {
    problems.push(forbidden('spec.externalID', 'may not be updated'));
  }
  return problems;
}

export const NODE_RESOURCES: readonly Resource[] = [node];
