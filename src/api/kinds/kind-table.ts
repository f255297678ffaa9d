/** The table of kinds: names that users type, scope, schema. */
import { z } from 'zod';
import { HoldfastError } from '../errors.ts';
import { classBody, claimSpec } from './claim.ts';
import { foreignKind } from './cluster-storage.ts';
import type {
  Namespace,
  PersistentVolume,
  VolumeAttachment,
  VolumeSnapshot,
  VolumeSnapshotClass,
  VolumeSnapshotContent,
} from './cluster-storage.ts';
import type { Event, PersistentVolumeClaim, StorageClass } from './claim.ts';
import { PROVISIONER } from '../provisioner.ts';
import { parseClassParameters } from './class-parameters.ts';
import { describeIssue, invalidObject, refuseStructure } from './invalid-object.ts';
import { mountSpec } from './mount.ts';
import type { Mount } from './mount.ts';
import { nodeSpec, poolSpec } from './node.ts';
import type { DiskPool, StorageNode } from './node.ts';
import { labelName, metaSchema, subdomainName } from './object-meta.ts';
import type { ObjectMeta } from './object-meta.ts';
import { replicaSpec, snapshotSpec, volumeSpec } from './volume.ts';
import type { Replica, Snapshot, Volume } from './volume.ts';

export const GROUP = 'holdfast.dev';
export const API_VERSION = `${GROUP}/v1alpha1`;

export interface KindTable {
  readonly StorageNode: StorageNode;
  readonly DiskPool: DiskPool;
  readonly Volume: Volume;
  readonly Replica: Replica;
  readonly Snapshot: Snapshot;
  readonly Mount: Mount;
  readonly PersistentVolumeClaim: PersistentVolumeClaim;
  readonly StorageClass: StorageClass;
  readonly PersistentVolume: PersistentVolume;
  readonly VolumeAttachment: VolumeAttachment;
  readonly VolumeSnapshot: VolumeSnapshot;
  readonly VolumeSnapshotClass: VolumeSnapshotClass;
  readonly VolumeSnapshotContent: VolumeSnapshotContent;
  readonly Namespace: Namespace;
  readonly Event: Event;
}

export type KindName = keyof KindTable;
export type ObjectOf<Kind extends KindName> = KindTable[Kind];
export type AnyObject = KindTable[KindName];

export interface KindInfo {
  readonly kind: KindName;
  readonly apiVersion: string;
  readonly plural: string;
  readonly shortNames: readonly string[];
  readonly isNamespaced: boolean;
  readonly schema: z.ZodType;
}

const status = z.looseObject({}).nullable().optional();

function ownKind(kind: KindName, spec: z.ZodType, isNamespaced = false): z.ZodType {
  return z.strictObject({
    apiVersion: z.literal(API_VERSION),
    kind: z.literal(kind),
    metadata: metaSchema(labelName, isNamespaced),
    spec,
    status,
  });
}

function foreign(
  kind: KindName,
  apiVersion: string,
  names: Pick<KindInfo, 'plural' | 'shortNames' | 'isNamespaced'>,
): KindInfo {
  return { kind, apiVersion, ...names, schema: foreignKind(apiVersion, kind, names.isNamespaced) };
}

const SNAPSHOT_API = 'snapshot.storage.k8s.io/v1';

const event = z.looseObject({
  apiVersion: z.literal('events.k8s.io/v1'),
  kind: z.literal('Event'),
  metadata: metaSchema(subdomainName, true),
});

export const KINDS: Readonly<Record<KindName, KindInfo>> = {
  PersistentVolumeClaim: {
    kind: 'PersistentVolumeClaim',
    apiVersion: 'v1',
    plural: 'persistentvolumeclaims',
    shortNames: ['pvc', 'claim', 'claims'],
    isNamespaced: true,
    schema: z.strictObject({
      apiVersion: z.literal('v1'),
      kind: z.literal('PersistentVolumeClaim'),
      metadata: metaSchema(subdomainName, true),
      spec: claimSpec,
      status,
    }),
  },
  StorageClass: {
    kind: 'StorageClass',
    apiVersion: 'storage.k8s.io/v1',
    plural: 'storageclasses',
    shortNames: ['sc', 'class', 'classes'],
    isNamespaced: false,
    schema: z.strictObject({
      apiVersion: z.literal('storage.k8s.io/v1'),
      kind: z.literal('StorageClass'),
      metadata: metaSchema(subdomainName, false),
      ...classBody,
    }),
  },
  Volume: {
    kind: 'Volume',
    apiVersion: API_VERSION,
    plural: 'volumes',
    shortNames: ['hfvol', 'vol'],
    isNamespaced: false,
    schema: ownKind('Volume', volumeSpec),
  },
  Replica: {
    kind: 'Replica',
    apiVersion: API_VERSION,
    plural: 'replicas',
    shortNames: ['hfrep', 'rep', 'member', 'members'],
    isNamespaced: false,
    schema: ownKind('Replica', replicaSpec),
  },
  Snapshot: {
    kind: 'Snapshot',
    apiVersion: API_VERSION,
    plural: 'snapshots',
    shortNames: ['hfsnap', 'snap', 'snaps'],
    isNamespaced: false,
    schema: ownKind('Snapshot', snapshotSpec),
  },
  Mount: {
    kind: 'Mount',
    apiVersion: API_VERSION,
    plural: 'mounts',
    shortNames: ['hfmnt', 'mnt'],
    isNamespaced: true,
    schema: ownKind('Mount', mountSpec, true),
  },
  DiskPool: {
    kind: 'DiskPool',
    apiVersion: API_VERSION,
    plural: 'diskpools',
    shortNames: ['hfpool', 'pool', 'pools'],
    isNamespaced: false,
    schema: ownKind('DiskPool', poolSpec),
  },
  StorageNode: {
    kind: 'StorageNode',
    apiVersion: API_VERSION,
    plural: 'storagenodes',
    shortNames: ['hfnode', 'node', 'nodes'],
    isNamespaced: false,
    schema: ownKind('StorageNode', nodeSpec),
  },
  PersistentVolume: foreign('PersistentVolume', 'v1', {
    plural: 'persistentvolumes',
    shortNames: ['pv'],
    isNamespaced: false,
  }),
  VolumeAttachment: foreign('VolumeAttachment', 'storage.k8s.io/v1', {
    plural: 'volumeattachments',
    shortNames: [],
    isNamespaced: false,
  }),
  VolumeSnapshot: foreign('VolumeSnapshot', SNAPSHOT_API, {
    plural: 'volumesnapshots',
    shortNames: ['vs'],
    isNamespaced: true,
  }),
  VolumeSnapshotClass: foreign('VolumeSnapshotClass', SNAPSHOT_API, {
    plural: 'volumesnapshotclasses',
    shortNames: ['vsclass', 'vsclasses'],
    isNamespaced: false,
  }),
  VolumeSnapshotContent: foreign('VolumeSnapshotContent', SNAPSHOT_API, {
    plural: 'volumesnapshotcontents',
    shortNames: ['vsc', 'vscs'],
    isNamespaced: false,
  }),
  Namespace: foreign('Namespace', 'v1', {
    plural: 'namespaces',
    shortNames: ['ns'],
    isNamespaced: false,
  }),
  Event: {
    kind: 'Event',
    apiVersion: 'events.k8s.io/v1',
    plural: 'events',
    shortNames: ['ev'],
    isNamespaced: true,
    schema: event,
  },
};

export const KIND_NAMES = Object.keys(KINDS) as KindName[];

export function isKindName(text: unknown): text is KindName {
  return typeof text === 'string' && Object.hasOwn(KINDS, text);
}

/**
 * Accepts the kind in any case, its plural and its short names. `invalid-argument` with the list.
 */
export function parseKindName(text: string): KindName {
  const lower = text.toLowerCase();
  for (const info of Object.values(KINDS)) {
    if (lower === info.kind.toLowerCase() || lower === info.plural) return info.kind;
    if (info.shortNames.includes(lower)) return info.kind;
  }
  throw new HoldfastError('invalid-argument', 'Kind is unknown', {
    details: {
      field: 'kind',
      value: text.slice(0, 80),
      remedy: `Use one of: ${Object.values(KINDS)
        .map((info) => `${info.plural} (${info.shortNames.join(', ')})`)
        .join(', ')}`,
    },
  });
}

/**
 * An object that came from outside, checked whole: unknown fields, wrong types, sizes, names.
 * A namespaced object without a namespace gets `default`. Throws `invalid-object`.
 */
export function parseObject(input: unknown): AnyObject {
  if (typeof input !== 'object' || input === null || Array.isArray(input)) {
    throw invalidObject('', input, 'Object is not a map', 'Give apiVersion, kind and metadata');
  }
  refuseStructure(input);
  const { kind } = input as { kind?: unknown };
  if (!isKindName(kind)) {
    const remedy = `Use one of: ${KIND_NAMES.join(', ')}`;
    throw invalidObject('kind', kind, 'Kind is unknown', remedy);
  }
  const info = KINDS[kind];
  const parsed = info.schema.safeParse(input);
  if (!parsed.success) throw describeIssue(info.schema, input, parsed.error);
  const object = parsed.data as AnyObject;
  if (object.kind === 'StorageClass' && object.provisioner === PROVISIONER) {
    parseClassParameters(object.parameters);
  }
  if (!info.isNamespaced || object.metadata.namespace !== undefined) return object;
  const metadata: ObjectMeta = { ...object.metadata, namespace: 'default' };
  return { ...object, metadata } as AnyObject;
}
