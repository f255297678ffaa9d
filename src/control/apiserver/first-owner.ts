/**
 * Whose the fields of a new object are. The real server compares it with an empty object as Go
 * writes one, which has structs where nothing was said, and does so before it decides anything
 * itself: what it chooses has no owner.
 */
import type { JsonObject, Resource } from '#api/resources/mod.ts';

const NODE_INFO = {
  architecture: '',
  bootID: '',
  containerRuntimeVersion: '',
  kernelVersion: '',
  kubeProxyVersion: '',
  kubeletVersion: '',
  machineID: '',
  operatingSystem: '',
  osImage: '',
  systemUUID: '',
};

/** Fields that Go writes even when they are empty, by group and kind. */
const EMPTY: Readonly<Record<string, JsonObject>> = {
  '/Namespace': { spec: {}, status: {} },
  '/Node': {
    spec: {},
    status: { daemonEndpoints: { kubeletEndpoint: { Port: 0 } }, nodeInfo: NODE_INFO },
  },
  '/PersistentVolumeClaim': { spec: { resources: {} }, status: {} },
  '/PersistentVolume': { spec: {}, status: {} },
  '/Event': {
    involvedObject: {},
    source: {},
    firstTimestamp: null,
    lastTimestamp: null,
    eventTime: null,
    reportingComponent: '',
    reportingInstance: '',
  },
  'events.k8s.io/Event': {
    eventTime: null,
    regarding: {},
    deprecatedSource: {},
    deprecatedFirstTimestamp: null,
    deprecatedLastTimestamp: null,
  },
  'coordination.k8s.io/Lease': { spec: {} },
  'storage.k8s.io/VolumeAttachment': { spec: { source: {} }, status: { attached: false } },
  'storage.k8s.io/CSINode': { spec: { drivers: [] } },
  'storage.k8s.io/CSIDriver': { spec: {} },
};

/** Undefined: a custom object is compared with nothing. */
export function emptyOf(resource: Resource): JsonObject | undefined {
  const { group, version, kind } = resource;
  const empty = EMPTY[`${group}/${kind}`];
  if (empty === undefined) return undefined;
  const apiVersion = group === '' ? version : `${group}/${version}`;
  return { apiVersion, kind, metadata: {}, ...empty };
}

/** Paths that the server fills by itself, of kinds where it does. */
const CHOSEN: Readonly<Record<string, readonly string[]>> = {
  '/Namespace': ['finalizers'],
  '/PersistentVolumeClaim': ['dataSource', 'dataSourceRef', 'storageClassName'],
};

/** `object` without what the server chose, which is not in `wanted`. */
export function saidBy(wanted: JsonObject, object: JsonObject, resource: Resource): JsonObject {
  const chosen = CHOSEN[`${resource.group}/${resource.kind}`];
  const spec = object['spec'] as JsonObject | undefined;
  if (chosen === undefined || spec === undefined) return object;
  const said = (wanted['spec'] ?? {}) as JsonObject;
  const kept = Object.entries(spec).filter(
    ([name]) => !chosen.includes(name) || said[name] !== undefined,
  );
  return { ...object, spec: Object.fromEntries(kept) };
}
