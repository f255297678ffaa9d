/** Our own kinds: schemas from the zod types of `../kinds`, rules from its tables. */
import type { z } from 'zod';
import { FIXED_FIELDS, GROWING_FIELDS } from '../kinds/fixed-fields.ts';
import { type KindName, GROUP, KINDS } from '../kinds/kind-table.ts';
import { mountSpec, mountStatus } from '../kinds/mount.ts';
import { nodeSpec, nodeStatus, poolSpec, poolStatus } from '../kinds/node.ts';
import { LABEL_PATTERN } from '../kinds/object-meta.ts';
import {
  replicaSpec,
  replicaStatus,
  snapshotSpec,
  snapshotStatus,
  volumeSpec,
  volumeStatus,
} from '../kinds/volume.ts';
import { about, apiVersionField, kindField, METADATA_TEXT, objectMeta } from './fields.ts';
import type { PrinterColumn, Resource, Schema, ValidationRule } from './resource.ts';
import { fromZod } from './schema/from-zod.ts';

interface Own {
  readonly description: string;
  readonly shortName: string;
  readonly spec: z.ZodType;
  readonly status: z.ZodType;
  readonly columns: readonly PrinterColumn[];
}

function shown(
  name: string,
  jsonPath: string,
  description: string,
  more: Partial<PrinterColumn> = {},
): PrinterColumn {
  return { name, type: 'string', description, priority: 0, jsonPath, ...more };
}

const WIDE = { priority: 1 };
const AGE = shown('Age', '.metadata.creationTimestamp', 'Time since it was created.', {
  type: 'date',
});

function condition(name: string, type: string, description: string): PrinterColumn {
  return shown(name, `.status.conditions[?(@.type=="${type}")].status`, description);
}

const READY = condition('Ready', 'Ready', 'Whether it can do what it is for.');
const REASON = shown(
  'Reason',
  '.status.conditions[?(@.type=="Ready")].reason',
  'Why it is ready or not.',
);

const OWN: Readonly<Partial<Record<KindName, Own>>> = {
  StorageNode: {
    description: 'A machine with an engine, which keeps replicas and serves volumes.',
    shortName: 'hfnode',
    spec: nodeSpec,
    status: nodeStatus,
    columns: [
      READY,
      REASON,
      shown('Cordoned', '.spec.unschedulable', 'Nothing new is placed here.', {
        type: 'boolean',
      }),
      shown('Version', '.status.version', 'Version of Holdfast on the node.'),
      shown('Engine-PID', '.status.enginePid', 'Process of the engine.', {
        ...WIDE,
        type: 'integer',
      }),
      shown('Restarts', '.status.engineRestarts', 'How often the engine was started again.', {
        ...WIDE,
        type: 'integer',
      }),
      AGE,
    ],
  },
  DiskPool: {
    description: 'Space on one node, in which replicas are kept.',
    shortName: 'hfpool',
    spec: poolSpec,
    status: poolStatus,
    columns: [
      shown('Capacity', '.status.capacityBytes', 'Size in bytes.', { type: 'integer' }),
      shown('Available', '.status.freeBytes', 'Free space in bytes.', { type: 'integer' }),
      READY,
      REASON,
      shown('Node', '.spec.nodeName', 'Name of the StorageNode.'),
      shown('Replicas', '.status.replicas', 'How many replicas it holds.', { type: 'integer' }),
      shown('Filesystem', '.status.filesystem', 'Type of the filesystem.', WIDE),
      shown('Device', '.status.deviceName', 'Disk or device.', WIDE),
      shown('Directory', '.spec.directory', 'Where on the node it is.', WIDE),
      AGE,
    ],
  },
  Volume: {
    description: 'A volume: what a PersistentVolume stands for.',
    shortName: 'hfvol',
    spec: volumeSpec,
    status: volumeStatus,
    columns: [
      shown('Size', '.spec.size', 'Size of the volume.'),
      READY,
      REASON,
      condition('Redundant', 'Redundant', 'Whether all copies are current.'),
      shown('Replicas', '.spec.replicas', 'How many copies there are.', { type: 'integer' }),
      shown('Node', '.status.attachment.nodeName', 'The node that uses it.'),
      shown('Claim', '.spec.claimRef.name', 'Name of the claim.'),
      shown('Namespace', '.spec.claimRef.namespace', 'Namespace of the claim.', WIDE),
      AGE,
    ],
  },
  Replica: {
    description: 'One full copy of the data of a volume, in one pool.',
    shortName: 'hfrep',
    spec: replicaSpec,
    status: replicaStatus,
    columns: [
      shown('Volume', '.spec.volumeName', 'Name of the Volume.'),
      shown('Size', '.spec.size', 'Size of the volume.'),
      READY,
      REASON,
      shown('Node', '.spec.nodeName', 'Name of the StorageNode.'),
      shown('Pool', '.spec.poolName', 'Name of the DiskPool.'),
      shown('Data', '.status.dataBytes', 'Space that the data takes, in bytes.', {
        ...WIDE,
        type: 'integer',
      }),
      shown('Directory', '.status.directory', 'Where on the node it is kept.', WIDE),
      AGE,
    ],
  },
  Snapshot: {
    description: 'A volume at one point in time.',
    shortName: 'hfsnap',
    spec: snapshotSpec,
    status: snapshotStatus,
    columns: [
      shown('Volume', '.spec.volumeName', 'Name of the Volume.'),
      shown('Size', '.status.sizeBytes', 'Size in bytes.', { type: 'integer' }),
      shown('ReadyToUse', '.status.readyToUse', 'Volumes can be made from it.', {
        type: 'boolean',
      }),
      REASON,
      shown('Claim', '.spec.claimRef.name', 'Name of the claim.'),
      shown('CreationTime', '.status.creationTime', 'The point in time that it holds.', {
        ...WIDE,
        type: 'date',
      }),
      AGE,
    ],
  },
  Mount: {
    description: 'A claim in use on a node, as a pod would use it.',
    shortName: 'hfmnt',
    spec: mountSpec,
    status: mountStatus,
    columns: [
      shown('Claim', '.spec.claimName', 'Name of the claim.'),
      READY,
      REASON,
      shown('Node', '.spec.nodeName', 'Name of the StorageNode.'),
      shown('Path', '.spec.path', 'Where on the node it is mounted.'),
      shown('ReadOnly', '.spec.readOnly', 'Nobody writes through it.', {
        ...WIDE,
        type: 'boolean',
      }),
      AGE,
    ],
  },
};

/** Names of our kinds are ids: paths and sockets are made from them. */
const nameSchema: Schema = {
  type: 'string',
  description: 'Unique among the objects of its kind in its namespace.',
  maxLength: 63,
  pattern: LABEL_PATTERN,
};
const metadata = about(objectMeta, METADATA_TEXT, {
  properties: { ...objectMeta.properties, name: nameSchema },
});

function fixedRule(field: string): ValidationRule {
  return {
    rule: `!has(oldSelf.${field}) || (has(self.${field}) && self.${field} == oldSelf.${field})`,
    message: `${field} cannot be changed`,
    fieldPath: `.${field}`,
    reason: 'FieldValueForbidden',
  };
}

function growingRule(field: string): ValidationRule {
  const size = (object: string): string => `quantity(string(${object}.${field}))`;
  return {
    rule: `${size('self')}.compareTo(${size('oldSelf')}) >= 0`,
    message: `${field} cannot be made smaller`,
    fieldPath: `.${field}`,
    reason: 'FieldValueForbidden',
  };
}

/** *No writer*: nodes read a frozen volume through views, which are volumes of their own. */
const FROZEN_RULE: ValidationRule = {
  rule: '!has(self.attachment) || !has(self.frozen) || !self.frozen',
  message: 'a frozen volume is not attached itself: nodes read it through views',
  fieldPath: '.attachment',
  reason: 'FieldValueForbidden',
};

function withRules(kind: KindName, spec: Schema): Schema {
  const grows = GROWING_FIELDS[kind]?.at(-1);
  const rules = [
    ...(FIXED_FIELDS[kind] ?? []).map(fixedRule),
    ...(grows === undefined ? [] : [growingRule(grows)]),
    ...(kind === 'Volume' ? [FROZEN_RULE] : []),
  ];
  return rules.length === 0 ? spec : { ...spec, 'x-kubernetes-validations': rules };
}

function toResource(kind: KindName, own: Own): Resource {
  const { isNamespaced, plural } = KINDS[kind];
  const spec = { ...fromZod(own.spec), description: 'What is wanted.' };
  return {
    group: GROUP,
    version: 'v1alpha1',
    kind,
    listKind: `${kind}List`,
    plural,
    singular: kind.toLowerCase(),
    shortNames: [own.shortName],
    categories: ['holdfast'],
    isNamespaced,
    hasStatus: true,
    isCustom: true,
    hasGeneration: true,
    schema: {
      type: 'object',
      description: own.description,
      required: ['spec'],
      properties: {
        apiVersion: apiVersionField,
        kind: kindField,
        metadata,
        spec: withRules(kind, spec),
        status: { ...fromZod(own.status), description: 'What is so.' },
      },
    },
    columns: own.columns,
  };
}

export const HOLDFAST_RESOURCES: readonly Resource[] = Object.entries(OWN).map(([kind, own]) =>
  toResource(kind as KindName, own),
);
